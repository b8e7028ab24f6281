/*
 * page_heap.c - runs of granules in chunks: where they are found, and what is known of free ones.
 *
 * A chunk is a 4 MiB slot of the window of which a prefix is mapped; the prefix
 * grows when no free run fits.  Two bitmaps say which mapped granules are free,
 * and which may hold something else than zeros ("dirty").  The dirty bit of a
 * granule in use is kept, so that granules which were never touched are still
 * known to be zero when their run comes back.
 *
 *   unmapped ── grow ──► free, clean ◄── purge ── free, dirty
 *                           │   take               ▲   │ take
 *                           ▼                return│   ▼
 *                         in use ──────────────────┴─ in use
 *
 * With the option muzzy_decay_ms there is a state between dirty and clean: "muzzy" granules
 * were offered to the system, which takes their pages when it runs short.  They keep their
 * dirty bit, since they read as they were or as zeros, and have a third bit besides:
 *
 *   muzzy is a part of free and dirty; dirty_bytes counts what is free and dirty and not
 *   muzzy, muzzy_bytes what is muzzy; the limit (limit.h) counts both.
 *
 * A run is looked for in this order: lowest address where a dirty run fits (its
 * pages are in memory already), lowest address where any free run fits, the end
 * of a chunk that can grow, a new chunk.  Three trees by chunk address answer each
 * question in one walk.  The first two hold upper bounds: taking a run does not
 * lower them, a search that fails does.
 *
 * What realloc had to move because it grew is put where it can grow on: at a place with as much
 * free behind it as a run can have, from the end of a free run, where others come last.
 *
 * Free granules are given back by page_purge.c.
 *
 * Locking: heap->lock; mapping memory happens under it (a chunk's growth must be
 * seen as one step), purging does not.
 */
#include "page/page_heap.h"

#include "base/assert.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "extent/region.h"
#include "os/os.h"
#include "page/chunk.h"
#include "page/huge_page.h"
#include "page/limit.h"
#include "page/page_purge.h"
#include "page/window.h"

enum {
    TREE_MIN_CAPACITY = XA_PAGE_HEAP_NODES_MIN / 2,
    GROWTH_MIN_GRANULES = 4,
    GROWTH_MAX_GRANULES = 64,
    GROWTH_FRACTION = 8,
    SOME_ROOM = 4,      /* times its length, where what grows may be put */
    PLACE_TRIES = 1000, /* slots that may turn out to hold something foreign */
};

void
xa_page_heap_init(struct xa_page_heap *heap, uint16_t arena)
{
    xa_lock_init(&heap->lock, XA_LOCK_RANK_PAGE_HEAP);
    heap->arena = arena;
    /* Time begins at 0: the first look at the clock is the first purge's. */
    xa_decay_init(&heap->dirty_aging.decay, xa_options.dirty_decay_ms, 0);
    atomic_store_explicit(
        &heap->dirty_aging.time_ms, xa_options.dirty_decay_ms, memory_order_relaxed);
}

static void
raise(struct xa_max_tree *tree, size_t slot, unsigned length)
{
    if (xa_chunk_tree_value(length) > xa_max_tree_get(tree, slot))
        xa_max_tree_set(tree, slot, xa_chunk_tree_value(length));
}

/* Granules [first, first + count) are free now: let the trees know. */
static void
note_free(struct xa_page_heap *heap, struct xa_chunk *chunk, unsigned first, unsigned count)
{
    raise(&heap->free_runs, chunk->region.slot, xa_bitmap_run_around(&chunk->free, first));
    struct xa_bitmap dirty = xa_bitmap_and(&chunk->free, &chunk->dirty);
    unsigned end = first + count;
    for (unsigned bit = xa_bitmap_find(&dirty, first); bit < end;) {
        raise(&heap->dirty_runs, chunk->region.slot, xa_bitmap_run_around(&dirty, bit));
        bit = xa_bitmap_find(&dirty, xa_bitmap_find_clear(&dirty, bit));
    }
    xa_chunk_update_room(heap, chunk);
}

/* Memory for the nodes of tree `index` with so many leaves, or NULL. */
static uint8_t *
take_nodes(struct xa_page_heap *heap, unsigned index, size_t leaves)
{
    size_t bytes = xa_max_tree_bytes(leaves);
    return bytes <= XA_PAGE_HEAP_NODES_MIN ? heap->first_nodes[index] : xa_metadata_take(bytes);
}

