/*
 * fork_watch.h - noticing that this process is the child of a fork.
 *
 * Two ways, since neither is enough.  libc calls a handler in the child, but after
 * those that were registered before ours, which may allocate; and children made
 * without handlers (_Fork, a plain clone system call) have none called.  The kernel
 * can be told to clear a page in every child: a word in it tells at once, wherever
 * the page is looked at.
 *
 * The word is watched from the first slow path on at which the process may have a second
 * thread, before that path takes a lock.  A thread that forks need never have allocated,
 * so it is not enough to wait for a second one that does; but where there was one thread
 * in all, its child has nothing to repair, and small programs are spared a page and a
 * system call.  The handler is registered with the second thread that allocates, since
 * libc's part of it costs a small program more memory than all of xalloc's own.
 */
#ifndef XA_OS_FORK_WATCH_H
#define XA_OS_FORK_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"
#include "os/os.h"

enum xa_fork_watch_state {
    XA_FORK_WATCH_CHILD = 0, /* what the kernel makes of the word in a child */
    XA_FORK_WATCH_QUIET = 1,
    XA_FORK_WATCH_BUSY = 2, /* a thread of the child is at it */
};

/* [a] Points at a word that is QUIET until the process forks. */
extern _Atomic uint32_t *_Atomic xa_fork_watch_word;
extern XA_HIDDEN atomic_bool xa_fork_watch_has_begun;

/*
 * Have `in_child` called in children, once in each, before any of its threads waits for a
 * lock, from when the watch begins.
 */
void xa_fork_watch_init(void (*in_child)(void));

/*
 * Begin to watch the word, if nobody has yet.  Takes no lock: another thread may be about to fork.
 * Where the host cannot clear pages, or the option "strict_syscalls"
 * forbids it, the handler alone has to do.
 */
void xa_fork_watch_begin(void);

/* Begin unless there is certainly one thread only; after the start, before another lock is taken. */
static inline void
xa_fork_watch_expect(void)
{
    /* Acquire: whoever finds that it has begun finds the pointer set. */
    if (XA_LIKELY(atomic_load_explicit(&xa_fork_watch_has_begun, memory_order_acquire)))
        return;
    if (!xa_os_is_alone())
        xa_fork_watch_begin();
}

/* Register the handler with libc, once.  May allocate: call it without any lock. */
void xa_fork_watch_register(void);

/* Call the handler, as this is a child and nobody has done so. */
XA_COLD void xa_fork_watch_catch_up(void);

/* Catch up if need be; a load and a branch. */
static inline void
xa_fork_watch_check(void)
{
    /* Relaxed: the word was changed by the kernel before this process had its first instruction. */
    _Atomic uint32_t *word = atomic_load_explicit(&xa_fork_watch_word, memory_order_relaxed);
    if (XA_UNLIKELY(atomic_load_explicit(word, memory_order_relaxed) != XA_FORK_WATCH_QUIET))
        xa_fork_watch_catch_up();
}

#endif
