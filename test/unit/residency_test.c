/*
 * residency_test.c - each page in memory is put down to what it is used for.
 */
#include "control/residency.h"

#include "support/os_fake.h"

#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "extent/metadata.h"
#include "page/huge.h"
#include "support/seed.h"
#include "thread/large_stock.h"
#include "thread/thread_cache.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { MIB = 1 << 20, KIB = 1 << 10, OBJECTS = 1000, STATIC_BYTES = 64 * KIB };

static struct xa_residency r;
static uint64_t seed;

static void
measure(void)
{
    memset(&r, 0x5a, sizeof r);
    xa_residency_measure(&r);
}

static void *
take(size_t bytes)
{
    return memset(xa_fast_malloc(bytes), 1, bytes);
}

static void
nothing_is_there_before_the_first_call(void **state)
{
    (void)state;
    xa_os_init();
    measure();
    for (unsigned i = 1; i < XA_RESIDENCY_KINDS; i++)
        assert_int_equal(r.bytes[i], 0);
}

static void
live_objects_are_told_by_their_kind(void **state)
{
    (void)state;
    void *small = take(4096);
    take(100 * KIB);
    take(5 * MIB + 1);
    measure();
    assert_non_null(small);
    assert_int_equal(r.bytes[xa_size_class_of(4096)], 4096);
    assert_int_equal(r.bytes[XA_RESIDENCY_LARGE], 100 * KIB);
    assert_int_equal(r.bytes[XA_RESIDENCY_HUGE], 5 * MIB + 4096);
    assert_int_equal(r.large_rounding, 12 * KIB + 4095);
    assert_int_equal(r.bytes[XA_RESIDENCY_DIRTY], 0);
    assert_true(r.bytes[XA_RESIDENCY_METADATA] > 0);
    assert_int_equal(r.bytes[XA_RESIDENCY_LIBRARY], 0);
}

static void
untouched_pages_are_not_there(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(MIB));
    char *object = xa_fast_malloc(MIB);
    object[0] = object[MIB / 2] = 1;
    measure();
    assert_int_equal(r.bytes[XA_RESIDENCY_LARGE], 2 * 4096);
}

static void
freed_objects_are_stock_dirty_kept_or_clean(void **state)
{
    (void)state;
    void *objects[] = {take(MIB), take(MIB), take(8 * MIB), take(MIB), take(MIB)};
    /* A wall behind them. */
    take(70 * KIB);
    for (unsigned i = 0; i < 5; i++)
        xa_fast_free(objects[i]);
    measure();
    assert_int_equal(r.bytes[XA_RESIDENCY_STOCK], 4 * MIB);
    assert_int_equal(r.bytes[XA_RESIDENCY_KEPT], 8 * MIB);
    assert_int_equal(r.bytes[XA_RESIDENCY_DIRTY], 0);
    assert_true(xa_large_stock_empty_own(xa_thread_state_self, XA_LARGE_STOCK_ALL) == 4 * MIB);
    measure();
    assert_int_equal(r.bytes[XA_RESIDENCY_STOCK], 0);
    assert_int_equal(r.bytes[XA_RESIDENCY_DIRTY], 4 * MIB);
    assert_true(r.runs[XA_RESIDENCY_RUN_LENGTHS - 1].dirty_bytes >= 3 * MIB);
    xa_thread_cache_flush(xa_start_thread());
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
    measure();
    assert_int_equal(r.bytes[XA_RESIDENCY_DIRTY], 0);
    assert_int_equal(r.bytes[XA_RESIDENCY_KEPT], 0);
    assert_int_equal(r.bytes[XA_RESIDENCY_CLEAN], 0);
    assert_int_equal(r.bytes[XA_RESIDENCY_LARGE], 80 * KIB - 10 * KIB + 2 * KIB);
}

