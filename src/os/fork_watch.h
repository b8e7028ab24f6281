/*
 * fork_watch.h - noticing that this process is the child of a fork.
 *
 * Two ways, since neither is enough.  libc calls a handler in the child, but after
 * those that were registered before ours, which may allocate; and children made
 * without handlers (_Fork, a plain clone system call) have none called.  The kernel
 * can be told to clear a page in every child: a word in it tells at once, wherever
 * the page is looked at.
 *
 * Both begin before a second thread is in xalloc: one that allocates, or the purging
 * thread.  A process that was alone when it forked has nothing to repair in the child,
 * and most small programs are spared a page, a system call, and libc's part of the
 * handler.  A thread that forks need never have allocated.
 */
#ifndef XA_OS_FORK_WATCH_H
#define XA_OS_FORK_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum xa_fork_watch_state {
    XA_FORK_WATCH_CHILD = 0, /* what the kernel makes of the word in a child */
    XA_FORK_WATCH_QUIET = 1,
    XA_FORK_WATCH_BUSY = 2, /* a thread of the child is at it */
};

/* [a] Points at a word that is QUIET until the process forks. */
extern _Atomic uint32_t *_Atomic xa_fork_watch_word;

/*
 * Have `in_child` called in children, once in each, before any of its threads waits for a
 * lock, from when the watch begins.
 */
void xa_fork_watch_init(void (*in_child)(void));

/*
 * Begin to watch the word, if nobody has yet.  Takes no lock, since the caller is to be the
 * second thread in here.  Where the host cannot clear pages, or the option "strict_syscalls"
 * forbids it, the handler alone has to do.
 */
void xa_fork_watch_begin(void);

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
