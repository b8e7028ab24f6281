/*
 * page_purge_test.c - what becomes of free granules: by age, by amount, on request.
 */
#include "page/page_purge.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "page/limit.h"
#include "support/heap.h"
#include "support/seed.h"

enum { GRANULE = XA_GRANULE_BYTES };

static uint64_t seed;

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

static void
what_was_live_lately_may_stay_dirty(void **state)
{
    enum { RUNS = 100 };
    uint32_t runs[RUNS];
    size_t all = (size_t)RUNS * XA_RUN_MAX_GRANULES * GRANULE;
    (void)state;
    xa_os_fake_set_clock(5000);
    xa_heap_begin(1000);
    for (int i = 0; i < RUNS; i++)
        runs[i] = xa_heap_take(XA_RUN_MAX_GRANULES);
    assert_int_equal(xa_page_heap_counter(&xa_heap.peak_bytes), all);
    for (int i = 0; i < RUNS; i++) {
        xa_heap_give(runs[i], XA_RUN_MAX_GRANULES, XA_RUN_MAX_GRANULES);
        xa_page_purge_tick(&xa_heap);
    }
    /* Hardly anything is old, and there is no more than there was. */
    assert_in_range(xa_page_heap_counter(&xa_heap.counters.dirty_bytes), all - GRANULE, all);
    assert_in_range(xa_page_heap_counter(&xa_heap.peak_bytes), all / 16 * 15, all);
    /* After a decay time neither is left, but for a part of the peak. */
    xa_os_fake_set_clock(6100);
    xa_page_purge_decay(&xa_heap, xa_os_now_ms());
    xa_os_fake_set_clock(7200);
    xa_page_purge_decay(&xa_heap, xa_os_now_ms());
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.dirty_bytes), 0);
    assert_in_range(xa_page_heap_counter(&xa_heap.peak_bytes), 0, all / 4);
    xa_os_fake_set_clock(60000);
    xa_page_purge_decay(&xa_heap, xa_os_now_ms());
    assert_int_equal(xa_page_heap_counter(&xa_heap.peak_bytes), 0);
}

/* What stays dirty of a burst of 200 MiB, on top of which nothing lives; the clock stands still. */
static size_t
dirty_after_a_burst(void)
{
    enum { RUNS = 100 };
    uint32_t runs[RUNS];
    for (int i = 0; i < RUNS; i++)
        runs[i] = xa_heap_take(XA_RUN_MAX_GRANULES);
    for (int i = 0; i < RUNS; i++)
        xa_heap_give(runs[i], XA_RUN_MAX_GRANULES, XA_RUN_MAX_GRANULES);
    xa_page_purge_tick(&xa_heap);
    return xa_page_heap_counter(&xa_heap.counters.dirty_bytes);
}

static void
the_bound_goes_by_the_time_that_holds_for_the_heap(void **state)
{
    /* With a time a burst may stay, but for a chunk, until it is old; where nothing grows old, 64 MiB. */
    size_t burst = (size_t)200 << 20, bound = (size_t)64 << 20;
    (void)state;
    xa_os_fake_set_clock(5000);
    xa_heap_begin(-1);
    assert_int_equal(dirty_after_a_burst(), bound);
    xa_page_purge_set_time_ms(&xa_heap, XA_PAGE_PURGE_DIRTY, 1000);
    assert_in_range(dirty_after_a_burst(), burst - XA_CHUNK_BYTES, burst);
    xa_page_purge_set_time_ms(&xa_heap, XA_PAGE_PURGE_DIRTY, -1);
    assert_int_equal(dirty_after_a_burst(), bound);
    /* The process's own time is for heaps that have none. */
    xa_page_purge_set_time_ms(NULL, XA_PAGE_PURGE_DIRTY, 1000);
    assert_int_equal(dirty_after_a_burst(), bound);
}

static void
the_bound_goes_by_the_time_that_was_set_for_all_heaps(void **state)
{
    size_t burst = (size_t)200 << 20;
    (void)state;
    xa_os_fake_set_clock(5000);
    xa_heap_begin(1000);
    assert_in_range(dirty_after_a_burst(), burst - XA_CHUNK_BYTES, burst);
    xa_page_purge_set_time_ms(NULL, XA_PAGE_PURGE_DIRTY, -1);
    assert_int_equal(dirty_after_a_burst(), (size_t)64 << 20);
}

