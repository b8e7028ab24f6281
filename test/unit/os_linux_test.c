/*
 * os_linux_test.c - what the kernel really does, against the contract of os.h.
 *
 * Linked with the platform and not with the fake host, like os_linux_threads_test.c.
 */
#define _GNU_SOURCE

#include "os/os.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/words.h"

enum { PAGES = 64, SECONDS = 60, ODD_ERRNO = 1234 };

static size_t page;
static struct xa_child_result result;

static int
begin(void **state)
{
    (void)state;
    xa_os_init();
    page = xa_os_facts.page_bytes;
    errno = ODD_ERRNO;
    return 0;
}

/* No call of the contract changes errno. */
static int
end(void **state)
{
    (void)state;
    return errno == ODD_ERRNO ? 0 : -1;
}

static uintptr_t
free_range(void)
{
    uintptr_t address = xa_os_find_free_range(PAGES * page);
    assert_int_not_equal(address, 0);
    assert_int_equal(address % page, 0);
    return address;
}

static void
the_facts_are_those_of_the_host(void **state)
{
    (void)state;
    assert_int_equal(page, sysconf(_SC_PAGESIZE));
    assert_false(xa_os_facts.is_secure);
    assert_int_not_equal(xa_os_facts.seed, 0);
    assert_int_equal(xa_os_process_id(), getpid());
}

static void
memory_is_mapped_exactly_there_and_zero(void **state)
{
    (void)state;
    uintptr_t address = free_range();
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    for (size_t i = 0; i < 2 * page; i++)
        assert_int_equal(((char *)address)[i], 0);
    memset((void *)address, 7, 2 * page);
    assert_int_equal(xa_os_map(address, page), XA_OS_TAKEN);
    assert_int_equal(xa_os_map(address + page, 4 * page), XA_OS_TAKEN);
    assert_int_equal(((char *)address)[2 * page - 1], 7);
    assert_true(xa_os_unmap(address, 2 * page));
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    assert_int_equal(((char *)address)[0], 0);
    assert_true(xa_os_unmap(address, 2 * page));
}

static void
beyond_the_address_space_is_taken_or_out_of_memory(void **state)
{
    (void)state;
    uintptr_t end_of_addresses = UINTPTR_MAX - 16 * page + 1;
    if (sizeof(uintptr_t) == 8)
        assert_int_not_equal(xa_os_map(end_of_addresses, page), XA_OS_DONE);
    size_t too_many = sizeof(size_t) == 8 ? xa_words_power(62) : SIZE_MAX - 0xffff;
    assert_int_equal(xa_os_map_anywhere(too_many), 0);
    assert_int_equal(xa_os_find_free_range(too_many), 0);
}

static void
memory_anywhere_is_zero_and_can_be_cut(void **state)
{
    (void)state;
    uintptr_t address = xa_os_map_anywhere(4 * page);
    assert_int_not_equal(address, 0);
    assert_int_equal(address % page, 0);
    assert_int_equal(((char *)address)[4 * page - 1], 0);
    assert_true(xa_os_unmap(address + page, page));
    ((char *)address)[0] = ((char *)address)[2 * page] = 1;
    assert_int_equal(xa_os_map(address + page, page), XA_OS_DONE);
    assert_true(xa_os_unmap(address, 4 * page));
}

static void
purged_pages_are_zero_and_gone(void **state)
{
    (void)state;
    uintptr_t address = xa_os_map_anywhere(8 * page);
    memset((void *)address, 7, 8 * page);
    assert_int_equal(xa_os_resident_bytes(address, 8 * page), 8 * page);
    assert_true(xa_os_purge(address + page, 6 * page));
    assert_int_equal(xa_os_resident_bytes(address, 8 * page), 2 * page);
    assert_int_equal(((char *)address)[page], 0);
    assert_int_equal(((char *)address)[7 * page], 7);
    assert_true(xa_os_unmap(address, 8 * page));
}

