/*
 * page_heap_test.c - runs of granules: where they are taken, what becomes of them.
 *
 * xa_heap_check() compares a heap's counters and trees with its chunks' bitmaps, which it
 * counts bit by bit; the last tests do random things and check after each.
 */
#include "page/page_heap.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <string.h>

#include "config/options.h"
#include "page/page_purge.h"
#include "page/window.h"
#include "support/heap.h"
#include "support/seed.h"
#include "support/threads.h"

enum {
    GRANULE = XA_GRANULE_BYTES,
    SLOTS_CHECKED = XA_HEAP_SLOTS_CHECKED,
    RUNS = 60,
    ROUNDS = 4000,
    SECONDS = 60,
};

static uint64_t seed;

static void
runs_follow_each_other_from_the_lowest_address(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t first = xa_heap_take(3), second = xa_heap_take(1), third = xa_heap_take(128);
    assert_int_equal(first, XA_CHUNK_GRANULES);
    assert_int_equal(second, first + 3);
    assert_int_equal(third, first + 4);
    xa_heap_check(132);
    xa_heap_give(first, 3, 0);
    xa_heap_give(second, 1, 0);
    xa_heap_check(128);
    assert_int_equal(xa_heap_take(2), first);
    assert_int_equal(xa_heap_take(2), first + 2);
    xa_heap_check(132);
}

static void
neighbours_become_one_run(void **state)
{
    uint32_t runs[5];
    (void)state;
    xa_heap_begin(-1);
    for (int i = 0; i < 5; i++)
        runs[i] = xa_heap_take(20);
    xa_heap_give(runs[1], 20, 20);
    xa_heap_give(runs[3], 20, 0);
    assert_int_equal(xa_heap_take(21), runs[4] + 20);
    xa_heap_give(runs[2], 20, 20);
    xa_heap_check(61);
    assert_int_equal(xa_heap_take(60), runs[1]);
    xa_heap_check(121);
}

static void
memory_that_is_resident_is_used_again_first(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t clean = xa_heap_take(4), kept = xa_heap_take(1), dirty = xa_heap_take_dirty(4),
             last = xa_heap_take(1);
    xa_heap_give(clean, 4, 0);
    xa_heap_give(dirty, 4, 4);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 4);
    assert_int_equal(xa_heap_take(4), dirty);
    assert_int_equal(xa_heap_take(4), clean);
    assert_true(kept < last);
    xa_heap_check(10);
}

static void
only_what_was_touched_is_dirty(void **state)
{
    bool is_zeroed = false;
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take(10);
    memset(xa_heap_memory(run), 1, 3 * GRANULE);
    xa_heap_give(run, 10, 3);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 3);
    assert_int_equal(xa_page_heap_take(&xa_heap, XA_RUN_FOR_SLAB, 4, 4, &is_zeroed), run);
    assert_false(is_zeroed);
    assert_int_equal(xa_page_heap_take(&xa_heap, XA_RUN_FOR_SLAB, 4, 1, &is_zeroed), run + 4);
    assert_true(is_zeroed);
    for (size_t i = 0; i < 4 * GRANULE; i++)
        assert_int_equal(xa_heap_memory(run + 4)[i], 0);
    xa_heap_check(8);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.slab_bytes), 8);
}

static void
alignments_up_to_half_a_chunk_are_met(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_heap_begin(-1);
    size_t live = xa_heap_take(1) != 0;
    for (unsigned alignment = 1; alignment <= XA_CHUNK_GRANULES / 2; alignment *= 2) {
        uint32_t run = xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 3, alignment, &is_zeroed);
        assert_int_not_equal(run, XA_GRANULE_NONE);
        assert_int_equal(run % alignment, 0);
        xa_heap_check(live += 3);
    }
}

static void
the_mapped_part_grows_as_it_is_needed(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    xa_heap_take(1);
    assert_in_range(xa_heap_granules(&xa_heap.counters.mapped_bytes), 1, 8);
    for (int i = 1; i < 1024; i++)
        xa_heap_take(1);
    xa_heap_check(1024);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 4);
    /* Few calls: the growth is in proportion to the xa_heap. */
    assert_true(xa_os_fake_count(XA_OS_FAKE_MAP) < 50);
    assert_true(xa_heap_granules(&xa_heap.counters.mapped_bytes) <= 1024 + 64);
}