/* ---- With muzzy_decay_ms ---- */

static void
begin_muzzy(int64_t dirty_ms, int64_t muzzy_ms)
{
    xa_options.muzzy_decay_ms = muzzy_ms;
    xa_os_fake_set_clock(5000);
    xa_heap_begin(dirty_ms);
}

static size_t
dirty(void)
{
    return xa_heap_granules(&xa_heap.counters.dirty_bytes);
}

static size_t
muzzy(void)
{
    return xa_heap_granules(&xa_heap.counters.muzzy_bytes);
}

/* A run of 100 granules is free and muzzy, with another behind it; its first granule. */
static uint32_t
make_muzzy(void)
{
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(dirty(), 0);
    assert_int_equal(muzzy(), 100);
    xa_heap_check(1);
    return run;
}

static void
muzzy_granules_decay_after_dirty_ones(void **state)
{
    (void)state;
    begin_muzzy(1000, 2000);
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    size_t resident = xa_os_fake_resident_bytes();
    size_t before = 100, most = 0;
    for (uint64_t now = 5000; now <= 8500; now += 10) {
        xa_os_fake_set_clock(now);
        xa_page_purge_tick(&xa_heap);
        xa_heap_check(1);
        if (now == 6200)
            assert_int_equal(dirty(), 0);
        assert_true(dirty() + muzzy() <= before);
        before = dirty() + muzzy();
        most = muzzy() > most ? muzzy() : most;
    }
    assert_true(most > 50);
    assert_int_equal(before, 0);
    assert_int_equal(resident - xa_os_fake_resident_bytes(), 100 * GRANULE);
    assert_true(xa_os_fake_count(XA_OS_FAKE_PURGE_LAZILY) > 3);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.purged_bytes), 100);
}

static void
without_the_option_nothing_is_muzzy(void **state)
{
    (void)state;
    begin_muzzy(0, 0);
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    xa_page_purge_tick(&xa_heap);
    xa_heap_check(1);
    assert_int_equal(dirty() + muzzy(), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_PURGE_LAZILY), 0);
}

static void
strict_syscalls_have_no_muzzy_stage(void **state)
{
    (void)state;
    xa_options.strict_syscalls = true;
    begin_muzzy(0, 1000);
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(dirty() + muzzy(), 0);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_PURGE_LAZILY), 0);
}

static void
muzzy_runs_are_used_again_and_are_not_zero(void **state)
{
    bool is_zeroed = true;
    (void)state;
    begin_muzzy(0, -1);
    uint32_t run = make_muzzy();
    assert_int_equal(xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 40, 1, &is_zeroed), run);
    assert_false(is_zeroed);
    assert_int_equal(muzzy(), 60);
    xa_heap_check(41);
    /* Also where a run grows into them. */
    assert_true(xa_page_heap_extend(&xa_heap, run, 40, 70));
    assert_int_equal(muzzy(), 30);
    xa_heap_check(71);
    /* What comes back is dirty, though nobody wrote to it. */
    xa_heap_give(run, 70, 0);
    assert_int_equal(dirty(), 70);
    assert_int_equal(muzzy(), 30);
    xa_heap_check(1);
}

static void
never_muzzy_enough_is_offered_for_ever(void **state)
{
    (void)state;
    begin_muzzy(0, -1);
    make_muzzy();
    for (uint64_t now = 5000; now < 900000; now += 5000) {
        xa_os_fake_set_clock(now);
        xa_page_purge_tick(&xa_heap);
        xa_page_purge_decay(&xa_heap, now);
    }
    assert_int_equal(muzzy(), 100);
    /* Memory pressure at its worst ends that, and so does a request. */
    xa_page_purge_decay_divisor = 4;
    xa_page_purge_decay(&xa_heap, 900000);
    assert_int_equal(muzzy(), 100);
    xa_page_purge_decay_divisor = 0;
    xa_page_purge_decay(&xa_heap, 900001);
    assert_int_equal(muzzy(), 0);
    xa_heap_check(1);
}

