/*
 * assert_test.c - how a process ends whose allocator found itself inconsistent.
 */
#include "base/assert.h"

#include "support/os_fake.h"

#include <signal.h>
#include <stdio.h>

#include "support/child.h"

static struct xa_child_result result;

static void
print_failure(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s|%s|%d", expression, file, line);
}

static int
fail_without_a_handler(void *argument)
{
    (void)argument;
    xa_assert_fail("a == b", "file.c", 12);
}

static int
fail_with_a_handler(void *argument)
{
    (void)argument;
    xa_assert_report = print_failure;
    xa_assert_fail("a == b", "file.c", 12);
}

static int
evaluate(void *argument)
{
    int *value = argument;
    xa_assert_report = print_failure;
    xa_assert(++*value == 2);
    xa_assert(*value == 1);
    return *value;
}

/* A trap: what kills the process differs between processors. */
static bool
was_trapped(void)
{
    return result.signal == SIGILL || result.signal == SIGTRAP;
}

static void
a_failed_check_traps_before_anybody_can_print(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator prints something as well");
    xa_child_call(&result, 60, fail_without_a_handler, NULL);
    assert_true(was_trapped());
    assert_string_equal(result.errors, "");
}

static void
a_failed_check_tells_the_handler_and_traps(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator prints something as well");
    xa_child_call(&result, 60, fail_with_a_handler, NULL);
    assert_true(was_trapped());
    assert_string_equal(result.errors, "a == b|file.c|12");
}

static void
checks_are_evaluated_in_debug_builds_only(void **state)
{
    int value = 1;
    (void)state;
    xa_child_call(&result, 60, evaluate, &value);
    if (XA_DEBUG) {
        assert_true(was_trapped());
        assert_memory_equal(result.errors, "*value == 1|", 12);
    } else {
        assert_int_equal(result.exit_code, 1);
        assert_string_equal(result.errors, "");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_check_traps_before_anybody_can_print),
        cmocka_unit_test(a_failed_check_tells_the_handler_and_traps),
        cmocka_unit_test(checks_are_evaluated_in_debug_builds_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
