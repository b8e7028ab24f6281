/*
 * huge_test.c - objects with a mapping of their own, and the stock of freed ones.
 */
#include "page/huge.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "page/page_purge.h"
#include "page/window.h"
#include "support/seed.h"
#include "support/words.h"

enum {
    PAGE = 4096,
    MIB = 1 << 20,
    OBJECTS = 30,
    ROUNDS = 2000,
};

static uint64_t seed;

static void
begin(int64_t decay_ms)
{
    xa_os_init();
    xa_options.dirty_decay_ms = decay_ms;
}

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load(counter);
}

static char *
take(size_t bytes)
{
    bool is_zeroed;
    char *object = xa_huge_take(bytes, 1, &is_zeroed);
    assert_non_null(object);
    return object;
}

/* Free as release.c does: the class first, then the mapping. */
static void
give(char *object)
{
    size_t granule = xa_page_map_granule_of((uintptr_t)object);
    struct xa_huge *huge = xa_huge_of((uintptr_t)object);
    assert_int_equal(xa_page_map_take_class(granule), XA_CLASS_HUGE);
    xa_huge_return(huge);
}

static void
an_object_is_mapped_to_the_page(void **state)
{
    bool is_zeroed = false;
    (void)state;
    begin(-1);
    char *object = xa_huge_take(5 * MIB + 1, 1, &is_zeroed);
    assert_non_null(object);
    assert_true(is_zeroed);
    assert_int_equal((uintptr_t)object % XA_CHUNK_BYTES, 0);
    assert_true(xa_os_fake_is_mapped((uintptr_t)object, 5 * MIB + PAGE));
    assert_true(xa_os_fake_is_unmapped((uintptr_t)object + 5 * MIB + PAGE, MIB));
    memset(object, 1, 5 * MIB + PAGE);
    struct xa_huge *huge = xa_huge_of((uintptr_t)object);
    assert_int_equal(huge->bytes, 5 * MIB + PAGE);
    assert_int_equal(huge->asked_bytes, 5 * MIB + 1);
    assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_HUGE);
    assert_int_equal(xa_page_map_class((uintptr_t)object + XA_GRANULE_BYTES), XA_CLASS_NONE);
    assert_ptr_equal(xa_huge_of((uintptr_t)object + 5 * MIB), huge);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 5 * MIB + PAGE);
    assert_int_equal(load(&xa_huge_counters.live_objects), 1);
    assert_int_equal(load(&xa_huge_counters.allocations), 1);
}

static void
any_alignment_can_be_had(void **state)
{
    bool is_zeroed;
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    begin(0);
    for (size_t alignment = 1; alignment <= (sizeof(size_t) == 8 ? xa_words_power(36) : 64 * MIB);
         alignment *= 2) {
        char *object = xa_huge_take(3 * MIB, alignment, &is_zeroed);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % alignment, 0);
        object[0] = 1;
        give(object);
    }
    assert_null(xa_huge_take(3 * MIB, xa_words_power(62), &is_zeroed));
}

static void
impossible_sizes_are_null(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    assert_null(xa_huge_take((size_t)PTRDIFF_MAX, 1, &is_zeroed));
    assert_null(xa_huge_take(xa_words_power(41), 1, &is_zeroed));
    take(3 * MIB);
}

static void
a_freed_mapping_is_kept_and_used_again(void **state)
{
    bool is_zeroed = true;
    (void)state;
    begin(-1);
    char *object = take(5 * MIB), *other = take(3 * MIB);
    object[0] = 1;
    give(object);
    give(other);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 8 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_dirty_bytes), 8 * MIB);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 0);
    assert_int_equal(load(&xa_huge_counters.live_objects), 0);
    unsigned long calls = xa_os_fake_count(XA_OS_FAKE_ANY);
    assert_ptr_equal(xa_huge_take(5 * MIB - 100, 1, &is_zeroed), object);
    assert_false(is_zeroed);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_ANY), calls);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 3 * MIB);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 5 * MIB);
}

static void
what_is_much_too_large_is_not_taken_from_the_stock(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(9 * MIB), *fitting = take(8 * MIB);
    give(object);
    give(fitting);
    char *third = take(8 * MIB - PAGE);
    assert_ptr_equal(third, fitting);
    assert_ptr_not_equal(take(6 * MIB), object);
    assert_ptr_equal(take(8 * MIB), object);
}

