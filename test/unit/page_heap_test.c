/*
 * page_heap_test.c - runs of granules: where they are taken, what becomes of them.
 *
 * check() compares a heap's counters and trees with its chunks' bitmaps, which it
 * counts bit by bit; the last tests do random things and check after each.
 */
#include "page/page_heap.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <string.h>

#include "config/options.h"
#include "page/window.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    GRANULE = XA_GRANULE_BYTES,
    SLOTS_CHECKED = 64,
    RUNS = 60,
    ROUNDS = 4000,
    SECONDS = 60,
};

static struct xa_page_heap heap;
static uint64_t seed;

static void
begin(int64_t decay_ms)
{
    xa_os_init();
    xa_options.dirty_decay_ms = decay_ms;
    xa_page_heap_init(&heap, 7);
}

static char *
memory_of(uint32_t granule)
{
    return (char *)xa_page_map_address_of(granule);
}

static uint32_t
take(unsigned granules)
{
    bool is_zeroed = false;
    uint32_t granule = xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, granules, 1, &is_zeroed);
    assert_int_not_equal(granule, XA_GRANULE_NONE);
    assert_true(xa_os_fake_is_mapped((uintptr_t)memory_of(granule), (size_t)granules * GRANULE));
    return granule;
}

/* Take granules and write to all of them. */
static uint32_t
take_dirty(unsigned granules)
{
    uint32_t granule = take(granules);
    memset(memory_of(granule), 1, (size_t)granules * GRANULE);
    return granule;
}

static void
give(uint32_t granule, unsigned granules, unsigned touched)
{
    xa_page_heap_return(&heap, XA_RUN_FOR_LARGE, granule, granules, touched);
}

static size_t
value(const _Atomic size_t *counter)
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
    assert_true(xa_max_tree_get(&heap.free_runs, slot) >= at_most_a_byte(longest(&chunk->free)));
    assert_true(xa_max_tree_get(&heap.dirty_runs, slot) >= at_most_a_byte(longest(&dirty)));
    assert_int_equal(
        xa_max_tree_get(&heap.rooms, slot), unmapped == 0 ? 0 : at_most_a_byte(end + unmapped));
    assert_true(
        xa_os_fake_is_mapped(xa_window_address(slot), (size_t)chunk->mapped_granules * GRANULE));
    if (unmapped > 0)
        assert_true(xa_os_fake_is_unmapped(
            xa_window_address(slot) + (size_t)chunk->mapped_granules * GRANULE,
            (size_t)unmapped * GRANULE));
}

/* `live` granules are out; everything that is counted agrees with the bitmaps. */
static void
check(size_t live)
{
    size_t mapped = 0, dirty = 0, unused = 0, chunks = 0;
    for (size_t slot = 1; slot < SLOTS_CHECKED; slot++) {
        const struct xa_chunk *chunk = (struct xa_chunk *)xa_page_map_region(slot);
        if (chunk == NULL || chunk->heap_generation != heap.generation)
            continue;
        struct xa_bitmap both = xa_bitmap_and(&chunk->free, &chunk->dirty);
        check_chunk(chunk);
        mapped += chunk->mapped_granules;
        unused += xa_bitmap_count(&chunk->free, 0, XA_CHUNK_GRANULES);
        dirty += xa_bitmap_count(&both, 0, XA_CHUNK_GRANULES);
        chunks++;
    }
    const struct xa_heap_counters *counters = &heap.counters;
    assert_int_equal(value(&counters->mapped_bytes), mapped);
    assert_int_equal(value(&counters->active_bytes), live);
    assert_int_equal(mapped - unused, live);
    assert_int_equal(value(&counters->dirty_bytes), dirty);
    assert_int_equal(value(&counters->slab_bytes) + value(&counters->large_bytes), live);
    assert_int_equal(xa_page_heap_counter(&counters->chunks), chunks);
}

static void
runs_follow_each_other_from_the_lowest_address(void **state)
{
    (void)state;
    begin(-1);
    uint32_t first = take(3), second = take(1), third = take(128);
    assert_int_equal(first, XA_CHUNK_GRANULES);
    assert_int_equal(second, first + 3);
    assert_int_equal(third, first + 4);
    check(132);
    give(first, 3, 0);
    give(second, 1, 0);
    check(128);
    assert_int_equal(take(2), first);
    assert_int_equal(take(2), first + 2);
    check(132);
}