static void
offered_pages_read_as_they_were_or_as_zeros_until_they_are_written(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator has no such call");
    uintptr_t address = xa_os_map_anywhere(8 * page);
    memset((void *)address, 7, 8 * page);
    if (!xa_os_purge_lazily(address + page, 6 * page)) {
        print_message("skipped: this kernel does not know MADV_FREE\n");
        assert_true(xa_os_unmap(address, 8 * page));
        skip();
    }
    char *bytes = (char *)address;
    assert_int_equal(bytes[0], 7);
    assert_int_equal(bytes[7 * page], 7);
    for (size_t i = 1; i < 7; i++)
        assert_true(bytes[i * page] == 7 || bytes[i * page] == 0);
    bytes[page] = 9;
    assert_int_equal(bytes[page], 9);
    /* Nothing is mapped there: no host can. */
    assert_true(xa_os_unmap(address, 8 * page));
    assert_false(xa_os_purge_lazily(address, 8 * page));
}

static void
untouched_and_unmapped_pages_are_not_resident(void **state)
{
    (void)state;
    uintptr_t address = free_range();
    assert_int_equal(xa_os_resident_bytes(address, PAGES * page), 0);
    assert_int_equal(xa_os_map(address, PAGES * page), XA_OS_DONE);
    ((char *)address)[3 * page] = 1;
    assert_true(xa_os_resident_bytes(address, 4 * page) >= page);
    assert_true(xa_os_unmap(address, PAGES * page));
}

static void
make_path(char *path, size_t bytes)
{
    const char *directory = getenv("TMPDIR");
    snprintf(
        path, bytes, "%s/os_linux_test.%d", directory != NULL ? directory : "/tmp", (int)getpid());
    unlink(path);
}

static void
pages_are_told_apart(void **state)
{
    unsigned char present[8];
    (void)state;
    uintptr_t address = xa_os_map_anywhere(8 * page);
    assert_int_not_equal(address, 0);
    (void)xa_os_advise_huge_pages(address, 8 * page, XA_OS_HUGE_PAGES_AVOIDED);
    *(char *)(address + 2 * page) = 1;
    *(char *)(address + 5 * page) = 1;
    assert_true(xa_os_unmap(address + 3 * page, page));
    memset(present, 0x5a, sizeof present);
    xa_os_resident_pages(address, 8, present);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(present[i], i == 2 || i == 5);
    assert_true(xa_os_unmap(address, 3 * page));
    assert_true(xa_os_unmap(address + 4 * page, 4 * page));
}

/* The pages of a file may be in the system's memory without being in this process's. */
static void
pages_of_files_are_present_once_they_are_read(void **state)
{
    size_t pages = 200;
    char path[512];
    (void)state;
    if (XA_BIG_ENDIAN)
        xa_child_skip_if_emulated("the kernel's words come in the emulator's byte order");
    make_path(path, sizeof path);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0);
    for (size_t i = 0; i < pages; i++)
        assert_int_equal(pwrite(file, "x", 1, (off_t)(i * page)), 1);
    assert_int_equal(ftruncate(file, (off_t)(pages * page)), 0);
    char *map = mmap(NULL, pages * page, PROT_READ, MAP_PRIVATE, file, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(madvise(map, pages * page, MADV_RANDOM), 0);
    assert_int_equal(xa_os_present_bytes((uintptr_t)map, pages * page), 0);
    /* The kernel may bring some neighbours along. */
    assert_int_equal(*(volatile char *)map, 'x');
    assert_in_range(xa_os_present_bytes((uintptr_t)map, pages * page), page, 16 * page);
    for (size_t i = 0; i < pages; i++)
        assert_int_equal(*(volatile char *)(map + i * page), 'x');
    assert_int_equal(xa_os_present_bytes((uintptr_t)map, pages * page), pages * page);
    assert_int_equal(munmap(map, pages * page), 0);
    close(file);
    unlink(path);
    errno = ODD_ERRNO;
}

