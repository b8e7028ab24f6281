/*
 * stack_table_test.c - the same stack has the same number, and others have others.
 */
#include "check/stack_table.h"

#include "support/os_fake.h"

enum { MANY = 65536 };

static XA_NOINLINE uint32_t
capture(void)
{
    uint32_t number = xa_stack_table_capture();
    __asm__ volatile("" ::: "memory");
    return number;
}

static void
begin(void)
{
    xa_os_init();
    if (capture() == 0) {
        print_message("skipped: this C library or processor tells nothing of stacks\n");
        skip();
    }
}

static void
a_stack_is_kept_once(void **state)
{
    uint32_t numbers[10];
    (void)state;
    begin();
    for (unsigned i = 0; i < 10; i++)
        numbers[i] = capture();
    uint32_t other = capture();
    for (unsigned i = 1; i < 10; i++)
        assert_int_equal(numbers[i], numbers[0]);
    assert_int_not_equal(numbers[0], 0);
    assert_int_not_equal(other, numbers[0]);
}

static void
a_stack_is_written_by_its_number(void **state)
{
    (void)state;
    begin();
    xa_stack_table_say("freed", capture());
    xa_os_fake_assert_errors("xalloc:   freed:\nxalloc:     0x* *stack_table_test+0x*\n*");
    xa_os_fake_clear_errors();
    xa_stack_table_say("freed", 0);
    assert_string_equal(xa_os_fake_errors(), "xalloc:   freed: not known\n");
}

/* A different stack for each number of few bits: a call from one of two places for each bit. */
static XA_NOINLINE uint32_t
wander(unsigned number, unsigned bits)
{
    volatile uint32_t result;
    if (bits == 0)
        result = capture();
    else if ((number & 1) != 0) {
        result = wander(number >> 1, bits - 1);
        /* So that the compiler does not make one place of two. */
        __asm__ volatile("nop");
    } else {
        result = wander(number >> 1, bits - 1);
    }
    return result;
}

static void
a_full_table_gives_no_number_to_new_stacks(void **state)
{
    unsigned none = 0;
    (void)state;
    begin();
    uint32_t before = wander(5, 16);
    for (unsigned i = 0; i < MANY; i++)
        none += wander(i, 16) == 0;
    assert_true(none > 0 && none < MANY);
    assert_int_equal(wander(5, 16), before);
}

static void
without_memory_stacks_have_no_number(void **state)
{
    (void)state;
    xa_os_init();
    xa_os_fake_fail(XA_OS_FAKE_MAP_ANYWHERE, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_int_equal(capture(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_stack_is_kept_once),
        XA_OS_FAKE_FRESH(a_stack_is_written_by_its_number),
        XA_OS_FAKE_FRESH(a_full_table_gives_no_number_to_new_stacks),
        XA_OS_FAKE_FRESH(without_memory_stacks_have_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