static void
neighbours_become_one_run(void **state)
{
    uint32_t runs[5];
    (void)state;
    begin(-1);
    for (int i = 0; i < 5; i++)
        runs[i] = take(20);
    give(runs[1], 20, 20);
    give(runs[3], 20, 0);
    assert_int_equal(take(21), runs[4] + 20);
    give(runs[2], 20, 20);
    check(61);
    assert_int_equal(take(60), runs[1]);
    check(121);
}

static void
memory_that_is_resident_is_used_again_first(void **state)
{
    (void)state;
    begin(-1);
    uint32_t clean = take(4), kept = take(1), dirty = take_dirty(4), last = take(1);
    give(clean, 4, 0);
    give(dirty, 4, 4);
    assert_int_equal(value(&heap.counters.dirty_bytes), 4);
    assert_int_equal(take(4), dirty);
    assert_int_equal(take(4), clean);
    assert_true(kept < last);
    check(10);
}

static void
only_what_was_touched_is_dirty(void **state)
{
    bool is_zeroed = false;
    (void)state;
    begin(-1);
    uint32_t run = take(10);
    memset(memory_of(run), 1, 3 * GRANULE);
    give(run, 10, 3);
    assert_int_equal(value(&heap.counters.dirty_bytes), 3);
    assert_int_equal(xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 4, 4, &is_zeroed), run);
    assert_false(is_zeroed);
    assert_int_equal(xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 4, 1, &is_zeroed), run + 4);
    assert_true(is_zeroed);
    for (size_t i = 0; i < 4 * GRANULE; i++)
        assert_int_equal(memory_of(run + 4)[i], 0);
    check(8);
    assert_int_equal(value(&heap.counters.slab_bytes), 8);
}

static void
alignments_up_to_half_a_chunk_are_met(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    size_t live = take(1) != 0;
    for (unsigned alignment = 1; alignment <= XA_CHUNK_GRANULES / 2; alignment *= 2) {
        uint32_t run = xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, 3, alignment, &is_zeroed);
        assert_int_not_equal(run, XA_GRANULE_NONE);
        assert_int_equal(run % alignment, 0);
        check(live += 3);
    }
}

static void
the_mapped_part_grows_as_it_is_needed(void **state)
{
    (void)state;
    begin(-1);
    take(1);
    assert_in_range(value(&heap.counters.mapped_bytes), 1, 8);
    for (int i = 1; i < 1024; i++)
        take(1);
    check(1024);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 4);
    /* Few calls: the growth is in proportion to the heap. */
    assert_true(xa_os_fake_count(XA_OS_FAKE_MAP) < 50);
    assert_true(value(&heap.counters.mapped_bytes) <= 1024 + 64);
}

static void
a_run_can_grow_where_it_stands(void **state)
{
    (void)state;
    begin(-1);
    uint32_t run = take(10), next = take(10), last = take(4);
    give(next, 10, 0);
    assert_true(xa_page_heap_extend(&heap, run, 10, 10));
    assert_true(xa_page_heap_extend(&heap, run, 10, 20));
    check(24);
    assert_false(xa_page_heap_extend(&heap, run, 20, 21));
    check(24);
    assert_true(xa_page_heap_extend(&heap, last, 4, 100));
    check(120);
    memset(memory_of(last), 1, 100 * GRANULE);
    assert_true(xa_page_heap_extend(&heap, last, 100, XA_CHUNK_GRANULES - 20));
    check(XA_CHUNK_GRANULES);
    assert_false(xa_page_heap_extend(&heap, last, XA_CHUNK_GRANULES - 20, XA_CHUNK_GRANULES - 19));
    check(XA_CHUNK_GRANULES);
}