static void
a_run_can_grow_where_it_stands(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take(10), next = xa_heap_take(10), last = xa_heap_take(4);
    xa_heap_give(next, 10, 0);
    assert_true(xa_page_heap_extend(&xa_heap, run, 10, 10));
    assert_true(xa_page_heap_extend(&xa_heap, run, 10, 20));
    xa_heap_check(24);
    assert_false(xa_page_heap_extend(&xa_heap, run, 20, 21));
    xa_heap_check(24);
    assert_true(xa_page_heap_extend(&xa_heap, last, 4, 100));
    xa_heap_check(120);
    memset(xa_heap_memory(last), 1, 100 * GRANULE);
    assert_true(xa_page_heap_extend(&xa_heap, last, 100, XA_CHUNK_GRANULES - 20));
    xa_heap_check(XA_CHUNK_GRANULES);
    assert_false(
        xa_page_heap_extend(&xa_heap, last, XA_CHUNK_GRANULES - 20, XA_CHUNK_GRANULES - 19));
    xa_heap_check(XA_CHUNK_GRANULES);
}

static uint32_t
take_with_room(unsigned granules)
{
    bool is_zeroed;
    uint32_t run = xa_page_heap_take_with_room(&xa_heap, XA_RUN_FOR_LARGE, granules, &is_zeroed);
    assert_int_not_equal(run, XA_GRANULE_NONE);
    return run;
}

static void
what_will_grow_is_put_where_it_can(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t hole = xa_heap_take(20), last = xa_heap_take(1);
    xa_heap_give(hole, 20, 0);
    /* The hole would do, but not for long; and what others need comes before the room. */
    uint32_t run = take_with_room(5);
    assert_int_equal(run, 2 * XA_CHUNK_GRANULES - XA_RUN_MAX_GRANULES);
    (void)xa_heap_take(20);
    assert_int_equal(xa_heap_take(40), last + 1);
    assert_true(xa_page_heap_extend(&xa_heap, run, 5, XA_RUN_MAX_GRANULES));
    xa_heap_check(1 + 20 + 40 + XA_RUN_MAX_GRANULES);
    /* The chunk has no such place left: any place is better than a chunk more. */
    assert_int_equal(take_with_room(5), last + 1 + 40);
    assert_int_equal(xa_heap.counters.chunks, 1);
    xa_heap_check(1 + 20 + 40 + XA_RUN_MAX_GRANULES + 5);
}

static void
what_will_grow_takes_memory_that_is_resident_if_there_is_enough(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t hole = xa_heap_take_dirty(24), last = xa_heap_take(1);
    xa_heap_give(hole, 24, 24);
    assert_true(take_with_room(7) > last);
    assert_int_equal(take_with_room(5), hole + 24 - 20);
    xa_heap_check(1 + 7 + 5);
}

static void
a_run_that_cannot_grow_stays_as_it_is(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take(4);
    size_t mapped = xa_page_heap_counter(&xa_heap.counters.mapped_bytes);
    xa_os_fake_fail(XA_OS_FAKE_MAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_false(xa_page_heap_extend(&xa_heap, run, 4, 100));
    xa_heap_check(4);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.mapped_bytes), mapped);
    xa_os_fake_stop_failing();
    assert_true(xa_page_heap_extend(&xa_heap, run, 4, 100));
    xa_heap_check(100);
}

static void
the_end_of_a_run_can_be_given_back(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take_dirty(20);
    xa_heap_give(run + 5, 15, 15);
    xa_heap_check(5);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 15);
    assert_int_equal(xa_heap_take(15), run + 5);
    xa_heap_check(20);
}

static void
something_foreign_behind_a_chunk_stops_its_growth(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    uint32_t run = xa_heap_take(4);
    const struct xa_chunk *chunk = xa_page_map_chunk_of(run);
    uintptr_t end = (uintptr_t)xa_heap_memory(run) + (size_t)chunk->mapped_granules * GRANULE;
    xa_os_fake_add_foreign(end, 4096);
    uint32_t other = xa_heap_take(100);
    assert_int_equal(other, 2 * XA_CHUNK_GRANULES);
    assert_int_equal(
        chunk->mapped_granules * (size_t)GRANULE, end - (uintptr_t)xa_heap_memory(run));
}

static void
foreign_slots_are_passed_over(void **state)
{
    (void)state;
    xa_heap_begin(-1);
    xa_heap_take(128), xa_heap_take(128);
    for (size_t slot = 2; slot < 10; slot++)
        xa_os_fake_add_foreign(xa_window_address(slot), 4096);
    assert_int_equal(xa_heap_take(128), 10 * XA_CHUNK_GRANULES);
    xa_heap_check(384);
    /* And nobody tries them again. */
    xa_os_fake_remove_foreign();
    assert_int_equal(xa_heap_take(128), 10 * XA_CHUNK_GRANULES + 128);
    assert_int_equal(xa_heap_take(128), 11 * XA_CHUNK_GRANULES);
}

