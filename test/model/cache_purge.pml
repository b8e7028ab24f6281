/*
 * cache_purge.pml - taking a cache back (src/thread/cache_purge.c), for Spin: bin/dev/check-models.
 *
 * One thread with a cache of one class, the owner, and the purger.  The owner allocates, frees,
 * sleeps between operations, sleeps in a slow path, and sleeps in a signal handler that has
 * interrupted its fast path.  Its stores go through a store buffer, from which they come out in
 * order but late: nothing in the owner's code is a fence but its atomic operations, and falling
 * asleep (the kernel's part).  Objects are numbered, and it is written down where each is.
 * At any time its thread may end, which empties the cache, and another takes the state over, with a
 * number of its own; of the old number the kernel may say anything then, since it may be some other
 * thread's.
 * Checked: an object is never given out while it is somewhere else; the purger never has what only a
 * slow path may have, at the same time as one; and at the end the cache is whole: nothing is lost.
 *
 * Not here: orphans of a fork, which test/stress/adopt_stress.c and test/unit/cache_purge_test.c are
 * about.
 *
 * Faults, each of which has to be found (-DNAME):
 *
 * FAULT NO_REST         the door is shut without asking whether the owner rests
 * FAULT NO_INSIDE       the door is shut although the owner rests in a slow path
 * FAULT NO_SLEEP        caches are taken without asking a second time
 * FAULT IN_HANDLER      a thread that sleeps in a handler counts as asleep
 * FAULT NO_IS_OFF       caches are taken although an operation of the owner has won
 * FAULT NO_DOOR         the owner's slow path does not look at the purger
 * FAULT PLAIN_TOP       the purger puts a top aside by a load and a store
 * FAULT NO_NUMBER       the door is shut without asking whether the state has changed hands
 * FAULT LATE_NUMBER     the next thread's number is stored without being seen before its first door
 * FAULT NO_EXIT_DOOR    a thread that ends empties its cache whatever the purger is at
 */
#define OBJECTS 2
#define CAPACITY 2
#define MAGAZINES 2
#define OPERATIONS 4
#define ROUNDS 2

#define OFF 255 /* &xa_thread_state_nothing; other tops are 8 * magazine + number of objects */
#define NOTHING 254
#define COUNT_OF(top) ((top) % 8)
#define SLOT_OF(top) ((top) / 8 * CAPACITY + COUNT_OF(top))

mtype = { IN_SLAB, IN_CACHE, IN_PROGRAM };
mtype = { NONE, WANTED, SWAPPING, PREPARED, TAKING };
mtype = { TOP, INSIDE, NUMBER };

byte top = OFF;
byte saved = NOTHING;
bool has_active;                    /* actives[c] != NULL */
bool is_inside;
mtype revocation = NONE;
byte objects[MAGAZINES * CAPACITY];
mtype where[OBJECTS] = IN_SLAB;

/* What the kernel knows of the owner's thread, which is the first, or the second. */
bool asleep, in_handler;
byte alive = 1;                     /* 0 in between */
byte thread_number = 1;

/* The owner's store buffer, and what it sees of its own stores meanwhile. */
chan buffer = [3] of { mtype, byte };
byte own_top, pending_tops;
bool owner_is_done, purger_is_done;
bool is_at_caches;                  /* the owner is in a slow path, and may use the caches */

active proctype memory()
{
    byte value;
end:
    do
    :: atomic { buffer?TOP(value) -> top = value; pending_tops-- }
    :: atomic { buffer?INSIDE(value) -> is_inside = value }
    :: atomic { buffer?NUMBER(value) -> thread_number = value }
    od
}

inline load_top(t) { atomic { if :: pending_tops > 0 -> t = own_top :: else -> t = top fi } }
inline store_top(t) { atomic { nfull(buffer) -> buffer!TOP(t); own_top = t; pending_tops++ } }
inline store_inside(value) { atomic { nfull(buffer) -> buffer!INSIDE(value) } }

