/*
 * lock.h - a small mutex with an owner and a rank.
 *
 * One word (free, taken, taken and somebody sleeps) and a futex.  It differs from
 * pthread_mutex_t in three ways that an allocator needs: it is all zeros when
 * free, so static ones need no code; it names its owner, so that a signal handler
 * which interrupts malloc is recognised and does not wait for itself; and a child
 * process can ask whether the thread that held it at the fork is gone.
 *
 * Memory orders: taking is an acquire, giving up a release, so everything done
 * under the lock is seen by the next holder.  `owner` is written by the holder
 * only, and the question asked of it is "is it me?", which no other thread's
 * write can change; relaxed is enough.
 */
#ifndef XA_OS_LOCK_H
#define XA_OS_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/annotate.h"
#include "config/lock_ranks.h"

struct XA_CAPABILITY("mutex") xa_lock {
    _Atomic uint32_t state;  /* 0 free, 1 taken, 2 taken and waited for */
    uint32_t rank;           /* [c] enum xa_lock_rank */
    _Atomic uintptr_t owner; /* [a] thread id; 0 when free */
};

/* Give a zeroed lock its rank. */
void xa_lock_init(struct xa_lock *lock, enum xa_lock_rank rank);

/* Wait for the lock.  The caller does not hold it. */
void xa_lock_lock(struct xa_lock *lock) XA_ACQUIRES(*lock);

/* Take it if it is free; no waiting. */
XA_MUST_USE bool xa_lock_try(struct xa_lock *lock) XA_TRY_ACQUIRES(true, *lock);

void xa_lock_unlock(struct xa_lock *lock) XA_RELEASES(*lock);

/* True if the calling thread holds it (a signal handler may find this). */
bool xa_lock_is_mine(const struct xa_lock *lock);

/*
 * In a forked child, before it starts threads: free the lock unless the calling
 * thread holds it.  True if a thread that no longer exists held it, so that what
 * the lock guards may be half changed.
 */
bool xa_lock_reset_in_child(struct xa_lock *lock);

#endif
