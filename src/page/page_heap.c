/*
 * page_heap.c - runs of granules in chunks, and what happens to free ones.
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
 * A run is looked for in this order: lowest address where a dirty run fits (its
 * pages are in memory already), lowest address where any free run fits, the end
 * of a chunk that can grow, a new chunk.  Three trees by chunk address answer each
 * question in one walk.  The first two hold upper bounds: taking a run does not
 * lower them, a search that fails does.
 *
 * Purging goes from the highest chunk down, since taking prefers low addresses.
 * A chunk that is wholly free is unmapped, unless it is the heap's only one.  The
 * granules are taken out of the map while the kernel works, without the lock.
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
#include "page/huge.h"
#include "page/limit.h"
#include "page/window.h"

enum {
    OVER_LIMIT_BYTES = 256 * 1024, /* what frees may leave dirty beyond the soft limit */
    TREE_MIN_CAPACITY = XA_PAGE_HEAP_NODES_MIN / 2,
    TREE_VALUE_MAX = 255,
    GROWTH_MIN_GRANULES = 4,
    GROWTH_MAX_GRANULES = 64,
    GROWTH_FRACTION = 8,
    TICKS_PER_LOOK = 8,
    PURGER_BEHIND = 2,  /* times the bound, before others help the purger */
    PLACE_TRIES = 1000, /* slots that may turn out to hold something foreign */
    /* Without an option: dirty memory is bounded by this and a quarter of the live heap. */
    DIRTY_MAX_AUTO_BYTES = 64 * 1024 * 1024,
    DIRTY_MAX_AUTO_FRACTION = 4,
};

_Atomic size_t xa_page_heap_dirty_max_bytes;
_Atomic bool xa_page_heap_has_purger;
_Atomic bool xa_page_heap_has_news;
_Atomic uint32_t xa_page_heap_decay_divisor = 1;

int64_t
xa_page_heap_decay_ms(void)
{
    int64_t time = xa_options.dirty_decay_ms;
    uint32_t divisor = atomic_load_explicit(&xa_page_heap_decay_divisor, memory_order_relaxed);
    if (time <= 0 || divisor == 1)
        return time;
    return divisor == 0 ? 0 : time / divisor + (time < divisor);
}

void
xa_page_heap_init(struct xa_page_heap *heap, uint16_t arena)
{
    xa_lock_init(&heap->lock, XA_LOCK_RANK_PAGE_HEAP);
    heap->arena = arena;
    /* Time begins at 0: the first look at the clock is the first purge's. */
    xa_decay_init(&heap->decay, xa_options.dirty_decay_ms, 0);
    atomic_store_explicit(&heap->decay_ms, xa_options.dirty_decay_ms, memory_order_relaxed);
}

static struct xa_chunk *
chunk_at(size_t slot)
{
    return (struct xa_chunk *)xa_page_map_region(slot);
}

static uint8_t
tree_value(unsigned length)
{
    return (uint8_t)(length < TREE_VALUE_MAX ? length : TREE_VALUE_MAX);
}

/* Free granules at the end of the mapped prefix. */
static unsigned
free_at_end(const struct xa_chunk *chunk)
{
    return chunk->mapped_granules == 0
        ? 0
        : xa_bitmap_run_around(&chunk->free, chunk->mapped_granules - 1);
}

static void
update_room(struct xa_page_heap *heap, const struct xa_chunk *chunk)
{
    unsigned unmapped = XA_CHUNK_GRANULES - chunk->mapped_granules;
    unsigned room = unmapped == 0 ? 0 : free_at_end(chunk) + unmapped;
    xa_max_tree_set(&heap->rooms, chunk->region.slot, tree_value(room));
}

static void
raise(struct xa_max_tree *tree, size_t slot, unsigned length)
{
    if (tree_value(length) > xa_max_tree_get(tree, slot))
        xa_max_tree_set(tree, slot, tree_value(length));
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
    update_room(heap, chunk);
}

/* Set all three trees for a chunk from its bitmaps. */
static void
update_trees(struct xa_page_heap *heap, const struct xa_chunk *chunk)
{
    struct xa_bitmap dirty = xa_bitmap_and(&chunk->free, &chunk->dirty);
    size_t slot = chunk->region.slot;
    xa_max_tree_set(&heap->free_runs, slot, tree_value(xa_bitmap_longest_run(&chunk->free)));
    xa_max_tree_set(&heap->dirty_runs, slot, tree_value(xa_bitmap_longest_run(&dirty)));
    update_room(heap, chunk);
}

