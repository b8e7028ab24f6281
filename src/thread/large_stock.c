/*
 * large_stock.c - see large_stock.h.
 *
 * A program that allocates and frees a buffer of a megabyte in a loop would go through the
 * page heap's lock, its bitmaps and its trees each time.  So each thread keeps up to four
 * freed large objects, 4 MiB together: a word each, the first granule and the number of
 * them.  What fits well (at most a quarter too long) is handed out again as it is.
 *
 * The one that was freed last, the hot one, is like a magazine's top: one word, which the owner's
 * fast path loads once and stores once.  The purging thread has it as it has the tops, when the
 * owner sleeps (cache_purge.c).  So it stays with a thread that never sleeps nor comes to a slow path,
 * or of which nobody can tell whether it rests (it blocks a signal that the process handles, or
 * there is no /proc), as its magazines do: at most 2 MiB, and within the budget.  A signal handler
 * that frees a large object in the middle of its thread's free is as forbidden here as for small
 * ones: the two may get into one place.
 *
 * The three others are in places that are shared.  A word leaves such a place by
 * compare-and-swap, whoever takes it: the owner to use the object, or the purging thread to give
 * it back, when it finds it unchanged since its last look, whether the owner sleeps or not.  Only
 * the owner fills an empty place, with a plain store: nobody else changes one.
 *
 * What a fork may cut: a word is written to its new place after it has left the old one, so an
 * object is lost at most, never in two places.
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

#include "thread/huge_stock.h"
#include "thread/thread_cache.h"

enum {
    BYTES_MAX = 4 * 1024 * 1024, /* of a thread's stock */
    GRANULES_MAX = BYTES_MAX / XA_GRANULE_BYTES,
    SKIPS = 3,
    SKIPS_WITH_NOTHING = 127, /* where nothing waits to be given back */
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
    return (unsigned)(word >> XA_LARGE_STOCK_SHIFT);
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
    void *object = xa_large_stock_take_hot(state, bytes);
    for (unsigned i = 0; i < XA_LARGE_STOCK_SHARED && object == NULL; i++) {
        uint64_t word = load(&state->stock[i]);
        if (xa_large_stock_fits(word, wanted) && take(&state->stock[i], word))
            object = xa_large_reuse(xa_page_map_record(first_of(word)), first_of(word), bytes);
    }
    return object;
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
    /* The owner asks for this one alone, and pays again. */
    atomic_store_explicit(&state->stock_hot_max, 0, memory_order_relaxed);
    if (atomic_exchange_explicit(&state->stock_is_paid, false, memory_order_relaxed))
        atomic_fetch_sub_explicit(
            &xa_thread_cache_budget.used_bytes, BYTES_MAX, memory_order_relaxed);
}

static size_t
return_object(uint64_t word)
{
    xa_large_return(xa_page_map_address_of(first_of(word)));
    return (size_t)granules_of(word) * XA_GRANULE_BYTES;
}

/* Give back what is at a shared place; its bytes. */
static size_t
give_back(_Atomic uint64_t *place, uint64_t word)
{
    return word != 0 && take(place, word) ? return_object(word) : 0;
}

/* Granules at shared places; and one that is empty, or NULL. */
static unsigned
look_at_shared(struct xa_thread_state *state, _Atomic uint64_t **empty)
{
    unsigned sum = 0;
    *empty = NULL;
    for (unsigned i = 0; i < XA_LARGE_STOCK_SHARED; i++) {
        uint64_t word = load(&state->stock[i]);
        sum += granules_of(word);
        if (word == 0)
            *empty = &state->stock[i];
    }
    return sum;
}

/*
 * Make the hot place empty for an object of so many granules; what is there goes to a shared one.
 * False if there is none, or all would be too much.
 */
static bool
move_over(struct xa_thread_state *state, unsigned granules)
{
    _Atomic uint64_t *empty;
    uint64_t hot = load(&state->stock_hot);
    unsigned sum = look_at_shared(state, &empty) + granules_of(hot);
    unsigned most = (unsigned)(xa_large_stock_max_bytes / XA_GRANULE_BYTES);
    if ((hot != 0 && empty == NULL) || sum + granules > GRANULES_MAX)
        return false;
    if (hot != 0) {
        xa_large_stock_set_hot(state, 0);
        /* Release: whoever takes it finds its record. */
        atomic_store_explicit(empty, hot, memory_order_release);
    }
    atomic_store_explicit(&state->stock_hot_max,
        most < GRANULES_MAX - sum ? most : GRANULES_MAX - sum, memory_order_relaxed);
    return true;
}

/* The same, and the oldest objects go for it: after a round at the latest all have. */
static void
make_room(struct xa_thread_state *state, unsigned granules)
{
    while (!move_over(state, granules)) {
        _Atomic uint64_t *oldest = &state->stock[state->stock_oldest];
        state->stock_oldest = (uint8_t)((state->stock_oldest + 1) % XA_LARGE_STOCK_SHARED);
        (void)give_back(oldest, load(oldest));
    }
}