static void
a_run_that_cannot_grow_stays_as_it_is(void **state)
{
    (void)state;
    begin(-1);
    uint32_t run = take(4);
    size_t mapped = xa_page_heap_counter(&heap.counters.mapped_bytes);
    xa_os_fake_fail(XA_OS_FAKE_MAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_false(xa_page_heap_extend(&heap, run, 4, 100));
    check(4);
    assert_int_equal(xa_page_heap_counter(&heap.counters.mapped_bytes), mapped);
    xa_os_fake_stop_failing();
    assert_true(xa_page_heap_extend(&heap, run, 4, 100));
    check(100);
}

static void
the_end_of_a_run_can_be_given_back(void **state)
{
    (void)state;
    begin(-1);
    uint32_t run = take_dirty(20);
    give(run + 5, 15, 15);
    check(5);
    assert_int_equal(value(&heap.counters.dirty_bytes), 15);
    assert_int_equal(take(15), run + 5);
    check(20);
}

static void
purged_memory_is_zero_and_not_resident(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    uint32_t run = take_dirty(20);
    take(1);
    give(run, 20, 20);
    size_t resident = xa_os_fake_resident_bytes();
    assert_int_equal(xa_page_heap_purge(&heap, 0), 20 * GRANULE);
    check(1);
    assert_int_equal(resident - xa_os_fake_resident_bytes(), 20 * GRANULE);
    assert_int_equal(xa_page_heap_counter(&heap.counters.dirty_bytes), 0);
    assert_int_equal(xa_page_heap_counter(&heap.counters.purged_bytes), 20 * GRANULE);
    assert_int_equal(xa_page_heap_counter(&heap.counters.purges), 1);
    assert_int_equal(xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, 20, 1, &is_zeroed), run);
    assert_true(is_zeroed);
    for (size_t i = 0; i < 20 * GRANULE; i++)
        assert_int_equal(memory_of(run)[i], 0);
}

static void
purging_keeps_the_lowest_of_what_may_be_kept(void **state)
{
    uint32_t runs[8];
    (void)state;
    begin(-1);
    for (int i = 0; i < 8; i++)
        runs[i] = take_dirty(8), take(1);
    for (int i = 0; i < 8; i++)
        give(runs[i], 8, 8);
    assert_int_equal(xa_page_heap_purge(&heap, 64 * GRANULE), 0);
    assert_int_equal(xa_page_heap_purge(&heap, 20 * GRANULE), 44 * GRANULE);
    check(8);
    assert_int_equal(value(&heap.counters.dirty_bytes), 20);
    assert_int_equal(memory_of(runs[0])[0], 1);
    assert_int_equal(memory_of(runs[2])[3 * GRANULE], 1);
    assert_int_equal(memory_of(runs[2])[4 * GRANULE], 0);
    assert_int_equal(memory_of(runs[7])[0], 0);
    /* A bound between two granules is kept to. */
    assert_int_equal(xa_page_heap_purge(&heap, 10 * GRANULE + 1), 10 * GRANULE);
    check(8);
}

static void
a_refused_purge_loses_nothing(void **state)
{
    (void)state;
    begin(-1);
    uint32_t run = take_dirty(20);
    take(1);
    give(run, 20, 20);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_page_heap_purge(&heap, 0), 0);
    check(1);
    assert_int_equal(value(&heap.counters.dirty_bytes), 20);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_page_heap_purge(&heap, 0), 20 * GRANULE);
    check(1);
}

/* The second chunk is free again, wholly dirty. */
static uint32_t
free_a_second_chunk(void)
{
    uint32_t first = take(128), second = take(128), third = take_dirty(128);
    assert_int_equal(second, first + 128);
    assert_int_equal(third, first + 256);
    give(third, 128, 128);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 2);
    return third;
}

static void
a_free_chunk_is_unmapped_unless_it_is_the_only_one(void **state)
{
    (void)state;
    begin(-1);
    uint32_t third = free_a_second_chunk();
    assert_int_equal(xa_page_heap_purge(&heap, 0), 128 * GRANULE);
    check(256);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)memory_of(third), XA_CHUNK_BYTES));
    assert_null(xa_page_map_region(2));
    give(XA_CHUNK_GRANULES, 128, 128);
    give(XA_CHUNK_GRANULES + 128, 128, 128);
    assert_int_equal(xa_page_heap_purge(&heap, 0), 256 * GRANULE);
    check(0);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 1);
    assert_int_equal(value(&heap.counters.mapped_bytes), 256);
    /* The slot is used again. */
    take(128), take(128);
    assert_int_equal(take(128), third);
    check(384);
}

static void
a_chunk_that_cannot_be_unmapped_is_emptied(void **state)
{
    (void)state;
    begin(-1);
    uint32_t third = free_a_second_chunk();
    xa_os_fake_fail(XA_OS_FAKE_UNMAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_page_heap_purge(&heap, 0), 128 * GRANULE);
    check(256);
    assert_int_equal(memory_of(third)[5 * GRANULE], 0);
    assert_int_equal(take(128), third);
    check(384);
}

