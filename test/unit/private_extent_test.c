/*
 * private_extent_test.c - extents of an arena: split, merged, reused, given back in steps.
 */
#include "arena/private_extent.h"

#include "support/os_fake.h"

#include <limits.h>
#include <string.h>

#include "arena/private_map.h"
#include "support/hooks.h"
#include "support/own_arena.h"

enum { KIB = 1024, MIB = 1024 * KIB };

/* An arena that is entered all the time. */
static struct xa_private_arena *arena;

static void
begin(void)
{
    arena = xa_own_arena_enter();
}

static struct xa_private_extent *
take(size_t bytes, size_t alignment) XA_NO_ANALYSIS
{
    struct xa_private_extent *extent =
        xa_private_extent_take(arena, bytes, bytes, alignment, false);
    assert_non_null(extent);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_BUSY);
    assert_true(extent->bytes >= bytes);
    assert_int_equal(extent->address % alignment, 0);
    memset((void *)extent->address, 1, extent->bytes);
    return extent;
}

static void
give(struct xa_private_extent *extent) XA_NO_ANALYSIS
{
    xa_private_extent_give(arena, extent, XA_PRIVATE_DIRTY);
}

static void
free_neighbours_become_one_and_are_split_again(void **state)
{
    (void)state;
    begin();
    struct xa_private_extent *a = take(MIB, 1), *b = take(MIB, 1), *c = take(MIB, 1);
    uintptr_t start = a->address;
    give(a);
    give(c);
    assert_int_equal(xa_hooks_extents(), 3);
    give(b);
    assert_int_equal(xa_hooks_extents(), 1);
    assert_int_equal(xa_hooks_calls(XA_HOOK_MERGE), 2);
    assert_ptr_equal(
        xa_private_map_find(start), xa_private_map_find(start + 3 * (uintptr_t)MIB - 1));
    a = take(2 * MIB, 1);
    assert_int_equal(a->address, start);
    assert_int_equal(a->bytes, 2 * MIB);
    assert_int_equal(xa_hooks_extents(), 2);
    assert_ptr_not_equal(
        xa_private_map_find(start), xa_private_map_find(start + 2 * (uintptr_t)MIB));
}

static void
what_cannot_be_split_serves_if_little_is_wasted(void **state)
{
    (void)state;
    begin();
    xa_hooks_fail(XA_HOOK_SPLIT, ULONG_MAX);
    struct xa_private_extent *extent = take(10 * MIB, 1);
    uintptr_t start = extent->address;
    give(extent);
    assert_int_not_equal(take(2 * MIB, 1)->address, start);
    extent = take(9 * MIB, 1);
    assert_int_equal(extent->address, start);
    assert_int_equal(extent->bytes, 10 * MIB);
}

static void
the_best_fit_is_taken_and_alignment_is_met(void **state)
{
    (void)state;
    begin();
    struct xa_private_extent *large = take(8 * MIB, 1), *gap = take(MIB, 1),
                             *small = take(2 * MIB, 1);
    uintptr_t address = small->address;
    give(large);
    give(small);
    assert_int_equal(take(2 * MIB, 1)->address, address);
    assert_int_equal(take(256 * KIB, 4 * MIB)->address % (4 * MIB), 0);
    give(gap);
}

static void
an_extent_grows_into_free_memory_and_new_one(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    struct xa_private_extent *a = take(MIB, 1), *b = take(4 * MIB, 1);
    give(b);
    assert_true(xa_private_extent_grow(arena, a, 3 * MIB));
    assert_int_equal(a->bytes, 3 * MIB);
    assert_false(xa_private_extent_grow(arena, a, 20 * MIB));
    assert_true(xa_private_extent_grow(arena, a, 5 * MIB));
    assert_int_equal(xa_hooks_extents(), 1);
    /* Behind the last extent the hooks have room. */
    assert_true(xa_private_extent_grow(arena, a, 7 * MIB));
    assert_int_equal(a->bytes, 7 * MIB);
    assert_int_equal(xa_hooks_extents(), 1);
    xa_hooks_fail(XA_HOOK_MERGE, ULONG_MAX);
    assert_false(xa_private_extent_grow(arena, a, 8 * MIB));
    assert_int_equal(a->bytes, 7 * MIB);
    assert_true(xa_private_extent_shrink(arena, a, MIB));
    assert_int_equal(a->bytes, MIB);
    xa_hooks_fail(XA_HOOK_SPLIT, 1);
    assert_false(xa_private_extent_shrink(arena, a, 512 * KIB));
    assert_int_equal(a->bytes, MIB);
}

/* Give one back when it is due; what hooks were called says how far it went. */
static void
give_back_with(enum xa_hook first_refusing, enum xa_hook last_refusing) XA_NO_ANALYSIS
{
    begin();
    for (enum xa_hook hook = first_refusing; hook <= last_refusing; hook++)
        if (hook != XA_HOOK_DESTROY && hook != XA_HOOK_COMMIT)
            xa_hooks_fail(hook, ULONG_MAX);
    give(take(4 * MIB, 1));
    xa_private_extent_decay(arena, XA_PRIVATE_DECAYED);
    xa_os_fake_set_clock(5000);
    xa_private_extent_decay(arena, XA_PRIVATE_DECAYED);
}

static void
cleanup_goes_from_dalloc_to_decommit_to_purges(void **state) XA_NO_ANALYSIS
{
    (void)state;
    give_back_with(XA_HOOK_DALLOC, XA_HOOK_DALLOC);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DECOMMIT), 1);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 0);
    struct xa_private_extent *extent = take(4 * MIB, 1);
    assert_int_equal(xa_hooks_calls(XA_HOOK_COMMIT), 1);
    assert_true(extent->is_committed);
}

static void
without_decommit_the_forced_purge_makes_zeros(void **state)
{
    (void)state;
    give_back_with(XA_HOOK_DALLOC, XA_HOOK_DECOMMIT);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 1);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_LAZY), 0);
    assert_true(arena->free[XA_PRIVATE_RETAINED]->is_zeroed);
}

static void
the_lazy_purge_comes_last_and_makes_no_zeros(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    xa_hooks_fail(XA_HOOK_DALLOC, ULONG_MAX);
    xa_hooks_fail(XA_HOOK_DECOMMIT, ULONG_MAX);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    give(take(4 * MIB, 1));
    xa_private_extent_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_LAZY), 1);
    assert_false(arena->free[XA_PRIVATE_RETAINED]->is_zeroed);
    /* What is retained is not offered again. */
    unsigned long calls = xa_hooks_calls(XA_HOOK_DALLOC);
    xa_private_extent_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DALLOC), calls);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(free_neighbours_become_one_and_are_split_again),
        XA_OS_FAKE_FRESH(what_cannot_be_split_serves_if_little_is_wasted),
        XA_OS_FAKE_FRESH(the_best_fit_is_taken_and_alignment_is_met),
        XA_OS_FAKE_FRESH(an_extent_grows_into_free_memory_and_new_one),
        XA_OS_FAKE_FRESH(cleanup_goes_from_dalloc_to_decommit_to_purges),
        XA_OS_FAKE_FRESH(without_decommit_the_forced_purge_makes_zeros),
        XA_OS_FAKE_FRESH(the_lazy_purge_comes_last_and_makes_no_zeros),
    };
    return cmocka_run_group_tests_name("private_extent", tests, NULL, NULL);
}
