/*
 * limit.h - bounds on the memory of the process, and the one place that counts it.
 *
 * Counted is what may be resident: granules in use or dirty, huge mappings but for
 * kept ones that were emptied, and what xalloc's own structures are cut from.
 */
#ifndef XA_PAGE_LIMIT_H
#define XA_PAGE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

enum xa_limit_event { XA_LIMIT_SOFT, XA_LIMIT_HARD, XA_LIMIT_EVENTS };

/* Whom to tell: `call` gets the whole of it, and knows what the other two are. */
struct xa_limit_callback {
    void (*call)(const struct xa_limit_callback *callback, enum xa_limit_event event, size_t bytes);
    void (*function)(void);
    void *context;
};

/* What stands behind xa_limit_is_over_soft() and xa_limit_has_news(). */
extern _Atomic bool xa_limit_over_soft;
extern _Atomic unsigned xa_limit_news;

/*
 * Set both limits, in bytes; 0 is none.  False, and no change, if xa_options_are_limits_possible()
 * says that they are impossible.
 */
XA_MUST_USE bool xa_limit_set(size_t soft, size_t hard);

/*
 * Pages for `bytes` are about to be taken: count them.  False, and nothing counted, if
 * that would pass the hard limit.
 */
XA_MUST_USE bool xa_limit_take(size_t bytes);

/* Counted bytes are no longer in use, and not resident. */
void xa_limit_give(size_t bytes);

/* What is counted now. */
size_t xa_limit_used_bytes(void);

/* True from when the soft limit is passed until use is a little below it. */
static inline bool
xa_limit_is_over_soft(void)
{
    /* A hint when to purge, ordered with nothing. */
    return atomic_load_explicit(&xa_limit_over_soft, memory_order_relaxed);
}

/* True if a limit was met since the last xa_limit_take_news(). */
static inline bool
xa_limit_has_news(void)
{
    return XA_UNLIKELY(atomic_load_explicit(&xa_limit_news, memory_order_relaxed) != 0);
}

/* The events since the last call, a bit each (1 << event). */
unsigned xa_limit_take_news(void);

/* Tell this callback of events; `call` is NULL for nobody. */
void xa_limit_set_callback(struct xa_limit_callback callback);

/*
 * Tell the callback of these events, each at most once a second.  Called without any
 * lock, since it may allocate.
 */
void xa_limit_tell(unsigned events);

/* In a forked child: free the lock. */
void xa_limit_reset_in_child(void);

#endif