static void
something_foreign_behind_a_chunk_stops_its_growth(void **state)
{
    (void)state;
    begin(-1);
    uint32_t run = take(4);
    const struct xa_chunk *chunk = xa_page_map_chunk_of(run);
    uintptr_t end = (uintptr_t)memory_of(run) + (size_t)chunk->mapped_granules * GRANULE;
    xa_os_fake_add_foreign(end, 4096);
    uint32_t other = take(100);
    assert_int_equal(other, 2 * XA_CHUNK_GRANULES);
    assert_int_equal(chunk->mapped_granules * (size_t)GRANULE, end - (uintptr_t)memory_of(run));
}

static void
foreign_slots_are_passed_over(void **state)
{
    (void)state;
    begin(-1);
    take(128), take(128);
    for (size_t slot = 2; slot < 10; slot++)
        xa_os_fake_add_foreign(xa_window_address(slot), 4096);
    assert_int_equal(take(128), 10 * XA_CHUNK_GRANULES);
    check(384);
    /* And nobody tries them again. */
    xa_os_fake_remove_foreign();
    assert_int_equal(take(128), 10 * XA_CHUNK_GRANULES + 128);
    assert_int_equal(take(128), 11 * XA_CHUNK_GRANULES);
}

static void
out_of_memory_changes_nothing(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    take(1);
    for (unsigned long nth = 1;; nth++) {
        size_t chunks = xa_page_heap_counter(&heap.counters.chunks);
        xa_os_fake_fail(XA_OS_FAKE_ANY, nth, XA_OS_FAKE_FROM_THEN_ON);
        uint32_t run = xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, 128, 128, &is_zeroed);
        xa_os_fake_stop_failing();
        if (run != XA_GRANULE_NONE)
            break;
        check(1);
        assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), chunks);
    }
    check(129);
}

static void
a_short_host_gives_just_what_is_needed(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    take(1);
    size_t rest = value(&heap.counters.mapped_bytes) - 1;
    xa_os_fake_set_mapped_max(xa_os_fake_mapped_bytes() + GRANULE);
    for (size_t i = 0; i <= rest; i++)
        take(1);
    check(rest + 2);
    assert_int_equal(xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, 1, 1, &is_zeroed), XA_GRANULE_NONE);
    check(rest + 2);
}

static void
unused_pages_decay_with_the_clock(void **state)
{
    (void)state;
    begin(1000);
    xa_os_fake_set_clock(5000);
    uint32_t run = take_dirty(100);
    take(1);
    give(run, 100, 100);
    size_t before = value(&heap.counters.dirty_bytes);
    assert_int_equal(before, 100);
    bool has_been_between = false;
    for (uint64_t now = 5000; now <= 6200; now += 10) {
        xa_os_fake_set_clock(now);
        xa_page_heap_tick(&heap);
        check(1);
        size_t dirty = value(&heap.counters.dirty_bytes);
        assert_true(dirty <= before);
        has_been_between = has_been_between || (dirty > 10 && dirty < 90);
        before = dirty;
    }
    assert_true(has_been_between);
    assert_int_equal(before, 0);
}

static void
at_once_is_at_every_tick(void **state)
{
    (void)state;
    begin(0);
    take(1);
    for (int i = 0; i < 20; i++) {
        give(take_dirty(10), 10, 10);
        xa_page_heap_tick(&heap);
        check(1);
        assert_int_equal(value(&heap.counters.dirty_bytes), 0);
    }
}

static void
a_purger_leaves_the_clock_to_itself(void **state)
{
    (void)state;
    begin(1000);
    xa_page_heap_has_purger = true;
    xa_os_fake_set_clock(5000);
    uint32_t run = take_dirty(100);
    take(1);
    give(run, 100, 100);
    xa_os_fake_set_clock(50000);
    for (int i = 0; i < 100; i++)
        xa_page_heap_tick(&heap);
    assert_int_equal(value(&heap.counters.dirty_bytes), 100);
    xa_page_heap_decay(&heap, 50000);
    xa_page_heap_decay(&heap, 60000);
    check(1);
    assert_int_equal(value(&heap.counters.dirty_bytes), 0);
    /* Others help if it falls behind. */
    xa_page_heap_dirty_max_bytes = 10 * GRANULE;
    assert_int_equal(take(100), run);
    memset(memory_of(run), 1, 100 * GRANULE);
    give(run, 100, 100);
    xa_page_heap_tick(&heap);
    check(1);
    assert_int_equal(value(&heap.counters.dirty_bytes), 10);
}