static void
count(_Atomic size_t *counter, long granules)
{
    xa_page_heap_count(counter, (size_t)(granules * XA_GRANULE_BYTES));
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
    count(&heap->counters.mapped_bytes, granules);
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
        chunk->region.arena = heap->arena;
        chunk->region.slot = (uint32_t)slot;
        chunk->mapped_granules = 0;
        chunk->free = chunk->dirty = (struct xa_bitmap){{0}};
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

/* Look for a run among the free (or free and dirty) granules, lowest address first. */
static bool
find_run(struct xa_max_tree *tree, bool dirty_only, unsigned granules, unsigned alignment,
    struct place *place)
{
    uint8_t least = tree_value(granules);
    for (size_t slot = xa_max_tree_find(tree, 0, least); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(tree, slot + 1, least)) {
        struct xa_chunk *chunk = chunk_at(slot);
        struct xa_bitmap map =
            dirty_only ? xa_bitmap_and(&chunk->free, &chunk->dirty) : chunk->free;
        unsigned first = xa_bitmap_find_run(&map, granules, alignment);
        if (first != XA_BITMAP_NOT_FOUND) {
            *place = (struct place){chunk, first};
            return true;
        }
        xa_max_tree_set(tree, slot, tree_value(xa_bitmap_longest_run(&map)));
    }
    return false;
}

/* Let a chunk grow whose end has room for the run. */
static bool
find_room(struct xa_page_heap *heap, unsigned granules, unsigned alignment, struct place *place)
{
    for (size_t slot = xa_max_tree_find(&heap->rooms, 0, tree_value(granules));
         slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(&heap->rooms, slot + 1, tree_value(granules))) {
        struct xa_chunk *chunk = chunk_at(slot);
        unsigned first =
            (unsigned)xa_bits_align_up(chunk->mapped_granules - free_at_end(chunk), alignment);
        if (first + granules > XA_CHUNK_GRANULES)
            continue;
        enum xa_os_result result = grow_chunk(heap, chunk, first + granules);
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
    count(&heap->counters.active_bytes, granules);
    count(&heap->counters.dirty_bytes, -(long)dirty);
    if (place->first + granules == chunk->mapped_granules ||
        xa_max_tree_get(&heap->rooms, chunk->region.slot) != 0)
        update_room(heap, chunk);
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
find_clean(struct xa_page_heap *heap, unsigned granules, unsigned alignment, struct place *place)
{
    if (find_run(&heap->free_runs, false, granules, alignment, place) ||
        find_room(heap, granules, alignment, place))
        return true;
    *place = (struct place){open_chunk(heap, granules), 0};
    return place->chunk != NULL;
}

uint32_t
xa_page_heap_take(struct xa_page_heap *heap, enum xa_run_use use, unsigned granules,
    unsigned alignment, bool *is_zeroed)
{
    unsigned unit = xa_page_heap_unit();
    uint32_t result = XA_GRANULE_NONE;
    granules = (unsigned)xa_bits_align_up(granules, unit);
    alignment = alignment < unit ? unit : alignment;
    xa_lock_lock(&heap->lock);
    struct place place;
    size_t bytes = (size_t)granules * XA_GRANULE_BYTES;
    bool found = find_run(&heap->dirty_runs, true, granules, alignment, &place);
    /* What is dirty is counted already. */
    bool taken = !found && xa_limit_take(bytes);
    if (taken) {
        found = find_clean(heap, granules, alignment, &place);
        if (!found)
            xa_limit_give(bytes);
    }
    if (found) {
        *is_zeroed = occupy(heap, &place, granules, taken);
        count(use_counter(heap, use), granules);
        result = place.chunk->region.slot * XA_CHUNK_GRANULES + place.first;
    }
    xa_lock_unlock(&heap->lock);
    return result;
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
        count(&heap->counters.active_bytes, -(long)granules);
        count(use_counter(heap, use), -(long)granules);
        unsigned dirty = xa_bitmap_count(&chunk->dirty, first, granules);
        count(&heap->counters.dirty_bytes, dirty);
        xa_limit_give((size_t)(granules - dirty) * XA_GRANULE_BYTES);
        note_free(heap, chunk, first, granules);
        xa_page_heap_note_news();
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
        count(use_counter(heap, XA_RUN_FOR_LARGE), more);
    }
    xa_lock_unlock(&heap->lock);
    return done;
}

/*
 * The granules of one chunk to purge: its dirty free ones, from the top down until
 * `excess` are found.  They are taken out of the free map.
 */
static struct xa_bitmap
set_apart(struct xa_page_heap *heap, struct xa_chunk *chunk, size_t excess)
{
    struct xa_bitmap chosen = xa_bitmap_and(&chunk->free, &chunk->dirty);
    unsigned found = xa_bitmap_count(&chosen, 0, XA_CHUNK_GRANULES);
    unsigned unit = xa_page_heap_unit();
    for (unsigned low = 0; found > excess && low < XA_CHUNK_GRANULES; low += unit) {
        unsigned here = xa_bitmap_count(&chosen, low, unit);
        if (here != 0 && found - here >= excess) {
            xa_bitmap_clear(&chosen, low, unit);
            found -= here;
        }
    }
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        chunk->free.words[i] &= ~chosen.words[i];
    count(&heap->counters.dirty_bytes, -(long)found);
    update_trees(heap, chunk);
    return chosen;
}

/* Purge every run of ones in `chosen`; keeps in it those that were given back. */
static size_t
give_back(size_t slot, struct xa_bitmap *chosen)
{
    size_t bytes = 0;
    for (unsigned first = xa_bitmap_find(chosen, 0); first < XA_CHUNK_GRANULES;) {
        unsigned end = xa_bitmap_find_clear(chosen, first);
        size_t run_bytes = (size_t)(end - first) * XA_GRANULE_BYTES;
        if (xa_os_purge(xa_window_address(slot) + (uintptr_t)first * XA_GRANULE_BYTES, run_bytes))
            bytes += run_bytes;
        else
            xa_bitmap_clear(chosen, first, end - first);
        first = xa_bitmap_find(chosen, end);
    }
    return bytes;
}

/* Nothing of the chunk is in use: unmap it whole.  False if the host cannot. */
static bool
try_close_chunk(struct xa_page_heap *heap, struct xa_chunk *chunk, size_t *bytes)
{
    unsigned mapped = chunk->mapped_granules;
    if (xa_bitmap_count(&chunk->free, 0, XA_CHUNK_GRANULES) != mapped ||
        xa_page_heap_counter(&heap->counters.chunks) == 1)
        return false;
    size_t slot = chunk->region.slot;
    size_t dirty = xa_bitmap_count(&chunk->dirty, 0, mapped);
    if (!xa_os_unmap(xa_window_address(slot), (size_t)mapped * XA_GRANULE_BYTES))
        return false;
    xa_max_tree_set(&heap->dirty_runs, slot, 0);
    xa_max_tree_set(&heap->free_runs, slot, 0);
    xa_max_tree_set(&heap->rooms, slot, 0);
    count(&heap->counters.dirty_bytes, -(long)dirty);
    count(&heap->counters.mapped_bytes, -(long)mapped);
    xa_page_heap_count(&heap->counters.chunks, (size_t)-1);
    xa_page_heap_count(&heap->counters.purges, 1);
    count(&heap->counters.purged_bytes, (long)dirty);
    xa_limit_give(dirty * XA_GRANULE_BYTES);
    *bytes += dirty * XA_GRANULE_BYTES;
    xa_page_map_set_region(slot, NULL);
    xa_window_return(slot, 1);
    xa_region_return(&chunk->region);
    return true;
}

/* Purge one chunk's share of `excess` granules; the lock is given up meanwhile. */
static size_t
purge_chunk(struct xa_page_heap *heap, struct xa_chunk *chunk, size_t excess)
    XA_REQUIRES(heap->lock)
{
    size_t bytes = 0;
    if (try_close_chunk(heap, chunk, &bytes))
        return bytes;
    size_t slot = chunk->region.slot;
    struct xa_bitmap chosen = set_apart(heap, chunk, excess), purged = chosen;
    xa_lock_unlock(&heap->lock);
    bytes = give_back(slot, &purged);
    xa_lock_lock(&heap->lock);
    /* A signal handler forked meanwhile, and the child has set this heap's chunks aside. */
    if (chunk->heap_generation != heap->generation)
        return 0;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++) {
        chunk->free.words[i] |= chosen.words[i];
        chunk->dirty.words[i] &= ~purged.words[i];
    }
    struct xa_bitmap kept = xa_bitmap_and(&chosen, &chunk->dirty);
    count(&heap->counters.dirty_bytes, xa_bitmap_count(&kept, 0, XA_CHUNK_GRANULES));
    xa_page_heap_count(&heap->counters.purges, 1);
    xa_page_heap_count(&heap->counters.purged_bytes, bytes);
    xa_limit_give(bytes);
    update_trees(heap, chunk);
    (void)try_close_chunk(heap, chunk, &bytes);
    return bytes;
}

size_t
xa_page_heap_purge(struct xa_page_heap *heap, size_t keep_bytes)
{
    return xa_page_heap_purge_until(heap, keep_bytes, UINT64_MAX);
}

size_t
xa_page_heap_purge_until(struct xa_page_heap *heap, size_t keep_bytes, uint64_t deadline_ms)
{
    size_t total = 0;
    xa_lock_lock(&heap->lock);
    while (deadline_ms == UINT64_MAX || xa_os_now_ms() < deadline_ms) {
        size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
        size_t slot = xa_max_tree_find_last(&heap->dirty_runs, 1);
        if (dirty <= keep_bytes || slot == XA_MAX_TREE_NOT_FOUND)
            break;
        struct xa_chunk *chunk = chunk_at(slot);
        struct xa_bitmap map = xa_bitmap_and(&chunk->free, &chunk->dirty);
        if (xa_bitmap_count(&map, 0, XA_CHUNK_GRANULES) == 0) {
            xa_max_tree_set(&heap->dirty_runs, slot, 0);
            continue;
        }
        size_t bytes =
            purge_chunk(heap, chunk, xa_bits_divide_up(dirty - keep_bytes, XA_GRANULE_BYTES));
        /* The host refuses (locked memory, a sandbox): keep what there is. */
        if (bytes == 0)
            break;
        total += bytes;
    }
    xa_lock_unlock(&heap->lock);
    return total;
}

static size_t
dirty_bound(const struct xa_page_heap *heap)
{
    if (XA_UNLIKELY(xa_limit_is_over_soft()))
        return OVER_LIMIT_BYTES;
    size_t wanted = atomic_load_explicit(&xa_page_heap_dirty_max_bytes, memory_order_relaxed);
    if (wanted != 0)
        return wanted;
    return DIRTY_MAX_AUTO_BYTES +
        xa_page_heap_counter(&heap->counters.active_bytes) / DIRTY_MAX_AUTO_FRACTION;
}

void
xa_page_heap_decay(struct xa_page_heap *heap, uint64_t now_ms)
{
    size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
    size_t keep = xa_limit_is_over_soft() ? 0 : dirty_bound(heap);
    int64_t time = xa_page_heap_decay_ms();
    bool is_changed = atomic_load_explicit(&heap->decay_ms, memory_order_relaxed) != time;
    if (is_changed || now_ms >= atomic_load_explicit(&heap->deadline_ms, memory_order_relaxed)) {
        xa_lock_lock(&heap->lock);
        /* By pressure, or since the environment was read after the first heap was made. */
        if (heap->decay.time_ms != time)
            xa_decay_init(&heap->decay, time, now_ms);
        atomic_store_explicit(&heap->decay_ms, time, memory_order_relaxed);
        size_t limit = xa_decay_limit(&heap->decay, now_ms, dirty);
        atomic_store_explicit(
            &heap->deadline_ms, xa_decay_deadline_ms(&heap->decay), memory_order_relaxed);
        xa_lock_unlock(&heap->lock);
        keep = limit < keep ? limit : keep;
    }
    if (dirty > keep)
        (void)xa_page_heap_purge(heap, keep);
}

void
xa_page_heap_tick(struct xa_page_heap *heap)
{
    size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
    if (dirty == 0)
        return;
    if (atomic_load_explicit(&xa_page_heap_has_purger, memory_order_relaxed)) {
        /* It has its own clock; help only if it falls far behind. */
        size_t bound = dirty_bound(heap);
        if (dirty / PURGER_BEHIND > bound)
            (void)xa_page_heap_purge(heap, bound);
        return;
    }
    if (xa_page_heap_decay_ms() == 0) {
        (void)xa_page_heap_purge(heap, 0);
        return;
    }
    /* The clock is a system call: look at it now and then.  A lost tick does not matter. */
    uint32_t ticks = atomic_load_explicit(&heap->ticks, memory_order_relaxed);
    atomic_store_explicit(&heap->ticks, ticks + 1, memory_order_relaxed);
    if (ticks % TICKS_PER_LOOK == 0) {
        xa_page_heap_decay(heap, xa_os_now_ms());
        (void)xa_huge_purge(XA_HUGE_DECAYED);
    } else if (dirty > dirty_bound(heap))
        (void)xa_page_heap_purge(heap, dirty_bound(heap));
}

void
xa_page_heap_close_empty(struct xa_page_heap *heap)
{
    size_t bytes = 0;
    xa_lock_lock(&heap->lock);
    for (size_t slot = xa_max_tree_find(&heap->free_runs, 0, 1); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(&heap->free_runs, slot + 1, 1)) {
        struct xa_chunk *chunk = chunk_at(slot);
        /* What is dirty is left to decay. */
        if (xa_bitmap_count(&chunk->dirty, 0, chunk->mapped_granules) == 0)
            (void)try_close_chunk(heap, chunk, &bytes);
    }
    xa_lock_unlock(&heap->lock);
}

void
xa_page_heap_reset_in_child(struct xa_page_heap *heap)
{
    if (!xa_lock_reset_in_child(&heap->lock))
        return;
    /* The trees may be half changed: begin with empty ones, and leave the old chunks alone. */
    heap->generation++;
    heap->dirty_runs = heap->free_runs = heap->rooms = (struct xa_max_tree){0};
    atomic_store_explicit(&heap->counters.dirty_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&heap->counters.chunks, 0, memory_order_relaxed);
}