/* In a system call, for some time; what was stored before is there. */
inline sleep() { atomic { empty(buffer) -> asleep = true }; asleep = false }

/* A handler of a signal, which it blocks, may sleep; it interrupts the owner wherever this stands. */
inline interruption()
{
    if
    :: true
    :: atomic { empty(buffer) -> in_handler = true; asleep = true }; asleep = false; in_handler = false
    fi
}

/* An object that was cached is the program's now. */
inline hand_out(o) { atomic { assert(where[o] == IN_CACHE); where[o] = IN_PROGRAM } }

/* xa_fast_pop() and pop(): the top was on and not empty. */
inline pop()
{
    o = objects[SLOT_OF(t) - 1];                /* object = *top */
    interruption();
    store_top(t - 1);                           /* tops[c] = top + 1 */
    hand_out(o)
}

/* xa_fast_free() and push(): the top was on and not full. */
inline push()
{
    atomic { where[o] = IN_CACHE; objects[SLOT_OF(t)] = o }; /* top[-1] = pointer */
    interruption();
    store_top(t + 1)                            /* tops[c] = top - 1 */
}

/* xa_start_enter() and xa_cache_purge_settle(): may_cache says what they return. */
inline enter()
{
    store_inside(1);                            /* is_inside = true, relaxed */
#ifdef NO_DOOR
    now = NONE;
#else
    now = revocation;                           /* atomic_load(&state->revocation) */
#endif
    may_cache = false;
    if
    :: now == NONE -> may_cache = true; is_at_caches = true
    :: now == WANTED ->                         /* change(state, WANTED, NONE) */
        atomic {
            empty(buffer);
            if
            :: revocation == WANTED -> revocation = NONE; may_cache = true; is_at_caches = true
            :: else
            fi
        }
    :: now == PREPARED ->                       /* change(state, PREPARED, SWAPPING) */
        atomic {
            empty(buffer);
            if
            :: revocation == PREPARED -> revocation = SWAPPING; may_cache = true; is_at_caches = true
            :: else
            fi
        }
        if
        :: may_cache -> restore()
        :: else
        fi
    :: else
    fi
}

/* xa_start_leave() */
inline leave()
{
    is_at_caches = false;
    store_inside(0)                             /* is_inside = false, release */
}

/* xa_thread_cache_restore() */
inline restore()
{
    load_top(t);
    if
    :: saved != NOTHING && t == OFF && has_active -> store_top(saved)
    :: else
    fi;
    saved = NOTHING;
    atomic { empty(buffer) -> revocation = NONE } /* release */
}

/* An empty magazine becomes the active one, with the object o if there is one: attach(). */
inline attach(count)
{
    if
    :: magazines < MAGAZINES ->
        has_active = true;
        if
        :: count == 1 -> atomic { where[o] = IN_CACHE; objects[magazines * CAPACITY] = o }
        :: else
        fi;
        store_top(8 * magazines + count);
        magazines++
    :: else ->
        if
        :: count == 1 -> where[o] = IN_SLAB
        :: else
        fi
    fi
}

/* An object from the slabs, if there is one. */
inline take_from_slab()
{
    atomic {
        if
        :: where[0] == IN_SLAB -> where[0] = IN_PROGRAM
        :: where[1] == IN_SLAB -> where[1] = IN_PROGRAM
        :: else
        fi
    }
}

/* detach(), and what was in the magazine goes to the slabs, which may take a lock and sleep. */
inline detach()
{
    load_top(t);                                /* magazine->count = … */
    store_top(OFF);                             /* tops[c] = nothing */
    has_active = false;                         /* actives[c] = NULL */
    if
    :: sleep()
    :: true
    fi;
    do
    :: t != OFF && COUNT_OF(t) > 0 ->
        atomic {
            i = objects[SLOT_OF(t) - 1];
            assert(where[i] == IN_CACHE);
            where[i] = IN_SLAB;
            i = 0
        }
        t--
    :: else -> break
    od
}

