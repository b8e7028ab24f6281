/*
 * large_stock.c - see large_stock.h.
 *
 * A program that allocates and frees a buffer of a megabyte in a loop would go through the
 * page heap's lock, its bitmaps and its trees each time.  So each thread keeps up to four
 * freed large objects, 4 MiB together: a word each, the first granule and the number of
 * them.  What fits well (at most a quarter too long) is handed out again as it is.
 *
 * A word leaves its place by compare-and-swap, whoever takes it: the owner to use the
 * object, or the purging thread to give it back, when it finds it unchanged since its last
 * look, whether the owner sleeps or not.  Only the owner fills an empty place, with a plain
 * store: nobody else changes one.  (A signal handler that frees in the middle of its
 * thread's store loses one of the two objects, and nothing else.)
 *
 * Before the thread makes its process larger, what it keeps is given back to the page heap, and
 * serves there.
 *
 * Memory: what a thread may keep is charged to the budget of all thread caches when it
 * keeps its first object, and is given up when the stock is found empty.  The purger may do
 * so while the owner fills a place: the sum may be passed by that.
 *
 * Locking: none.
 */
#include "thread/large_stock.h"

#include "arena/large.h"
#include "page/page_purge.h"
#include "thread/thread_cache.h"

enum {
    BYTES_MAX = 4 * 1024 * 1024, /* of a thread's stock */
    GRANULES_MAX = BYTES_MAX / XA_GRANULE_BYTES,
    PUTS_PER_TICK = 4,
    FIT_FRACTION = 4, /* an object may be this part longer than asked */
    GRANULES_SHIFT = 32,
};

size_t xa_large_stock_max_bytes;

static uint32_t
first_of(uint64_t word)
{
    return (uint32_t)word;
}

static unsigned
granules_of(uint64_t word)
{
    return (unsigned)(word >> GRANULES_SHIFT);
}

static uint64_t
load(const _Atomic uint64_t *place)
{
    return atomic_load_explicit(place, memory_order_relaxed);
}

/* True if the word was still there, and is the caller's now. */
static bool
take(_Atomic uint64_t *place, uint64_t word)
{
    /* Acquire: what the object's last owner wrote into its record. */
    return atomic_compare_exchange_strong_explicit(
        place, &word, 0, memory_order_acquire, memory_order_relaxed);
}

void *
xa_large_stock_take(struct xa_thread_state *state, size_t bytes)
{
    unsigned wanted = xa_large_granules(bytes);
    for (unsigned i = 0; i < XA_LARGE_STOCK_PLACES; i++) {
        uint64_t word = load(&state->stock[i]);
        unsigned more = granules_of(word) - wanted;
        /* Wraps around where it is too short. */
        if (more <= wanted / FIT_FRACTION && take(&state->stock[i], word))
            return xa_large_reuse(first_of(word), bytes);
    }
    return NULL;
}

static bool
pay(struct xa_thread_state *state)
{
    if (atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed))
        return true;
    /* Sums of all threads, ordered with nothing: a bound that may be passed by a little. */
    size_t used = atomic_load_explicit(&xa_thread_cache_budget.used_bytes, memory_order_relaxed);
    if (used + BYTES_MAX >
        atomic_load_explicit(&xa_thread_cache_budget.bytes, memory_order_relaxed))
        return false;
    atomic_fetch_add_explicit(&xa_thread_cache_budget.used_bytes, BYTES_MAX, memory_order_relaxed);
    atomic_store_explicit(&state->stock_is_paid, true, memory_order_relaxed);
    xa_page_purge_note_news();
    return true;
}

static void
refund(struct xa_thread_state *state)
{
    if (atomic_exchange_explicit(&state->stock_is_paid, false, memory_order_relaxed))
        atomic_fetch_sub_explicit(
            &xa_thread_cache_budget.used_bytes, BYTES_MAX, memory_order_relaxed);
}

/* Give back what is at a place; its bytes. */
static size_t
give_back(_Atomic uint64_t *place, uint64_t word)
{
    if (word == 0 || !take(place, word))
        return 0;
    xa_large_return(xa_page_map_address_of(first_of(word)));
    return (size_t)granules_of(word) * XA_GRANULE_BYTES;
}

