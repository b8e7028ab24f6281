/*
 * quarantine_test.c - what waits, in which order it leaves, and that nothing is lost.
 */
#include "check/quarantine.h"

#include "support/os_fake.h"

#include <stdlib.h>

enum { KIB = 1024 };

static void
begin(size_t bytes, enum xa_quarantine_order order)
{
    xa_os_init();
    xa_quarantine_start(bytes, order, 5);
}

static void
the_oldest_leaves_first(void **state)
{
    (void)state;
    begin(10 * KIB, XA_QUARANTINE_OLDEST);
    assert_int_equal(xa_quarantine_take(), 0);
    for (uintptr_t i = 1; i <= 10; i++) {
        assert_true(xa_quarantine_put(i * 16, KIB));
        assert_int_equal(xa_quarantine_take_excess(), 0);
    }
    assert_int_equal(xa_quarantine_bytes(), 10 * KIB);
    assert_int_equal(xa_quarantine_objects(), 10);
    for (uintptr_t i = 11; i <= 50; i++) {
        assert_true(xa_quarantine_put(i * 16, KIB));
        assert_int_equal(xa_quarantine_take_excess(), (i - 10) * 16);
        assert_int_equal(xa_quarantine_take_excess(), 0);
    }
    for (uintptr_t i = 41; i <= 50; i++)
        assert_int_equal(xa_quarantine_take(), i * 16);
    assert_int_equal(xa_quarantine_take(), 0);
    assert_int_equal(xa_quarantine_bytes(), 0);
}

static void
by_chance_each_leaves_once(void **state)
{
    static bool has_left[1001];
    unsigned in_turn = 0, left = 0;
    (void)state;
    begin(100 * KIB, XA_QUARANTINE_ANY);
    for (uintptr_t i = 1; i <= 1000; i++) {
        assert_true(xa_quarantine_put(i, KIB));
        for (uintptr_t at = xa_quarantine_take_excess(); at != 0;
             at = xa_quarantine_take_excess()) {
            assert_false(has_left[at]);
            has_left[at] = true;
            in_turn += at == ++left;
        }
    }
    for (uintptr_t at = xa_quarantine_take(); at != 0; at = xa_quarantine_take()) {
        assert_false(has_left[at]);
        has_left[at] = true;
    }
    for (unsigned i = 1; i <= 1000; i++)
        assert_true(has_left[i]);
    assert_int_equal(left, 900);
    assert_true(in_turn < 100);
}

static void
an_object_that_is_most_of_it_does_not_wait(void **state)
{
    (void)state;
    begin(10 * KIB, XA_QUARANTINE_OLDEST);
    assert_false(xa_quarantine_put(16, 6 * KIB));
    assert_true(xa_quarantine_put(16, 5 * KIB));
    assert_int_equal(xa_quarantine_objects(), 1);
}

static void
nothing_waits_where_nothing_may(void **state)
{
    (void)state;
    begin(0, XA_QUARANTINE_OLDEST);
    assert_false(xa_quarantine_put(16, 16));
    assert_int_equal(xa_quarantine_take_excess(), 0);
}

static void
the_number_is_bounded_as_well(void **state)
{
    uintptr_t left = 0;
    (void)state;
    begin((size_t)1 << 30, XA_QUARANTINE_OLDEST);
    for (uintptr_t i = 1; i <= 100000; i++) {
        assert_true(xa_quarantine_put(i, 16));
        uintptr_t at = xa_quarantine_take_excess();
        if (at != 0)
            assert_int_equal(at, ++left);
    }
    assert_int_equal(xa_quarantine_objects() + left, 100000);
    assert_true(left > 80000);
}

static void
without_memory_nothing_waits(void **state)
{
    (void)state;
    begin(10 * KIB, XA_QUARANTINE_OLDEST);
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_false(xa_quarantine_put(16, 16));
    xa_os_fake_stop_failing();
    assert_true(xa_quarantine_put(16, 16));
    assert_int_equal(xa_quarantine_take(), 16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_oldest_leaves_first),
        XA_OS_FAKE_FRESH(by_chance_each_leaves_once),
        XA_OS_FAKE_FRESH(an_object_that_is_most_of_it_does_not_wait),
        XA_OS_FAKE_FRESH(nothing_waits_where_nothing_may),
        XA_OS_FAKE_FRESH(the_number_is_bounded_as_well),
        XA_OS_FAKE_FRESH(without_memory_nothing_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
