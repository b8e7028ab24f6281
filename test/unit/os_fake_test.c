/*
 * os_fake_test.c - the host that the other tests run on: does it notice what it should?
 */
#include "support/os_fake.h"

#include <signal.h>
#include <string.h>

#include "support/child.h"

enum { PAGE = 4096 };

static struct xa_child_result result;

static uintptr_t
somewhere(size_t pages)
{
    xa_os_init();
    uintptr_t address = xa_os_find_free_range(pages * PAGE);
    assert_int_not_equal(address, 0);
    return address;
}

static void
mapped_memory_is_zero_and_counted(void **state)
{
    (void)state;
    uintptr_t address = somewhere(16);
    assert_int_equal(xa_os_map(address, 4 * PAGE), XA_OS_DONE);
    assert_int_equal(xa_os_map(address + 4 * PAGE, 4 * PAGE), XA_OS_DONE);
    assert_int_equal(xa_os_fake_mapped_bytes(), 8 * PAGE);
    assert_int_equal(xa_os_fake_resident_bytes(), 0);
    for (size_t i = 0; i < 8 * PAGE; i++)
        assert_int_equal(((char *)address)[i], 0);
    ((char *)address)[5 * PAGE] = 1;
    assert_true(xa_os_resident_bytes(address + 5 * PAGE, PAGE) == PAGE);
    assert_true(xa_os_unmap(address + PAGE, 5 * PAGE));
    assert_int_equal(xa_os_fake_mapped_bytes(), 3 * PAGE);
    assert_true(xa_os_fake_is_mapped(address, PAGE));
    assert_true(xa_os_fake_is_unmapped(address + PAGE, 5 * PAGE));
    assert_true(xa_os_fake_is_mapped(address + 6 * PAGE, 2 * PAGE));
    assert_int_equal(xa_os_resident_bytes(address + PAGE, 5 * PAGE), 0);
}

static void
purged_memory_is_zero_and_not_resident(void **state)
{
    (void)state;
    uintptr_t address = somewhere(4);
    assert_int_equal(xa_os_map(address, 4 * PAGE), XA_OS_DONE);
    memset((void *)address, 7, 4 * PAGE);
    assert_int_equal(xa_os_fake_resident_bytes(), 4 * PAGE);
    assert_true(xa_os_purge(address + PAGE, 2 * PAGE));
    assert_int_equal(xa_os_fake_resident_bytes(), 2 * PAGE);
    assert_int_equal(((char *)address)[0], 7);
    assert_int_equal(((char *)address)[PAGE], 0);
    assert_int_equal(((char *)address)[3 * PAGE], 7);
}

static void
a_move_takes_the_contents_along(void **state)
{
    (void)state;
    uintptr_t address = somewhere(64), target = address + 32 * PAGE;
    assert_int_equal(xa_os_map(address, 2 * PAGE), XA_OS_DONE);
    memset((void *)address, 7, 2 * PAGE);
    assert_true(xa_os_move(address, 2 * PAGE, target, 8 * PAGE));
    assert_true(xa_os_fake_is_unmapped(address, 2 * PAGE));
    assert_int_equal(((char *)target)[2 * PAGE - 1], 7);
    assert_int_equal(((char *)target)[2 * PAGE], 0);
    assert_int_equal(xa_os_fake_mapped_bytes(), 8 * PAGE);
}

static void
large_pages_are_whole(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    xa_os_init();
    uintptr_t address = xa_os_map_anywhere(4 * 65536);
    assert_int_equal(address % 65536, 0);
    ((char *)address)[65536 + 5000] = 1;
    assert_int_equal(xa_os_fake_resident_bytes(), 65536);
    assert_int_equal(xa_os_resident_bytes(address, 4 * 65536), 65536);
}

static void
the_nth_call_fails_once_or_from_then_on(void **state)
{
    (void)state;
    uintptr_t address = somewhere(64);
    xa_os_fake_fail(XA_OS_FAKE_ANY, 2, XA_OS_FAKE_ONCE);
    assert_int_equal(xa_os_map(address, PAGE), XA_OS_DONE);
    assert_false(xa_os_purge(address, PAGE));
    assert_true(xa_os_purge(address, PAGE));
    assert_int_equal(xa_os_fake_failures(), 1);
    xa_os_fake_fail(XA_OS_FAKE_MAP, 1, XA_OS_FAKE_FROM_THEN_ON);
    assert_true(xa_os_purge(address, PAGE));
    assert_int_equal(xa_os_map(address + PAGE, PAGE), XA_OS_NO_MEMORY);
    xa_os_fake_set_map_failure(XA_OS_TAKEN);
    assert_int_equal(xa_os_map(address + PAGE, PAGE), XA_OS_TAKEN);
    xa_os_fake_stop_failing();
    assert_int_equal(xa_os_map(address + PAGE, PAGE), XA_OS_DONE);
    assert_int_equal(xa_os_fake_failures(), 2);
    assert_int_equal(xa_os_fake_count(XA_OS_FAKE_MAP), 4);
}

