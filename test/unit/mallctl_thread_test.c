/*
 * mallctl_thread_test.c - the calling thread's arena, cache and sums.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "support/controls.h"
#include "support/threads.h"
#include "thread/thread_cache.h"

/* As a program's own settings. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,narenas:3";

enum { OBJECTS = 1000, BYTES = 100, CLASS_BYTES = 112, MIB = 1 << 20, SECONDS = 60 };

static void *objects[OBJECTS];

static void
take_all(size_t bytes)
{
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = xa_fast_malloc(bytes);
}

static void
free_all(void)
{
    for (int i = 0; i < OBJECTS; i++)
        xa_fast_free(objects[i]);
}

static size_t
cached(void)
{
    size_t sum = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        sum += xa_thread_state_objects(xa_thread_state_self, c);
    return sum;
}

static void
the_sums_grow_by_what_is_taken_and_freed(void **state)
{
    (void)state;
    uint64_t before = xa_controls_read("thread.allocated");
    take_all(BYTES);
    assert_int_equal(
        xa_controls_read("thread.allocated") - before, (uint64_t)OBJECTS * CLASS_BYTES);
    assert_int_equal(xa_controls_read("thread.deallocated"), 0);
    free_all();
    assert_int_equal(xa_controls_read("thread.deallocated"), (uint64_t)OBJECTS * CLASS_BYTES);
    assert_int_equal(
        xa_controls_read("thread.allocated") - before, (uint64_t)OBJECTS * CLASS_BYTES);
}

static void
the_next_malloc_is_seen_behind_the_pointer(void **state)
{
    (void)state;
    xa_fast_free(xa_fast_malloc(1));
    take_all(1);
    free_all();
    const uint64_t *allocated = (const uint64_t *)(uintptr_t)xa_controls_read("thread.allocatedp");
    uint64_t before = *allocated;
    void *volatile object = xa_fast_malloc(1);
    assert_true(*allocated > before);
    xa_fast_free(object);
    assert_ptr_equal(allocated, (const uint64_t *)(uintptr_t)xa_controls_read("thread.allocatedp"));
    const uint64_t *deallocated =
        (const uint64_t *)(uintptr_t)xa_controls_read("thread.deallocatedp");
    assert_int_equal(*allocated, *deallocated);
}

static void
large_and_huge_objects_are_counted_one_by_one(void **state)
{
    static const size_t sizes[] = {100 * 1024, MIB, 3 * MIB};
    (void)state;
    const uint64_t *allocated = (const uint64_t *)(uintptr_t)xa_controls_read("thread.allocatedp");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t taken = *allocated, freed = xa_controls_read("thread.deallocated");
        void *object = xa_fast_malloc(sizes[i]);
        size_t usable = xa_release_usable_bytes(object, "test");
        assert_int_equal(*allocated - taken, usable);
        /* Growing is freeing and taking, in place or not. */
        object = xa_resize(object, sizes[i] + 64 * 1024);
        size_t grown = xa_release_usable_bytes(object, "test");
        assert_int_equal(*allocated - taken, usable + grown);
        xa_fast_free(object);
        assert_int_equal(xa_controls_read("thread.deallocated") - freed, usable + grown);
    }
}

static void
the_peak_is_the_largest_difference_since_its_reset(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_read("thread.peak.read"), 0);
    take_all(BYTES);
    free_all();
    uint64_t peak = xa_controls_read("thread.peak.read");
    /* Within what the cache can hide. */
    assert_in_range(peak, (uint64_t)(OBJECTS - 130) * CLASS_BYTES, (uint64_t)OBJECTS * CLASS_BYTES);
    assert_int_equal(xa_controls_do("thread.peak.reset"), 0);
    assert_int_equal(xa_controls_read("thread.peak.read"), 0);
    void *object = xa_fast_malloc(MIB);
    assert_in_range(xa_controls_read("thread.peak.read"), MIB, MIB + CLASS_BYTES);
    xa_fast_free(object);
}

static void
a_flush_empties_the_cache_and_changes_no_sum(void **state)
{
    (void)state;
    take_all(BYTES);
    free_all();
    uint64_t allocated = xa_controls_read("thread.allocated");
    uint64_t deallocated = xa_controls_read("thread.deallocated");
    assert_int_not_equal(cached(), 0);
    assert_int_equal(xa_controls_do("thread.tcache.flush"), 0);
    assert_int_equal(cached(), 0);
    take_all(BYTES);
    /* What is freed before anybody looks would hide what was taken. */
    uint64_t more = xa_controls_read("thread.allocated") - allocated;
    free_all();
    assert_int_not_equal(cached(), 0);
    assert_int_equal(xa_controls_do("thread.idle"), 0);
    assert_int_equal(cached(), 0);
    assert_int_equal(xa_controls_read("thread.deallocated") - deallocated, more);
    assert_int_equal(more, (uint64_t)OBJECTS * CLASS_BYTES);
}

