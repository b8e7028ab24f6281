/*
 * call_stack_test.c - stacks of functions that are known here.
 */
#include "os/call_stack.h"

#include "support/os_fake.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static uintptr_t frames[XA_CALL_STACK_MAX];
static unsigned count;

static XA_NOINLINE void
capture(unsigned capacity)
{
    count = xa_call_stack_capture(frames, capacity);
    /* Behind the call, so that it is no jump. */
    __asm__ volatile("" ::: "memory");
}

static XA_NOINLINE unsigned
go_down(unsigned depth, unsigned capacity)
{
    volatile unsigned result = depth;
    if (depth == 0)
        capture(capacity);
    else
        result += go_down(depth - 1, capacity);
    return result;
}

/* An answer of the host that not every one gives. */
static void
need_stacks(void)
{
    (void)go_down(0, XA_CALL_STACK_MAX);
    if (count == 0) {
        print_message("skipped: this C library or processor tells nothing of stacks\n");
        skip();
    }
}

static const char *
place_of(uintptr_t address)
{
    static char place[500];
    struct xa_text text;
    xa_text_init(&text, place, sizeof place);
    xa_call_stack_put_place(address, &text);
    return place;
}

static void
callers_come_innermost_first(void **state)
{
    (void)state;
    need_stacks();
    (void)go_down(5, XA_CALL_STACK_MAX);
    assert_true(count >= 8);
    uintptr_t function = (uintptr_t)&go_down;
    for (unsigned i = 0; i < 6; i++)
        assert_true(frames[i] - function < 500);
    /* The recursion's calls are one and the same, but for the innermost. */
    for (unsigned i = 2; i < 6; i++)
        assert_int_equal(frames[i], frames[1]);
    assert_true(frames[6] - (uintptr_t)&callers_come_innermost_first < 2000);
}

static void
no_more_than_there_is_room_for(void **state)
{
    (void)state;
    need_stacks();
    for (unsigned capacity = 0; capacity < XA_CALL_STACK_MAX; capacity++) {
        frames[capacity] = 1;
        (void)go_down(20, capacity);
        assert_int_equal(count, capacity);
        assert_int_equal(frames[capacity], 1);
    }
}

static int
compare(const void *a, const void *b)
{
    if (count == 0)
        (void)go_down(0, XA_CALL_STACK_MAX);
    return *(const int *)a - *(const int *)b;
}

static void
the_walk_goes_through_other_libraries(void **state)
{
    int numbers[] = {3, 1, 2};
    bool has_own = false, has_other = false;
    (void)state;
    need_stacks();
    count = 0;
    qsort(numbers, 3, sizeof *numbers, compare);
    for (unsigned i = 0; i < count; i++) {
        bool is_own = strstr(place_of(frames[i]), "call_stack_test+0x") != NULL;
        has_own |= is_own && has_other;
        has_other |= !is_own && place_of(frames[i])[0] != '\0';
    }
    assert_true(has_own);
    assert_true(has_other);
}

static void
addresses_of_no_file_have_no_place(void **state)
{
    int local = 0;
    (void)state;
    assert_string_equal(place_of((uintptr_t)&local), "");
    assert_string_equal(place_of(0), "");
}

static void
at_signal(int number, siginfo_t *info, void *interrupted)
{
    (void)number;
    (void)info;
    count = xa_call_stack_capture_interrupted(interrupted, frames, XA_CALL_STACK_MAX);
}

static XA_NOINLINE unsigned
trap(void)
{
    volatile unsigned result = (unsigned)raise(SIGUSR1);
    return result;
}

static void
what_a_signal_interrupted_has_a_stack(void **state)
{
    struct sigaction action = {.sa_sigaction = at_signal, .sa_flags = SA_SIGINFO};
    bool has_trap = false;
    (void)state;
    need_stacks();
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(trap(), 0);
    for (unsigned i = 0; i < count; i++)
        has_trap |= frames[i] - (uintptr_t)&trap < 200;
    assert_true(has_trap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_come_innermost_first),
        cmocka_unit_test(no_more_than_there_is_room_for),
        cmocka_unit_test(the_walk_goes_through_other_libraries),
        cmocka_unit_test(addresses_of_no_file_have_no_place),
        cmocka_unit_test(what_a_signal_interrupted_has_a_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