static void
return_nodes(uint8_t *nodes, size_t leaves)
{
    size_t bytes = xa_max_tree_bytes(leaves);
    if (bytes > XA_PAGE_HEAP_NODES_MIN && bytes <= XA_METADATA_BLOCK_MAX)
        xa_metadata_return(nodes, bytes);
}

/* The trees get leaves for `slot`. */
static bool
reserve_leaf(struct xa_page_heap *heap, size_t slot)
{
    struct xa_max_tree *trees[XA_PAGE_HEAP_TREES] = {
        &heap->dirty_runs, &heap->free_runs, &heap->rooms};
    for (unsigned i = 0; i < XA_PAGE_HEAP_TREES; i++) {
        size_t capacity = trees[i]->capacity;
        if (slot < capacity)
            continue;
        size_t wanted = (size_t)xa_bits_ceil_power(slot + 1);
        if (wanted < TREE_MIN_CAPACITY)
            wanted = TREE_MIN_CAPACITY;
        uint8_t *old = trees[i]->nodes, *memory = take_nodes(heap, i, wanted);
        if (memory == NULL)
            return false;
        xa_max_tree_grow(trees[i], memory, wanted);
        return_nodes(old, capacity);
    }
    return true;
}

/* Map `granules` more behind the chunk's mapped prefix. */
static enum xa_os_result
map_more(struct xa_page_heap *heap, struct xa_chunk *chunk, unsigned granules)
{
    uintptr_t end = xa_window_address(chunk->region.slot) +
        (uintptr_t)chunk->mapped_granules * XA_GRANULE_BYTES;
    enum xa_os_result result = xa_os_map(end, (size_t)granules * XA_GRANULE_BYTES);
    if (result != XA_OS_DONE)
        return result;
    xa_bitmap_set(&chunk->free, chunk->mapped_granules, granules);
    xa_bitmap_clear(&chunk->dirty, chunk->mapped_granules, granules);
    chunk->mapped_granules += granules;
    xa_chunk_count(&heap->counters.mapped_bytes, granules);
    return XA_OS_DONE;
}

/* Some more than needed, in proportion to the heap, so that calls to the kernel stay rare. */
static unsigned
growth_granules(const struct xa_page_heap *heap, unsigned needed, unsigned available)
{
    size_t mapped = xa_page_heap_counter(&heap->counters.mapped_bytes) / XA_GRANULE_BYTES;
    size_t wanted = mapped / GROWTH_FRACTION;
    if (wanted < GROWTH_MIN_GRANULES)
        wanted = GROWTH_MIN_GRANULES;
    if (wanted > GROWTH_MAX_GRANULES)
        wanted = GROWTH_MAX_GRANULES;
    wanted = xa_bits_align_up(wanted < needed ? needed : wanted, xa_page_heap_unit());
    return wanted < available ? (unsigned)wanted : available;
}

/* What is to be said of huge pages in a chunk that grows to `end`, and has not been said. */
static enum xa_huge_page_advice
advice_due(const struct xa_page_heap *heap, const struct xa_chunk *chunk, unsigned end)
{
    if (chunk->advice != XA_HUGE_PAGE_LEAVE)
        return XA_HUGE_PAGE_LEAVE;
    size_t live = xa_page_heap_counter(&heap->counters.active_bytes);
    enum xa_huge_page_advice advice = xa_huge_page_choose(live);
    /* Huge pages do not come before a whole one is mapped. */
    bool is_due = end >= XA_HUGE_PAGE_GRANULES || advice == XA_HUGE_PAGE_WANT;
    return is_due ? advice : XA_HUGE_PAGE_LEAVE;
}

/* Map the rest of the chunk and advise the kernel once, of all of it.  False: nothing has changed. */
static bool
grow_whole(struct xa_page_heap *heap, struct xa_chunk *chunk, enum xa_huge_page_advice advice)
{
    unsigned first = chunk->mapped_granules;
    if (map_more(heap, chunk, XA_CHUNK_GRANULES - first) != XA_OS_DONE)
        return false;
    if (xa_huge_page_advise(xa_window_address(chunk->region.slot), XA_CHUNK_BYTES, advice))
        chunk->advice = (uint8_t)advice;
    note_free(heap, chunk, first, XA_CHUNK_GRANULES - first);
    return true;
}

