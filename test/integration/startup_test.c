/*
 * startup_test.c - from the first call of a process to the last; rows L4, L5, L9 and C5.
 *
 * This program allocates before any constructor of any library has run (from .preinit_array), in a
 * constructor of its own, and in destructors after main.  The library must be usable all that time.
 * Loading the library later is the affair of startup_load_test.c.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

enum { CHILD_SECONDS = 60, EARLY = 200 };

static struct xa_child_result child;

static unsigned char *before_constructors[EARLY];
static unsigned char *in_constructor[EARLY];

static size_t
early_size(size_t index)
{
    return index * index * 7 + 1;
}

static void
fill_early(unsigned char **blocks, unsigned char value)
{
    for (size_t i = 0; i < EARLY; i++) {
        blocks[i] = malloc(early_size(i));
        if (blocks[i] != NULL)
            memset(blocks[i], value, early_size(i));
        free(malloc(early_size(EARLY - i)));
    }
}

static void
allocate_before_constructors(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    fill_early(before_constructors, 0x11);
}

static __attribute__((section(".preinit_array"), used)) void (*preinit)(
    int, char **, char **) = allocate_before_constructors;

static __attribute__((constructor(101))) void
allocate_in_constructor(void)
{
    fill_early(in_constructor, 0x22);
}

static __attribute__((destructor(101))) void
allocate_in_destructor(void)
{
    /* After the functions given to atexit; the blocks made before main are still good. */
    for (size_t i = 0; i < EARLY; i++) {
        if (before_constructors[i] == NULL || before_constructors[i][early_size(i) - 1] != 0x11)
            _exit(97);
        call_free(before_constructors[i]);
        call_free(call_malloc(early_size(i)));
        before_constructors[i] = NULL;
    }
}

static void
l09_memory_from_before_the_constructors_is_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < EARLY; i++) {
        assert_non_null(before_constructors[i]);
        assert_non_null(in_constructor[i]);
        assert_int_equal(before_constructors[i][0], 0x11);
        assert_int_equal(before_constructors[i][early_size(i) - 1], 0x11);
        assert_int_equal(in_constructor[i][0], 0x22);
        assert_int_equal(in_constructor[i][early_size(i) - 1], 0x22);
        call_free(in_constructor[i]);
    }
}

static void
check_exit_code(const char *mode, int code)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, NULL);
    if (child.timed_out || child.exit_code != code)
        fail_msg("mode %s: exit code %d instead of %d, signal %d: %s", mode, child.exit_code, code,
            child.signal, child.errors);
}

static void
l09_memory_is_good_until_the_last_destructor(void **state)
{
    (void)state;
    check_exit_code("return", 0);
}

static unsigned
count_descriptors(bool inherited_only)
{
    unsigned count = 0;

    for (int file = 0; file < 1024; file++) {
        int flags = fcntl(file, F_GETFD);

        count += flags >= 0 && !(inherited_only && (flags & FD_CLOEXEC) != 0);
    }
    return count;
}

static void
use_allocator(unsigned index, void *argument)
{
    (void)argument;
    for (size_t size = 1 + index; size < 40 << 20; size = size * 3) {
        unsigned char *block = call_malloc(size);

        XA_CHILD_CHECK(block != NULL);
        block[0] = block[size - 1] = 1;
        call_free(block);
    }
}

static int
report_descriptors(void)
{
    XA_CHILD_CHECK(xa_threads_run(4, use_allocator, NULL, 20));
    malloc_trim(0);
    return (int)count_descriptors(false);
}

static void
c05_no_file_stays_open(void **state)
{
    (void)state;
    check_exit_code("descriptors", (int)count_descriptors(true));
}

struct tls_search {
    uintptr_t address;
    bool found;
    size_t tls_bytes;
};

static int
find_tls_of(struct dl_phdr_info *info, size_t size, void *data)
{
    struct tls_search *search = data;
    size_t tls_bytes = 0;
    bool is_it = false;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_TLS)
            tls_bytes = header->p_memsz;
        if (header->p_type == PT_LOAD && search->address >= start &&
            search->address < start + header->p_memsz)
            is_it = true;
    }
    if (is_it) {
        search->found = true;
        search->tls_bytes = tls_bytes;
    }
    return 0;
}

static void
l04_the_library_needs_at_most_16_bytes_of_static_tls(void **state)
{
    struct tls_search search = {(uintptr_t)dlsym(RTLD_DEFAULT, "malloc"), false, 0};

    (void)state;
    dl_iterate_phdr(find_tls_of, &search);
    assert_true(search.found);
    if (search.tls_bytes > 16)
        fail_msg("the object that holds malloc has %zu bytes of TLS", search.tls_bytes);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l09_memory_from_before_the_constructors_is_good),
        cmocka_unit_test(l09_memory_is_good_until_the_last_destructor),
        cmocka_unit_test(c05_no_file_stays_open),
        cmocka_unit_test(l04_the_library_needs_at_most_16_bytes_of_static_tls),
    };

    if (argc == 2 && strcmp(argv[1], "return") == 0)
        return 0;
    if (argc == 2 && strcmp(argv[1], "descriptors") == 0)
        return report_descriptors();
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
