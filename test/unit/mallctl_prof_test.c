/*
 * mallctl_prof_test.c - the profile is off, and stays off.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>

#include "support/controls.h"

static void
it_reads_as_off(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_read("prof.active"), false);
    assert_int_equal(xa_controls_read("prof.gdump"), false);
    assert_int_equal(xa_controls_read("prof.thread_active_init"), false);
    assert_int_equal(xa_controls_read("thread.prof.active"), false);
    assert_int_equal(xa_controls_read("prof.lg_sample"), 0);
    assert_string_equal(xa_controls_read_text("thread.prof.name"), "");
}

static void
it_may_be_switched_off_but_not_on(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_write("prof.active", false), 0);
    assert_int_equal(xa_controls_write("prof.active", true), ENOENT);
    assert_int_equal(xa_controls_write("thread.prof.active", true), ENOENT);
    assert_int_equal(xa_controls_write("thread.prof.name", (uintptr_t) "name"), ENOENT);
    assert_int_equal(xa_controls_read("prof.active"), false);
}

static void
there_is_nothing_to_dump(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_write("prof.dump", (uintptr_t) "/tmp/x"), ENOENT);
    assert_int_equal(xa_controls_write("prof.reset", 19), ENOENT);
    assert_int_equal(xa_controls_do("prof.log_stop"), ENOENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(it_reads_as_off),
        XA_OS_FAKE_FRESH(it_may_be_switched_off_but_not_on),
        XA_OS_FAKE_FRESH(there_is_nothing_to_dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
