/*
 * huge_stock.c - see huge_stock.h.
 *
 * As large_stock.c, for one mapping.  The word leaves its place by compare-and-swap, whoever takes
 * it, since what one thread keeps may be many megabytes: the purging thread must have it whether
 * the owner sleeps or not.  Only the owner fills the empty place: so a record that is found there,
 * and is still there when it is taken, has not changed in between.  (A signal handler that frees
 * in the middle of its thread's store loses one of the two objects, and nothing else.)
 *
 * Memory: each thread's object is charged to what the process may keep of huge objects
 * (xa_huge_may_keep), for as long as the place is not found empty; so the owner asks only when it
 * keeps a longer one than before.  A thread that keeps nothing has paid for nothing, which is all
 * that the shortest way asks.
 *
 * Locking: none.
 */
#include "thread/huge_stock.h"

#include "os/os.h"
#include "page/page_purge.h"

enum { LOOKS_A_DECAY = 3 };

static void
refund(struct xa_thread_state *state)
{
    xa_huge_keep_no_more(
        atomic_exchange_explicit(&state->huge_paid_bytes, 0, memory_order_relaxed));
}

static bool
pay(struct xa_thread_state *state, size_t bytes)
{
    if (bytes <= atomic_load_explicit(&state->huge_paid_bytes, memory_order_relaxed))
        return true;
    refund(state);
    if (!xa_huge_may_keep(bytes))
        return false;
    /* A purger that finds the place empty meanwhile takes it away again: the next put will ask. */
    atomic_store_explicit(&state->huge_paid_bytes, bytes, memory_order_relaxed);
    xa_page_purge_note_news();
    return true;
}

bool
xa_huge_stock_put(struct xa_thread_state *state, struct xa_huge *huge)
{
    struct xa_huge *before = atomic_load_explicit(&state->huge, memory_order_relaxed);
    /* A thread that wants to know what it takes and frees does neither in passing. */
    if (xa_large_stock_max_bytes < XA_LARGE_MAX_BYTES || xa_page_purge_decay_ms() == 0 ||
        xa_limit_is_over_soft() || state->count != NULL)
        return false;
    if (xa_huge_stock_take_off(state, before))
        xa_huge_return(before);
    if (!pay(state, huge->bytes))
        return false;
    /* Release: whoever takes it finds its record. */
    atomic_store_explicit(&state->huge, huge, memory_order_release);
    xa_large_stock_tick(state);
    return true;
}

size_t
xa_huge_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which)
{
    struct xa_huge *huge = atomic_load_explicit(&state->huge, memory_order_relaxed);
    struct xa_huge *seen = atomic_load_explicit(&state->huge_seen, memory_order_relaxed);
    if (which == XA_LARGE_STOCK_IDLE)
        atomic_store_explicit(&state->huge_seen, huge, memory_order_relaxed);
    bool is_taken =
        (which == XA_LARGE_STOCK_ALL || huge == seen) && xa_huge_stock_take_off(state, huge);
    /* First: the stock of all threads has room for it by what is paid back. */
    if (atomic_load_explicit(&state->huge_paid_bytes, memory_order_relaxed) != 0 &&
        atomic_load_explicit(&state->huge, memory_order_relaxed) == NULL)
        refund(state);
    if (!is_taken)
        return 0;
    size_t bytes = huge->bytes;
    xa_huge_return(huge);
    return bytes;
}

void
xa_huge_stock_tick(void)
{
    static _Atomic uint64_t looked_ms;
    int64_t decay_ms = xa_page_purge_decay_ms();
    if (atomic_load_explicit(&xa_huge_counters.promised_bytes, memory_order_relaxed) == 0 ||
        decay_ms < 0)
        return;
    uint64_t now_ms = xa_os_now_ms();
    uint64_t last_ms = atomic_load_explicit(&looked_ms, memory_order_relaxed);
    /* Relaxed: of several threads that come at the same time one looks. */
    if (now_ms - last_ms < (uint64_t)decay_ms / LOOKS_A_DECAY ||
        !atomic_compare_exchange_strong_explicit(
            &looked_ms, &last_ms, now_ms, memory_order_relaxed, memory_order_relaxed))
        return;
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        (void)xa_huge_stock_empty(at, XA_LARGE_STOCK_IDLE);
}

size_t
xa_huge_stock_bytes(const struct xa_thread_state *state)
{
    /* Acquire: its record; which stays one, whoever takes it meanwhile. */
    const struct xa_huge *huge = atomic_load_explicit(&state->huge, memory_order_acquire);
    return huge == NULL ? 0 : atomic_load_explicit(&huge->bytes, memory_order_relaxed);
}