static void
free_chunks_without_memory_are_closed(void **state)
{
    (void)state;
    begin(-1);
    uint32_t first = take(128), second = take(128), third = take(128), fourth = take_dirty(128);
    uint32_t fifth = take(128);
    give(third, 128, 0);
    give(fourth, 128, 128);
    give(fifth, 128, 0);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 3);
    xa_page_heap_close_empty(&heap);
    check(256);
    /* What is dirty is left to decay, and the last chunk stays. */
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 2);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)memory_of(fifth), 128 * GRANULE));
    assert_int_equal(xa_page_heap_purge(&heap, 0), 128 * GRANULE);
    give(first, 128, 0);
    give(second, 128, 0);
    xa_page_heap_close_empty(&heap);
    check(0);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 1);
}

static void
never_is_never(void **state)
{
    (void)state;
    begin(-1);
    give(take_dirty(10), 10, 10);
    for (int i = 0; i < 20; i++) {
        xa_os_fake_set_clock(UINT64_MAX / 40 * (uint64_t)i);
        xa_page_heap_tick(&heap);
        assert_int_equal(value(&heap.counters.dirty_bytes), 10);
    }
}

static void
dirty_memory_is_bounded_whatever_the_clock_says(void **state)
{
    (void)state;
    begin(-1);
    xa_page_heap_dirty_max_bytes = 30 * GRANULE;
    uint32_t run = take_dirty(100);
    take(1);
    give(run, 100, 100);
    xa_page_heap_tick(&heap);
    check(1);
    assert_int_equal(value(&heap.counters.dirty_bytes), 30);
    /* Without an option: 64 MiB and a quarter of what is live. */
    xa_page_heap_dirty_max_bytes = 0;
    for (int i = 0; i < 20; i++)
        take(XA_RUN_MAX_GRANULES), take(XA_RUN_MAX_GRANULES);
    uint32_t runs[40];
    for (int i = 0; i < 40; i++)
        runs[i] = take(XA_RUN_MAX_GRANULES);
    for (int i = 0; i < 40; i++)
        give(runs[i], XA_RUN_MAX_GRANULES, XA_RUN_MAX_GRANULES);
    size_t live = xa_page_heap_counter(&heap.counters.active_bytes);
    xa_page_heap_tick(&heap);
    assert_true(xa_page_heap_counter(&heap.counters.dirty_bytes) <= (64u << 20) + live / 4);
    assert_true(xa_page_heap_counter(&heap.counters.dirty_bytes) > (60u << 20));
}

