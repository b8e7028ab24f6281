/*
 * page_purge_test.c - what becomes of free granules: by age, by amount, on request.
 */
#include "page/page_purge.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "support/heap.h"

enum { GRANULE = XA_GRANULE_BYTES };

static void
purged_memory_is_zero_and_not_resident(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take_dirty(20);
    xa_heap_take(1);
    xa_heap_give(run, 20, 20);
    size_t resident = xa_os_fake_resident_bytes();
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 20 * GRANULE);
    xa_heap_check(1);
    assert_int_equal(resident - xa_os_fake_resident_bytes(), 20 * GRANULE);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.dirty_bytes), 0);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.purged_bytes), 20 * GRANULE);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.purges), 1);
    assert_int_equal(xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 20, 1, &is_zeroed), run);
    assert_true(is_zeroed);
    for (size_t i = 0; i < 20 * GRANULE; i++)
        assert_int_equal(xa_heap_memory(run)[i], 0);
}

static void
purging_keeps_the_lowest_of_what_may_be_kept(void **state)
{
    uint32_t runs[8];
    (void)state;
    xa_heap_begin(-1);
    for (int i = 0; i < 8; i++)
        runs[i] = xa_heap_take_dirty(8), xa_heap_take(1);
    for (int i = 0; i < 8; i++)
        xa_heap_give(runs[i], 8, 8);
    assert_int_equal(xa_page_purge_run(&xa_heap, 64 * GRANULE), 0);
    assert_int_equal(xa_page_purge_run(&xa_heap, 20 * GRANULE), 44 * GRANULE);
    xa_heap_check(8);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 20);
    assert_int_equal(xa_heap_memory(runs[0])[0], 1);
    assert_int_equal(xa_heap_memory(runs[2])[3 * GRANULE], 1);
    assert_int_equal(xa_heap_memory(runs[2])[4 * GRANULE], 0);
    assert_int_equal(xa_heap_memory(runs[7])[0], 0);
    /* A bound between two granules is kept to. */
    assert_int_equal(xa_page_purge_run(&xa_heap, 10 * GRANULE + 1), 10 * GRANULE);
    xa_heap_check(8);
}

static void
a_refused_purge_loses_nothing(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take_dirty(20);
    xa_heap_take(1);
    xa_heap_give(run, 20, 20);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 0);
    xa_heap_check(1);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 20);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 20 * GRANULE);
    xa_heap_check(1);
}

/* The second chunk is free again, wholly dirty. */
static uint32_t
free_a_second_chunk(void)
{
    uint32_t first = xa_heap_take(128), second = xa_heap_take(128), third = xa_heap_take_dirty(128);
    assert_int_equal(second, first + 128);
    assert_int_equal(third, first + 256);
    xa_heap_give(third, 128, 128);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 2);
    return third;
}

static void
a_free_chunk_is_unmapped_unless_it_is_the_only_one(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t third = free_a_second_chunk();
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 128 * GRANULE);
    xa_heap_check(256);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)xa_heap_memory(third), XA_CHUNK_BYTES));
    assert_null(xa_page_map_region(2));
    xa_heap_give(XA_CHUNK_GRANULES, 128, 128);
    xa_heap_give(XA_CHUNK_GRANULES + 128, 128, 128);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 256 * GRANULE);
    xa_heap_check(0);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 1);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.mapped_bytes), 256);
    /* The slot is used again. */
    xa_heap_take(128), xa_heap_take(128);
    assert_int_equal(xa_heap_take(128), third);
    xa_heap_check(384);
}

static void
a_chunk_that_cannot_be_unmapped_is_emptied(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t third = free_a_second_chunk();
    xa_os_fake_fail(XA_OS_FAKE_UNMAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 128 * GRANULE);
    xa_heap_check(256);
    assert_int_equal(xa_heap_memory(third)[5 * GRANULE], 0);
    assert_int_equal(xa_heap_take(128), third);
    xa_heap_check(384);
}

static void
unused_pages_decay_with_the_clock(void **state)
{
    (void)state;
    xa_heap_begin(1000);
    xa_os_fake_set_clock(5000);
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    size_t before = xa_heap_granules(&xa_heap.counters.dirty_bytes);
    assert_int_equal(before, 100);
    bool has_been_between = false;
    for (uint64_t now = 5000; now <= 6200; now += 10) {
        xa_os_fake_set_clock(now);
        xa_page_purge_tick(&xa_heap);
        xa_heap_check(1);
        size_t dirty = xa_heap_granules(&xa_heap.counters.dirty_bytes);
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
    xa_heap_begin(0);
    xa_heap_take(1);
    for (int i = 0; i < 20; i++) {
        xa_heap_give(xa_heap_take_dirty(10), 10, 10);
        xa_page_purge_tick(&xa_heap);
        xa_heap_check(1);
        assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 0);
    }
}