static void
a_program_s_own_code_is_no_library(void **state)
{
    uintptr_t start;
    size_t bytes;
    (void)state;
    assert_false(xa_os_library_range(&start, &bytes));
}

static void
a_hole_hides_no_pages_before_or_behind_it(void **state)
{
    (void)state;
    uintptr_t address = xa_os_map_anywhere(8 * page);
    memset((void *)address, 7, 8 * page);
    assert_true(xa_os_unmap(address + 3 * page, page));
    assert_int_equal(xa_os_resident_bytes(address, 8 * page), 7 * page);
    assert_true(xa_os_unmap(address, 3 * page));
    assert_true(xa_os_unmap(address + 4 * page, 4 * page));
}

static void
residency_of_long_ranges_is_the_sum_of_their_parts(void **state)
{
    enum { LONG_PAGES = 5000 };
    (void)state;
    uintptr_t address = xa_os_map_anywhere(LONG_PAGES * page);
    assert_int_not_equal(address, 0);
    for (size_t i = 0; i < LONG_PAGES; i++)
        ((char *)address)[i * page] = 1;
    assert_int_equal(xa_os_resident_bytes(address, LONG_PAGES * page), LONG_PAGES * page);
    assert_true(xa_os_purge(address + 1000 * page, 3000 * page));
    assert_int_equal(xa_os_resident_bytes(address, LONG_PAGES * page), 2000 * page);
    assert_true(xa_os_unmap(address, LONG_PAGES * page));
}

static void
a_mapping_moves_with_its_contents_and_grows(void **state)
{
    (void)state;
    uintptr_t address = free_range(), target = address + 32 * page;
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    memset((void *)address, 7, 2 * page);
    assert_true(xa_os_move(address, 2 * page, target, 8 * page));
    assert_int_equal(((char *)target)[2 * page - 1], 7);
    assert_int_equal(((char *)target)[2 * page], 0);
    ((char *)target)[8 * page - 1] = 1;
    /* The old place is free again. */
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    assert_true(xa_os_unmap(address, 2 * page));
    assert_true(xa_os_unmap(target, 8 * page));
}

static void
a_move_replaces_nothing(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator has no such call");
    uintptr_t address = free_range(), target = address + 32 * page;
    assert_int_equal(xa_os_map(address, page), XA_OS_DONE);
    assert_int_equal(xa_os_map(target + page, page), XA_OS_DONE);
    ((char *)address)[0] = 3;
    ((char *)target)[page] = 4;
    assert_false(xa_os_move(address, page, target, 2 * page));
    assert_int_equal(((char *)address)[0], 3);
    assert_int_equal(((char *)target)[page], 4);
    /* And leaves nothing behind. */
    assert_int_equal(xa_os_map(target, page), XA_OS_DONE);
    assert_true(xa_os_unmap(address, page));
    assert_true(xa_os_unmap(target, 2 * page));
}

static void
an_extended_mapping_is_zero_behind_and_replaces_nothing(void **state)
{
    (void)state;
    uintptr_t address = free_range();
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    memset((void *)address, 7, 2 * page);
    assert_true(xa_os_extend(address, 2 * page, 4 * page));
    assert_int_equal(((char *)address)[2 * page - 1], 7);
    assert_int_equal(((char *)address)[2 * page], 0);
    ((char *)address)[4 * page - 1] = 1;
    assert_int_equal(xa_os_map(address + 6 * page, page), XA_OS_DONE);
    assert_false(xa_os_extend(address, 4 * page, 7 * page));
    assert_int_equal(xa_os_map(address + 4 * page, 2 * page), XA_OS_DONE);
    assert_true(xa_os_unmap(address, 7 * page));
}