/* Let the mapped prefix reach granule `end` of the chunk. */
static enum xa_os_result
grow_chunk(struct xa_page_heap *heap, struct xa_chunk *chunk, unsigned end)
{
    if (end <= chunk->mapped_granules)
        return XA_OS_DONE;
    unsigned needed = end - chunk->mapped_granules;
    unsigned available = XA_CHUNK_GRANULES - chunk->mapped_granules;
    unsigned first = chunk->mapped_granules;
    unsigned wanted = growth_granules(heap, needed, available);
    enum xa_huge_page_advice advice = advice_due(heap, chunk, first + wanted);
    if (advice != XA_HUGE_PAGE_LEAVE && grow_whole(heap, chunk, advice))
        return XA_OS_DONE;
    enum xa_os_result result = map_more(heap, chunk, wanted);
    if (result != XA_OS_DONE && wanted > needed)
        result = map_more(heap, chunk, needed);
    if (result == XA_OS_DONE)
        note_free(heap, chunk, first, chunk->mapped_granules - first);
    return result;
}

/* A new chunk with at least `granules` mapped at its start; NULL if memory ran out. */
static struct xa_chunk *
open_chunk(struct xa_page_heap *heap, unsigned granules)
{
    struct xa_chunk *chunk = xa_region_take_chunk();
    if (chunk == NULL)
        return NULL;
    for (unsigned try = 0; try < PLACE_TRIES; try++) {
        size_t slot = xa_window_take(1, 1);
        if (slot == XA_WINDOW_NONE || !reserve_leaf(heap, slot)) {
            if (slot != XA_WINDOW_NONE)
                xa_window_return(slot, 1);
            break;
        }
        atomic_store_explicit(&chunk->region.arena, heap->arena, memory_order_relaxed);
        chunk->region.slot = (uint32_t)slot;
        chunk->mapped_granules = 0;
        chunk->advice = XA_HUGE_PAGE_LEAVE;
        chunk->free = chunk->dirty = chunk->muzzy = (struct xa_bitmap){{0}};
        chunk->heap_generation = heap->generation;
        enum xa_os_result result = grow_chunk(heap, chunk, granules);
        if (result == XA_OS_DONE) {
            xa_page_map_set_region(slot, &chunk->region);
            xa_page_heap_count(&heap->counters.chunks, 1);
            return chunk;
        }
        /* Something foreign stands there: the slot stays taken, so that nobody tries it again. */
        if (result == XA_OS_NO_MEMORY) {
            xa_window_return(slot, 1);
            break;
        }
    }
    xa_region_return(&chunk->region);
    return NULL;
}

struct place {
    struct xa_chunk *chunk;
    unsigned first;
};

struct shape {
    unsigned granules;  /* to be taken */
    unsigned free;      /* from the first of them on, so many shall be free, */
    unsigned dirty;     /* or so many that are in memory already */
    unsigned alignment; /* of the first */
    bool may_open;      /* a new chunk, if there is no place in the others */
};

/* True if what is taken shall have free granules behind it. */
static bool
wants_room(const struct shape *shape)
{
    return shape->granules < shape->free;
}

/*
 * Look for `count` granules that are free (or free and dirty), lowest address first.  Room for
 * growth is left at the end of the free run, where others come last.
 */
static bool
find_run(struct xa_max_tree *tree, bool dirty_only, unsigned count, const struct shape *shape,
    struct place *place)
{
    uint8_t least = xa_chunk_tree_value(count);
    for (size_t slot = xa_max_tree_find(tree, 0, least); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(tree, slot + 1, least)) {
        struct xa_chunk *chunk = xa_chunk_at(slot);
        struct xa_bitmap map =
            dirty_only ? xa_bitmap_and(&chunk->free, &chunk->dirty) : chunk->free;
        unsigned first = xa_bitmap_find_run(&map, count, shape->alignment);
        if (first != XA_BITMAP_NOT_FOUND) {
            if (wants_room(shape)) {
                unsigned end = xa_bitmap_find_clear(&map, first);
                first = (unsigned)xa_bits_align_down(end - count, shape->alignment);
            }
            *place = (struct place){chunk, first};
            return true;
        }
        xa_max_tree_set(tree, slot, xa_chunk_tree_value(xa_bitmap_longest_run(&map)));
    }
    return false;
}

/* Let a chunk grow whose end has room for the run. */
static bool
find_room(struct xa_page_heap *heap, const struct shape *shape, struct place *place)
{
    uint8_t least = xa_chunk_tree_value(shape->free);
    for (size_t slot = xa_max_tree_find(&heap->rooms, 0, least); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(&heap->rooms, slot + 1, least)) {
        struct xa_chunk *chunk = xa_chunk_at(slot);
        unsigned first = (unsigned)xa_bits_align_up(
            chunk->mapped_granules - xa_chunk_free_at_end(chunk), shape->alignment);
        if (first + shape->free > XA_CHUNK_GRANULES)
            continue;
        if (wants_room(shape))
            first = (unsigned)xa_bits_align_down(XA_CHUNK_GRANULES - shape->free, shape->alignment);
        enum xa_os_result result = grow_chunk(heap, chunk, first + shape->granules);
        if (result == XA_OS_DONE) {
            *place = (struct place){chunk, first};
            return true;
        }
        if (result == XA_OS_NO_MEMORY)
            return false;
        /* Something foreign follows: this chunk will not grow any more. */
        xa_max_tree_set(&heap->rooms, slot, 0);
    }
    return false;
}

