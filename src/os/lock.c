/*
 * lock.c - see lock.h.
 */
#include "os/lock.h"

#include "base/assert.h"
#include "os/fork_watch.h"
#include "os/message.h"
#include "os/os.h"

enum {
    FREE = 0,
    TAKEN = 1,
    CONTENDED = 2,
    /* Sections are some 100 ns long: a short spin beats a sleep that costs microseconds. */
    SPINS = 100,
    SLEEP_MS = 100, /* a child may be made between the look and the sleep */
};

/* Ranks that this thread holds, one bit each; debug builds only. */
static XA_THREAD_LOCAL uint32_t held_ranks;

static void
note_taken(struct xa_lock *lock)
{
    atomic_store_explicit(&lock->owner, xa_os_thread_id(), memory_order_relaxed);
    /* A forked child must not find the section begun and no owner named. */
    atomic_signal_fence(memory_order_seq_cst);
    if (XA_DEBUG)
        held_ranks |= UINT32_C(1) << lock->rank;
}

static void
check_order(const struct xa_lock *lock)
{
    /* Only locks of an outer (lower) rank may be held already. */
    xa_assert(held_ranks >> lock->rank == 0);
    (void)lock;
}

void
xa_lock_init(struct xa_lock *lock, enum xa_lock_rank rank)
{
    lock->rank = (uint32_t)rank;
}

bool
xa_lock_try(struct xa_lock *lock) XA_NO_ANALYSIS
{
    uint32_t expected = FREE;
    if (!atomic_compare_exchange_strong_explicit(
            &lock->state, &expected, TAKEN, memory_order_acquire, memory_order_relaxed))
        return false;
    note_taken(lock);
    return true;
}

static XA_NOINLINE void
wait_for(struct xa_lock *lock) XA_NO_ANALYSIS
{
    if (xa_lock_is_mine(lock))
        xa_message_fatal(NULL, NULL,
            "a thread waits for its own lock: malloc or free was called from within xalloc. "
            "Look for a preloaded library that replaces system functions and allocates in them.");
    for (unsigned spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == FREE && xa_lock_try(lock))
            return;
        xa_os_pause();
    }
    /*
     * In a child that was made without handlers the holder may be gone.  A signal
     * handler may make one while this thread sleeps, hence the look after each sleep.
     */
    xa_fork_watch_check();
    /* Whoever takes it from here on leaves it "contended": there may be more sleepers. */
    while (atomic_exchange_explicit(&lock->state, CONTENDED, memory_order_acquire) != FREE) {
        xa_os_wait(&lock->state, CONTENDED, SLEEP_MS);
        xa_fork_watch_check();
    }
    note_taken(lock);
}

void
xa_lock_lock(struct xa_lock *lock) XA_NO_ANALYSIS
{
    if (XA_DEBUG)
        check_order(lock);
    if (!xa_lock_try(lock))
        wait_for(lock);
}

void
xa_lock_unlock(struct xa_lock *lock) XA_NO_ANALYSIS
{
    if (XA_DEBUG)
        held_ranks &= ~(UINT32_C(1) << lock->rank);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    if (atomic_exchange_explicit(&lock->state, FREE, memory_order_release) == CONTENDED)
        xa_os_wake_one(&lock->state);
}

bool
xa_lock_is_mine(const struct xa_lock *lock)
{
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == xa_os_thread_id();
}

bool
xa_lock_reset_in_child(struct xa_lock *lock)
{
    /* One thread runs: plain sense, relaxed operations. */
    if (atomic_load_explicit(&lock->state, memory_order_relaxed) == FREE)
        return false;
    if (xa_lock_is_mine(lock))
        return false;
    /* No owner: the section had not begun, or was over. */
    bool was_inside = atomic_load_explicit(&lock->owner, memory_order_relaxed) != 0;
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
    atomic_store_explicit(&lock->state, FREE, memory_order_relaxed);
    return was_inside;
}
