/*
 * message_test.c - lines for a person, to the character.
 */
#include "os/message.h"

#include "support/os_fake.h"

#include <string.h>

static int
begin(void **state)
{
    (void)state;
    xa_os_fake_clear_errors();
    return 0;
}

static void *
pointer_to(uintptr_t address)
{
    return (void *)address;
}

static void
a_line_names_the_call_and_the_pointer(void **state)
{
    (void)state;
    xa_message_pointer("free", pointer_to(0x7f12a018), "inside an object.");
    assert_string_equal(xa_os_fake_errors(), "xalloc: free(0x7f12a018): inside an object.\n");
}

static void
a_line_without_a_call_has_no_pointer_either(void **state)
{
    (void)state;
    xa_message_pointer(NULL, pointer_to(16), "out of memory.");
    assert_string_equal(xa_os_fake_errors(), "xalloc: out of memory.\n");
}

static void
an_overlong_line_is_cut_off_and_still_a_line(void **state)
{
    static char what[2000];
    (void)state;
    memset(what, 'w', sizeof what - 1);
    xa_message_pointer("free", pointer_to(1), what);
    const char *line = xa_os_fake_errors();
    size_t length = strlen(line);
    assert_true(length > 400 && length <= 512);
    assert_memory_equal(line, "xalloc: free(0x1): www", 22);
    assert_int_equal(line[length - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + length - 1);
}

static void
text_is_written_as_it_is(void **state)
{
    (void)state;
    xa_message_write("two\nlines\n and more", 10);
    assert_string_equal(xa_os_fake_errors(), "two\nlines\n");
}

static void
be_fatal(void *argument)
{
    xa_message_fatal("realloc", argument, "not from xalloc. Look elsewhere.");
}

static void
be_fatal_without_a_call(void *argument)
{
    xa_message_fatal(NULL, argument, "out of memory.");
}

static void
a_fatal_line_ends_the_process(void **state)
{
    (void)state;
    xa_os_fake_assert_fatal(be_fatal, pointer_to(0xabc0),
        "xalloc: realloc(0xabc0): not from xalloc. Look elsewhere.\n");
    xa_os_fake_assert_fatal(be_fatal_without_a_call, NULL, "xalloc: out of memory.\n");
}

static void
a_stack_is_a_heading_and_a_line_for_each_place(void **state)
{
    const uintptr_t frames[] = {0x10, (uintptr_t)&text_is_written_as_it_is};
    (void)state;
    xa_message_stack("freed", frames, 2);
    xa_os_fake_assert_errors("xalloc:   freed:\nxalloc:     0x10 \nxalloc:     0x*\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_names_the_call_and_the_pointer, begin),
        cmocka_unit_test_setup(a_line_without_a_call_has_no_pointer_either, begin),
        cmocka_unit_test_setup(an_overlong_line_is_cut_off_and_still_a_line, begin),
        cmocka_unit_test_setup(text_is_written_as_it_is, begin),
        cmocka_unit_test_setup(a_fatal_line_ends_the_process, begin),
        cmocka_unit_test_setup(a_stack_is_a_heading_and_a_line_for_each_place, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