static void
a_purger_leaves_the_clock_to_itself(void **state)
{
    (void)state;
    xa_heap_begin(1000);
    xa_page_purge_has_thread = true;
    xa_os_fake_set_clock(5000);
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    xa_os_fake_set_clock(50000);
    for (int i = 0; i < 100; i++)
        xa_page_purge_tick(&xa_heap);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 100);
    xa_page_purge_decay(&xa_heap, 50000);
    xa_page_purge_decay(&xa_heap, 60000);
    xa_heap_check(1);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 0);
    /* Others help if it falls behind. */
    xa_page_purge_dirty_max_bytes = 10 * GRANULE;
    assert_int_equal(xa_heap_take(100), run);
    memset(xa_heap_memory(run), 1, 100 * GRANULE);
    xa_heap_give(run, 100, 100);
    xa_page_purge_tick(&xa_heap);
    xa_heap_check(1);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 10);
}

static void
free_chunks_without_memory_are_closed(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t first = xa_heap_take(128), second = xa_heap_take(128), third = xa_heap_take(128),
             fourth = xa_heap_take_dirty(128);
    uint32_t fifth = xa_heap_take(128);
    xa_heap_give(third, 128, 0);
    xa_heap_give(fourth, 128, 128);
    xa_heap_give(fifth, 128, 0);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 3);
    xa_page_purge_close_empty(&xa_heap);
    xa_heap_check(256);
    /* What is dirty is left to decay, and the last chunk stays. */
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 2);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)xa_heap_memory(fifth), 128 * GRANULE));
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 128 * GRANULE);
    xa_heap_give(first, 128, 0);
    xa_heap_give(second, 128, 0);
    xa_page_purge_close_empty(&xa_heap);
    xa_heap_check(0);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 1);
}

static void
never_is_never(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    xa_heap_give(xa_heap_take_dirty(10), 10, 10);
    for (int i = 0; i < 20; i++) {
        xa_os_fake_set_clock(UINT64_MAX / 40 * (uint64_t)i);
        xa_page_purge_tick(&xa_heap);
        assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 10);
    }
}

static void
dirty_memory_is_bounded_whatever_the_clock_says(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    xa_page_purge_dirty_max_bytes = 30 * GRANULE;
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    xa_page_purge_tick(&xa_heap);
    xa_heap_check(1);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 30);
    /* Without an option: 64 MiB and a quarter of what is live. */
    xa_page_purge_dirty_max_bytes = 0;
    for (int i = 0; i < 20; i++)
        xa_heap_take(XA_RUN_MAX_GRANULES), xa_heap_take(XA_RUN_MAX_GRANULES);
    uint32_t runs[40];
    for (int i = 0; i < 40; i++)
        runs[i] = xa_heap_take(XA_RUN_MAX_GRANULES);
    for (int i = 0; i < 40; i++)
        xa_heap_give(runs[i], XA_RUN_MAX_GRANULES, XA_RUN_MAX_GRANULES);
    size_t live = xa_page_heap_counter(&xa_heap.counters.active_bytes);
    xa_page_purge_tick(&xa_heap);
    assert_true(xa_page_heap_counter(&xa_heap.counters.dirty_bytes) <= (64u << 20) + live / 4);
    assert_true(xa_page_heap_counter(&xa_heap.counters.dirty_bytes) > (60u << 20));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(purged_memory_is_zero_and_not_resident),
        XA_OS_FAKE_FRESH(purging_keeps_the_lowest_of_what_may_be_kept),
        XA_OS_FAKE_FRESH(a_refused_purge_loses_nothing),
        XA_OS_FAKE_FRESH(a_free_chunk_is_unmapped_unless_it_is_the_only_one),
        XA_OS_FAKE_FRESH(a_chunk_that_cannot_be_unmapped_is_emptied),
        XA_OS_FAKE_FRESH(unused_pages_decay_with_the_clock),
        XA_OS_FAKE_FRESH(at_once_is_at_every_tick),
        XA_OS_FAKE_FRESH(a_purger_leaves_the_clock_to_itself),
        XA_OS_FAKE_FRESH(free_chunks_without_memory_are_closed),
        XA_OS_FAKE_FRESH(never_is_never),
        XA_OS_FAKE_FRESH(dirty_memory_is_bounded_whatever_the_clock_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
