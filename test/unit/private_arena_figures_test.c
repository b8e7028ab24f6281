/*
 * private_arena_figures_test.c - what private arenas count, and how it is added up.
 */
#include "arena/private_arena.h"

#include "support/os_fake.h"

#include <string.h>

#include "support/hooks.h"
#include "support/own_arena.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static unsigned
make(void)
{
    return xa_own_arena_make(-1);
}

static void
every_object_is_counted_by_its_kind(void **state)
{
    struct xa_private_statistics s;
    (void)state;
    unsigned index = make(), c = xa_size_class_of(100);
    void *small[30], *run, *whole;
    for (int i = 0; i < 30; i++)
        small[i] = xa_private_arena_take(index, 100, 1, false);
    run = xa_private_arena_take(index, 70000, 1, false);
    whole = xa_private_arena_take(index, 5 * MIB - 1, 1, false);
    assert_true(xa_private_arena_statistics(index, &s));
    assert_int_equal(s.small_objects, 30);
    assert_int_equal(s.small, 30 * 112);
    assert_int_equal(s.classes[c].live, 30);
    assert_int_equal(s.classes[c].allocations, 30);
    assert_int_equal(s.classes[c].slabs, 1);
    assert_int_equal(s.classes[c].nonfull, 1);
    assert_int_equal(s.large_objects, 2);
    assert_int_equal(s.large, 5 * 16 * KIB + 5 * MIB);
    assert_int_equal(s.large_allocations, 2);
    assert_int_equal(s.created_ms, 1000);
    assert_int_equal(s.dirty_ms, -1);
    assert_true(s.active >= s.small + s.large);
    assert_true(s.metadata > 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(xa_private_arena_return(small[i]), XA_PRIVATE_LIVE);
    assert_int_equal(xa_private_arena_return(run), XA_PRIVATE_LIVE);
    assert_int_equal(xa_private_arena_return(whole), XA_PRIVATE_LIVE);
    assert_true(xa_private_arena_statistics(index, &s));
    assert_int_equal(s.small + s.large + s.small_objects + s.large_objects, 0);
    assert_int_equal(s.classes[c].frees, 30);
    assert_int_equal(s.large_frees, 2);
}

static void
sums_are_sums_of_every_field(void **state)
{
    struct xa_private_statistics a, b;
    (void)state;
    unsigned index = make();
    for (size_t bytes = 1; bytes < 3 * MIB; bytes += 1 + bytes / 3)
        assert_non_null(xa_private_arena_take(index, bytes, 1, false));
    assert_int_equal(
        xa_private_arena_return(xa_private_arena_take(index, 9 * MIB, 1, false)), XA_PRIVATE_LIVE);
    assert_true(xa_private_arena_bind(index));
    assert_true(xa_private_arena_purge(index));
    assert_true(xa_private_arena_statistics(index, &a));
    b = (struct xa_private_statistics){0};
    xa_private_arena_add(&b, &a);
    xa_private_arena_add(&b, &a);
    assert_int_equal(b.threads, 2);
    assert_int_equal(b.small, 2 * a.small);
    assert_int_equal(b.large, 2 * a.large);
    assert_int_equal(b.small_objects, 2 * a.small_objects);
    assert_int_equal(b.large_objects, 2 * a.large_objects);
    assert_int_equal(b.large_allocations, 2 * a.large_allocations);
    assert_int_equal(b.large_frees, 2);
    assert_int_equal(b.active, 2 * a.active);
    assert_int_equal(b.mapped, 2 * a.mapped);
    assert_int_equal(b.mapped, b.active + b.dirty + b.muzzy + b.retained);
    assert_int_equal(b.metadata, 2 * a.metadata);
    assert_int_equal(b.purges, 2 * a.purges);
    assert_int_equal(b.purge_calls, 2 * a.purge_calls);
    assert_int_equal(b.purged_bytes, 2 * a.purged_bytes);
    assert_true(a.purges > 0 && a.purged_bytes >= 9 * MIB);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        assert_int_equal(b.classes[c].live, 2 * a.classes[c].live);
        assert_int_equal(b.classes[c].slabs, 2 * a.classes[c].slabs);
        assert_int_equal(b.classes[c].nonfull, 2 * a.classes[c].nonfull);
        assert_int_equal(b.classes[c].allocations, 2 * a.classes[c].allocations);
        assert_int_equal(b.classes[c].slabs_made, 2 * a.classes[c].slabs_made);
    }
}

/* In the middle of a call: the arena is busy, and no lock is asked for. */
static unsigned read_index, readings;

static void
read_figures(void)
{
    struct xa_private_statistics s;
    assert_true(xa_private_arena_statistics(read_index, &s));
    readings++;
}

static void
figures_may_be_read_in_hooks(void **state)
{
    (void)state;
    read_index = make();
    xa_hooks_set_guest(read_figures);
    assert_non_null(xa_private_arena_take(read_index, 5 * MIB, 1, false));
    assert_int_equal(readings, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_object_is_counted_by_its_kind),
        XA_OS_FAKE_FRESH(sums_are_sums_of_every_field),
        XA_OS_FAKE_FRESH(figures_may_be_read_in_hooks),
    };
    return cmocka_run_group_tests_name("private_arena_figures", tests, NULL, NULL);
}