static void
on_large_pages_runs_are_whole_pages(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    begin(-1);
    assert_int_equal(xa_page_heap_unit(), 4);
    uint32_t run = xa_page_heap_take(&heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
    assert_int_equal(run % 4, 0);
    check(4);
    uint32_t next = xa_page_heap_take(&heap, XA_RUN_FOR_LARGE, 5, 2, &is_zeroed);
    assert_int_equal(next, run + 4);
    check(12);
    assert_true(xa_page_heap_extend(&heap, next, 5, 9));
    check(16);
    memset(memory_of(next), 1, GRANULE);
    give(next, 9, 1);
    check(4);
    assert_int_equal(value(&heap.counters.dirty_bytes), 4);
    assert_int_equal(xa_page_heap_purge(&heap, 0), 4 * GRANULE);
    check(4);
}

static void
lock_and_vanish(unsigned index, void *argument)
{
    (void)index;
    xa_lock_lock(argument);
}

static void
a_heap_cut_by_a_fork_is_set_aside(void **state)
{
    (void)state;
    begin(-1);
    uint32_t old = take_dirty(10);
    xa_page_heap_reset_in_child(&heap);
    assert_int_equal(heap.generation, 0);
    assert_true(xa_threads_run(1, lock_and_vanish, &heap.lock, SECONDS));
    xa_page_heap_reset_in_child(&heap);
    uint32_t fresh = take(10);
    assert_int_equal(fresh / XA_CHUNK_GRANULES, old / XA_CHUNK_GRANULES + 1);
    /* The old run stays valid, does not grow, and is not used again. */
    assert_int_equal(memory_of(old)[9 * GRANULE], 1);
    assert_false(xa_page_heap_extend(&heap, old, 10, 11));
    give(old, 10, 10);
    assert_int_equal(take(10), fresh + 10);
    assert_int_equal(memory_of(old)[9 * GRANULE], 1);
    assert_int_equal(xa_page_heap_purge(&heap, 0), 0);
}

/* ---- Random operations ---- */

struct run {
    uint32_t granule;
    unsigned granules;
    unsigned touched;
    unsigned char mark;
    enum xa_run_use use;
};

static struct run runs[RUNS];
static size_t live;

static void
fill(struct run *run, unsigned from)
{
    for (unsigned i = from; i < run->touched; i++)
        memory_of(run->granule)[(size_t)i * GRANULE + 8] = (char)run->mark;
}

static void
check_contents(const struct run *run)
{
    for (unsigned i = 0; i < run->touched; i++)
        assert_int_equal(
            (unsigned char)memory_of(run->granule)[(size_t)i * GRANULE + 8], run->mark);
}

static void
take_randomly(struct xa_seed_random *numbers, struct run *run, unsigned unit)
{
    bool is_zeroed = false;
    unsigned granules = (unsigned)xa_seed_size(numbers, 1, XA_RUN_MAX_GRANULES);
    unsigned alignment = xa_seed_below(numbers, 4) ? 1 : 1u << xa_seed_below(numbers, 8);
    enum xa_run_use use = xa_seed_below(numbers, 2) ? XA_RUN_FOR_SLAB : XA_RUN_FOR_LARGE;
    uint32_t granule = xa_page_heap_take(&heap, use, granules, alignment, &is_zeroed);
    if (granule == XA_GRANULE_NONE) {
        assert_true(xa_os_fake_failures() > 0);
        return;
    }
    assert_int_equal(granule % alignment, 0);
    if (is_zeroed)
        for (size_t i = 0; i < (size_t)granules * GRANULE; i += 8)
            assert_int_equal(*(uint64_t *)(void *)(memory_of(granule) + i), 0);
    *run = (struct run){granule, (unsigned)xa_bits_align_up(granules, unit),
        (unsigned)xa_seed_below(numbers, granules + 1),
        (unsigned char)(1 + xa_seed_below(numbers, 255)), use};
    fill(run, 0);
    live += run->granules;
}

static void
resize_randomly(struct xa_seed_random *numbers, struct run *run, unsigned unit)
{
    unsigned wanted =
        (unsigned)xa_bits_align_up(1 + xa_seed_below(numbers, XA_RUN_MAX_GRANULES), unit);
    if (wanted > run->granules) {
        if (run->use == XA_RUN_FOR_LARGE &&
            xa_page_heap_extend(&heap, run->granule, run->granules, wanted)) {
            live += wanted - run->granules;
            run->granules = wanted;
        }
        return;
    }
    unsigned removed = run->granules - wanted;
    unsigned touched = run->touched > wanted ? run->touched - wanted : 0;
    if (removed > 0)
        xa_page_heap_return(&heap, run->use, run->granule + wanted, removed, touched);
    live -= removed;
    run->granules = wanted;
    run->touched -= touched;
}

static void
change_randomly(struct xa_seed_random *numbers, unsigned unit, uint64_t *now)
{
    struct run *run = &runs[xa_seed_below(numbers, RUNS)];
    switch (xa_seed_below(numbers, 12)) {
    case 0: (void)xa_page_heap_purge(&heap, xa_seed_below(numbers, 200) * GRANULE); break;
    case 1:
        xa_os_fake_set_clock(*now += xa_seed_below(numbers, 100));
        xa_page_heap_tick(&heap);
        break;
    case 2:
    case 3:
        if (run->granules != 0)
            resize_randomly(numbers, run, unit);
        break;
    default:
        if (run->granules == 0) {
            take_randomly(numbers, run, unit);
            break;
        }
        check_contents(run);
        xa_page_heap_return(&heap, run->use, run->granule, run->granules, run->touched);
        live -= run->granules;
        run->granules = 0;
    }
}

static void
check_no_overlap(void)
{
    static unsigned char owner[SLOTS_CHECKED * XA_CHUNK_GRANULES];
    memset(owner, 0, sizeof owner);
    for (size_t i = 0; i < RUNS; i++)
        for (unsigned j = 0; j < runs[i].granules; j++) {
            assert_int_equal(owner[runs[i].granule + j], 0);
            owner[runs[i].granule + j] = 1;
        }
}

static void
do_random_things(size_t page_bytes, bool with_failures)
{
    struct xa_seed_random numbers = xa_seed_start(seed, page_bytes);
    uint64_t now = 1000;
    xa_os_fake_set_page_bytes(page_bytes);
    begin(1000);
    unsigned unit = xa_page_heap_unit();
    for (int round = 0; round < ROUNDS; round++) {
        if (with_failures && round % 3 == 0)
            xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 3), XA_OS_FAKE_ONCE);
        change_randomly(&numbers, unit, &now);
        check(live);
        check_no_overlap();
    }
    xa_os_fake_stop_failing();
    for (size_t i = 0; i < RUNS; i++)
        if (runs[i].granules != 0) {
            check_contents(&runs[i]);
            xa_page_heap_return(
                &heap, runs[i].use, runs[i].granule, runs[i].granules, runs[i].touched);
        }
    (void)xa_page_heap_purge(&heap, 0);
    check(0);
    assert_int_equal(xa_page_heap_counter(&heap.counters.dirty_bytes), 0);
}