static void
on_request_both_kinds_are_given_back(void **state)
{
    (void)state;
    begin_muzzy(0, -1);
    uint32_t run = make_muzzy();
    xa_options.dirty_decay_ms = -1;
    uint32_t other = xa_heap_take_dirty(50);
    xa_heap_give(other, 50, 50);
    assert_int_equal(other, run);
    assert_int_equal(dirty(), 50);
    assert_int_equal(muzzy(), 50);
    assert_int_equal(xa_page_purge_run(&xa_heap, 70 * GRANULE), 30 * GRANULE);
    xa_heap_check(1);
    assert_int_equal(dirty() + muzzy(), 70);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 70 * GRANULE);
    xa_heap_check(1);
    assert_int_equal(dirty() + muzzy(), 0);
}

static void
the_bound_by_amount_is_for_dirty_granules(void **state)
{
    (void)state;
    begin_muzzy(-1, -1);
    xa_page_purge_dirty_max_bytes = 30 * GRANULE;
    uint32_t run = xa_heap_take_dirty(100);
    xa_heap_take(1);
    xa_heap_give(run, 100, 100);
    for (int i = 0; i < 20; i++)
        xa_page_purge_tick(&xa_heap);
    xa_heap_check(1);
    assert_int_equal(dirty(), 30);
    assert_int_equal(muzzy(), 70);
}

static void
beyond_the_soft_limit_nothing_stays_muzzy(void **state)
{
    (void)state;
    begin_muzzy(0, -1);
    make_muzzy();
    assert_true(xa_limit_set(1 << 20, 0));
    uint32_t run = xa_heap_take_dirty(128);
    assert_true(xa_limit_is_over_soft());
    xa_page_purge_decay(&xa_heap, 6000);
    assert_int_equal(dirty() + muzzy(), 0);
    xa_heap_give(run, 128, 128);
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(dirty() + muzzy(), 0);
    xa_heap_check(1);
}

static void
muzzy_granules_count_until_they_are_given_back(void **state)
{
    (void)state;
    begin_muzzy(0, -1);
    uint32_t run = make_muzzy();
    size_t used = xa_limit_used_bytes();
    assert_int_equal(xa_heap_take(100), run);
    assert_int_equal(xa_limit_used_bytes(), used);
    xa_heap_give(run, 100, 100);
    assert_int_equal(xa_limit_used_bytes(), used);
    (void)xa_page_purge_run(&xa_heap, 0);
    assert_int_equal(used - xa_limit_used_bytes(), 100 * GRANULE);
}

static void
a_host_that_does_not_know_it_is_asked_once(void **state)
{
    (void)state;
    begin_muzzy(0, 1000);
    xa_os_fake_fail(XA_OS_FAKE_PURGE_LAZILY, 1, XA_OS_FAKE_FROM_THEN_ON);
    xa_heap_take(1);
    for (int i = 0; i < 5; i++) {
        uint32_t run = xa_heap_take_dirty(100);
        xa_heap_take(1);
        xa_heap_give(run, 100, 100);
        xa_page_purge_tick(&xa_heap);
        xa_heap_check(2 + (size_t)i);
        assert_int_equal(dirty() + muzzy(), 0);
    }
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_PURGE_LAZILY), 1);
}

static void
a_host_that_refuses_everything_loses_nothing(void **state)
{
    (void)state;
    begin_muzzy(0, -1);
    uint32_t run = make_muzzy();
    xa_heap_give(xa_heap_take_dirty(40), 40, 40);
    assert_int_equal(dirty(), 40);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 0);
    xa_page_purge_tick(&xa_heap);
    xa_heap_check(1);
    assert_int_equal(dirty(), 40);
    assert_int_equal(muzzy(), 60);
    xa_os_fake_stop_failing();
    /* It refused to be offered and to be emptied: that says nothing of what it knows. */
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(muzzy(), 100);
    assert_int_equal(xa_heap_memory(run)[99 * GRANULE], 1);
}