static void
foreign_ranges_and_bounds_are_respected(void **state)
{
    (void)state;
    uintptr_t address = somewhere(64);
    xa_os_fake_add_foreign(address + PAGE, PAGE);
    assert_int_equal(xa_os_map(address, 2 * PAGE), XA_OS_TAKEN);
    assert_int_equal(xa_os_map(address, PAGE), XA_OS_DONE);
    xa_os_fake_remove_foreign();
    xa_os_fake_set_mapped_max(2 * PAGE);
    assert_int_equal(xa_os_map(address + PAGE, 2 * PAGE), XA_OS_NO_MEMORY);
    assert_int_equal(xa_os_map_anywhere(2 * PAGE), 0);
    assert_int_equal(xa_os_map(address + PAGE, PAGE), XA_OS_DONE);
    xa_os_fake_set_mapped_max(SIZE_MAX);
    xa_os_fake_set_address_end(address + 3 * PAGE);
    assert_int_equal(xa_os_map(address + 2 * PAGE, 2 * PAGE), XA_OS_TAKEN);
    assert_int_equal(xa_os_map(address + 2 * PAGE, PAGE), XA_OS_DONE);
}

static uintptr_t misused;

static int
unmap_twice(void *argument)
{
    (void)argument;
    return xa_os_unmap(misused, PAGE) && xa_os_unmap(misused, PAGE);
}

static int
map_over_a_mapping(void *argument)
{
    (void)argument;
    return (int)xa_os_map(misused, PAGE);
}

static int
purge_beyond_the_end(void *argument)
{
    (void)argument;
    return xa_os_purge(misused, 4 * PAGE);
}

static int
map_half_a_page(void *argument)
{
    (void)argument;
    return (int)xa_os_map(misused + 8 * PAGE, PAGE / 2);
}

static int
move_what_is_not_there(void *argument)
{
    (void)argument;
    return xa_os_move(misused + 8 * PAGE, PAGE, misused + 16 * PAGE, PAGE);
}

static void
misuse_ends_the_process_with_its_name(void **state)
{
    static const struct {
        int (*function)(void *);
        const char *name;
    } rows[] = {
        {unmap_twice, "os_fake: unmapped what is not mapped: "},
        {map_over_a_mapping, "os_fake: mapped over a mapping: "},
        {purge_beyond_the_end, "os_fake: purged what is not mapped: "},
        {map_half_a_page, "os_fake: mapped by something else than pages: "},
        {move_what_is_not_there, "os_fake: moved what is not mapped: "},
    };
    (void)state;
    misused = somewhere(64);
    assert_int_equal(xa_os_map(misused, 2 * PAGE), XA_OS_DONE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        xa_child_call(&result, 60, rows[i].function, NULL);
        assert_int_equal(result.signal, SIGABRT);
        assert_memory_equal(result.errors, rows[i].name, strlen(rows[i].name));
    }
}

static void
names_files_and_errors_are_kept(void **state)
{
    char buffer[8];
    (void)state;
    xa_os_init();
    assert_null(xa_os_environment("A"));
    xa_os_fake_set_environment("A", "b");
    assert_string_equal(xa_os_environment("A"), "b");
    xa_os_fake_set_secure(true);
    xa_os_init();
    assert_null(xa_os_environment("A"));
    assert_int_equal(xa_os_read_file("/f", buffer, sizeof buffer), -1);
    xa_os_fake_set_file("/f", "0123456789");
    assert_int_equal(xa_os_read_file("/f", buffer, sizeof buffer), 8);
    assert_memory_equal(buffer, "01234567", 8);
    assert_null(xa_os_fake_appended("/g"));
    assert_true(xa_os_append_file("/g", XA_OS_FILE_NEW, "ab", 2));
    assert_true(xa_os_append_file("/g", XA_OS_FILE_EXISTING, "c", 1));
    assert_string_equal(xa_os_fake_appended("/g"), "abc");
    xa_os_write_error("oh", 2);
    xa_os_write_error(" no", 3);
    assert_string_equal(xa_os_fake_errors(), "oh no");
    xa_os_fake_set_clock(17);
    assert_int_equal(xa_os_now_ms(), 17);
    xa_os_fake_set_affinity(9);
    assert_int_equal(xa_os_affinity_count(), 9);
}

static void
write_and_abort(void *argument)
{
    xa_os_write_error(argument, strlen(argument));
    xa_os_abort();
}

static void
a_fatal_message_can_be_compared(void **state)
{
    char text[] = "the end\n";
    (void)state;
    xa_os_write_error("before", 6);
    xa_os_fake_assert_fatal(write_and_abort, text, "the end\n");
    assert_string_equal(xa_os_fake_errors(), "before");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(mapped_memory_is_zero_and_counted),
        XA_OS_FAKE_FRESH(purged_memory_is_zero_and_not_resident),
        XA_OS_FAKE_FRESH(a_move_takes_the_contents_along),
        XA_OS_FAKE_FRESH(large_pages_are_whole),
        XA_OS_FAKE_FRESH(the_nth_call_fails_once_or_from_then_on),
        XA_OS_FAKE_FRESH(foreign_ranges_and_bounds_are_respected),
        XA_OS_FAKE_FRESH(misuse_ends_the_process_with_its_name),
        XA_OS_FAKE_FRESH(names_files_and_errors_are_kept),
        XA_OS_FAKE_FRESH(a_fatal_message_can_be_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