/* The sum of all kinds is what the host has, whatever the program does. */
static void
the_sum_is_the_host_s(void **state)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 0);
    static void *objects[OBJECTS];
    (void)state;
    for (int round = 0; round < 6000; round++) {
        void **object = &objects[xa_seed_below(&numbers, OBJECTS)];
        if (*object != NULL)
            xa_fast_free(*object);
        size_t bytes = xa_seed_size(&numbers, 1, xa_seed_below(&numbers, 80) ? 50000 : 5 * MIB);
        *object = xa_seed_below(&numbers, 3) == 0 ? NULL : take(bytes);
        if (round % 500 != 0)
            continue;
        measure();
        size_t sum = 0;
        for (unsigned i = 1; i < XA_RESIDENCY_KINDS; i++)
            sum += r.bytes[i];
        assert_in_range(
            sum, xa_os_fake_resident_bytes(), xa_os_fake_resident_bytes() + STATIC_BYTES);
    }
}

static void
free_runs_are_counted_by_their_length(void **state)
{
    (void)state;
    /* Walls between runs of 5, 6 and 9 granules. */
    static const unsigned granules[] = {5, 6, 9};
    void *objects[3];
    for (unsigned i = 0; i < 3; i++) {
        objects[i] = take(granules[i] * (size_t)XA_GRANULE_BYTES);
        take(5 * (size_t)XA_GRANULE_BYTES);
    }
    measure();
    struct xa_residency before = r;
    for (unsigned i = 0; i < 3; i++)
        xa_fast_free(objects[i]);
    (void)xa_large_stock_empty_own(xa_thread_state_self, XA_LARGE_STOCK_ALL);
    measure();
    /* Up to 8 granules, and up to 16. */
    assert_int_equal(r.runs[3].count, before.runs[3].count + 2);
    assert_int_equal(r.runs[3].dirty_bytes, before.runs[3].dirty_bytes + 11 * XA_GRANULE_BYTES);
    assert_int_equal(r.runs[4].count, before.runs[4].count + 1);
    assert_int_equal(r.runs[4].dirty_bytes, before.runs[4].dirty_bytes + 9 * XA_GRANULE_BYTES);
}

static void
large_pages_are_put_down_to_runs_as_well(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    take(100 * KIB);
    take(4096);
    take(3 * MIB);
    measure();
    assert_int_equal(r.bytes[XA_RESIDENCY_LARGE], 128 * KIB);
    assert_int_equal(r.bytes[xa_size_class_of(4096)], 64 * KIB);
    assert_int_equal(r.bytes[XA_RESIDENCY_HUGE], 3 * MIB);
}

static void
the_library_s_file_counts_without_metadata_in_it(void **state)
{
    (void)state;
    take(100);
    xa_os_fake_set_library(MIB, 128 * KIB);
    measure();
    assert_int_equal(xa_residency_library_bytes(), 128 * KIB);
    assert_int_equal(r.bytes[XA_RESIDENCY_LIBRARY], 64 * KIB);
    uintptr_t start;
    assert_int_equal(xa_metadata_static_range(&start), STATIC_BYTES);
    xa_os_fake_set_library(start - 128 * KIB, 256 * KIB);
    measure();
    assert_int_equal(xa_residency_library_bytes(), 256 * KIB - STATIC_BYTES);
    assert_int_equal(r.bytes[XA_RESIDENCY_LIBRARY], 128 * KIB - STATIC_BYTES / 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(nothing_is_there_before_the_first_call),
        XA_OS_FAKE_FRESH(live_objects_are_told_by_their_kind),
        XA_OS_FAKE_FRESH(untouched_pages_are_not_there),
        XA_OS_FAKE_FRESH(freed_objects_are_stock_dirty_kept_or_clean),
        XA_OS_FAKE_FRESH(the_sum_is_the_host_s),
        XA_OS_FAKE_FRESH(free_runs_are_counted_by_their_length),
        XA_OS_FAKE_FRESH(large_pages_are_put_down_to_runs_as_well),
        XA_OS_FAKE_FRESH(the_library_s_file_counts_without_metadata_in_it),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
