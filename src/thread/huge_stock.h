/*
 * huge_stock.h - the huge object that a thread has freed last and may soon want again.
 */
#ifndef XA_THREAD_HUGE_STOCK_H
#define XA_THREAD_HUGE_STOCK_H

#include "page/huge.h"
#include "page/limit.h"
#include "thread/large_stock.h"

/*
 * Keep a freed object, whose class is out of the page map.  False if it is not to be kept.  The
 * caller is the owner, inside the door of slow paths (alloc/start.h).
 */
XA_MUST_USE bool xa_huge_stock_put(struct xa_thread_state *state, struct xa_huge *huge);

/* As xa_large_stock_empty(): to the stock of all threads, by any thread. */
size_t xa_huge_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which);

/* Without a purging thread: what no thread has used for a while goes to the stock of all. */
void xa_huge_stock_tick(void);

/* Bytes of the kept object, or 0; near enough if its owner is running. */
size_t xa_huge_stock_bytes(const struct xa_thread_state *state);

/* Not kept any more: true if the object was still there, and is the caller's now. */
static inline bool
xa_huge_stock_take_off(struct xa_thread_state *state, struct xa_huge *huge)
{
    /* Acquire: what the object's last owner wrote into its record. */
    return huge != NULL &&
        atomic_compare_exchange_strong_explicit(
            &state->huge, &huge, NULL, memory_order_acquire, memory_order_relaxed);
}

/* ---- The shortest ways; the state is the calling thread's, or one of those without a thread ---- */

/* The kept object, if it serves for `bytes`; or NULL. */
XA_MUST_USE static inline void *
xa_huge_stock_take(struct xa_thread_state *state, size_t bytes)
{
    /* Acquire: its record, although what counts is that it is still there. */
    struct xa_huge *huge = atomic_load_explicit(&state->huge, memory_order_acquire);
    if (huge == NULL ||
        !xa_huge_serves(atomic_load_explicit(&huge->bytes, memory_order_relaxed), bytes) ||
        !xa_huge_stock_take_off(state, huge))
        return NULL;
    return xa_huge_reuse(huge, bytes);
}

/* Free the live object that begins at a granule and keep it; false, and nothing done, if not. */
XA_MUST_USE static inline bool
xa_huge_stock_put_quickly(struct xa_thread_state *state, size_t granule)
{
    struct xa_huge *huge = (struct xa_huge *)(void *)xa_page_map_chunk_of(granule);
    if (atomic_load_explicit(&huge->bytes, memory_order_relaxed) >
            atomic_load_explicit(&state->huge_paid_bytes, memory_order_relaxed) ||
        atomic_load_explicit(&state->huge, memory_order_relaxed) != NULL ||
        xa_limit_is_over_soft() || !xa_large_stock_may_skip_tick(state))
        return false;
    xa_page_map_set_class(granule, 1, XA_CLASS_NONE);
    /* Release: whoever takes it finds its record. */
    atomic_store_explicit(&state->huge, huge, memory_order_release);
    return true;
}

#endif