static void
a_mapping_that_was_extended_after_a_move_moves_again(void **state)
{
    (void)state;
    uintptr_t address = free_range(), second = address + 16 * page, third = address + 32 * page;
    assert_int_equal(xa_os_map(address, 2 * page), XA_OS_DONE);
    memset((void *)address, 7, 2 * page);
    assert_true(xa_os_move(address, 2 * page, second, 4 * page));
    memset((void *)second, 7, 4 * page);
    /* Mapped behind it, this would be a second mapping to the kernel, for ever. */
    assert_true(xa_os_extend(second, 4 * page, 6 * page));
    memset((void *)(second + 4 * page), 7, 2 * page);
    assert_true(xa_os_move(second, 6 * page, third, 8 * page));
    for (size_t i = 0; i < 6 * page; i++)
        assert_int_equal(((char *)third)[i], 7);
    assert_int_equal(((char *)third)[6 * page], 0);
    assert_true(xa_os_unmap(third, 8 * page));
}

static int
read_wiped_page(void *argument)
{
    const volatile int *value = argument;
    return *value;
}

static void
a_wiped_page_is_zero_in_every_child(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator only says that it clears pages in children");
    uintptr_t address = xa_os_map_anywhere(2 * page);
    int *wiped = (int *)address, *kept = (int *)(address + page);
    *wiped = *kept = 42;
    if (!xa_os_wipe_on_fork(address)) {
        print_message("skipped: the kernel is older than 4.14 and clears no pages\n");
        skip();
    }
    xa_child_call(&result, SECONDS, read_wiped_page, wiped);
    assert_int_equal(result.exit_code, 0);
    xa_child_call(&result, SECONDS, read_wiped_page, kept);
    assert_int_equal(result.exit_code, 42);
    assert_int_equal(*wiped, 42);
    errno = ODD_ERRNO;
    assert_true(xa_os_unmap(address, 2 * page));
}

static void
the_clock_advances_and_never_runs_back(void **state)
{
    (void)state;
    uint64_t before = xa_os_now_ms();
    assert_int_not_equal(before, 0);
    nanosleep(&(struct timespec){0, 30000000}, NULL);
    uint64_t after = xa_os_now_ms();
    assert_true(after > before && after - before < 60000);
}

static void
files_are_made_private_appended_to_and_read(void **state)
{
    char path[512], text[16];
    struct stat about;
    (void)state;
    make_path(path, sizeof path);
    errno = ODD_ERRNO;
    assert_int_equal(xa_os_read_file(path, text, sizeof text), -1);
    assert_false(xa_os_append_file(path, XA_OS_FILE_EXISTING, "x", 1));
    assert_true(xa_os_append_file(path, XA_OS_FILE_NEW, "hello ", 6));
    assert_true(xa_os_append_file(path, XA_OS_FILE_EXISTING, "world, and more", 15));
    assert_false(xa_os_append_file(path, XA_OS_FILE_NEW, "x", 1));
    assert_int_equal(xa_os_read_file(path, text, sizeof text), 16);
    assert_memory_equal(text, "hello world, and", 16);
    assert_int_equal(xa_os_read_file(path, text, 5), 5);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(about.st_size, 21);
    assert_false(xa_os_append_file("/no/such/directory/file", XA_OS_FILE_NEW, "x", 1));
    assert_int_equal(xa_os_read_file("/", text, sizeof text), -1);
    assert_int_equal(xa_os_read_file("/dev/null", text, sizeof text), 0);
    unlink(path);
}

static void
a_symbolic_link_is_not_written_through(void **state)
{
    char path[512], link[600], text[4];
    (void)state;
    make_path(path, sizeof path);
    snprintf(link, sizeof link, "%s.link", path);
    unlink(link);
    assert_int_equal(symlink(path, link), 0);
    errno = ODD_ERRNO;
    assert_false(xa_os_append_file(link, XA_OS_FILE_NEW, "x", 1));
    assert_false(xa_os_append_file(link, XA_OS_FILE_EXISTING, "x", 1));
    assert_int_equal(xa_os_read_file(path, text, sizeof text), -1);
    unlink(link);
}

