/*
 * private_map_test.c - from any address to the extent that covers it.
 */
#include "arena/private_map.h"

#include "support/os_fake.h"

#include "config/size_class.h"
#include "support/seed.h"

enum {
    GRANULE = XA_GRANULE_BYTES,
    EXTENTS = 200,
    ROUNDS = 3000,
    BYTES_MAX = 40 << 20,
    ADDRESS_BITS = 8 * sizeof(uintptr_t),
    HAS_WIDE_ADDRESSES = ADDRESS_BITS > 48, /* the whole tree is in use, and there is a beyond */
};

/* Where leaves, branches and the tree itself end. */
static const uint64_t borders[] = {(uint64_t)1 << 24, (uint64_t)1 << 36, (uint64_t)1 << 48};

static uint64_t seed;

/* The map never looks into what it leads to. */
static struct xa_private_extent *
extent(size_t number)
{
    return (struct xa_private_extent *)(uintptr_t)(64 * (number + 1));
}

static void
nothing_is_found_before_anything_is_inserted(void **state)
{
    (void)state;
    xa_os_init();
    assert_false(xa_private_map_is_used());
    for (unsigned bit = 0; bit < ADDRESS_BITS; bit++)
        assert_null(xa_private_map_find((uintptr_t)1 << bit));
    assert_null(xa_private_map_find(UINTPTR_MAX));
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MAP_ANYWHERE), 0);
}

static void
an_extent_is_found_by_each_of_its_addresses_and_no_other(void **state)
{
    (void)state;
    xa_os_init();
    /* Across the border of nodes of every level. */
    const uintptr_t starts[] = {GRANULE, (uintptr_t)borders[0] - GRANULE,
        (uintptr_t)borders[1] - GRANULE, (uintptr_t)borders[2] - 2 * GRANULE};
    for (size_t i = 0; i < (HAS_WIDE_ADDRESSES ? 4 : 2); i++) {
        assert_int_equal(
            xa_private_map_insert(starts[i], 2 * GRANULE, extent(i)), XA_PRIVATE_MAP_DONE);
        assert_true(xa_private_map_is_used());
        assert_null(xa_private_map_find(starts[i] - 1));
        assert_ptr_equal(xa_private_map_find(starts[i]), extent(i));
        assert_ptr_equal(xa_private_map_find(starts[i] + GRANULE + 5), extent(i));
        assert_ptr_equal(xa_private_map_find(starts[i] + 2 * GRANULE - 1), extent(i));
        assert_null(xa_private_map_find(starts[i] + 2 * GRANULE));
        xa_private_map_set(starts[i], 2 * GRANULE, NULL);
        assert_null(xa_private_map_find(starts[i]));
    }
}

static void
what_is_taken_or_out_of_range_is_refused(void **state)
{
    (void)state;
    xa_os_init();
    uintptr_t start = (uintptr_t)1 << 30;
    assert_int_equal(xa_private_map_insert(start, 4 * GRANULE, extent(1)), XA_PRIVATE_MAP_DONE);
    assert_int_equal(
        xa_private_map_insert(start - GRANULE, 2 * GRANULE, extent(2)), XA_PRIVATE_MAP_TAKEN);
    assert_null(xa_private_map_find(start - GRANULE));
    assert_int_equal(xa_private_map_insert(-(uintptr_t)GRANULE, 2 * GRANULE, extent(2)),
        XA_PRIVATE_MAP_NO_MEMORY);
    if (!HAS_WIDE_ADDRESSES)
        return;
    uintptr_t end = (uintptr_t)borders[2];
    assert_int_equal(xa_private_map_insert(end, GRANULE, extent(2)), XA_PRIVATE_MAP_NO_MEMORY);
    assert_int_equal(
        xa_private_map_insert(end - GRANULE, 2 * GRANULE, extent(2)), XA_PRIVATE_MAP_NO_MEMORY);
}

static void
without_memory_nothing_changes(void **state)
{
    (void)state;
    xa_os_init();
    /* So many leaves that no memory is left over for them from before. */
    uintptr_t start = (uintptr_t)borders[HAS_WIDE_ADDRESSES ? 1 : 0] - GRANULE;
    size_t bytes = GRANULE + 16 * (size_t)borders[0];
    unsigned nth = 1;
    for (;; nth++) {
        xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, nth, XA_OS_FAKE_FROM_THEN_ON);
        enum xa_private_map_result result = xa_private_map_insert(start, bytes, extent(1));
        xa_os_fake_stop_failing();
        if (result == XA_PRIVATE_MAP_DONE)
            break;
        assert_int_equal(result, XA_PRIVATE_MAP_NO_MEMORY);
        assert_null(xa_private_map_find(start));
        assert_null(xa_private_map_find(start + GRANULE));
        assert_null(xa_private_map_find(start + bytes - 1));
    }
    assert_true(nth > 1);
    assert_ptr_equal(xa_private_map_find(start + GRANULE), extent(1));
    assert_ptr_equal(xa_private_map_find(start + bytes - 1), extent(1));
}

static void
random_extents_are_found(void **state)
{
    static uintptr_t starts[EXTENTS];
    static size_t sizes[EXTENTS];
    (void)state;
    xa_os_init();
    struct xa_seed_random random = xa_seed_start(seed, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&random, EXTENTS);
        if (sizes[i] != 0) {
            uintptr_t inside = starts[i] + xa_seed_below(&random, sizes[i]);
            assert_ptr_equal(xa_private_map_find(inside), extent(i));
            xa_private_map_set(starts[i], sizes[i], NULL);
            assert_null(xa_private_map_find(inside));
            sizes[i] = 0;
            continue;
        }
        starts[i] = (xa_seed_next(&random) >> (18 + xa_seed_below(&random, 20))) * GRANULE %
            ((uintptr_t)1 << (HAS_WIDE_ADDRESSES ? 47 : ADDRESS_BITS - 1));
        sizes[i] = xa_seed_size(&random, 1, BYTES_MAX / GRANULE) * GRANULE;
        if (xa_private_map_insert(starts[i], sizes[i], extent(i)) != XA_PRIVATE_MAP_DONE)
            sizes[i] = 0;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(nothing_is_found_before_anything_is_inserted),
        XA_OS_FAKE_FRESH(an_extent_is_found_by_each_of_its_addresses_and_no_other),
        XA_OS_FAKE_FRESH(what_is_taken_or_out_of_range_is_refused),
        XA_OS_FAKE_FRESH(without_memory_nothing_changes),
        XA_OS_FAKE_FRESH(random_extents_are_found),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("private_map", tests, NULL, NULL);
}