static void
kept_mappings_are_unmapped_when_their_time_is_over(void **state)
{
    (void)state;
    begin(1000);
    xa_os_fake_set_clock(5000);
    char *first = take(5 * MIB);
    give(first);
    xa_os_fake_set_clock(5600);
    char *second = take(3 * MIB);
    give(second);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 8 * MIB);
    xa_os_fake_set_clock(5999);
    assert_int_equal(xa_huge_purge(XA_HUGE_DECAYED), 0);
    xa_os_fake_set_clock(6000);
    assert_int_equal(xa_huge_purge(XA_HUGE_DECAYED), 5 * MIB);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)first, 5 * MIB));
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 3 * MIB);
    assert_int_equal(xa_huge_purge(XA_HUGE_ALL), 3 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 0);
    assert_int_equal(load(&xa_huge_counters.kept_dirty_bytes), 0);
    /* The slots are free again: the lowest is given out. */
    assert_ptr_equal(take(9 * MIB), first);
}

static void
with_decay_at_once_nothing_is_kept(void **state)
{
    (void)state;
    begin(0);
    char *object = take(5 * MIB);
    size_t mapped = xa_os_fake_mapped_bytes();
    give(object);
    assert_int_equal(xa_os_fake_mapped_bytes(), mapped - 5 * MIB);
    assert_null(xa_page_map_region(xa_page_map_granule_of((uintptr_t)object) / XA_CHUNK_GRANULES));
}

static void
the_stock_is_bounded_by_number_and_bytes(void **state)
{
    static char *objects[100];
    (void)state;
    begin(-1);
    for (int i = 0; i < 100; i++)
        objects[i] = take(3 * MIB);
    for (int i = 0; i < 100; i++)
        give(objects[i]);
    assert_in_range(load(&xa_huge_counters.kept_bytes), 20 * 3 * MIB, 32 * 3 * MIB);
    xa_huge_purge(XA_HUGE_ALL);
    xa_page_purge_dirty_max_bytes = 10 * MIB;
    for (int i = 0; i < 10; i++)
        objects[i] = take(3 * MIB);
    for (int i = 0; i < 10; i++)
        give(objects[i]);
    assert_true(load(&xa_huge_counters.kept_bytes) <= 10 * MIB);
    char *object = take(11 * MIB);
    give(object);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)object, 11 * MIB));
}

static void
shrinking_unmaps_the_end(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(9 * MIB);
    memset(object, 1, 9 * MIB);
    assert_ptr_equal(xa_huge_resize(xa_huge_of((uintptr_t)object), 5 * MIB + 1), object);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)object + 5 * MIB + PAGE, 3 * MIB));
    assert_int_equal(load(&xa_huge_counters.live_bytes), 5 * MIB + PAGE);
    assert_int_equal(object[5 * MIB], 1);
    /* And it grows again in the slots that it has. */
    assert_ptr_equal(xa_huge_resize(xa_huge_of((uintptr_t)object), 12 * MIB), object);
    assert_int_equal(object[11 * MIB], 0);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 12 * MIB);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MOVE), 0);
    give(object);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 0);
}

static void
growing_beyond_its_slots_moves_the_pages(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(7 * MIB), *neighbour = take(3 * MIB);
    memset(object, 5, 7 * MIB);
    char *moved = xa_huge_resize(xa_huge_of((uintptr_t)object), 20 * MIB);
    assert_non_null(moved);
    assert_ptr_not_equal(moved, object);
    assert_int_equal(moved[0], 5);
    assert_int_equal(moved[7 * MIB - 1], 5);
    assert_int_equal(moved[7 * MIB], 0);
    moved[20 * MIB - 1] = 1;
    assert_true(xa_os_fake_is_unmapped((uintptr_t)object, 7 * MIB));
    assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_NONE);
    assert_null(xa_page_map_region(xa_page_map_granule_of((uintptr_t)object) / XA_CHUNK_GRANULES));
    assert_int_equal(xa_page_map_class((uintptr_t)moved), XA_CLASS_HUGE);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 23 * MIB);
    /* There is room for more: later growth stays in place. */
    assert_ptr_equal(xa_huge_resize(xa_huge_of((uintptr_t)moved), 39 * MIB), moved);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MOVE), 1);
    assert_int_equal(neighbour[0], 0);
    give(moved);
    give(neighbour);
}