static void
a_muzzy_chunk_is_unmapped_when_its_time_has_come(void **state)
{
    (void)state;
    begin_muzzy(0, 1000);
    uint32_t third = free_a_second_chunk();
    xa_page_purge_tick(&xa_heap);
    xa_heap_check(256);
    assert_int_equal(muzzy(), 128);
    xa_page_purge_close_empty(&xa_heap);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 2);
    for (uint64_t now = 5000; now <= 7000; now += 20)
        xa_page_purge_decay(&xa_heap, now);
    xa_heap_check(256);
    assert_int_equal(muzzy(), 0);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)xa_heap_memory(third), XA_CHUNK_BYTES));
}

static void
fresh_dirty_granules_outlive_muzzy_ones_of_their_chunk(void **state)
{
    (void)state;
    begin_muzzy(0, 1000);
    free_a_second_chunk();
    xa_page_purge_tick(&xa_heap);
    xa_options.dirty_decay_ms = -1;
    xa_heap_give(xa_heap_take_dirty(50), 50, 50);
    assert_int_equal(muzzy(), 78);
    for (uint64_t now = 5000; now <= 7000; now += 20)
        xa_page_purge_decay(&xa_heap, now);
    xa_heap_check(256);
    assert_int_equal(muzzy(), 0);
    assert_int_equal(dirty(), 50);
}

static void
random_purges_of_both_kinds_keep_the_books(void **state)
{
    enum { RUNS = 24, ROUNDS = 3000 };
    struct run {
        uint32_t granule;
        unsigned granules;
    } runs[RUNS] = {{0}};
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    uint64_t now = 5000;
    size_t live = 0;
    (void)state;
    begin_muzzy(100, 300);
    for (int round = 0; round < ROUNDS; round++) {
        struct run *run = &runs[xa_seed_below(&numbers, RUNS)];
        if (xa_seed_below(&numbers, 4) == 0)
            xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 3), XA_OS_FAKE_ONCE);
        xa_os_fake_set_clock(now += xa_seed_below(&numbers, 20));
        xa_page_purge_tick(&xa_heap);
        if (xa_seed_below(&numbers, 50) == 0)
            (void)xa_page_purge_run(&xa_heap, xa_seed_below(&numbers, 300) * GRANULE);
        xa_heap_check(live);
        xa_os_fake_stop_failing();
        if (run->granules == 0) {
            run->granules = (unsigned)xa_seed_size(&numbers, 1, XA_RUN_MAX_GRANULES);
            run->granule = xa_heap_take_dirty(run->granules);
            live += run->granules;
        } else {
            xa_heap_give(run->granule, run->granules, run->granules);
            live -= run->granules;
            run->granules = 0;
        }
        xa_heap_check(live);
    }
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
        XA_OS_FAKE_FRESH(what_was_live_lately_may_stay_dirty),
        XA_OS_FAKE_FRESH(the_bound_goes_by_the_time_that_holds_for_the_heap),
        XA_OS_FAKE_FRESH(the_bound_goes_by_the_time_that_was_set_for_all_heaps),
        XA_OS_FAKE_FRESH(muzzy_granules_decay_after_dirty_ones),
        XA_OS_FAKE_FRESH(without_the_option_nothing_is_muzzy),
        XA_OS_FAKE_FRESH(strict_syscalls_have_no_muzzy_stage),
        XA_OS_FAKE_FRESH(muzzy_runs_are_used_again_and_are_not_zero),
        XA_OS_FAKE_FRESH(never_muzzy_enough_is_offered_for_ever),
        XA_OS_FAKE_FRESH(on_request_both_kinds_are_given_back),
        XA_OS_FAKE_FRESH(the_bound_by_amount_is_for_dirty_granules),
        XA_OS_FAKE_FRESH(beyond_the_soft_limit_nothing_stays_muzzy),
        XA_OS_FAKE_FRESH(muzzy_granules_count_until_they_are_given_back),
        XA_OS_FAKE_FRESH(a_host_that_does_not_know_it_is_asked_once),
        XA_OS_FAKE_FRESH(a_host_that_refuses_everything_loses_nothing),
        XA_OS_FAKE_FRESH(a_muzzy_chunk_is_unmapped_when_its_time_has_come),
        XA_OS_FAKE_FRESH(fresh_dirty_granules_outlive_muzzy_ones_of_their_chunk),
        XA_OS_FAKE_FRESH(random_purges_of_both_kinds_keep_the_books),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
