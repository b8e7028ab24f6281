/*
 * page_purge.c - giving back the memory of free granules; see page_heap.c for their states.
 *
 * Purging goes from the highest chunk down, since taking prefers low addresses.
 * A chunk that is wholly free is unmapped, unless it is the heap's only one.  The
 * granules are taken out of the map while the kernel works, without the lock.
 *
 * Locking: heap->lock, but not while the kernel purges.
 */
#include "page/page_purge.h"

#include "config/options.h"
#include "extent/region.h"
#include "os/os.h"
#include "page/chunk.h"
#include "page/huge.h"
#include "page/limit.h"
#include "page/window.h"

enum {
    OVER_LIMIT_BYTES = 256 * 1024, /* what frees may leave dirty beyond the soft limit */
    TICKS_PER_LOOK = 8,
    PURGER_BEHIND = 2, /* times the bound, before others help the purger */
    /* Without an option: dirty memory is bounded by this and a quarter of the live heap. */
    DIRTY_MAX_AUTO_BYTES = 64 * 1024 * 1024,
    DIRTY_MAX_AUTO_FRACTION = 4,
};

_Atomic size_t xa_page_purge_dirty_max_bytes;
_Atomic bool xa_page_purge_has_thread;
_Atomic bool xa_page_purge_has_news;
_Atomic uint32_t xa_page_purge_decay_divisor = 1;

int64_t
xa_page_purge_decay_ms(void)
{
    int64_t time = xa_options.dirty_decay_ms;
    uint32_t divisor = atomic_load_explicit(&xa_page_purge_decay_divisor, memory_order_relaxed);
    if (time <= 0 || divisor == 1)
        return time;
    return divisor == 0 ? 0 : time / divisor + (time < divisor);
}

/* Set all three trees for a chunk from its bitmaps. */
static void
update_trees(struct xa_page_heap *heap, const struct xa_chunk *chunk)
{
    struct xa_bitmap dirty = xa_bitmap_and(&chunk->free, &chunk->dirty);
    size_t slot = chunk->region.slot;
    xa_max_tree_set(
        &heap->free_runs, slot, xa_chunk_tree_value(xa_bitmap_longest_run(&chunk->free)));
    xa_max_tree_set(&heap->dirty_runs, slot, xa_chunk_tree_value(xa_bitmap_longest_run(&dirty)));
    xa_chunk_update_room(heap, chunk);
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
    xa_chunk_count(&heap->counters.dirty_bytes, -(long)found);
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
    xa_chunk_count(&heap->counters.dirty_bytes, -(long)dirty);
    xa_chunk_count(&heap->counters.mapped_bytes, -(long)mapped);
    xa_page_heap_count(&heap->counters.chunks, (size_t)-1);
    xa_page_heap_count(&heap->counters.purges, 1);
    xa_chunk_count(&heap->counters.purged_bytes, (long)dirty);
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
    xa_chunk_count(&heap->counters.dirty_bytes, xa_bitmap_count(&kept, 0, XA_CHUNK_GRANULES));
    xa_page_heap_count(&heap->counters.purges, 1);
    xa_page_heap_count(&heap->counters.purged_bytes, bytes);
    xa_limit_give(bytes);
    update_trees(heap, chunk);
    (void)try_close_chunk(heap, chunk, &bytes);
    return bytes;
}

size_t
xa_page_purge_run(struct xa_page_heap *heap, size_t keep_bytes)
{
    return xa_page_purge_run_until(heap, keep_bytes, UINT64_MAX);
}

size_t
xa_page_purge_run_until(struct xa_page_heap *heap, size_t keep_bytes, uint64_t deadline_ms)
{
    size_t total = 0;
    xa_lock_lock(&heap->lock);
    while (deadline_ms == UINT64_MAX || xa_os_now_ms() < deadline_ms) {
        size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
        size_t slot = xa_max_tree_find_last(&heap->dirty_runs, 1);
        if (dirty <= keep_bytes || slot == XA_MAX_TREE_NOT_FOUND)
            break;
        struct xa_chunk *chunk = xa_chunk_at(slot);
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
    size_t wanted = atomic_load_explicit(&xa_page_purge_dirty_max_bytes, memory_order_relaxed);
    if (wanted != 0)
        return wanted;
    return DIRTY_MAX_AUTO_BYTES +
        xa_page_heap_counter(&heap->counters.active_bytes) / DIRTY_MAX_AUTO_FRACTION;
}

void
xa_page_purge_decay(struct xa_page_heap *heap, uint64_t now_ms)
{
    size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
    size_t keep = xa_limit_is_over_soft() ? 0 : dirty_bound(heap);
    int64_t time = xa_page_purge_decay_ms();
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
        (void)xa_page_purge_run(heap, keep);
}

void
xa_page_purge_tick(struct xa_page_heap *heap)
{
    size_t dirty = xa_page_heap_counter(&heap->counters.dirty_bytes);
    if (dirty == 0)
        return;
    if (atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed)) {
        /* It has its own clock; help only if it falls far behind. */
        size_t bound = dirty_bound(heap);
        if (dirty / PURGER_BEHIND > bound)
            (void)xa_page_purge_run(heap, bound);
        return;
    }
    if (xa_page_purge_decay_ms() == 0) {
        (void)xa_page_purge_run(heap, 0);
        return;
    }
    /* The clock is a system call: look at it now and then.  A lost tick does not matter. */
    uint32_t ticks = atomic_load_explicit(&heap->ticks, memory_order_relaxed);
    atomic_store_explicit(&heap->ticks, ticks + 1, memory_order_relaxed);
    if (ticks % TICKS_PER_LOOK == 0) {
        xa_page_purge_decay(heap, xa_os_now_ms());
        (void)xa_huge_purge(XA_HUGE_DECAYED);
    } else if (dirty > dirty_bound(heap))
        (void)xa_page_purge_run(heap, dirty_bound(heap));
}

void
xa_page_purge_close_empty(struct xa_page_heap *heap)
{
    size_t bytes = 0;
    xa_lock_lock(&heap->lock);
    for (size_t slot = xa_max_tree_find(&heap->free_runs, 0, 1); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(&heap->free_runs, slot + 1, 1)) {
        struct xa_chunk *chunk = xa_chunk_at(slot);
        /* What is dirty is left to decay. */
        if (xa_bitmap_count(&chunk->dirty, 0, chunk->mapped_granules) == 0)
            (void)try_close_chunk(heap, chunk, &bytes);
    }
    xa_lock_unlock(&heap->lock);
}
