/*
 * fork.pml - what a fork cuts, and how the child sorts it out, for Spin: bin/dev/check-models.
 *
 * Two threads change a structure of two words under a lock (src/os/lock.c); one of them forks, at
 * any moment, also in the middle of its own section as a signal handler does.  The kernel copies
 * two pages in either order: the lock is on one, the structure on the other.  A page is protected
 * when it is copied, and a thread that writes to it then waits for the end of the fork.  The child
 * frees the lock as src/alloc/fork.c does, sets the structure aside if its holder was inside, and
 * uses it; if the child is in the middle of its own section, it finishes that first.  Another
 * thread of the child waits for the word of src/os/fork_watch.c.  Checked: whoever has the lock
 * finds a structure that is whole, and nobody waits for ever.
 *
 * Faults, each of which has to be found (-DNAME):
 *
 * FAULT NO_PROTECTION   the kernel copies pages while they are written
 * FAULT NO_SET_ASIDE    what a dead thread was changing is used on
 * FAULT OWNER_LATE      the section begins before the owner is named
 * FAULT OWNER_AFTER     the lock is free before the owner's name is gone
 * FAULT MINE_IS_FREED   the child frees the lock that it holds itself
 * FAULT NO_RESET        the child frees no lock
 * FAULT NO_WAIT         a thread of the child does not wait for the one that repairs
 */
#define FORKER 1
#define OTHER 2
#define SECOND 3 /* the child's second thread */

#define CHILD 0 /* XA_FORK_WATCH_CHILD and so on */
#define QUIET 1
#define BUSY 2

/* Memory of the parent [0] and of the child [1].  Page 0: the lock.  Page 1: the structure. */
bool taken[2];
byte owner[2];
byte first[2], second[2];
bool set_aside[2]; /* a structure with a new generation number takes its place */
byte word[2];

bool is_protected[2];
bool is_forking, child_runs;
byte inside[2]; /* living threads in the section, for the assertion alone */

/* A store to a page, in process p: it waits while the page is being copied. */
#ifdef NO_PROTECTION
#define STORE(p, page) true
#else
#define STORE(p, page) (p == 1 || !is_protected[page])
#endif

/* xa_lock_lock(): compare-and-swap, then the owner's name. */
inline lock(p, me)
{
    atomic { STORE(p, 0) && !taken[p] -> taken[p] = true };
#ifndef OWNER_LATE
    atomic { STORE(p, 0) -> owner[p] = me }
#endif
}

/* The section.  Whole: both words are the same. */
inline change(p, me)
{
    atomic { inside[p]++; assert(inside[p] == 1) };
    atomic { assert(set_aside[p] || first[p] == second[p]); x = (first[p] + 1) % 3 };
    if
    :: set_aside[p]                             /* the new one, which this model leaves alone */
    :: else ->
        atomic { STORE(p, 1) -> first[p] = x };
        interruption();
        atomic { STORE(p, 1) -> second[p] = x }
    fi
#ifdef OWNER_LATE
    ; atomic { STORE(p, 0) -> owner[p] = me }
#endif
}

/* xa_lock_unlock(): the owner's name, then the lock. */
inline unlock(p)
{
    inside[p]--;
#ifdef OWNER_AFTER
    atomic { STORE(p, 0) -> taken[p] = false };
    atomic { STORE(p, 0) -> owner[p] = 0 }
#else
    atomic { STORE(p, 0) -> owner[p] = 0 };
    atomic { STORE(p, 0) -> taken[p] = false }
#endif
}

inline copy(page)
{
    atomic {
        is_protected[page] = true;
        if
        :: page == 0 -> taken[1] = taken[0]; owner[1] = owner[0]
        :: else -> first[1] = first[0]; second[1] = second[0]; set_aside[1] = set_aside[0]
        fi
    }
}

/* fork(): after it the model follows the caller in the child (p = 1) or in the parent. */
inline fork()
{
    is_forking = true;
    if
    :: copy(0); copy(1)
    :: copy(1); copy(0)
    fi;
    word[1] = CHILD;                            /* MADV_WIPEONFORK */
    atomic { is_protected[0] = false; is_protected[1] = false }
}

/* xa_fork_watch_catch_up() and xa_lock_reset_in_child(). */
inline repair(me)
{
    atomic { claimed = (word[1] == CHILD); if :: claimed -> word[1] = BUSY :: else fi };
    if
    :: claimed ->
#ifndef NO_RESET
        if
#ifdef MINE_IS_FREED
        :: taken[1] ->
#else
        :: taken[1] && owner[1] != FORKER ->    /* xa_lock_is_mine(): leave it */
#endif
#ifndef NO_SET_ASIDE
            set_aside[1] = set_aside[1] || owner[1] != 0;
#endif
            owner[1] = 0;
            taken[1] = false
        :: else
        fi;
#endif
        word[1] = QUIET
    :: else ->
#ifndef NO_WAIT
        word[1] != BUSY
#endif
    fi
}

/* The caller of fork() is looked at in the child; in the parent it ends its section some time. */
inline go_to_child()
{
    atomic {
        p = 1;
        child_runs = true;
        if
        :: owner[0] == FORKER -> inside[0]--; inside[1]++; first[0] = second[0]; owner[0] = 0; taken[0] = false
        :: else
        fi
    }
}

/* A signal handler that forks, in the parent's section; the child goes on from here, p is 1. */
inline interruption()
{
    if
    :: _pid == FORKER && !is_forking ->
        fork();
        if
        :: go_to_child(); repair(FORKER)        /* the handler that libc calls in the child */
        :: p = 0
        fi
    :: true
    fi
}

proctype forker()
{
    byte x, p;
    bool claimed;
    /* Forked from outside, or from the middle of a section. */
    if
    :: fork();
        if
        :: go_to_child(); repair(FORKER); lock(p, FORKER); change(p, FORKER); unlock(p)
        :: p = 0
        fi
    :: lock(p, FORKER);
        change(p, FORKER);
        unlock(p)
    fi;
    if
    :: is_forking -> lock(p, FORKER); change(p, FORKER); unlock(p)
    :: else
    fi
}

proctype other()
{
    byte x, p, rounds;
    bool claimed;
    do
    :: rounds < 2 ->
        rounds++;
        lock(p, OTHER);
        change(p, OTHER);
        unlock(p)
    :: else -> break
    od
}

/* A thread that the child has made in a handler of somebody else's, before ours. */
proctype second_of_child()
{
    byte x, p = 1;
    bool claimed;
    if
    :: child_runs ->
        repair(SECOND);
        lock(p, SECOND);
        change(p, SECOND);
        unlock(p)
    :: timeout                                  /* no fork, or only the parent is looked at */
    fi
}

init
{
    word[0] = QUIET;
    atomic {
        run forker();
        run other();
        run second_of_child()
    }
}
