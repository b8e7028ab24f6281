/*
 * fork_watch.c - see fork_watch.h.
 */
#include "os/fork_watch.h"

#include <errno.h>
#include <pthread.h>

#include "os/os.h"

/* What the pointer leads to until the watch begins, and where the host clears no pages. */
static _Atomic uint32_t always_quiet = XA_FORK_WATCH_QUIET;
_Atomic uint32_t *_Atomic xa_fork_watch_word = &always_quiet;

static _Atomic uint32_t *watched; /* [c] the word in the page that children find cleared */
static void (*handler)(void);     /* [c] */
static atomic_bool is_registered;
static _Atomic uintptr_t busy_thread; /* [a] the one that is in the handler */

void
xa_fork_watch_init(uintptr_t page, void (*in_child)(void))
{
    handler = in_child;
    if (page == 0 || !xa_os_wipe_on_fork(page))
        return;
    watched = (_Atomic uint32_t *)page;
    atomic_store_explicit(watched, XA_FORK_WATCH_QUIET, memory_order_relaxed);
    /* Release: the word is QUIET for whoever follows the pointer. */
    atomic_store_explicit(&xa_fork_watch_word, watched, memory_order_release);
}

static void
in_child_of_libc(void)
{
    if (watched == NULL)
        handler();
    else
        xa_fork_watch_check();
}

void
xa_fork_watch_register(void)
{
    if (atomic_exchange_explicit(&is_registered, true, memory_order_relaxed))
        return;
    int saved = errno;
    (void)pthread_atfork(NULL, NULL, in_child_of_libc);
    errno = saved;
}

void
xa_fork_watch_catch_up(void)
{
    uint32_t expected = XA_FORK_WATCH_CHILD;
    if (atomic_compare_exchange_strong_explicit(
            watched, &expected, XA_FORK_WATCH_BUSY, memory_order_acquire, memory_order_acquire)) {
        atomic_store_explicit(&busy_thread, xa_os_thread_id(), memory_order_relaxed);
        handler();
        atomic_store_explicit(&busy_thread, 0, memory_order_relaxed);
        /* Release: who finds the word QUIET finds the locks free. */
        atomic_store_explicit(watched, XA_FORK_WATCH_QUIET, memory_order_release);
        return;
    }
    /* A signal handler of that very thread must not wait for it. */
    if (atomic_load_explicit(&busy_thread, memory_order_relaxed) == xa_os_thread_id())
        return;
    /* The child has threads already, and another one was first: it is at it for microseconds. */
    while (atomic_load_explicit(watched, memory_order_acquire) == XA_FORK_WATCH_BUSY)
        xa_os_yield();
}
