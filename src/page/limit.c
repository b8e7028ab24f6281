/*
 * limit.c - see limit.h.
 *
 * page_heap.c and huge.c count here, where pages become ours or go back: once in
 * 16 KiB at most, and never on the fast path.  Metadata is counted below this layer
 * and added at each comparison.  It is never refused, so that the hard limit may be
 * passed by one region of it, 1 MiB at most.
 *
 * Passing the soft limit raises a flag, which everything that purges looks at; it
 * falls only when use is SLACK_FRACTION below the limit, so that a program that lives
 * just at its limit is not told of it all the time.  Failing at the hard limit leaves
 * nothing behind but the news of it.  News are noted here, under whatever lock the
 * caller has, and told later by xa_limit_tell(), without one.
 *
 * Locking: the counter and the flags are atomic and ordered with nothing; each is a
 * figure of its own.  With a hard limit the counter grows by compare-and-swap only:
 * a request that fails must not make another one fail by having been added for a
 * moment.  The callback's three words belong together: they are under a lock.
 */
#include "page/limit.h"

#include "config/options.h"
#include "extent/metadata.h"
#include "os/lock.h"
#include "os/os.h"

enum {
    SLACK_FRACTION = 16,
    TELL_MS = 1000,
};

_Atomic bool xa_limit_over_soft;
_Atomic unsigned xa_limit_news;

/* In a cache line of their own: whoever takes or returns pages writes the first. */
static struct XA_CACHE_ALIGNED {
    _Atomic size_t used_bytes;
    _Atomic size_t soft_bytes; /* 0: none */
    _Atomic size_t hard_bytes; /* 0: none */
} limit;

static struct {
    struct xa_lock lock;
    struct xa_limit_callback callback; /* [l] */
    uint64_t next_ms[XA_LIMIT_EVENTS]; /* [l] not told again before this */
    bool is_telling;                   /* [l] a callback has not returned */
} listener = {.lock.rank = XA_LOCK_RANK_LIMIT};

static size_t
load(const _Atomic size_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void
note(enum xa_limit_event event)
{
    unsigned bit = 1U << event;
    if ((atomic_load_explicit(&xa_limit_news, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(&xa_limit_news, bit, memory_order_relaxed);
}

/*
 * Compare with the soft limit; `total` includes metadata.  Without one the hard limit
 * takes its place: it may have been set to less than is in use, and then what is freed
 * must go, or it would be used again.
 */
static void
look_at_soft(size_t total)
{
    size_t soft = load(&limit.soft_bytes), bound = soft != 0 ? soft : load(&limit.hard_bytes);
    bool is_over = xa_limit_is_over_soft();
    if (!is_over && bound != 0 && total > bound) {
        if (!atomic_exchange_explicit(&xa_limit_over_soft, true, memory_order_relaxed) && soft != 0)
            note(XA_LIMIT_SOFT);
    } else if (is_over && (bound == 0 || total <= bound - bound / SLACK_FRACTION)) {
        atomic_store_explicit(&xa_limit_over_soft, false, memory_order_relaxed);
    }
}

size_t
xa_limit_used_bytes(void)
{
    return load(&limit.used_bytes) + xa_metadata_mapped_bytes();
}

bool
xa_limit_set(size_t soft, size_t hard)
{
    if (!xa_options_are_limits_possible(soft, hard))
        return false;
    atomic_store_explicit(&limit.soft_bytes, soft, memory_order_relaxed);
    atomic_store_explicit(&limit.hard_bytes, hard, memory_order_relaxed);
    /* Being beyond a new limit is news again. */
    atomic_store_explicit(&xa_limit_over_soft, false, memory_order_relaxed);
    look_at_soft(xa_limit_used_bytes());
    return true;
}

bool
xa_limit_take(size_t bytes)
{
    size_t before = load(&limit.used_bytes), own = xa_metadata_mapped_bytes();
    size_t hard = load(&limit.hard_bytes);
    if (hard == 0) {
        before = atomic_fetch_add_explicit(&limit.used_bytes, bytes, memory_order_relaxed);
    } else {
        do {
            if (bytes > hard || before + own > hard - bytes) {
                note(XA_LIMIT_HARD);
                return false;
            }
        } while (!atomic_compare_exchange_weak_explicit(&limit.used_bytes, &before, before + bytes,
            memory_order_relaxed, memory_order_relaxed));
    }
    if (XA_UNLIKELY(load(&limit.soft_bytes) != 0))
        look_at_soft(before + bytes + own);
    return true;
}

void
xa_limit_give(size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&limit.used_bytes, bytes, memory_order_relaxed);
    if (XA_UNLIKELY(xa_limit_is_over_soft()))
        look_at_soft(before - bytes + xa_metadata_mapped_bytes());
}

unsigned
xa_limit_take_news(void)
{
    return atomic_exchange_explicit(&xa_limit_news, 0, memory_order_relaxed);
}

void
xa_limit_set_callback(struct xa_limit_callback callback)
{
    xa_lock_lock(&listener.lock);
    listener.callback = callback;
    for (unsigned event = 0; event < XA_LIMIT_EVENTS; event++)
        listener.next_ms[event] = 0;
    xa_lock_unlock(&listener.lock);
}

void
xa_limit_tell(unsigned events)
{
    for (unsigned event = 0; event < XA_LIMIT_EVENTS; event++) {
        if ((events & 1U << event) == 0)
            continue;
        uint64_t now = xa_os_now_ms();
        /* A signal handler that interrupted the holder goes without. */
        if (xa_lock_is_mine(&listener.lock))
            return;
        xa_lock_lock(&listener.lock);
        struct xa_limit_callback callback = listener.callback;
        bool is_due =
            callback.call != NULL && !listener.is_telling && now >= listener.next_ms[event];
        if (is_due) {
            listener.next_ms[event] = now + TELL_MS;
            listener.is_telling = true;
        }
        xa_lock_unlock(&listener.lock);
        if (!is_due)
            continue;
        callback.call(&callback, event, xa_limit_used_bytes());
        xa_lock_lock(&listener.lock);
        listener.is_telling = false;
        xa_lock_unlock(&listener.lock);
    }
}

void
xa_limit_reset_in_child(void)
{
    /* Half a callback is worse than none. */
    if (xa_lock_reset_in_child(&listener.lock))
        listener.callback = (struct xa_limit_callback){0};
    /* Whoever was in a callback did not come along, or is the caller and ends it himself. */
    listener.is_telling = false;
}
