/*
 * transfer_stack.pml - the depot (src/arena/depot.c), for Spin: bin/dev/check-models.
 *
 * Threads put magazines into one slot or on the stack and take them out, each in any order, and
 * put what they took again, so that an address comes back while another thread still holds the
 * value that it read before (ABA).  Steps are single loads, stores and atomic operations; a line
 * of depot.c stands beside each.  Checked: a magazine is never at two places, none is lost, and
 * a taker reads the link that the putter wrote.
 *
 * Orders: put is a release and take an acquire, so a taker sees what was written before the put;
 * here every step is seen at once, and "written before" is the order of the steps.  What a relaxed
 * put could do is the fault LINK_LATE.
 *
 * Faults, each of which has to be found (-DNAME):
 *
 * FAULT PUSH_BY_STORE   the push stores the top without comparing
 * FAULT LINK_LATE       the link is written after the top
 * FAULT TAKE_IN_TWO     the stack is taken by a load and a store
 * FAULT SLOT_BY_STORE   a slot is filled without comparing
 * FAULT POP_ONE         the top alone is taken, by compare-and-swap: ABA
 */
#define THREADS 3
#define MAGAZINES 3
#define OPERATIONS 3
#define NONE 0
#define IN_DEPOT 200

byte slot;                     /* depot->slots[0]: a magazine's number, 0 is empty */
byte stack;                    /* depot->stack */
byte next[MAGAZINES + 1];      /* magazine->next */
byte holder[MAGAZINES + 1];    /* who has it: for the assertions alone */
byte finished;

/* A thread lets go of a magazine; at the moment of the operation that publishes it. */
inline give(m) { assert(holder[m] == _pid); holder[m] = IN_DEPOT }

/* It has taken one: nobody else has it. */
inline get(m) { assert(holder[m] == IN_DEPOT); holder[m] = _pid }

/* push() */
inline push(m)
{
    top = stack;                                /* top = atomic_load(&depot->stack) */
    do
    ::
#ifndef LINK_LATE
        next[m] = top;                          /* magazine->next = magazine_of(top) */
#endif
        atomic {                                /* compare_exchange_weak(&stack, &top, word) */
            if
#ifndef PUSH_BY_STORE
            :: stack != top -> top = stack
#endif
            :: else -> give(m); stack = m; swapped = true
            fi
        }
        if
        :: swapped -> swapped = false; break
        :: else
        fi
    od
#ifdef LINK_LATE
    ; next[m] = top
#endif
}

/* xa_depot_put() */
inline put(m)
{
    done = false;
    if
    :: slot == NONE ->                          /* atomic_load(&slots[i]) == 0 && */
        atomic {                                /* compare_exchange_strong(&slots[i], &empty, word) */
            if
#ifdef SLOT_BY_STORE
            :: true -> give(m); slot = m; done = true
#else
            :: slot == NONE -> give(m); slot = m; done = true
            :: else
#endif
            fi
        }
    :: else
    fi;
    if
    :: !done -> push(m)
    :: else
    fi
}

/* xa_depot_take(): into mine[]. */
inline take()
{
    if
    :: slot != NONE ->                          /* atomic_load(&slots[i]) == 0: continue */
        atomic {                                /* atomic_exchange(&slots[i], 0) */
            m = slot;
            slot = NONE;
            if
            :: m != NONE -> get(m); mine[m] = true
            :: else
            fi;
            m = NONE
        }
    :: else
    fi
}

/* xa_depot_take_stack(), and its caller's walk along the links. */
inline take_stack()
{
    if
    :: stack != NONE ->                         /* atomic_load(&depot->stack) == 0: NULL */
#ifdef POP_ONE
        m = stack;
        top = next[m];
        atomic {
            if
            :: stack == m && m != NONE -> stack = top; get(m); mine[m] = true
            :: else
            fi;
            m = NONE
        }
#else
#ifdef TAKE_IN_TWO
        m = stack;
        stack = NONE;
#else
        atomic { m = stack; stack = NONE };     /* atomic_exchange(&depot->stack, 0) */
#endif
        do
        :: m != NONE -> atomic { get(m); mine[m] = true; m = next[m] }
        :: else -> break
        od
#endif
    :: else
    fi
}

proctype thread(byte first)
{
    bool mine[MAGAZINES + 1];
    bool swapped, done;
    byte top, m, operations;
    mine[first] = true;
    holder[first] = _pid;
    do
    :: operations < OPERATIONS ->
        operations++;
        if
        :: mine[1] -> mine[1] = false; put(1)
        :: mine[2] -> mine[2] = false; put(2)
        :: mine[3] -> mine[3] = false; put(3)
        :: true -> take()
        :: true -> take_stack()
        fi
    :: else -> break
    od;
    finished++
}

init
{
    byte m, count;
    atomic {
        run thread(1);
        run thread(2);
        run thread(3)
    }
    finished == THREADS;
    /* What nobody holds is in the depot, once. */
    d_step {
        if
        :: slot != NONE -> assert(holder[slot] == IN_DEPOT); holder[slot] = 0
        :: else
        fi;
        m = stack;
        do
        :: m != NONE -> assert(holder[m] == IN_DEPOT); holder[m] = 0; m = next[m]
        :: else -> break
        od;
        for (m : 1 .. MAGAZINES) {
            assert(holder[m] != IN_DEPOT)
        }
    }
}