/* xa_thread_cache_refill() */
inline allocate_slowly()
{
    enter();
    if
    :: may_cache ->
        if
        :: sleep()                              /* tidy() may wait for a lock */
        :: true
        fi;
        load_top(t);
        if
        :: t != OFF && COUNT_OF(t) > 0 -> pop()
        :: else ->
            assert(!(t == OFF && has_active));  /* off, and nobody has put it on again */
            take_from_slab();
            if
            :: !has_active -> attach(0)
            :: else
            fi
        fi;
        if
        :: sleep()
        :: true
        fi
    :: else -> take_from_slab()
    fi;
    leave()
}

/* xa_thread_cache_overflow() */
inline free_slowly()
{
    enter();
    if
    :: may_cache ->
        if
        :: sleep()                              /* tidy() may wait for a lock */
        :: true
        fi;
        load_top(t);
        if
        :: t != OFF && COUNT_OF(t) < CAPACITY -> push()
        :: t == OFF && !has_active -> attach(1)
        :: t != OFF && COUNT_OF(t) == CAPACITY ->
            detach();
            where[o] = IN_SLAB
        :: else -> assert(false)                /* off, and nobody has put it on again */
        fi
    :: else -> where[o] = IN_SLAB
    fi;
    leave()
}

/* at_thread_exit(), with xa_thread_cache_flush() and xa_thread_state_return() */
inline end_thread()
{
    do
    :: true ->
        enter();
#ifdef NO_EXIT_DOOR
        break
#else
        if
        :: may_cache -> break
        :: else -> leave()                      /* xa_os_yield(), which may sleep */
        fi;
        if
        :: sleep()
        :: true
        fi
#endif
    od;
    detach();
    leave();
    if
    :: sleep()                                  /* xa_lock_lock(&states.lock) */
    :: true
    fi;
    /* What the next holder of the lock is to see; and after it there is no such thread. */
    atomic { empty(buffer) -> alive = 0 }
}

/* xa_thread_state_take(), by another thread */
inline begin_thread()
{
    alive = 2;
    if
    :: sleep()                                  /* xa_lock_lock(&states.lock) */
    :: true
    fi;
    store_inside(0);
    atomic { nfull(buffer) -> buffer!NUMBER(2) };
#ifndef LATE_NUMBER
    /* Sequentially consistent, as is the load of `revocation` that follows. */
    empty(buffer);
#endif
    has_changed = true
}

active proctype owner()
{
    byte t, o, i, operations, magazines;
    bool may_cache, has_changed;
    mtype now;
    do
    :: operations < OPERATIONS ->
        operations++;
        if
        :: true ->                              /* malloc */
            load_top(t);
            if
            :: t != OFF && COUNT_OF(t) > 0 -> pop()
            :: else -> allocate_slowly()
            fi
        :: where[0] == IN_PROGRAM || where[1] == IN_PROGRAM -> /* free */
            if
            :: where[0] == IN_PROGRAM -> o = 0
            :: where[1] == IN_PROGRAM -> o = 1
            fi;
            load_top(t);
            if
            :: t != OFF && COUNT_OF(t) < CAPACITY -> push()
            :: else -> free_slowly()
            fi
        :: sleep()
        :: !has_changed && operations > 1 -> end_thread(); begin_thread()
        fi;
        t = 0; o = 0; i = 0; may_cache = false; now = NONE
    :: else -> break
    od;
    empty(buffer);
    owner_is_done = true;
    /* The thread stays asleep for ever: the purger may have all it has. */
    asleep = true
}

/* change(): compare-and-swap of the revocation. */
inline change(from, to)
{
    atomic {
        if
        :: revocation == from -> revocation = to; changed = true
        :: else -> changed = false
        fi
    }
}

/*
 * What the kernel says of a thread with this number.  It may be none of ours any more, or not yet,
 * and then whose it is is not known.
 */
inline ask(number, what)
{
    if
    :: alive == number -> answer = what
    :: alive != number -> answer = true
    :: alive != number -> answer = false
    fi
}