static void
the_environment_is_found_by_whole_names(void **state)
{
    (void)state;
    setenv("XA_TEST_NAME", "value", 1);
    setenv("XA_TEST_EMPTY", "", 1);
    unsetenv("XA_TEST_NAM");
    errno = ODD_ERRNO;
    assert_true(xa_os_environment_is_ready());
    assert_string_equal(xa_os_environment("XA_TEST_NAME"), "value");
    assert_string_equal(xa_os_environment("XA_TEST_EMPTY"), "");
    assert_null(xa_os_environment("XA_TEST_NAM"));
    assert_null(xa_os_environment("XA_TEST_NAME_LONGER"));
    xa_os_facts.is_secure = true;
    assert_null(xa_os_environment("XA_TEST_NAME"));
    xa_os_facts.is_secure = false;
}

static int
write_error(void *argument)
{
    xa_os_write_error(argument, strlen(argument));
    return 0;
}

static int
write_error_to_nothing(void *argument)
{
    close(STDERR_FILENO);
    xa_os_write_error(argument, strlen(argument));
    return 7;
}

static void
errors_go_to_standard_error_if_there_is_one(void **state)
{
    char text[] = "oh no\n";
    (void)state;
    xa_child_call(&result, SECONDS, write_error, text);
    assert_string_equal(result.errors, text);
    assert_string_equal(result.output, "");
    xa_child_call(&result, SECONDS, write_error_to_nothing, text);
    assert_int_equal(result.exit_code, 7);
    errno = ODD_ERRNO;
}

static int
abort_at_once(void *argument)
{
    (void)argument;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    xa_os_abort();
}

static void
an_abort_is_an_abort(void **state)
{
    (void)state;
    xa_child_call(&result, SECONDS, abort_at_once, NULL);
    assert_int_equal(result.signal, SIGABRT);
    errno = ODD_ERRNO;
}

static int
map_without_room(void *argument)
{
    (void)argument;
    uintptr_t address = free_range();
    XA_CHILD_CHECK(xa_child_limit(RLIMIT_AS, xa_child_virtual_bytes() + page));
    XA_CHILD_CHECK(xa_os_map(address, 16 * page) == XA_OS_NO_MEMORY);
    XA_CHILD_CHECK(xa_os_map_anywhere(16 * page) == 0);
    XA_CHILD_CHECK(xa_os_find_free_range(16 * page) == 0);
    return 0;
}

static void
a_limit_of_address_space_is_no_memory(void **state)
{
    (void)state;
    xa_child_skip_if_emulated("the emulator heeds no limit of address space");
    if (xa_child_is_instrumented()) {
        print_message("skipped: a sanitizer's own memory is beyond any limit of address space\n");
        skip();
    }
    xa_child_call(&result, SECONDS, map_without_room, NULL);
    xa_child_assert_success(&result);
    errno = ODD_ERRNO;
}

static bool
is_mapped(uintptr_t address)
{
    return mincore((void *)address, page, (unsigned char[1]){0}) == 0;
}

static void
memory_apart_has_no_neighbours(void **state)
{
    uintptr_t before = 0;
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        uintptr_t address = xa_os_map_apart(PAGES * page);
        assert_int_not_equal(address, 0);
        *(volatile char *)address = 1;
        /* Where addresses are few it is memory from anywhere. */
        if ((uint64_t)address >> 40 < 79 || (uint64_t)address >> 40 >= 85)
            continue;
        assert_true(i == 0 || address > before);
        assert_false(is_mapped(address - page));
        assert_false(is_mapped(address + PAGES * page));
        before = address;
    }
    errno = ODD_ERRNO;
}

static int
touch(void *address)
{
    *(volatile char *)address = 1;
    return 0;
}