static void
a_resize_that_fails_leaves_the_object_as_it_is(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(7 * MIB);
    memset(object, 5, 7 * MIB);
    struct xa_huge *huge = xa_huge_of((uintptr_t)object);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(xa_huge_resize(huge, 8 * MIB));
    assert_null(xa_huge_resize(huge, 20 * MIB));
    assert_null(xa_huge_resize(huge, 3 * MIB));
    assert_null(xa_huge_resize(huge, xa_words_power(41)));
    xa_os_fake_stop_failing();
    assert_int_equal(huge->bytes, 7 * MIB);
    assert_ptr_equal(xa_huge_of((uintptr_t)object), huge);
    assert_int_equal(xa_page_map_class((uintptr_t)object), XA_CLASS_HUGE);
    assert_int_equal(object[7 * MIB - 1], 5);
    assert_int_equal(load(&xa_huge_counters.live_bytes), 7 * MIB);
    /* Something foreign behind the object: the pages move. */
    xa_os_fake_add_foreign((uintptr_t)object + 7 * MIB, PAGE);
    char *moved = xa_huge_resize(huge, 8 * MIB);
    assert_non_null(moved);
    assert_ptr_not_equal(moved, object);
    assert_int_equal(moved[7 * MIB - 1], 5);
}

static void
foreign_slots_are_passed_over(void **state)
{
    (void)state;
    begin(-1);
    char *first = take(3 * MIB);
    xa_os_fake_add_foreign((uintptr_t)first + XA_CHUNK_BYTES + 2 * MIB, PAGE);
    char *second = take(9 * MIB);
    /* Three slots are given up together, since nobody knows where in them it stands. */
    assert_ptr_equal(second, first + 4 * XA_CHUNK_BYTES);
}

static void
out_of_memory_is_null_and_leaves_nothing_behind(void **state)
{
    bool is_zeroed;
    (void)state;
    begin(-1);
    take(3 * MIB);
    size_t mapped = xa_os_fake_mapped_bytes();
    xa_os_fake_fail(XA_OS_FAKE_MAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    for (int i = 0; i < 50; i++)
        assert_null(xa_huge_take(5 * MIB, 1, &is_zeroed));
    assert_int_equal(xa_os_fake_mapped_bytes(), mapped);
    assert_int_equal(load(&xa_huge_counters.live_objects), 1);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_page_map_granule_of((uintptr_t)take(5 * MIB)), 2 * XA_CHUNK_GRANULES);
}

static void
what_is_kept_is_given_up_when_memory_runs_out(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(9 * MIB);
    give(object);
    xa_os_fake_set_mapped_max(xa_os_fake_mapped_bytes() + MIB);
    object = take(5 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 0);
}

static void
where_the_host_cannot_unmap_the_mapping_is_emptied(void **state)
{
    bool is_zeroed = false;
    (void)state;
    begin(0);
    char *object = take(5 * MIB);
    memset(object, 1, 5 * MIB);
    xa_os_fake_fail(XA_OS_FAKE_UNMAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    give(object);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 5 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_dirty_bytes), 0);
    assert_int_equal(xa_os_resident_bytes((uintptr_t)object, 5 * MIB), 0);
    assert_int_equal(xa_huge_purge(XA_HUGE_ALL), 0);
    assert_ptr_equal(xa_huge_take(5 * MIB, 1, &is_zeroed), object);
    assert_true(is_zeroed);
    assert_int_equal(object[3 * MIB], 0);
}

static void
where_the_host_refuses_everything_the_mapping_is_kept(void **state)
{
    (void)state;
    begin(-1);
    char *object = take(5 * MIB), *other = take(3 * MIB);
    object[0] = 1;
    give(object);
    give(other);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(xa_huge_purge(XA_HUGE_ALL), 0);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 8 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_dirty_bytes), 8 * MIB);
    /* Later the host is asked again. */
    xa_os_fake_stop_failing();
    assert_int_equal(xa_huge_purge(XA_HUGE_ALL), 8 * MIB);
    assert_int_equal(load(&xa_huge_counters.kept_bytes), 0);
}