/* shut_door() */
inline shut_door()
{
    number = thread_number;
    change(NONE, WANTED);
    if
    :: changed ->
        rests = true;
#ifndef NO_REST
        atomic { ask(number, asleep); rests = answer }; /* xa_os_thread_rests(number) && */
#endif
#ifndef NO_INSIDE
        rests = rests && !is_inside;            /* !atomic_load(&state->is_inside) && */
#endif
#ifndef NO_NUMBER
        rests = rests && number == thread_number; /* number == number_of(state) */
#endif
        if
        :: rests -> change(WANTED, SWAPPING)
        :: else -> change(WANTED, NONE); changed = false
        fi
    :: else
    fi
}

/* put_tops_aside(): goes on if changed. */
inline put_tops_aside()
{
    shut_door();
    if
    :: changed ->
        assert(!is_at_caches);
        if
        :: has_active ->                            /* actives[c] == NULL: continue */
            t = top;                            /* atomic_load(&state->tops[c]) */
            if
            :: t != OFF ->
                saved = t;                      /* before the exchange, for a fork between the two */
#ifdef PLAIN_TOP
                top = OFF
#else
                atomic {                        /* compare_exchange_strong(&tops[c], &top, nothing) */
                    if
                    :: top == t -> top = OFF
                    :: else -> saved = NOTHING
                    fi
                }
#endif
            :: else
            fi
        :: else
        fi;
        revocation = PREPARED
    :: else
    fi
}

/* xa_os_thread_sleeps(): asleep at some moment of the call, and in no handler. */
inline ask_sleeps()
{
#ifdef NO_SLEEP
    sleeps = true
#else
#ifdef IN_HANDLER
    atomic { ask(number, asleep); sleeps = answer }
#else
    atomic { ask(number, asleep && !in_handler); sleeps = answer }
#endif
#endif
}

/* take_class() and drain() */
inline take_all()
{
#ifdef NO_IS_OFF
    is_off = true;
#else
    is_off = top == OFF;
#endif
    t = saved;
    if
    :: t != NOTHING && is_off -> has_active = false
    :: else -> t = NOTHING
    fi;
    saved = NOTHING;
    revocation = NONE;
    do
    :: t != NOTHING && COUNT_OF(t) > 0 ->
        atomic {
            o = objects[SLOT_OF(t) - 1];
            assert(where[o] == IN_CACHE);
            where[o] = IN_SLAB
        }
        t--
    :: else -> break
    od
}

active proctype purger()
{
    byte t, o, rounds, number;
    bool changed, rests, sleeps, is_off, answer;
    do
    :: rounds < ROUNDS ->
        rounds++;
        if
        :: revocation != PREPARED -> put_tops_aside()
        :: else -> changed = true
        fi;
        if
        :: changed ->
            number = thread_number;
            ask_sleeps();
            if
            :: sleeps && number == thread_number -> change(PREPARED, TAKING)
            :: else -> changed = false
            fi;
            if
            :: changed -> assert(!is_at_caches); take_all()
            :: else
            fi
        :: else
        fi;
        t = 0; o = 0; changed = false; rests = false; sleeps = false; is_off = false;
        number = 0; answer = false
    :: else -> break
    od;
    purger_is_done = true
}

/* At the end each object that is cached lies below the top, on or put aside; and no other does. */
active proctype judge()
{
    byte t, i, o, cached;
    owner_is_done && purger_is_done;
    d_step {
        t = (top == OFF -> saved : top);
        if
        :: t != NOTHING && t != OFF ->
            for (i : 0 .. CAPACITY - 1) {
                if
                :: i < COUNT_OF(t) ->
                    o = objects[t / 8 * CAPACITY + i];
                    assert(where[o] == IN_CACHE);
                    cached++
                :: else
                fi
            }
        :: else
        fi;
        for (o : 0 .. OBJECTS - 1) {
            if
            :: where[o] == IN_CACHE -> cached--
            :: else
            fi
        }
        assert(cached == 0)
    }
}
