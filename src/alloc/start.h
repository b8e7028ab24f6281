/*
 * start.h - the first call of a process and of a thread.
 */
#ifndef XA_ALLOC_START_H
#define XA_ALLOC_START_H

#include "os/fork_watch.h"
#include "thread/thread_state.h"

/* [c] The largest size class that thread caches keep; 0 if they are off. */
extern unsigned xa_start_cached_class_max;

/* [c] The value of MALLOC_CONF, if it was read; NULL else. */
extern const char *xa_start_malloc_conf;

/* How many arenas threads are spread over, or will be with the second thread. */
unsigned xa_start_arena_count(void);

/* Make the process ready.  May be called at any time, by any thread, again and again. */
void xa_start_process(void);

/*
 * Read the environment if it was not there at the first call: a program's loader
 * may allocate before libc knows it.  Called once more when libc is up.
 */
void xa_start_read_environment(void);

/*
 * The calling thread's state, made now if it is its first call.  NULL if it has
 * none: the thread is ending, or memory ran out; it then works without a cache.
 */
struct xa_thread_state *xa_start_thread(void);

/*
 * Begin something that may take locks.  False if the calling thread is in the middle
 * of such a thing already: a signal handler interrupted it, and must do without.  Else
 * `*state` is the thread's state, or NULL if it has none, and xa_start_leave() follows.
 */
XA_MUST_USE bool xa_start_enter(struct xa_thread_state **state);
void xa_start_leave(struct xa_thread_state *state);

/*
 * The same for what takes no lock, and needs nothing but the thread's own caches.  False if these
 * are not to be touched just now, or something is to be seen to: then the way above is the right
 * one.
 */
static inline bool
xa_start_enter_quickly(struct xa_thread_state *state)
{
    xa_fork_watch_check();
    if (!xa_thread_state_is_real(state) || state->count != NULL ||
        atomic_load_explicit(&state->is_inside, memory_order_relaxed))
        return false;
    /* As in xa_start_enter(): before the look at the purger. */
    atomic_store_explicit(&state->is_inside, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    /* Acquire: what a purger that is done has left. */
    if (XA_LIKELY(
            atomic_load_explicit(&state->revocation, memory_order_acquire) == XA_REVOCATION_NONE))
        return true;
    atomic_store_explicit(&state->is_inside, false, memory_order_release);
    return false;
}

static inline void
xa_start_leave_quickly(struct xa_thread_state *state)
{
    /* Release: the purger finds the caches whole. */
    atomic_store_explicit(&state->is_inside, false, memory_order_release);
}

#endif