static void
random_runs_on_4_kib_pages_keep_the_books(void **state)
{
    (void)state;
    do_random_things(4096, false);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 1);
}

static void
random_runs_on_64_kib_pages_keep_the_books(void **state)
{
    (void)state;
    do_random_things(65536, false);
    assert_int_equal(xa_page_heap_counter(&heap.counters.chunks), 1);
}

static void
random_runs_over_a_failing_host_keep_the_books(void **state)
{
    (void)state;
    do_random_things(4096, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(runs_follow_each_other_from_the_lowest_address),
        XA_OS_FAKE_FRESH(neighbours_become_one_run),
        XA_OS_FAKE_FRESH(memory_that_is_resident_is_used_again_first),
        XA_OS_FAKE_FRESH(only_what_was_touched_is_dirty),
        XA_OS_FAKE_FRESH(alignments_up_to_half_a_chunk_are_met),
        XA_OS_FAKE_FRESH(the_mapped_part_grows_as_it_is_needed),
        XA_OS_FAKE_FRESH(a_run_can_grow_where_it_stands),
        XA_OS_FAKE_FRESH(a_run_that_cannot_grow_stays_as_it_is),
        XA_OS_FAKE_FRESH(the_end_of_a_run_can_be_given_back),
        XA_OS_FAKE_FRESH(purged_memory_is_zero_and_not_resident),
        XA_OS_FAKE_FRESH(purging_keeps_the_lowest_of_what_may_be_kept),
        XA_OS_FAKE_FRESH(a_refused_purge_loses_nothing),
        XA_OS_FAKE_FRESH(a_free_chunk_is_unmapped_unless_it_is_the_only_one),
        XA_OS_FAKE_FRESH(a_chunk_that_cannot_be_unmapped_is_emptied),
        XA_OS_FAKE_FRESH(something_foreign_behind_a_chunk_stops_its_growth),
        XA_OS_FAKE_FRESH(foreign_slots_are_passed_over),
        XA_OS_FAKE_FRESH(out_of_memory_changes_nothing),
        XA_OS_FAKE_FRESH(a_short_host_gives_just_what_is_needed),
        XA_OS_FAKE_FRESH(unused_pages_decay_with_the_clock),
        XA_OS_FAKE_FRESH(at_once_is_at_every_tick),
        XA_OS_FAKE_FRESH(a_purger_leaves_the_clock_to_itself),
        XA_OS_FAKE_FRESH(free_chunks_without_memory_are_closed),
        XA_OS_FAKE_FRESH(never_is_never),
        XA_OS_FAKE_FRESH(dirty_memory_is_bounded_whatever_the_clock_says),
        XA_OS_FAKE_FRESH(on_large_pages_runs_are_whole_pages),
        XA_OS_FAKE_FRESH(a_heap_cut_by_a_fork_is_set_aside),
        XA_OS_FAKE_FRESH(random_runs_on_4_kib_pages_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_on_64_kib_pages_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_over_a_failing_host_keep_the_books),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