static void
a_cache_that_is_switched_off_holds_nothing(void **state)
{
    (void)state;
    take_all(BYTES);
    free_all();
    assert_int_equal(xa_controls_read("thread.tcache.enabled"), true);
    assert_int_equal(xa_controls_write("thread.tcache.enabled", false), 0);
    assert_int_equal(xa_controls_read("thread.tcache.enabled"), false);
    assert_int_equal(xa_controls_read("thread.tcache.max"), 0);
    assert_int_equal(cached(), 0);
    take_all(BYTES);
    free_all();
    xa_fast_free(xa_fast_malloc(MIB));
    assert_int_equal(cached(), 0);
    xa_controls_refresh();
    assert_int_equal(xa_controls_read("xalloc.stats.thread_cached"), 0);
    assert_int_equal(xa_controls_write("thread.tcache.enabled", true), 0);
    take_all(BYTES);
    free_all();
    assert_int_not_equal(cached(), 0);
}

static void
objects_above_a_thread_s_own_bound_are_not_cached(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_read("thread.tcache.max"), 2 * MIB);
    assert_int_equal(xa_controls_write("thread.tcache.max", BYTES), 0);
    assert_int_equal(xa_controls_read("thread.tcache.max"), CLASS_BYTES);
    assert_int_equal(xa_controls_read("thread.tcache.enabled"), true);
    take_all(CLASS_BYTES + 1);
    free_all();
    assert_int_equal(cached(), 0);
    take_all(CLASS_BYTES);
    free_all();
    assert_int_not_equal(cached(), 0);
    assert_int_equal(xa_controls_write("thread.tcache.max", SIZE_MAX), 0);
    assert_int_equal(xa_controls_read("thread.tcache.max"), 2 * MIB);
}

static void
a_new_thread_has_neither_the_bound_nor_the_sums_of_the_last(unsigned index, void *argument)
{
    uint64_t *sums = argument;
    sums[index] = xa_controls_read("thread.allocated");
    if (xa_controls_read("thread.tcache.enabled") != 1)
        abort();
    if (xa_controls_write("thread.tcache.enabled", false) != 0)
        abort();
    for (int i = 0; i < 10; i++)
        xa_fast_free(xa_fast_malloc(5000));
    if (xa_controls_read("thread.allocated") < UINT64_C(50000))
        abort();
}

static void
threads_begin_with_nothing(void **state)
{
    uint64_t sums[1] = {1};
    (void)state;
    assert_non_null(xa_start_thread());
    for (int i = 0; i < 3; i++) {
        assert_true(xa_threads_run(
            1, a_new_thread_has_neither_the_bound_nor_the_sums_of_the_last, sums, SECONDS));
        assert_int_equal(sums[0], 0);
    }
}

static void
a_thread_moves_to_another_arena(void **state)
{
    (void)state;
    assert_non_null(xa_start_thread());
    assert_int_equal(xa_controls_read("thread.arena"), 0);
    assert_int_equal(xa_controls_read("arena.2.initialized"), false);
    assert_int_equal(xa_controls_write("thread.arena", 2), 0);
    assert_int_equal(xa_controls_read("thread.arena"), 2);
    assert_int_equal(xa_controls_read("arena.2.initialized"), true);
    take_all(BYTES);
    xa_controls_refresh();
    assert_true(xa_controls_read("stats.arenas.2.small.allocated") > OBJECTS / 2 * BYTES);
    assert_int_equal(xa_controls_read("stats.arenas.2.nthreads"), 1);
    assert_int_equal(xa_controls_read("stats.arenas.0.nthreads"), 0);
    free_all();
    assert_int_equal(xa_controls_write("thread.arena", 3), EFAULT);
    assert_int_equal(xa_controls_write("thread.arena", 4096), EFAULT);
    assert_int_equal(xa_controls_read("thread.arena"), 2);
    assert_int_equal(xa_controls_write("thread.arena", 0), 0);
}

static void
inside_an_allocation_a_handler_gets_eagain(void **state)
{
    struct xa_thread_state *self;
    (void)state;
    assert_true(xa_start_enter(&self));
    assert_int_equal(xa_controls_error("thread.allocated"), EAGAIN);
    assert_int_equal(xa_controls_do("thread.tcache.flush"), EAGAIN);
    xa_start_leave(self);
    assert_int_equal(xa_controls_error("thread.allocated"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_sums_grow_by_what_is_taken_and_freed),
        XA_OS_FAKE_FRESH(the_next_malloc_is_seen_behind_the_pointer),
        XA_OS_FAKE_FRESH(large_and_huge_objects_are_counted_one_by_one),
        XA_OS_FAKE_FRESH(the_peak_is_the_largest_difference_since_its_reset),
        XA_OS_FAKE_FRESH(a_flush_empties_the_cache_and_changes_no_sum),
        XA_OS_FAKE_FRESH(a_cache_that_is_switched_off_holds_nothing),
        XA_OS_FAKE_FRESH(objects_above_a_thread_s_own_bound_are_not_cached),
        XA_OS_FAKE_FRESH(threads_begin_with_nothing),
        XA_OS_FAKE_FRESH(a_thread_moves_to_another_arena),
        XA_OS_FAKE_FRESH(inside_an_allocation_a_handler_gets_eagain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