/* The granules are used again: the system no longer has them.  How many it had. */
static XA_COLD unsigned
recall(struct xa_page_heap *heap, struct xa_chunk *chunk, unsigned first, unsigned granules)
{
    unsigned muzzy = xa_bitmap_count(&chunk->muzzy, first, granules);
    xa_bitmap_clear(&chunk->muzzy, first, granules);
    xa_chunk_count(&heap->counters.muzzy_bytes, -(long)muzzy);
    return muzzy;
}

/*
 * The run is no longer free.  What of it was dirty was counted before, and so `taken`
 * (true if the limit was asked for all of it) counts it twice.  True if all of it
 * reads as zeros.
 */
static bool
occupy(struct xa_page_heap *heap, const struct place *place, unsigned granules, bool taken)
{
    struct xa_chunk *chunk = place->chunk;
    unsigned dirty = xa_bitmap_count(&chunk->dirty, place->first, granules);
    xa_bitmap_clear(&chunk->free, place->first, granules);
    xa_chunk_count(&heap->counters.active_bytes, granules);
    size_t active = xa_page_heap_counter(&heap->counters.active_bytes);
    if (active > xa_page_heap_counter(&heap->peak_bytes))
        atomic_store_explicit(&heap->peak_bytes, active, memory_order_relaxed);
    unsigned muzzy = 0;
    if (XA_UNLIKELY(xa_page_heap_counter(&heap->counters.muzzy_bytes) != 0))
        muzzy = recall(heap, chunk, place->first, granules);
    xa_chunk_count(&heap->counters.dirty_bytes, -(long)(dirty - muzzy));
    if (place->first + granules == chunk->mapped_granules ||
        xa_max_tree_get(&heap->rooms, chunk->region.slot) != 0)
        xa_chunk_update_room(heap, chunk);
    if (taken && dirty != 0)
        xa_limit_give((size_t)dirty * XA_GRANULE_BYTES);
    return dirty == 0;
}

static _Atomic size_t *
use_counter(struct xa_page_heap *heap, enum xa_run_use use)
{
    return use == XA_RUN_FOR_SLAB ? &heap->counters.slab_bytes : &heap->counters.large_bytes;
}

/* Find or make a run whose granules are not all dirty; the limit has been asked. */
static bool
find_clean(struct xa_page_heap *heap, const struct shape *shape, struct place *place)
{
    if (find_run(&heap->free_runs, false, shape->free, shape, place) ||
        find_room(heap, shape, place))
        return true;
    if (!shape->may_open)
        return false;
    *place = (struct place){open_chunk(heap, shape->granules), 0};
    return place->chunk != NULL;
}

static uint32_t
take(struct xa_page_heap *heap, enum xa_run_use use, const struct shape *shape, bool *is_zeroed)
    XA_REQUIRES(heap->lock)
{
    struct place place;
    size_t bytes = (size_t)shape->granules * XA_GRANULE_BYTES;
    bool found = find_run(&heap->dirty_runs, true, shape->dirty, shape, &place);
    /* What is dirty is counted already. */
    bool taken = !found && xa_limit_take(bytes);
    if (taken) {
        found = find_clean(heap, shape, &place);
        if (!found)
            xa_limit_give(bytes);
    }
    if (!found)
        return XA_GRANULE_NONE;
    *is_zeroed = occupy(heap, &place, shape->granules, taken);
    xa_chunk_count(use_counter(heap, use), shape->granules);
    return place.chunk->region.slot * XA_CHUNK_GRANULES + place.first;
}

uint32_t
xa_page_heap_take(struct xa_page_heap *heap, enum xa_run_use use, unsigned granules,
    unsigned alignment, bool *is_zeroed)
{
    unsigned unit = xa_page_heap_unit();
    granules = (unsigned)xa_bits_align_up(granules, unit);
    const struct shape shape = {
        granules, granules, granules, alignment < unit ? unit : alignment, true};
    xa_lock_lock(&heap->lock);
    uint32_t result = take(heap, use, &shape, is_zeroed);
    xa_lock_unlock(&heap->lock);
    return result;
}