static void
out_of_memory_changes_nothing(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_heap_begin(-1);
    xa_heap_take(1);
    for (unsigned long nth = 1;; nth++) {
        size_t chunks = xa_page_heap_counter(&xa_heap.counters.chunks);
        xa_os_fake_fail(XA_OS_FAKE_ANY, nth, XA_OS_FAKE_FROM_THEN_ON);
        uint32_t run = xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 128, 128, &is_zeroed);
        xa_os_fake_stop_failing();
        if (run != XA_GRANULE_NONE)
            break;
        xa_heap_check(1);
        assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), chunks);
    }
    xa_heap_check(129);
}

static void
a_short_host_gives_just_what_is_needed(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_heap_begin(-1);
    xa_heap_take(1);
    size_t rest = xa_heap_granules(&xa_heap.counters.mapped_bytes) - 1;
    xa_os_fake_set_mapped_max(xa_os_fake_mapped_bytes() + GRANULE);
    for (size_t i = 0; i <= rest; i++)
        xa_heap_take(1);
    xa_heap_check(rest + 2);
    assert_int_equal(
        xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 1, 1, &is_zeroed), XA_GRANULE_NONE);
    xa_heap_check(rest + 2);
}

static void
on_large_pages_runs_are_whole_pages(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    xa_heap_begin(-1);
    assert_int_equal(xa_page_heap_unit(), 4);
    uint32_t run = xa_page_heap_take(&xa_heap, XA_RUN_FOR_SLAB, 1, 1, &is_zeroed);
    assert_int_equal(run % 4, 0);
    xa_heap_check(4);
    uint32_t next = xa_page_heap_take(&xa_heap, XA_RUN_FOR_LARGE, 5, 2, &is_zeroed);
    assert_int_equal(next, run + 4);
    xa_heap_check(12);
    assert_true(xa_page_heap_extend(&xa_heap, next, 5, 9));
    xa_heap_check(16);
    memset(xa_heap_memory(next), 1, GRANULE);
    xa_heap_give(next, 9, 1);
    xa_heap_check(4);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.dirty_bytes), 4);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 4 * GRANULE);
    xa_heap_check(4);
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
    xa_heap_begin(-1);
    uint32_t old = xa_heap_take_dirty(10);
    xa_page_heap_reset_in_child(&xa_heap);
    assert_int_equal(xa_heap.generation, 0);
    assert_true(xa_threads_run(1, lock_and_vanish, &xa_heap.lock, SECONDS));
    xa_page_heap_reset_in_child(&xa_heap);
    uint32_t fresh = xa_heap_take(10);
    assert_int_equal(fresh / XA_CHUNK_GRANULES, old / XA_CHUNK_GRANULES + 1);
    /* The old run stays valid, does not grow, and is not used again. */
    assert_int_equal(xa_heap_memory(old)[9 * GRANULE], 1);
    assert_false(xa_page_heap_extend(&xa_heap, old, 10, 11));
    xa_heap_give(old, 10, 10);
    assert_int_equal(xa_heap_take(10), fresh + 10);
    assert_int_equal(xa_heap_memory(old)[9 * GRANULE], 1);
    assert_int_equal(xa_page_purge_run(&xa_heap, 0), 0);
}

static void
what_was_muzzy_is_set_aside_too(void **state)
{
    (void)state;
    xa_options.muzzy_decay_ms = 1000;
    xa_heap_begin(0);
    uint32_t run = xa_heap_take_dirty(10);
    xa_heap_take(1);
    xa_heap_give(run, 10, 10);
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.muzzy_bytes), 10);
    assert_true(xa_threads_run(1, lock_and_vanish, &xa_heap.lock, SECONDS));
    xa_page_heap_reset_in_child(&xa_heap);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.muzzy_bytes), 0);
    xa_heap_give(xa_heap_take_dirty(10), 10, 10);
    xa_page_purge_tick(&xa_heap);
    assert_int_equal(xa_heap_granules(&xa_heap.counters.muzzy_bytes), 10);
    xa_os_fake_set_clock(100000);
    xa_page_purge_decay(&xa_heap, 100000);
    xa_page_purge_decay(&xa_heap, 102000);
    xa_page_purge_decay(&xa_heap, 104000);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.muzzy_bytes), 0);
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
        xa_heap_memory(run->granule)[(size_t)i * GRANULE + 8] = (char)run->mark;
}

static void
check_contents(const struct run *run)
{
    for (unsigned i = 0; i < run->touched; i++)
        assert_int_equal(
            (unsigned char)xa_heap_memory(run->granule)[(size_t)i * GRANULE + 8], run->mark);
}

