/*
 * huge_pages_test.c - what the option thp costs and does in programs on the real kernel.
 *
 * This program starts itself again with settings in XALLOC_CONF, in one of the modes below.  What
 * the kernel does depends on its own setting, which a test does not change: see skip_unless_usable().
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*volatile call_malloc)(size_t) = malloc;

enum {
    CHILD_SECONDS = 60,
    MIB = 1 << 20,
    SMALL_BYTES = 1000,
    FEW_OBJECTS = 1000,
    MANY_OBJECTS = 20000,
    SPARSE_OBJECTS = 5,
    NOISE_BYTES = 512 * 1024,
    HUGE_PAGE_BYTES = 2 * MIB
};

static struct xa_child_result child;

/* ---- The modes ---- */

static void
fill_objects(size_t count)
{
    for (size_t i = 0; i < count; i++)
        memset(call_malloc(SMALL_BYTES), 1, SMALL_BYTES);
}

/* Buffers of 6 MiB of which a page in each MiB is used, as some tables are. */
static void
fill_sparsely(void)
{
    for (int i = 0; i < SPARSE_OBJECTS; i++) {
        char *buffer = call_malloc((size_t)6 * MIB);
        for (size_t at = 0; at < (size_t)6 * MIB; at += MIB)
            buffer[at] = 1;
    }
}

static int
run_mode(const char *mode)
{
    if (strcmp(mode, "few") == 0)
        fill_objects(FEW_OBJECTS);
    if (strcmp(mode, "many") == 0)
        fill_objects(MANY_OBJECTS);
    if (strcmp(mode, "sparse") == 0) {
        fill_sparsely();
        fill_objects(4 * FEW_OBJECTS);
    }
    printf("%zu\n", xa_child_resident_bytes());
    return 0;
}

/* ---- The tests ---- */

/* Resident bytes of a child in this mode, as the kernel says; the report is in `child`. */
static size_t
resident_with(const char *mode, const char *conf)
{
    xa_child_run_mode(&child, CHILD_SECONDS, mode, conf);
    xa_child_assert_success(&child);
    return strtoull(child.output, NULL, 10);
}

static size_t
huge_page_bytes(void)
{
    const char *line = strstr(child.errors, "\n  huge pages");

    if (line == NULL)
        fail_msg("no figure for huge pages in the report: %.3000s", child.errors);
    return strtoull(line + strlen("\n  huge pages"), NULL, 10);
}

/* Leave the test where the kernel has no huge pages, or gives none to whoever asks. */
static void
skip_unless_usable(void)
{
    char text[64] = "";
    int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);

    if (file < 0 || read(file, text, sizeof(text) - 1) <= 0 || strstr(text, "[never]") != NULL) {
        print_message(
            "skipped: this system has no transparent huge pages, or they are off: %s\n", text);
        if (file >= 0)
            close(file);
        skip();
    }
    close(file);
}

static void
a_small_program_is_the_same_with_auto_and_never(void **state)
{
    static const char *const modes[] = {"few", "many", "sparse"};

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        size_t never = resident_with(modes[i], "XALLOC_CONF=thp:never,stats_print:true");
        assert_int_equal(huge_page_bytes(), 0);
        size_t automatic = resident_with(modes[i], "XALLOC_CONF=stats_print:true");
        assert_int_equal(huge_page_bytes(), 0);
        if (automatic > never + NOISE_BYTES)
            fail_msg("%s: %zu bytes resident, %zu with never", modes[i], automatic, never);
    }
}

static void
with_always_a_small_program_has_at_most_one_huge_page_more(void **state)
{
    (void)state;
    skip_unless_usable();
    size_t never = resident_with("few", "XALLOC_CONF=thp:never,stats_print:true");
    size_t always = resident_with("few", "XALLOC_CONF=thp:always,stats_print:true");
    if (always > never + HUGE_PAGE_BYTES + NOISE_BYTES)
        fail_msg("%zu bytes resident, %zu with never", always, never);
}

static void
with_always_heaps_are_in_huge_pages(void **state)
{
    (void)state;
    skip_unless_usable();
    (void)resident_with("many", "XALLOC_CONF=thp:always,stats_print:true");
    /* The kernel may have none left at the moment: then it has failed for others as well. */
    size_t bytes = huge_page_bytes();
    if (bytes == 0) {
        print_message("skipped: the kernel had no huge page to give\n");
        skip();
    }
    assert_int_equal(bytes % HUGE_PAGE_BYTES, 0);
    assert_true(bytes <= MANY_OBJECTS * (size_t)SMALL_BYTES * 2);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_program_is_the_same_with_auto_and_never),
        cmocka_unit_test(with_always_a_small_program_has_at_most_one_huge_page_more),
        cmocka_unit_test(with_always_heaps_are_in_huge_pages),
    };

    if (argc == 2)
        return run_mode(argv[1]);
    xa_child_start_watchdog(180);
    return cmocka_run_group_tests(tests, xa_child_check_allocator, NULL);
}