uint32_t
xa_page_heap_take_with_room(
    struct xa_page_heap *heap, enum xa_run_use use, unsigned granules, bool *is_zeroed)
{
    unsigned unit = xa_page_heap_unit();
    granules = (unsigned)xa_bits_align_up(granules, unit);
    unsigned some =
        granules * SOME_ROOM < XA_RUN_MAX_GRANULES ? granules * SOME_ROOM : XA_RUN_MAX_GRANULES;
    const struct shape shape = {granules, XA_RUN_MAX_GRANULES, some, unit, false};
    xa_lock_lock(&heap->lock);
    uint32_t result = take(heap, use, &shape, is_zeroed);
    xa_lock_unlock(&heap->lock);
    return result != XA_GRANULE_NONE ? result
                                     : xa_page_heap_take(heap, use, granules, unit, is_zeroed);
}

void
xa_page_heap_return(struct xa_page_heap *heap, enum xa_run_use use, uint32_t granule,
    unsigned granules, unsigned touched)
{
    unsigned unit = xa_page_heap_unit();
    granules = (unsigned)xa_bits_align_up(granules, unit);
    touched = (unsigned)xa_bits_align_up(touched, unit);
    xa_lock_lock(&heap->lock);
    struct xa_chunk *chunk = xa_page_map_chunk_of(granule);
    unsigned first = granule % XA_CHUNK_GRANULES;
    /* A chunk that a fork set aside is nobody's: its granules are lost, as the report says. */
    if (chunk->heap_generation == heap->generation) {
        xa_assert(xa_bitmap_count(&chunk->free, first, granules) == 0);
        xa_bitmap_set(&chunk->dirty, first, touched);
        xa_bitmap_set(&chunk->free, first, granules);
        xa_chunk_count(&heap->counters.active_bytes, -(long)granules);
        xa_chunk_count(use_counter(heap, use), -(long)granules);
        unsigned dirty = xa_bitmap_count(&chunk->dirty, first, granules);
        xa_chunk_count(&heap->counters.dirty_bytes, dirty);
        xa_limit_give((size_t)(granules - dirty) * XA_GRANULE_BYTES);
        note_free(heap, chunk, first, granules);
        xa_page_purge_note_news();
    }
    xa_lock_unlock(&heap->lock);
}

bool
xa_page_heap_extend(struct xa_page_heap *heap, uint32_t granule, unsigned granules, unsigned wanted)
{
    wanted = (unsigned)xa_bits_align_up(wanted, xa_page_heap_unit());
    granules = (unsigned)xa_bits_align_up(granules, xa_page_heap_unit());
    if (wanted <= granules)
        return true;
    unsigned more = wanted - granules, first = granule % XA_CHUNK_GRANULES + granules;
    xa_lock_lock(&heap->lock);
    struct xa_chunk *chunk = xa_page_map_chunk_of(granule);
    size_t bytes = (size_t)more * XA_GRANULE_BYTES;
    bool done = chunk->heap_generation == heap->generation && first + more <= XA_CHUNK_GRANULES &&
        xa_limit_take(bytes);
    if (done) {
        unsigned mapped = chunk->mapped_granules;
        unsigned free_end = first < mapped ? xa_bitmap_find_clear(&chunk->free, first) : mapped;
        /* Free all the way, or free to the end of what is mapped and able to grow. */
        if (free_end < first + more)
            done = free_end == mapped && grow_chunk(heap, chunk, first + more) == XA_OS_DONE;
        if (!done)
            xa_limit_give(bytes);
    }
    if (done) {
        (void)occupy(heap, &(struct place){chunk, first}, more, true);
        xa_chunk_count(use_counter(heap, XA_RUN_FOR_LARGE), more);
    }
    xa_lock_unlock(&heap->lock);
    return done;
}

void
xa_page_heap_reset_in_child(struct xa_page_heap *heap)
{
    if (!xa_lock_reset_in_child(&heap->lock))
        return;
    /* The trees may be half changed: begin with empty ones, and leave the old chunks alone. */
    heap->generation++;
    heap->dirty_runs = heap->free_runs = heap->rooms = (struct xa_max_tree){0};
    heap->muzzy_aging = (struct xa_page_heap_aging){0};
    atomic_store_explicit(&heap->counters.dirty_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&heap->counters.muzzy_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&heap->counters.held_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&heap->counters.chunks, 0, memory_order_relaxed);
}