void
xa_large_stock_tick(struct xa_thread_state *state)
{
    if (atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed))
        return;
    struct xa_page_heap *heap = &state->arena->heap;
    xa_page_purge_tick(heap);
    xa_huge_stock_tick();
    if (atomic_load_explicit(&xa_huge_counters.kept_bytes, memory_order_relaxed) != 0)
        (void)xa_huge_purge(XA_HUGE_DECAYED);
    bool is_waiting = xa_page_purge_waiting_bytes(heap) != 0 ||
        atomic_load_explicit(&xa_huge_counters.kept_bytes, memory_order_relaxed) != 0;
    state->stock_skips = is_waiting ? SKIPS : SKIPS_WITH_NOTHING;
}

void
xa_large_stock_cool(struct xa_thread_state *state)
{
    make_room(state, 0);
    atomic_store_explicit(&state->stock_hot_max, 0, memory_order_relaxed);
}

bool
xa_large_stock_put(struct xa_thread_state *state, uintptr_t address)
{
    unsigned granules = xa_large_granules_of(address);
    if ((size_t)granules * XA_GRANULE_BYTES > xa_large_stock_max_bytes || !pay(state))
        return false;
    make_room(state, granules);
    size_t granule = xa_page_map_granule_of(address);
    state->stock_hot_record = xa_page_map_record(granule);
    state->stock_hot_record->kind = XA_EXTENT_RETIRED;
    xa_large_stock_set_hot(state, granule | (uint64_t)granules << XA_LARGE_STOCK_SHIFT);
    /* A thread that wants to know what it takes and frees does neither in passing. */
    if (XA_UNLIKELY(state->count != NULL))
        xa_large_stock_cool(state);
    /* A purger may have found the stock empty meanwhile: then the next one is to be paid for. */
    if (!atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed))
        atomic_store_explicit(&state->stock_hot_max, 0, memory_order_relaxed);
    xa_large_stock_tick(state);
    return true;
}

void
xa_large_stock_put_aside(struct xa_thread_state *state)
{
    /* Acquire: the owner's record of it. */
    uint64_t word = atomic_load_explicit(&state->stock_hot, memory_order_acquire);
    if (word == 0 || word == XA_STOCK_HOT_ASIDE)
        return;
    /* Written first, for a child that is forked between the two. */
    atomic_store_explicit(&state->stock_hot_saved, word, memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&state->stock_hot, &word, XA_STOCK_HOT_ASIDE,
            memory_order_acq_rel, memory_order_relaxed))
        /* The owner is using it: leave it alone this time. */
        atomic_store_explicit(&state->stock_hot_saved, 0, memory_order_relaxed);
}

/* Where an operation of the owner was under way, it has won, and what was saved is void. */
static uint64_t
put_aside(const struct xa_thread_state *state)
{
    return load(&state->stock_hot) == XA_STOCK_HOT_ASIDE ? load(&state->stock_hot_saved) : 0;
}

void
xa_large_stock_restore(struct xa_thread_state *state)
{
    uint64_t word = put_aside(state);
    if (load(&state->stock_hot) == XA_STOCK_HOT_ASIDE)
        xa_large_stock_set_hot(state, word);
    atomic_store_explicit(&state->stock_hot_saved, 0, memory_order_relaxed);
}

uint64_t
xa_large_stock_seize(struct xa_thread_state *state)
{
    uint64_t word = put_aside(state);
    atomic_store_explicit(&state->stock_hot_saved, 0, memory_order_relaxed);
    if (load(&state->stock_hot) == XA_STOCK_HOT_ASIDE)
        xa_large_stock_set_hot(state, 0);
    return word;
}

size_t
xa_large_stock_give_seized(uint64_t seized)
{
    return seized != 0 ? return_object(seized) : 0;
}

size_t
xa_large_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which)
{
    size_t bytes = 0;
    bool is_empty = load(&state->stock_hot) == 0;
    for (unsigned i = 0; i < XA_LARGE_STOCK_SHARED; i++) {
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

size_t
xa_large_stock_empty_own(struct xa_thread_state *state, enum xa_large_stock_empty which)
{
    uint64_t hot = load(&state->stock_hot);
    size_t bytes = 0;
    if (which == XA_LARGE_STOCK_ALL || hot == state->stock_hot_seen) {
        xa_large_stock_set_hot(state, 0);
        bytes = xa_large_stock_give_seized(hot);
    }
    if (which == XA_LARGE_STOCK_IDLE)
        state->stock_hot_seen = hot;
    return bytes + xa_large_stock_empty(state, which);
}

void
xa_large_stock_yield(struct xa_thread_state *state, size_t bytes)
{
    if (XA_LIKELY(!atomic_load_explicit(&state->stock_is_paid, memory_order_relaxed)) ||
        xa_page_heap_counter(&state->arena->heap.counters.dirty_bytes) >= bytes)
        return;
    (void)xa_large_stock_empty_own(state, XA_LARGE_STOCK_ALL);
}

size_t
xa_large_stock_objects(const struct xa_thread_state *state, size_t *bytes)
{
    uint64_t hot = xa_large_stock_hot(state);
    size_t objects = hot != 0, granules = granules_of(hot);
    for (unsigned i = 0; i < XA_LARGE_STOCK_SHARED; i++) {
        uint64_t word = load(&state->stock[i]);
        objects += word != 0;
        granules += granules_of(word);
    }
    *bytes = granules * XA_GRANULE_BYTES;
    return objects;
}
