/*
 * fork_watch.c - see fork_watch.h.
 */
#include "os/fork_watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/bits.h"
#include "config/options.h"
#include "os/os.h"

enum { SMALL_PAGE_BYTES = 4096 };

/* Room for the page, if pages are small; not touched before the watch begins. */
XA_BULKY unsigned char xa_fork_watch_space[2 * SMALL_PAGE_BYTES];

/* What the pointer leads to until the watch begins, and where the host clears no pages. */
static _Atomic uint32_t always_quiet = XA_FORK_WATCH_QUIET;
_Atomic uint32_t *_Atomic xa_fork_watch_word = &always_quiet;

static void (*handler)(void); /* [c] */
atomic_bool xa_fork_watch_has_begun;
static atomic_bool is_registered;
static _Atomic uintptr_t busy_thread; /* [a] the one that is in the handler */

void
xa_fork_watch_init(void (*in_child)(void))
{
    handler = in_child;
}

/* A page that nothing else is in; 0 if there is none. */
static uintptr_t
take_page(void)
{
    size_t page = xa_os_facts.page_bytes;
    if (page > SMALL_PAGE_BYTES)
        return xa_os_map_anywhere(page);
    return xa_bits_align_up((uintptr_t)xa_fork_watch_space, page);
}

static bool
is_watched(void)
{
    return atomic_load_explicit(&xa_fork_watch_word, memory_order_relaxed) != &always_quiet;
}

static void
begin(void)
{
    uintptr_t page = take_page();
    if (page == 0 || !xa_os_wipe_on_fork(page))
        return;
    _Atomic uint32_t *word = (_Atomic uint32_t *)page, *none = &always_quiet;
    atomic_store_explicit(word, XA_FORK_WATCH_QUIET, memory_order_relaxed);
    /* Release: the word is QUIET for whoever follows the pointer. */
    (void)atomic_compare_exchange_strong_explicit(
        &xa_fork_watch_word, &none, word, memory_order_release, memory_order_relaxed);
}

/*
 * Several threads may do this at a time, and each does the same.  Should another thread fork
 * meanwhile, the child knows of no watch, has nothing to repair, and will begin anew.  Only
 * this thread must not fork in the middle, from a signal handler, lest it set the word
 * once more in a child: hence no signals.
 */
static void
begin_without_signals(void)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!is_watched())
        begin();
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
xa_fork_watch_begin(void)
{
    /* Acquire: whoever finds that it has begun finds the pointer set. */
    if (XA_LIKELY(atomic_load_explicit(&xa_fork_watch_has_begun, memory_order_acquire)))
        return;
    if (!xa_options.strict_syscalls)
        begin_without_signals();
    atomic_store_explicit(&xa_fork_watch_has_begun, true, memory_order_release);
}

/* The word behind the watched one, 0 in a child as well: not so once the child has been noticed. */
static _Atomic uint32_t *
note(void)
{
    return atomic_load_explicit(&xa_fork_watch_word, memory_order_relaxed) + 1;
}

static bool
is_noted(void)
{
    return atomic_load_explicit(note(), memory_order_relaxed) != 0;
}

static void
in_child_of_libc(void)
{
    if (!is_watched())
        handler();
    else
        /* Without a look before: the first access to a page that was cleared should be a write. */
        xa_fork_watch_catch_up();
    /*
     * Some hosts, emulators of a processor for instance, only say that they clear pages: then
     * nobody has noticed anything, and this handler is all there is.
     */
    if (is_watched() && !is_noted())
        handler();
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
    _Atomic uint32_t *watched = atomic_load_explicit(&xa_fork_watch_word, memory_order_relaxed);
    uint32_t expected = XA_FORK_WATCH_CHILD;
    if (atomic_compare_exchange_strong_explicit(
            watched, &expected, XA_FORK_WATCH_BUSY, memory_order_acquire, memory_order_acquire)) {
        atomic_store_explicit(&busy_thread, xa_os_thread_id(), memory_order_relaxed);
        handler();
        atomic_store_explicit(&busy_thread, 0, memory_order_relaxed);
        atomic_store_explicit(note(), 1, memory_order_relaxed);
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
