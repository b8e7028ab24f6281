/*
 * background.h - the thread that gives memory back while the program does nothing.
 */
#ifndef XA_THREAD_BACKGROUND_H
#define XA_THREAD_BACKGROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"
#include "page/page_purge.h"

enum xa_background_state {
    XA_BACKGROUND_ABSENT,  /* not started (in this process) */
    XA_BACKGROUND_AWAKE,   /* working, or asleep until a deadline */
    XA_BACKGROUND_ASLEEP,  /* there was nothing to do: wake it */
    XA_BACKGROUND_REFUSED, /* it may not be, or the host refused it lately */
};

/* [a] */
extern _Atomic uint32_t xa_background_state;

/* [a] How often it has looked whether there is something to do. */
extern _Atomic uint64_t xa_background_runs;

/* True if there may be one: what was said last, by the option or since. */
bool xa_background_is_allowed(void);

/*
 * Allow it, or not: then it has ended when this returns, if the host lets it run within some
 * seconds.  Called without any lock.
 */
void xa_background_allow(bool is_allowed);

/* Start it if there is enough to do, or wake it.  Called without any lock. */
void xa_background_look(void);

/* True if it is there and will purge: others need not. */
static inline bool
xa_background_is_there(void)
{
    uint32_t state = atomic_load_explicit(&xa_background_state, memory_order_relaxed);
    return state == XA_BACKGROUND_AWAKE || state == XA_BACKGROUND_ASLEEP;
}

/* The end of a slow path: see to it that somebody will give back what was freed. */
static inline void
xa_background_poke(void)
{
    uint32_t state = atomic_load_explicit(&xa_background_state, memory_order_relaxed);
    /* Most slow paths change nothing that would matter to it. */
    bool is_fine = state == XA_BACKGROUND_AWAKE ||
        (state == XA_BACKGROUND_ABSENT &&
            !atomic_load_explicit(&xa_page_purge_has_news, memory_order_relaxed));
    if (XA_UNLIKELY(!is_fine))
        xa_background_look();
}

/* A trim ran out of time: the thread, if it is there, gives the rest back. */
void xa_background_finish_trim(void);

/* The soft limit was passed: let it give back all that it can, now.  False if it is not there. */
bool xa_background_urge(void);

/* In a forked child: the thread did not come along. */
void xa_background_reset_in_child(void);

#endif
