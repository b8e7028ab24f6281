/*
 * heap.c - see heap.h.
 */
#include "support/heap.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "page/window.h"

enum {
    GRANULE = XA_GRANULE_BYTES,
    SLOTS_CHECKED = XA_HEAP_SLOTS_CHECKED,
};

struct xa_page_heap xa_heap;

void
xa_heap_begin(int64_t decay_ms)
{
    xa_os_init();
    xa_options.dirty_decay_ms = decay_ms;
    xa_page_heap_init(&xa_heap, 7);
}

char *
xa_heap_memory(uint32_t granule)
{
    return (char *)xa_page_map_address_of(granule);
}

uint32_t
xa_heap_take(unsigned granules)
{
    bool is_zeroed = false;
    uint32_t granule = xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, granules, 1, &is_zeroed);
    assert_int_not_equal(granule, XA_GRANULE_NONE);
    assert_true(
        xa_os_fake_is_mapped((uintptr_t)xa_heap_memory(granule), (size_t)granules * GRANULE));
    return granule;
}

uint32_t
xa_heap_take_dirty(unsigned granules)
{
    uint32_t granule = xa_heap_take(granules);
    memset(xa_heap_memory(granule), 1, (size_t)granules * GRANULE);
    return granule;
}

void
xa_heap_give(uint32_t granule, unsigned granules, unsigned touched)
{
    xa_page_heap_return(&xa_heap, XA_RUN_FOR_LARGE, granule, granules, touched);
}

size_t
xa_heap_granules(const _Atomic size_t *counter)
{
    return xa_page_heap_counter(counter) / GRANULE;
}

static unsigned
longest(const struct xa_bitmap *map)
{
    unsigned best = 0, length = 0;
    for (unsigned i = 0; i < XA_CHUNK_GRANULES; i++) {
        length = xa_bitmap_has(map, i) ? length + 1 : 0;
        best = length > best ? length : best;
    }
    return best;
}

static unsigned
at_most_a_byte(unsigned number)
{
    return number < 255 ? number : 255;
}

/* One chunk's bitmaps against its trees' leaves. */
static void
check_chunk(const struct xa_chunk *chunk)
{
    struct xa_bitmap dirty = xa_bitmap_and(&chunk->free, &chunk->dirty);
    size_t slot = chunk->region.slot;
    unsigned unmapped = XA_CHUNK_GRANULES - chunk->mapped_granules, end = 0;
    assert_int_equal(xa_bitmap_find(&chunk->free, chunk->mapped_granules), XA_BITMAP_NOT_FOUND);
    while (end < chunk->mapped_granules &&
        xa_bitmap_has(&chunk->free, chunk->mapped_granules - 1 - end))
        end++;
    assert_true(xa_max_tree_get(&xa_heap.free_runs, slot) >= at_most_a_byte(longest(&chunk->free)));
    assert_true(xa_max_tree_get(&xa_heap.dirty_runs, slot) >= at_most_a_byte(longest(&dirty)));
    assert_int_equal(
        xa_max_tree_get(&xa_heap.rooms, slot), unmapped == 0 ? 0 : at_most_a_byte(end + unmapped));
    assert_true(
        xa_os_fake_is_mapped(xa_window_address(slot), (size_t)chunk->mapped_granules * GRANULE));
    if (unmapped > 0)
        assert_true(xa_os_fake_is_unmapped(
            xa_window_address(slot) + (size_t)chunk->mapped_granules * GRANULE,
            (size_t)unmapped * GRANULE));
}

void
xa_heap_check(size_t live)
{
    size_t mapped = 0, dirty = 0, muzzy = 0, unused = 0, chunks = 0;
    for (size_t slot = 1; slot < SLOTS_CHECKED; slot++) {
        const struct xa_chunk *chunk = (struct xa_chunk *)(void *)xa_page_map_region(slot);
        if (chunk == NULL || chunk->heap_generation != xa_heap.generation)
            continue;
        struct xa_bitmap both = xa_bitmap_and(&chunk->free, &chunk->dirty);
        check_chunk(chunk);
        mapped += chunk->mapped_granules;
        unused += xa_bitmap_count(&chunk->free, 0, XA_CHUNK_GRANULES);
        dirty += xa_bitmap_count(&both, 0, XA_CHUNK_GRANULES);
        muzzy += xa_bitmap_count(&chunk->muzzy, 0, XA_CHUNK_GRANULES);
        struct xa_bitmap known = xa_bitmap_and(&both, &chunk->muzzy);
        assert_memory_equal(&known, &chunk->muzzy, sizeof known);
        chunks++;
    }
    const struct xa_heap_counters *counters = &xa_heap.counters;
    assert_int_equal(xa_heap_granules(&counters->mapped_bytes), mapped);
    assert_int_equal(xa_heap_granules(&counters->active_bytes), live);
    assert_int_equal(mapped - unused, live);
    assert_int_equal(xa_heap_granules(&counters->dirty_bytes), dirty - muzzy);
    assert_int_equal(xa_heap_granules(&counters->muzzy_bytes), muzzy);
    assert_int_equal(
        xa_heap_granules(&counters->slab_bytes) + xa_heap_granules(&counters->large_bytes), live);
    assert_int_equal(xa_page_heap_counter(&counters->chunks), chunks);
}
