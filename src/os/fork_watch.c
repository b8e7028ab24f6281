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

static _Atomic uint32_t *watched;   /* [c] the word in the page that children find cleared */
static void (*handler)(void);       /* [c] once the watch has begun */
static atomic_bool has_begun;

void
xa_fork_watch_prepare(uintptr_t page)
{
    if (page != 0 && xa_os_wipe_on_fork(page))
        watched = (_Atomic uint32_t *)page;
}

/* Mark this process as seen to. */
static void
be_quiet(void)
{
    if (watched == NULL)
        return;
    atomic_store_explicit(watched, XA_FORK_WATCH_QUIET, memory_order_relaxed);
    /* Release: the word is QUIET for whoever follows the pointer. */
    atomic_store_explicit(&xa_fork_watch_word, watched, memory_order_release);
}

static void
in_child_of_libc(void)
{
    /* Unless something has looked at the word already and done all this. */
    if (watched != NULL &&
        atomic_load_explicit(watched, memory_order_relaxed) != XA_FORK_WATCH_CHILD)
        return;
    be_quiet();
    handler();
}

void
xa_fork_watch_begin(void (*in_child)(void))
{
    if (atomic_exchange_explicit(&has_begun, true, memory_order_acq_rel))
        return;
    int saved = errno;
    handler = in_child;
    be_quiet();
    (void)pthread_atfork(NULL, NULL, in_child_of_libc);
    errno = saved;
}

void
xa_fork_watch_catch_up(void)
{
    /* A child begins with one thread, so nobody else is here. */
    be_quiet();
    handler();
}