static void
guarded_pages_cannot_be_touched(void **state)
{
    (void)state;
    for (int by = XA_OS_GUARD_BY_MARK; by <= XA_OS_GUARD_BY_PROTECTION; by++) {
        if (by == XA_OS_GUARD_BY_MARK && xa_child_is_emulated()) {
            print_message("the emulator only says that it marks guard pages\n");
            continue;
        }
        uintptr_t address = xa_os_map_anywhere(3 * page);
        char *middle = (char *)address + page;
        middle[0] = 'x';
        if (!xa_os_guard((uintptr_t)middle, page, (enum xa_os_guard)by)) {
            assert_int_equal(by, XA_OS_GUARD_BY_MARK);
            print_message("this kernel has no marks for guard pages\n");
            continue;
        }
        xa_child_call(&result, SECONDS, touch, middle);
        assert_int_equal(result.signal, SIGSEGV);
        middle[-1] = middle[page] = 'x';
        assert_true(xa_os_unguard((uintptr_t)middle, page, (enum xa_os_guard)by));
        assert_int_equal(middle[0], 0);
        middle[0] = 'y';
        assert_true(xa_os_unmap(address, 3 * page));
    }
    errno = ODD_ERRNO;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_facts_are_those_of_the_host, begin, end),
        cmocka_unit_test_setup_teardown(memory_is_mapped_exactly_there_and_zero, begin, end),
        cmocka_unit_test_setup_teardown(memory_apart_has_no_neighbours, begin, end),
        cmocka_unit_test_setup_teardown(guarded_pages_cannot_be_touched, begin, end),
        cmocka_unit_test_setup_teardown(
            beyond_the_address_space_is_taken_or_out_of_memory, begin, end),
        cmocka_unit_test_setup_teardown(memory_anywhere_is_zero_and_can_be_cut, begin, end),
        cmocka_unit_test_setup_teardown(purged_pages_are_zero_and_gone, begin, end),
        cmocka_unit_test_setup_teardown(
            offered_pages_read_as_they_were_or_as_zeros_until_they_are_written, begin, end),
        cmocka_unit_test_setup_teardown(untouched_and_unmapped_pages_are_not_resident, begin, end),
        cmocka_unit_test_setup_teardown(pages_are_told_apart, begin, end),
        cmocka_unit_test_setup_teardown(pages_of_files_are_present_once_they_are_read, begin, end),
        cmocka_unit_test_setup_teardown(a_program_s_own_code_is_no_library, begin, end),
        cmocka_unit_test_setup_teardown(a_hole_hides_no_pages_before_or_behind_it, begin, end),
        cmocka_unit_test_setup_teardown(
            residency_of_long_ranges_is_the_sum_of_their_parts, begin, end),
        cmocka_unit_test_setup_teardown(a_mapping_moves_with_its_contents_and_grows, begin, end),
        cmocka_unit_test_setup_teardown(a_move_replaces_nothing, begin, end),
        cmocka_unit_test_setup_teardown(
            an_extended_mapping_is_zero_behind_and_replaces_nothing, begin, end),
        cmocka_unit_test_setup_teardown(
            a_mapping_that_was_extended_after_a_move_moves_again, begin, end),
        cmocka_unit_test_setup_teardown(a_wiped_page_is_zero_in_every_child, begin, end),
        cmocka_unit_test_setup_teardown(the_clock_advances_and_never_runs_back, begin, end),
        cmocka_unit_test_setup_teardown(files_are_made_private_appended_to_and_read, begin, end),
        cmocka_unit_test_setup_teardown(a_symbolic_link_is_not_written_through, begin, end),
        cmocka_unit_test_setup_teardown(the_environment_is_found_by_whole_names, begin, end),
        cmocka_unit_test_setup_teardown(errors_go_to_standard_error_if_there_is_one, begin, end),
        cmocka_unit_test_setup_teardown(an_abort_is_an_abort, begin, end),
        cmocka_unit_test_setup_teardown(a_limit_of_address_space_is_no_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