static void
take_randomly(struct xa_seed_random *numbers, struct run *run, unsigned unit)
{
    bool is_zeroed = false;
    unsigned granules = (unsigned)xa_seed_size(numbers, 1, XA_RUN_MAX_GRANULES);
    unsigned alignment = xa_seed_below(numbers, 4) ? 1 : 1u << xa_seed_below(numbers, 8);
    enum xa_run_use use = xa_seed_below(numbers, 2) ? XA_RUN_FOR_SLAB : XA_RUN_FOR_LARGE;
    uint32_t granule = xa_page_heap_take(&xa_heap, use, granules, alignment, &is_zeroed);
    if (granule == XA_GRANULE_NONE) {
        assert_true(xa_os_fake_failures() > 0);
        return;
    }
    assert_int_equal(granule % alignment, 0);
    if (is_zeroed)
        for (size_t i = 0; i < (size_t)granules * GRANULE; i += 8)
            assert_int_equal(*(uint64_t *)(void *)(xa_heap_memory(granule) + i), 0);
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
            xa_page_heap_extend(&xa_heap, run->granule, run->granules, wanted)) {
            live += wanted - run->granules;
            run->granules = wanted;
        }
        return;
    }
    unsigned removed = run->granules - wanted;
    unsigned touched = run->touched > wanted ? run->touched - wanted : 0;
    if (removed > 0)
        xa_page_heap_return(&xa_heap, run->use, run->granule + wanted, removed, touched);
    live -= removed;
    run->granules = wanted;
    run->touched -= touched;
}

static void
change_randomly(struct xa_seed_random *numbers, unsigned unit, uint64_t *now)
{
    struct run *run = &runs[xa_seed_below(numbers, RUNS)];
    switch (xa_seed_below(numbers, 12)) {
    case 0: (void)xa_page_purge_run(&xa_heap, xa_seed_below(numbers, 200) * GRANULE); break;
    case 1:
        xa_os_fake_set_clock(*now += xa_seed_below(numbers, 100));
        xa_page_purge_tick(&xa_heap);
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
        xa_page_heap_return(&xa_heap, run->use, run->granule, run->granules, run->touched);
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
    xa_heap_begin(1000);
    unsigned unit = xa_page_heap_unit();
    for (int round = 0; round < ROUNDS; round++) {
        if (with_failures && round % 3 == 0)
            xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 3), XA_OS_FAKE_ONCE);
        change_randomly(&numbers, unit, &now);
        xa_heap_check(live);
        check_no_overlap();
    }
    xa_os_fake_stop_failing();
    for (size_t i = 0; i < RUNS; i++)
        if (runs[i].granules != 0) {
            check_contents(&runs[i]);
            xa_page_heap_return(
                &xa_heap, runs[i].use, runs[i].granule, runs[i].granules, runs[i].touched);
        }
    (void)xa_page_purge_run(&xa_heap, 0);
    xa_heap_check(0);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.dirty_bytes), 0);
}

static void
random_runs_on_4_kib_pages_keep_the_books(void **state)
{
    (void)state;
    do_random_things(4096, false);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 1);
}

static void
random_runs_on_64_kib_pages_keep_the_books(void **state)
{
    (void)state;
    do_random_things(65536, false);
    assert_int_equal(xa_page_heap_counter(&xa_heap.counters.chunks), 1);
}

static void
random_runs_over_a_failing_host_keep_the_books(void **state)
{
    (void)state;
    do_random_things(4096, true);
}

static void
random_runs_in_huge_pages_keep_the_books(void **state)
{
    (void)state;
    xa_options.thp = XA_THP_ALWAYS;
    do_random_things(4096, true);
}

static void
random_runs_in_huge_pages_with_a_muzzy_stage_keep_the_books(void **state)
{
    (void)state;
    xa_options.thp = XA_THP_ALWAYS;
    xa_options.muzzy_decay_ms = 2000;
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
        XA_OS_FAKE_FRESH(what_will_grow_is_put_where_it_can),
        XA_OS_FAKE_FRESH(what_will_grow_takes_memory_that_is_resident_if_there_is_enough),
        XA_OS_FAKE_FRESH(a_run_that_cannot_grow_stays_as_it_is),
        XA_OS_FAKE_FRESH(the_end_of_a_run_can_be_given_back),
        XA_OS_FAKE_FRESH(something_foreign_behind_a_chunk_stops_its_growth),
        XA_OS_FAKE_FRESH(foreign_slots_are_passed_over),
        XA_OS_FAKE_FRESH(out_of_memory_changes_nothing),
        XA_OS_FAKE_FRESH(a_short_host_gives_just_what_is_needed),
        XA_OS_FAKE_FRESH(on_large_pages_runs_are_whole_pages),
        XA_OS_FAKE_FRESH(a_heap_cut_by_a_fork_is_set_aside),
        XA_OS_FAKE_FRESH(what_was_muzzy_is_set_aside_too),
        XA_OS_FAKE_FRESH(random_runs_on_4_kib_pages_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_on_64_kib_pages_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_over_a_failing_host_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_in_huge_pages_keep_the_books),
        XA_OS_FAKE_FRESH(random_runs_in_huge_pages_with_a_muzzy_stage_keep_the_books),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