/* An empty place, if there is one and so many granules more are not too much; else NULL. */
static _Atomic uint64_t *
find_room(struct xa_thread_state *state, unsigned granules)
{
    unsigned sum = granules;
    _Atomic uint64_t *place = NULL;
    for (unsigned i = 0; i < XA_LARGE_STOCK_PLACES; i++) {
        uint64_t word = load(&state->stock[i]);
        sum += granules_of(word);
        if (word == 0)
            place = &state->stock[i];
    }
    return sum <= GRANULES_MAX ? place : NULL;
}

/* The same, and the oldest objects go for it: after a round at the latest all have. */
static _Atomic uint64_t *
make_room(struct xa_thread_state *state, unsigned granules)
{
    _Atomic uint64_t *place;
    while ((place = find_room(state, granules)) == NULL) {
        _Atomic uint64_t *oldest = &state->stock[state->stock_oldest];
        state->stock_oldest = (uint8_t)((state->stock_oldest + 1) % XA_LARGE_STOCK_PLACES);
        (void)give_back(oldest, load(oldest));
    }
    return place;
}

static void
fill(_Atomic uint64_t *place, uintptr_t address, unsigned granules)
{
    uint32_t first = (uint32_t)xa_page_map_granule_of(address);
    xa_large_retire(address);
    /* Release: whoever takes it finds its record. */
    atomic_store_explicit(
        place, first | (uint64_t)granules << GRANULES_SHIFT, memory_order_release);
}

bool
xa_large_stock_put_quickly(struct xa_thread_state *state, uintptr_t address)
{
    unsigned granules = xa_large_granules_of(address);
    _Atomic uint64_t *place = find_room(state, granules);
    if (place == NULL || !atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed) ||
        (size_t)granules * XA_GRANULE_BYTES > xa_large_stock_max_bytes)
        return false;
    /* Without a purging thread time has to go by for the page heap: see below. */
    if (!atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed) &&
        ++state->stock_puts % PUTS_PER_TICK == 0)
        return false;
    fill(place, address, granules);
    return true;
}

bool
xa_large_stock_put(struct xa_thread_state *state, uintptr_t address)
{
    unsigned granules = xa_large_granules_of(address);
    if ((size_t)granules * XA_GRANULE_BYTES > xa_large_stock_max_bytes || !pay(state))
        return false;
    fill(make_room(state, granules), address, granules);
    /* A program may go on like this and come to no page heap: time goes by for it all the same. */
    if (!atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed))
        xa_page_purge_tick(&state->arena->heap);
    return true;
}

size_t
xa_large_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which)
{
    size_t bytes = 0;
    bool is_empty = true;
    for (unsigned i = 0; i < XA_LARGE_STOCK_PLACES; i++) {
        uint64_t word = load(&state->stock[i]);
        if (which == XA_LARGE_STOCK_ALL || word == load(&state->stock_seen[i]))
            bytes += give_back(&state->stock[i], word);
        if (which == XA_LARGE_STOCK_IDLE)
            atomic_store_explicit(&state->stock_seen[i], word, memory_order_relaxed);
        is_empty &= load(&state->stock[i]) == 0;
    }
    if (is_empty)
        refund(state);
    return bytes;
}

void
xa_large_stock_yield(struct xa_thread_state *state, size_t bytes)
{
    if (XA_LIKELY(!atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed)) ||
        xa_page_heap_counter(&state->arena->heap.counters.dirty_bytes) >= bytes)
        return;
    (void)xa_large_stock_empty(state, XA_LARGE_STOCK_ALL);
}

size_t
xa_large_stock_objects(const struct xa_thread_state *state, size_t *bytes)
{
    size_t objects = 0, granules = 0;
    for (unsigned i = 0; i < XA_LARGE_STOCK_PLACES; i++) {
        uint64_t word = load(&state->stock[i]);
        objects += word != 0;
        granules += granules_of(word);
    }
    *bytes = granules * XA_GRANULE_BYTES;
    return objects;
}
