/*
 * fork_watch.h - noticing that this process is the child of a fork.
 *
 * Two ways, since neither is enough.  libc calls a handler in the child, but after
 * those that were registered before ours, which may allocate; and children made
 * without handlers (_Fork, a plain clone system call) have none called.  The kernel
 * can be told to clear a page in every child: a word in it tells at once, wherever
 * the page is looked at.
 *
 * A process with one thread needs neither: nobody else can hold a lock when it
 * forks.  Watching therefore begins with the second thread, and a small program
 * never pays for it.
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
};

/* [a] Points at a word that is QUIET until the process forks. */
extern _Atomic uint32_t *_Atomic xa_fork_watch_word;

/*
 * Give the watch a page of zeros, of its own, before anything may forbid system calls.
 * Without one (0, or a host that cannot clear pages) the handler alone has to do.
 */
void xa_fork_watch_prepare(uintptr_t page);

/* Begin to watch: have `in_child` called in children.  May call libc, which may allocate. */
void xa_fork_watch_begin(void (*in_child)(void));

/* Call the handler, as this is a child and nobody has done so. */
XA_COLD void xa_fork_watch_catch_up(void);

/* Catch up if need be; a load and a branch. */
static inline void
xa_fork_watch_check(void)
{
    /* Relaxed: the word was changed by the kernel before this process had its first instruction. */
    _Atomic uint32_t *word = atomic_load_explicit(&xa_fork_watch_word, memory_order_relaxed);
    if (XA_UNLIKELY(atomic_load_explicit(word, memory_order_relaxed) == XA_FORK_WATCH_CHILD))
        xa_fork_watch_catch_up();
}

#endif
