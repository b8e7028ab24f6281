/*
 * large_stock.h - large objects that a thread has freed and may soon want again.
 *
 * Where it says that the caller is the owner, the state is the calling thread's, which is inside
 * the door of slow paths (alloc/start.h); or the owner is shut out, or gone.
 */
#ifndef XA_THREAD_LARGE_STOCK_H
#define XA_THREAD_LARGE_STOCK_H

#include "arena/large.h"
#include "page/page_purge.h"
#include "thread/thread_state.h"

/* [c] Objects of more bytes are not kept; 0: none are. */
extern size_t xa_large_stock_max_bytes;

/* An object of at least `bytes` from the stock, or NULL.  The caller is the owner; no lock. */
XA_MUST_USE void *xa_large_stock_take(struct xa_thread_state *state, size_t bytes);

/*
 * Keep a freed object, whose class is out of the page map.  False if it is not to be kept.  The
 * caller is the owner.
 */
XA_MUST_USE bool xa_large_stock_put(struct xa_thread_state *state, uintptr_t address);

/* Whose objects xa_large_stock_empty() gives back. */
enum xa_large_stock_empty {
    XA_LARGE_STOCK_IDLE, /* those that were there the last time this was asked, by anybody */
    XA_LARGE_STOCK_ALL,
};

/*
 * Give objects back to their page heaps; their bytes.  Any thread may call it, whatever the
 * owner does meanwhile; so it leaves the object that was freed last.
 */
size_t xa_large_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which);

/* The same, and the object that was freed last.  The caller is the owner. */
size_t xa_large_stock_empty_own(struct xa_thread_state *state, enum xa_large_stock_empty which);

/* A program that goes on like this comes to no page heap: time goes by for it all the same. */
void xa_large_stock_tick(struct xa_thread_state *state);

/* Nothing is taken or freed in passing any more: the hot place is empty, and stays so. */
void xa_large_stock_cool(struct xa_thread_state *state);

/*
 * The purger's part, see cache_purge.c: put the object that was freed last aside; put it back; or
 * take it off the state (the owner sleeps), and give it back to its page heap: its bytes.
 */
void xa_large_stock_put_aside(struct xa_thread_state *state);
void xa_large_stock_restore(struct xa_thread_state *state);
XA_MUST_USE uint64_t xa_large_stock_seize(struct xa_thread_state *state);
size_t xa_large_stock_give_seized(uint64_t seized);

/*
 * The owner is about to take so many bytes of pages: unless its arena has as many that are in
 * memory and unused, the stock's objects become such pages.
 */
void xa_large_stock_yield(struct xa_thread_state *state, size_t bytes);

/*
 * The word of the object that was freed last, wherever it is at the moment; 0 if there is none.
 * Near enough if its owner is running.
 */
static inline uint64_t
xa_large_stock_hot(const struct xa_thread_state *state)
{
    uint64_t word = atomic_load_explicit(&state->stock_hot, memory_order_relaxed);
    if (word != XA_STOCK_HOT_ASIDE)
        return word;
    return atomic_load_explicit(&state->stock_hot_saved, memory_order_relaxed);
}

/* Objects in the stock, and their bytes; near enough if its owner is running. */
size_t xa_large_stock_objects(const struct xa_thread_state *state, size_t *bytes);

/* ---- The shortest ways: the object that was freed last ---- */

enum {
    XA_LARGE_STOCK_SHIFT = 32,       /* a word: the granules of an object, and its first */
    XA_LARGE_STOCK_FIT_FRACTION = 4, /* an object may be this part longer than asked */
};

/* True if an object serves; what is too short wraps around. */
static inline bool
xa_large_stock_fits(uint64_t word, unsigned granules)
{
    unsigned more = (unsigned)(word >> XA_LARGE_STOCK_SHIFT) - granules;
    return more <= granules / XA_LARGE_STOCK_FIT_FRACTION;
}

/* Change the hot place.  Relaxed: it is read by the report, and by whoever has shut the owner out. */
static inline void
xa_large_stock_set_hot(struct xa_thread_state *state, uint64_t word)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&state->stock_hot, word, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/*
 * As xa_large_stock_take(), of the object that was freed last.  The state may be that of a thread
 * that has none.
 */
static inline void *
xa_large_stock_take_hot(struct xa_thread_state *state, size_t bytes)
{
    uint64_t word = atomic_load_explicit(&state->stock_hot, memory_order_relaxed);
    /* Empty first: another thread may be at start-up, which says what a page is. */
    if (word == 0 || !xa_large_stock_fits(word, xa_large_granules(bytes)))
        return NULL;
    struct xa_extent *record = state->stock_hot_record;
    xa_large_stock_set_hot(state, 0);
    return xa_large_reuse(record, (uint32_t)word, bytes);
}

/*
 * Without a purging thread time has to go by for what is unused: now and then it is to be the slow
 * path that keeps something, and calls xa_large_stock_tick().
 */
static inline bool
xa_large_stock_may_skip_tick(struct xa_thread_state *state)
{
    if (XA_LIKELY(atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed)))
        return true;
    if (state->stock_skips == 0)
        return false;
    state->stock_skips--;
    return true;
}

/*
 * Free the live object at a granule and keep it, if the hot place is empty and paid for.  False, and nothing done,
 * if not; so it is for a thread that has no state of its own.
 */
XA_MUST_USE static inline bool
xa_large_stock_put_hot(struct xa_thread_state *state, size_t granule)
{
    struct xa_extent *record = xa_page_map_record(granule);
    uint64_t granules = record->granules;
    if (granules > atomic_load_explicit(&state->stock_hot_max, memory_order_relaxed) ||
        atomic_load_explicit(&state->stock_hot, memory_order_relaxed) != 0 ||
        !xa_large_stock_may_skip_tick(state))
        return false;
    xa_page_map_set_class(granule, 1, XA_CLASS_NONE);
    record->kind = XA_EXTENT_RETIRED;
    state->stock_hot_record = record;
    xa_large_stock_set_hot(state, granule | granules << XA_LARGE_STOCK_SHIFT);
    return true;
}

#endif
