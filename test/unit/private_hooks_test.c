/*
 * private_hooks_test.c - the calls of hooks: what they are asked, and what comes of their answers.
 */
#include "arena/private_hooks.h"

#include "support/os_fake.h"

#include <limits.h>
#include <string.h>

#include "support/hooks.h"
#include "support/own_arena.h"

enum { MIB = 1 << 20 };

static struct xa_private_arena *arena; /* entered all the time */
static struct xa_private_extent *extent;

static void
begin(void) XA_NO_ANALYSIS
{
    arena = xa_own_arena_enter();
    extent = xa_private_extent_take(arena, 2 * MIB, 2 * MIB, 1, false);
    assert_non_null(extent);
}

/* The hook refuses once, and then is missing: neither changes the extent. */
static void
assert_refused(enum xa_hook hook, bool (*call)(void)) XA_NO_ANALYSIS
{
    struct xa_private_extent before = *extent;
    unsigned long calls = xa_hooks_calls(hook);
    xa_hooks_fail(hook, 1);
    assert_false(call());
    assert_int_equal(xa_hooks_calls(hook), calls + 1);
    assert_memory_equal(&before, extent, sizeof before);
    assert_true(xa_lock_is_mine(&arena->lock));
    xa_hooks_leave_out(hook);
    assert_false(call());
    assert_int_equal(xa_hooks_calls(hook), calls + 1);
    assert_memory_equal(&before, extent, sizeof before);
    assert_true(xa_lock_is_mine(&arena->lock));
}

static bool
commit(void) XA_NO_ANALYSIS
{
    return xa_private_hooks_commit(arena, extent);
}

static bool
decommit(void) XA_NO_ANALYSIS
{
    return xa_private_hooks_decommit(arena, extent);
}

static bool
give_back(void) XA_NO_ANALYSIS
{
    return xa_private_hooks_dalloc(arena, extent);
}

static bool
split(void) XA_NO_ANALYSIS
{
    return xa_private_hooks_split(arena, extent, MIB);
}

static bool
purge(void) XA_NO_ANALYSIS
{
    return xa_private_hooks_purge(arena, extent, MIB, MIB, true) != XA_PRIVATE_PURGE_NONE;
}

static void
what_is_committed_again_is_zeroed(void **state)
{
    (void)state;
    begin();
    extent->is_zeroed = false;
    assert_true(decommit());
    assert_false(extent->is_committed);
    assert_true(commit());
    assert_true(extent->is_committed);
    assert_true(extent->is_zeroed);
    assert_int_equal(xa_hooks_arena(), xa_private_hooks_index(arena));
}

static void
a_hook_that_refuses_or_is_missing_changes_nothing(void **state)
{
    (void)state;
    begin();
    assert_refused(XA_HOOK_DALLOC, give_back);
    assert_refused(XA_HOOK_SPLIT, split);
    assert_refused(XA_HOOK_PURGE_LAZY, purge);
    assert_refused(XA_HOOK_DECOMMIT, decommit);
}

static void
an_extent_that_was_not_committed_stays_so_if_the_hook_refuses(void **state)
{
    (void)state;
    begin();
    assert_true(decommit());
    assert_refused(XA_HOOK_COMMIT, commit);
}

static void
the_host_knows_what_was_split_and_merged(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    assert_true(split());
    assert_int_equal(xa_hooks_extents(), 2);
    struct xa_private_extent front = *extent, back = *extent;
    front.bytes = back.bytes = MIB;
    back.address += MIB;
    assert_true(xa_private_hooks_merge(arena, &front, &back));
    assert_int_equal(xa_hooks_extents(), 1);
    assert_true(split());
    xa_hooks_fail(XA_HOOK_MERGE, 1);
    assert_false(xa_private_hooks_merge(arena, &front, &back));
    /* What could not be split again is not merged. */
    xa_hooks_leave_out(XA_HOOK_SPLIT);
    unsigned long calls = xa_hooks_calls(XA_HOOK_MERGE);
    assert_false(xa_private_hooks_merge(arena, &front, &back));
    assert_int_equal(xa_hooks_calls(XA_HOOK_MERGE), calls);
}

static void
a_forced_purge_falls_back_to_a_lazy_one(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    memset((void *)extent->address, 1, 2 * MIB);
    const char *bytes = (const char *)extent->address;
    uint64_t purged = arena->counters.purged_bytes;
    assert_int_equal(
        xa_private_hooks_purge(arena, extent, MIB, MIB, false), XA_PRIVATE_PURGE_ZEROED);
    assert_int_equal(bytes[MIB - 1], 1);
    assert_int_equal(bytes[MIB] | bytes[2 * MIB - 1], 0);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    assert_int_equal(xa_private_hooks_purge(arena, extent, 0, MIB, false), XA_PRIVATE_PURGE_LAZY);
    assert_int_equal(arena->counters.purge_calls, 2);
    assert_int_equal(arena->counters.purged_bytes - purged, 2 * MIB);
    xa_hooks_fail(XA_HOOK_PURGE_LAZY, ULONG_MAX);
    assert_int_equal(xa_private_hooks_purge(arena, extent, 0, MIB, false), XA_PRIVATE_PURGE_NONE);
    assert_int_equal(arena->counters.purge_calls, 3);
    assert_int_equal(arena->counters.purged_bytes - purged, 2 * MIB);
}

static void
what_is_destroyed_or_given_back_is_the_host_s(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    assert_int_equal(xa_hooks_extents(), 1);
    assert_true(split());
    struct xa_private_extent front = *extent, back = *extent;
    front.bytes = back.bytes = MIB;
    back.address += MIB;
    assert_true(xa_private_hooks_dalloc(arena, &front));
    assert_int_equal(xa_hooks_extents(), 1);
    xa_private_hooks_destroy(arena, &back);
    assert_int_equal(xa_hooks_extents(), 0);
    xa_hooks_leave_out(XA_HOOK_DESTROY);
    xa_private_hooks_destroy(arena, &back);
    assert_int_equal(xa_hooks_calls(XA_HOOK_DESTROY), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(what_is_committed_again_is_zeroed),
        XA_OS_FAKE_FRESH(a_hook_that_refuses_or_is_missing_changes_nothing),
        XA_OS_FAKE_FRESH(an_extent_that_was_not_committed_stays_so_if_the_hook_refuses),
        XA_OS_FAKE_FRESH(the_host_knows_what_was_split_and_merged),
        XA_OS_FAKE_FRESH(a_forced_purge_falls_back_to_a_lazy_one),
        XA_OS_FAKE_FRESH(what_is_destroyed_or_given_back_is_the_host_s),
    };
    return cmocka_run_group_tests_name("private_hooks", tests, NULL, NULL);
}
