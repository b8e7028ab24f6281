/*
 * thread_count.c - see thread_count.h.
 *
 * The fast path counts nothing, so the bytes that a thread has taken and freed are derived
 * where its caches miss: since the last look at a class's cache the thread has popped as
 * many more objects than it pushed as the cache holds fewer now.  If that is a positive
 * number it is counted as taken, else as freed.  What is taken and freed again between two
 * looks at the cache is therefore in neither sum: both are lower bounds, which never fall,
 * while their difference is exact after each look.  Large objects are counted one by one.
 *
 * Only threads that have asked for their figures have a record, and are counted; for the
 * others it is one test on slow paths.
 *
 * A purger that takes the caches of an idle thread looks at them before, as the owner
 * would, and again after (cache_purge.c): while it may do that the owner keeps away.
 *
 * Locking: none; a record has one writer at a time.
 */
#include "thread/thread_count.h"

#include "extent/metadata.h"
#include "thread/huge_stock.h"

static uint64_t
load(const _Atomic uint64_t *sum)
{
    return atomic_load_explicit(sum, memory_order_relaxed);
}

/* One writer: a plain sum, atomic for those who read it meanwhile. */
static void
add(_Atomic uint64_t *sum, uint64_t amount)
{
    atomic_store_explicit(sum, load(sum) + amount, memory_order_relaxed);
}

static int64_t
held(const struct xa_thread_count *count)
{
    return (int64_t)(load(&count->allocated) - load(&count->deallocated)) - count->base;
}

static void
note_peak(struct xa_thread_count *count)
{
    int64_t now = held(count);
    if (now > count->peak)
        count->peak = now;
}

struct xa_thread_count *
xa_thread_count_begin(struct xa_thread_state *state)
{
    if (state->count == NULL) {
        struct xa_thread_count *count = xa_metadata_take(sizeof *count);
        if (count == NULL)
            return NULL;
        state->count = count;
        xa_large_stock_cool(state);
        (void)xa_huge_stock_empty(state, XA_LARGE_STOCK_ALL);
        xa_thread_count_note(state);
    }
    return state->count;
}

void
xa_thread_count_reset(struct xa_thread_state *state)
{
    struct xa_thread_count *count = state->count;
    atomic_store_explicit(&count->allocated, 0, memory_order_relaxed);
    atomic_store_explicit(&count->deallocated, 0, memory_order_relaxed);
    count->base = 0;
    count->peak = 0;
    xa_thread_count_note(state);
}

void
xa_thread_count_note_class(struct xa_thread_state *state, unsigned size_class)
{
    state->count->known[size_class] = (uint16_t)xa_thread_state_objects(state, size_class);
}

void
xa_thread_count_note(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        xa_thread_count_note_class(state, c);
}

void
xa_thread_count_settle_class(struct xa_thread_state *state, unsigned size_class)
{
    struct xa_thread_count *count = state->count;
    size_t before = count->known[size_class];
    size_t now = xa_thread_state_objects(state, size_class);
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    if (now < before)
        add(&count->allocated, (before - now) * bytes);
    else if (now > before)
        add(&count->deallocated, (now - before) * bytes);
    count->known[size_class] = (uint16_t)now;
    note_peak(count);
}

void
xa_thread_count_settle(struct xa_thread_state *state)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        xa_thread_count_settle_class(state, c);
}

void
xa_thread_count_take(struct xa_thread_state *state, size_t bytes)
{
    add(&state->count->allocated, bytes);
    note_peak(state->count);
}

void
xa_thread_count_free(struct xa_thread_state *state, size_t bytes)
{
    add(&state->count->deallocated, bytes);
}

void
xa_thread_count_reset_peak(struct xa_thread_state *state)
{
    xa_thread_count_settle(state);
    state->count->base += held(state->count);
    state->count->peak = 0;
}
