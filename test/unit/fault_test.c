/*
 * fault_test.c - faults at guarded objects are reported, and end as they would have.
 */
#include "check/fault.h"

#include "support/os_fake.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check/guard.h"
#include "support/child.h"

enum { SECONDS = 60, HANDLED = 42 };

static struct xa_child_result result;

static void
begin(void)
{
    xa_os_init();
    xa_os_fake_clear_errors();
}

/* The fake host keeps what is written; a handler of the program's shows it. */
static void
show_errors(int number)
{
    (void)number;
    const char *errors = xa_os_fake_errors();
    if (write(STDERR_FILENO, errors, strlen(errors)) < 0)
        _exit(1);
    _exit(HANDLED);
}

static int
use_after_free(void *handler)
{
    if (handler != NULL)
        (void)signal(SIGSEGV, show_errors);
    char *object = xa_guard_take(40, 16);
    XA_CHILD_CHECK(object != NULL);
    xa_fault_watch();
    xa_fault_watch();
    xa_guard_return(object, "free");
    *(volatile char *)object = 1;
    return 0;
}

static int
fault_elsewhere(void *handler)
{
    if (handler != NULL)
        (void)signal(SIGSEGV, show_errors);
    XA_CHILD_CHECK(xa_guard_take(40, 16) != NULL);
    xa_fault_watch();
    volatile char *nowhere = (volatile char *)16;
    __asm__("" : "+r"(nowhere));
    *nowhere = 1;
    return 0;
}

static int
send_the_signal(void *handler)
{
    if (handler != NULL)
        (void)signal(SIGSEGV, show_errors);
    xa_fault_watch();
    (void)raise(SIGSEGV);
    return 0;
}

static void
a_fault_is_reported_and_left_to_the_handler_before(void **state)
{
    int yes = 1;
    (void)state;
    begin();
    xa_child_call(&result, SECONDS, use_after_free, &yes);
    assert_int_equal(result.exit_code, HANDLED);
    assert_non_null(strstr(result.errors, "after the free of an object of 40 bytes"));
    assert_non_null(strstr(result.errors, "xalloc:   allocated by thread"));
    assert_non_null(strstr(result.errors, "xalloc:   freed by thread"));
    assert_non_null(strstr(result.errors, "xalloc:   accessed"));
}

static void
without_a_handler_the_process_ends_by_the_signal(void **state)
{
    (void)state;
    begin();
    xa_child_call(&result, SECONDS, use_after_free, NULL);
    assert_int_equal(result.signal, SIGSEGV);
    xa_child_call(&result, SECONDS, fault_elsewhere, NULL);
    assert_int_equal(result.signal, SIGSEGV);
    xa_child_call(&result, SECONDS, send_the_signal, NULL);
    assert_int_equal(result.signal, SIGSEGV);
}

static void
other_faults_are_handed_on_in_silence(void **state)
{
    int yes = 1;
    (void)state;
    begin();
    xa_child_call(&result, SECONDS, fault_elsewhere, &yes);
    assert_int_equal(result.exit_code, HANDLED);
    assert_string_equal(result.errors, "");
    xa_child_call(&result, SECONDS, send_the_signal, &yes);
    assert_int_equal(result.exit_code, HANDLED);
    assert_string_equal(result.errors, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_fault_is_reported_and_left_to_the_handler_before),
        XA_OS_FAKE_FRESH(without_a_handler_the_process_ends_by_the_signal),
        XA_OS_FAKE_FRESH(other_faults_are_handed_on_in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
