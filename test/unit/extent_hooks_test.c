/*
 * extent_hooks_test.c - the default extent hooks, as a program's own hooks call them.
 */
#include "arena/extent_hooks.h"

#include "support/os_fake.h"

#include <string.h>

#include "config/options.h"
#include "page/limit.h"

enum { MIB = 1 << 20, ARENA = 300 };

static extent_hooks_t *hooks;

static char *
take(void *at, size_t bytes, size_t alignment)
{
    bool zero = false, commit = false;
    char *start = hooks->alloc(hooks, at, bytes, alignment, &zero, &commit, ARENA);
    if (start != NULL)
        assert_true(zero && commit);
    else
        assert_true(!zero && !commit);
    return start;
}

static void
begin(void)
{
    xa_os_init();
    hooks = xa_extent_hooks_default();
    assert_ptr_equal(xa_extent_hooks_default(), hooks);
}

static void
memory_is_zeroed_aligned_and_given_back(void **state)
{
    (void)state;
    begin();
    size_t mapped = xa_os_fake_mapped_bytes(), used = xa_limit_used_bytes();
    for (size_t alignment = 4096; alignment <= 64 * MIB; alignment *= 2)
        for (size_t bytes = 4096; bytes <= 8 * MIB; bytes *= 3) {
            char *start = take(NULL, bytes, alignment);
            assert_non_null(start);
            assert_int_equal((uintptr_t)start % alignment, 0);
            assert_int_equal(start[0] | start[bytes - 1], 0);
            assert_int_equal(xa_os_fake_mapped_bytes(), mapped + bytes);
            assert_int_equal(xa_limit_used_bytes(), used + bytes);
            assert_false(hooks->dalloc(hooks, start, bytes, true, ARENA));
            assert_int_equal(xa_os_fake_mapped_bytes(), mapped);
            assert_int_equal(xa_limit_used_bytes(), used);
        }
    assert_null(take(NULL, (size_t)PTRDIFF_MAX + 1, 4096));
    assert_null(take(NULL, MIB, SIZE_MAX / 2 + 1));
}

static void
a_wanted_address_is_met_or_refused(void **state)
{
    (void)state;
    begin();
    xa_os_fake_let_be_taken();
    char *start = take(NULL, 2 * MIB, 4096);
    assert_null(take(start, MIB, 4096));
    assert_false(hooks->dalloc(hooks, start, 2 * MIB, true, ARENA));
    assert_ptr_equal(take(start, MIB, 4096), start);
    assert_ptr_equal(take(start + MIB, MIB, 4096), start + MIB);
    assert_false(hooks->merge(hooks, start, MIB, start + MIB, MIB, true, ARENA));
    assert_false(hooks->split(hooks, start, 2 * MIB, MIB / 2, 3 * MIB / 2, true, ARENA));
    hooks->destroy(hooks, start, MIB / 2, true, ARENA);
    hooks->destroy(hooks, start + MIB / 2, 3 * MIB / 2, true, ARENA);
    assert_true(xa_os_fake_is_unmapped((uintptr_t)start, 2 * MIB));
}

static void
purging_drops_contents_and_decommit_is_refused(void **state)
{
    (void)state;
    begin();
    char *start = take(NULL, MIB, 4096);
    memset(start, 1, MIB);
    assert_false(hooks->purge_forced(hooks, start, MIB, 4096, 8192, ARENA));
    assert_int_equal(start[4095], 1);
    assert_int_equal(start[4096] | start[4096 + 8191], 0);
    assert_int_equal(start[4096 + 8192], 1);
    assert_false(hooks->purge_lazy(hooks, start, MIB, 0, MIB, ARENA));
    assert_true(hooks->decommit(hooks, start, MIB, 0, MIB, ARENA));
    assert_false(hooks->commit(hooks, start, MIB, 0, MIB, ARENA));
}

static void
what_the_host_refuses_is_a_failure(void **state)
{
    (void)state;
    begin();
    char *start = take(NULL, MIB, 4096);
    size_t used = xa_limit_used_bytes();
    xa_os_fake_fail(XA_OS_FAKE_ANY, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_null(take(NULL, MIB, 4096));
    assert_null(take(NULL, MIB, 4 * MIB));
    assert_true(hooks->dalloc(hooks, start, MIB, true, ARENA));
    assert_true(hooks->purge_forced(hooks, start, MIB, 0, MIB, ARENA));
    assert_true(hooks->purge_lazy(hooks, start, MIB, 0, MIB, ARENA));
    assert_int_equal(xa_limit_used_bytes(), used);
}

static void
the_hard_limit_holds(void **state)
{
    (void)state;
    begin();
    assert_true(xa_limit_set(0, 8 * MIB));
    char *start = take(NULL, 4 * MIB, 4096);
    assert_non_null(start);
    assert_null(take(NULL, 5 * MIB, 4096));
    assert_false(hooks->dalloc(hooks, start, 4 * MIB, true, ARENA));
    assert_non_null(take(NULL, 5 * MIB, 4096));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(memory_is_zeroed_aligned_and_given_back),
        XA_OS_FAKE_FRESH(a_wanted_address_is_met_or_refused),
        XA_OS_FAKE_FRESH(purging_drops_contents_and_decommit_is_refused),
        XA_OS_FAKE_FRESH(what_the_host_refuses_is_a_failure),
        XA_OS_FAKE_FRESH(the_hard_limit_holds),
    };
    return cmocka_run_group_tests_name("extent_hooks", tests, NULL, NULL);
}
