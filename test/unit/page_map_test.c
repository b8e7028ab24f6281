/*
 * page_map_test.c - any address may be asked, and the answer is what was said last.
 */
#include "extent/page_map.h"

#include "support/os_fake.h"

#include <string.h>

static uintptr_t base;

/* A window somewhere, covered for `steps` steps. */
static void
place(unsigned steps)
{
    xa_os_init();
    uintptr_t table = xa_os_find_free_range((size_t)XA_PAGE_MAP_STEPS * xa_page_map_step_bytes());
    assert_int_not_equal(table, 0);
    base = (table & ~(uintptr_t)(XA_CHUNK_BYTES - 1)) + ((uintptr_t)1 << 30);
    xa_page_map_init(base);
    for (unsigned i = 0; i < steps; i++)
        assert_true(xa_page_map_grow());
}

static void
before_it_is_placed_nothing_is_ours(void **state)
{
    (void)state;
    for (uintptr_t bit = 1; bit != 0; bit <<= 1) {
        assert_int_equal(xa_page_map_class(bit), XA_CLASS_NONE);
        assert_int_equal(xa_page_map_class(~bit), XA_CLASS_NONE);
        assert_null(xa_page_map_region(bit));
    }
    assert_int_equal(xa_page_map_class(0), XA_CLASS_NONE);
}

static void
addresses_outside_of_what_is_covered_are_not_ours(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    place(1);
    size_t covered = (size_t)XA_PAGE_MAP_STEP_SLOTS * XA_CHUNK_BYTES;
    xa_page_map_set_class(0, 1, 5);
    xa_page_map_set_class(XA_PAGE_MAP_STEP_SLOTS * XA_CHUNK_GRANULES - 1, 1, 6);
    assert_int_equal(xa_page_map_class(base), 5);
    assert_int_equal(xa_page_map_class(base + XA_GRANULE_BYTES - 1), 5);
    assert_int_equal(xa_page_map_class(base + XA_GRANULE_BYTES), XA_CLASS_NONE);
    assert_int_equal(xa_page_map_class(base - 1), XA_CLASS_NONE);
    assert_int_equal(xa_page_map_class(base + covered - 1), 6);
    assert_int_equal(xa_page_map_class(base + covered), XA_CLASS_NONE);
    assert_int_equal(xa_page_map_class(0), XA_CLASS_NONE);
    assert_int_equal(xa_page_map_class(UINTPTR_MAX), XA_CLASS_NONE);
}

static void
classes_are_those_that_were_set(void **state)
{
    (void)state;
    place(1);
    xa_page_map_set_class(100, 50, 7);
    for (size_t granule = 90; granule < 160; granule++)
        assert_int_equal(xa_page_map_class(xa_page_map_address_of(granule)),
            granule >= 100 && granule < 150 ? 7 : XA_CLASS_NONE);
    assert_int_equal(xa_page_map_granule_of(xa_page_map_address_of(100) + 5), 100);
}

static void
of_all_who_take_a_class_the_first_gets_it(void **state)
{
    (void)state;
    place(1);
    xa_page_map_set_class(300, 1, XA_CLASS_LARGE);
    assert_int_equal(xa_page_map_take_class(300), XA_CLASS_LARGE);
    assert_int_equal(xa_page_map_take_class(300), XA_CLASS_NONE);
    assert_int_equal(xa_page_map_class(xa_page_map_address_of(300)), XA_CLASS_NONE);
}

static void
each_step_covers_as_much_again(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    place(0);
    for (size_t step = 1; step <= 4; step++) {
        size_t last = step * XA_PAGE_MAP_STEP_SLOTS - 1;
        assert_null(xa_page_map_region(last));
        assert_true(xa_page_map_grow());
        assert_int_equal(xa_page_map_limit, step * xa_page_map_step_bytes());
        struct xa_region region = {.slot = (uint32_t)last};
        xa_page_map_set_region(last, &region);
        assert_ptr_equal(xa_page_map_region(last), &region);
        xa_page_map_set_region(last, NULL);
        assert_null(xa_page_map_region(last));
    }
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MAP), 4);
}

static void
any_slot_may_be_asked_for_its_region(void **state)
{
    (void)state;
    place(1);
    assert_null(xa_page_map_region(0));
    assert_null(xa_page_map_region(XA_PAGE_MAP_STEP_SLOTS));
    assert_null(xa_page_map_region(XA_PAGE_MAP_SLOTS - 1));
    assert_null(xa_page_map_region(XA_PAGE_MAP_SLOTS));
    assert_null(xa_page_map_region(SIZE_MAX));
}

static void
growing_ends_with_the_last_step(void **state)
{
    (void)state;
    place(XA_PAGE_MAP_STEPS);
    assert_int_equal(xa_page_map_limit, (size_t)XA_PAGE_MAP_SLOTS * XA_CHUNK_GRANULES);
    assert_false(xa_page_map_grow());
    xa_page_map_set_class((size_t)XA_PAGE_MAP_SLOTS * XA_CHUNK_GRANULES - 1, 1, 9);
    assert_int_equal(
        xa_page_map_class(base + (uintptr_t)XA_PAGE_MAP_SLOTS * XA_CHUNK_BYTES - 1), 9);
}

static void
growing_fails_without_memory_and_can_be_repeated(void **state)
{
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    place(1);
    for (unsigned long nth = 1; nth <= 2; nth++) {
        xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_ONCE);
        assert_false(xa_page_map_grow());
        assert_int_equal(xa_page_map_limit, xa_page_map_step_bytes());
        assert_null(xa_page_map_region(XA_PAGE_MAP_STEP_SLOTS));
    }
    xa_os_fake_add_foreign(
        (uintptr_t)xa_page_map_classes() + xa_page_map_step_bytes() + 4096, 4096);
    assert_false(xa_page_map_grow());
    xa_os_fake_remove_foreign();
    assert_true(xa_page_map_grow());
}

static void
records_of_a_run_lead_to_its_head(void **state)
{
    static struct xa_chunk chunk = {.region = {.kind = XA_REGION_CHUNK, .slot = 3}};
    struct xa_extent *records = chunk.records;
    size_t first = 3 * XA_CHUNK_GRANULES;
    (void)state;
    place(1);
    xa_page_map_set_region(3, &chunk.region);
    records[10] = (struct xa_extent){.kind = XA_EXTENT_SLAB, .granules = 4};
    for (uint32_t i = 1; i < 4; i++)
        records[10 + i] = (struct xa_extent){.kind = XA_EXTENT_TAIL, .granules = i};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(xa_page_map_head(first + 10 + i), first + 10);
    assert_ptr_equal(xa_page_map_chunk_of(first), &chunk);
    assert_ptr_equal(xa_page_map_record(first + 255), &records[255]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(before_it_is_placed_nothing_is_ours),
        XA_OS_FAKE_FRESH(addresses_outside_of_what_is_covered_are_not_ours),
        XA_OS_FAKE_FRESH(classes_are_those_that_were_set),
        XA_OS_FAKE_FRESH(of_all_who_take_a_class_the_first_gets_it),
        XA_OS_FAKE_FRESH(each_step_covers_as_much_again),
        XA_OS_FAKE_FRESH(any_slot_may_be_asked_for_its_region),
        XA_OS_FAKE_FRESH(growing_ends_with_the_last_step),
        XA_OS_FAKE_FRESH(growing_fails_without_memory_and_can_be_repeated),
        XA_OS_FAKE_FRESH(records_of_a_run_lead_to_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