static void
random_objects_keep_their_contents_and_the_books(void **state)
{
    static struct {
        char *start;
        size_t bytes;
        char mark;
    } objects[OBJECTS];
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    uint64_t now = 1000;
    (void)state;
    begin(500);
    for (int round = 0; round < ROUNDS; round++) {
        size_t index = xa_seed_below(&numbers, OBJECTS),
               bytes = xa_seed_size(&numbers, MIB, 99 * MIB);
        bool is_zeroed = false;
        xa_os_fake_set_clock(now += xa_seed_below(&numbers, 40));
        if (round % 4 == 0)
            xa_os_fake_fail(XA_OS_FAKE_ANY, 1 + xa_seed_below(&numbers, 3), XA_OS_FAKE_ONCE);
        char *start = objects[index].start;
        if (start != NULL) {
            assert_int_equal(start[0], objects[index].mark);
            assert_int_equal(start[objects[index].bytes - 1], objects[index].mark);
        }
        if (start == NULL) {
            start = xa_huge_take(bytes, (size_t)1 << xa_seed_below(&numbers, 26), &is_zeroed);
            if (start == NULL)
                continue;
            if (is_zeroed)
                assert_true(start[0] == 0 && start[bytes / 2] == 0 && start[bytes - 1] == 0);
        } else if (xa_seed_below(&numbers, 2)) {
            char *resized = xa_huge_resize(xa_huge_of((uintptr_t)start), bytes);
            if (resized == NULL)
                continue;
            start = resized;
            assert_int_equal(start[0], objects[index].mark);
        } else {
            give(start);
            objects[index].start = NULL;
            continue;
        }
        objects[index].start = start;
        objects[index].bytes = bytes;
        objects[index].mark = (char)(1 + xa_seed_below(&numbers, 100));
        start[0] = start[bytes - 1] = start[bytes / 2] = objects[index].mark;
    }
    xa_os_fake_stop_failing();
    size_t live = 0, count = 0;
    for (int i = 0; i < OBJECTS; i++)
        if (objects[i].start != NULL) {
            live += xa_huge_of((uintptr_t)objects[i].start)->bytes;
            count++;
        }
    assert_int_equal(load(&xa_huge_counters.live_bytes), live);
    assert_int_equal(load(&xa_huge_counters.live_objects), count);
    assert_int_equal(
        live + load(&xa_huge_counters.kept_bytes) + xa_page_map_limit, xa_os_fake_mapped_bytes());
}

static void
a_child_can_take_and_free(void **state)
{
    (void)state;
    begin(-1);
    give(take(3 * MIB));
    xa_huge_reset_in_child();
    give(take(3 * MIB));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(an_object_is_mapped_to_the_page),
        XA_OS_FAKE_FRESH(any_alignment_can_be_had),
        XA_OS_FAKE_FRESH(impossible_sizes_are_null),
        XA_OS_FAKE_FRESH(a_freed_mapping_is_kept_and_used_again),
        XA_OS_FAKE_FRESH(what_is_much_too_large_is_not_taken_from_the_stock),
        XA_OS_FAKE_FRESH(kept_mappings_are_unmapped_when_their_time_is_over),
        XA_OS_FAKE_FRESH(with_decay_at_once_nothing_is_kept),
        XA_OS_FAKE_FRESH(the_stock_is_bounded_by_number_and_bytes),
        XA_OS_FAKE_FRESH(shrinking_unmaps_the_end),
        XA_OS_FAKE_FRESH(growing_beyond_its_slots_moves_the_pages),
        XA_OS_FAKE_FRESH(a_resize_that_fails_leaves_the_object_as_it_is),
        XA_OS_FAKE_FRESH(foreign_slots_are_passed_over),
        XA_OS_FAKE_FRESH(out_of_memory_is_null_and_leaves_nothing_behind),
        XA_OS_FAKE_FRESH(what_is_kept_is_given_up_when_memory_runs_out),
        XA_OS_FAKE_FRESH(where_the_host_cannot_unmap_the_mapping_is_emptied),
        XA_OS_FAKE_FRESH(where_the_host_refuses_everything_the_mapping_is_kept),
        XA_OS_FAKE_FRESH(random_objects_keep_their_contents_and_the_books),
        XA_OS_FAKE_FRESH(a_child_can_take_and_free),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
