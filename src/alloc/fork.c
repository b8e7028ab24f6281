/*
 * fork.c - fork() takes nothing and waits for nobody.
 *
 * Allocators that take all their locks before a fork deadlock with libc, whose
 * fork() takes the locks of stdio after our handler: a thread that holds a stdio
 * lock and allocates under it waits for ours, while we wait for its.  They also hang
 * when fork() is called by a signal handler that interrupted malloc.  So nothing is
 * done before a fork, and the child sorts out what it finds.
 *
 * What it finds is a consistent cut: the kernel makes the parent's pages read-only
 * before it copies their table, and a thread that writes then stops at that store
 * until the copy is done.  The child therefore has a prefix of every thread's
 * stores, in program order.  Hence a lock that reads as free guards data that is
 * whole, and:
 *
 *   lock free                     nothing to do
 *   held by the forking thread    a signal handler forked: the section it interrupted
 *                                 will be finished, in both processes
 *   held by another thread        it does not exist here.  Bins and page heaps are
 *                                 set aside: what lives in them stays valid, and
 *                                 nothing new is put there.  Lists that change by
 *                                 a single store are whole; their locks are freed.
 *                                 A private arena is set aside as a whole, and begins anew.
 *
 * Slabs that another thread had taken off their bin's lists, to purge them without a lock, are
 * noted where the child finds them, and put back (slab_purge.c).
 *
 * Caches of the other threads are adopted one by one, now and then when the child needs
 * memory (thread_cache.c).
 *
 * os/fork_watch.c sees to it that this runs before the child's first wait for a lock.
 */
#include "alloc/fork.h"

#include <stdatomic.h>

#include "alloc/explicit_cache.h"
#include "arena/arena.h"
#include "arena/private_arena.h"
#include "arena/slab_purge.h"
#include "base/assert.h"
#include "check/check.h"
#include "extent/metadata.h"
#include "extent/region.h"
#include "page/huge.h"
#include "page/limit.h"
#include "page/window.h"
#include "thread/thread_cache.h"

/* [a] Of layers above; NULL behind the last. */
static void (*_Atomic resets[XA_FORK_RESETS_MAX])(void);

void
xa_fork_call(void (*reset)(void))
{
    for (unsigned i = 0; i < XA_FORK_RESETS_MAX; i++) {
        void (*there)(void) = atomic_load_explicit(&resets[i], memory_order_relaxed);
        if (there == NULL &&
            atomic_compare_exchange_strong_explicit(
                &resets[i], &there, reset, memory_order_relaxed, memory_order_relaxed))
            break;
        if (there == reset)
            break;
        xa_assert(i + 1 < XA_FORK_RESETS_MAX);
    }
    /* A child that finds something to do must find this, too. */
    atomic_signal_fence(memory_order_seq_cst);
}

void
xa_fork_in_child(void)
{
    xa_metadata_reset_in_child();
    xa_region_reset_in_child();
    xa_window_reset_in_child();
    xa_huge_reset_in_child();
    xa_limit_reset_in_child();
    xa_check_reset_in_child();
    struct xa_thread_state *self = xa_thread_state_self;
    bool is_real = xa_thread_state_is_real(self);
    xa_arena_reset_in_child(is_real ? self->arena : NULL);
    xa_slab_purge_reset_in_child();
    xa_private_arena_reset_in_child(
        is_real && self->bound_arena != 0 ? self->bound_arena : XA_PRIVATE_ARENA_NONE);
    xa_explicit_cache_reset_in_child();
    /* A purger that was at the caller's caches did not come along. */
    if (is_real &&
        atomic_load_explicit(&self->revocation, memory_order_relaxed) != XA_REVOCATION_NONE)
        xa_thread_cache_restore(self);
    xa_thread_state_reset_in_child();
    for (unsigned i = 0; i < XA_FORK_RESETS_MAX; i++) {
        void (*reset)(void) = atomic_load_explicit(&resets[i], memory_order_relaxed);
        if (reset != NULL)
            reset();
    }
}
