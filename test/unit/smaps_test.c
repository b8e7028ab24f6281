/*
 * smaps_test.c - the kernel's account of mappings, whole, cut and absent.
 */
#include "os/smaps.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

enum { LONG_BYTES = 64 * 1024 };

static const char account[] = "08048000-08067000 rw-p 00000000 00:00 0   [heap]\n"
                              "Rss:                 128 kB\n"
                              "AnonHugePages:      1024 kB\n"
                              "VmFlags: rd wr mr mw me ac\n"
                              "10000000-10400000 rw-p 00000000 00:00 0\n"
                              "Size:               4096 kB\n"
                              "AnonHugePages:      2048 kB\n"
                              "ShmemPmdMapped:     9999 kB\n"
                              "10800000-10c00000 rw-p 00000000 00:00 0\n"
                              "AnonHugePages:         0 kB\n"
                              "10c00000-11000000 rw-p 00000000 00:00 0\n"
                              "AnonHugePages:      4096 kB\n"
                              "fffdd000-ffffe000 rw-p 00000000 00:00 0  [stack]\n"
                              "AnonHugePages:      8192 kB\n";

#define LOW ((uintptr_t)0x10000000)
#define HIGH ((uintptr_t)0x11000000)

static void
huge_pages_within_the_bounds_are_added_up(void **state)
{
    (void)state;
    xa_os_fake_set_file("/proc/self/smaps", account);
    assert_int_equal(xa_smaps_huge_page_bytes(LOW, HIGH), 6144 * 1024);
    assert_int_equal(xa_smaps_huge_page_bytes(LOW + 1, HIGH), 4096 * 1024);
    assert_int_equal(xa_smaps_huge_page_bytes(LOW, LOW + 1), 2048 * 1024);
    assert_int_equal(xa_smaps_huge_page_bytes(0, UINTPTR_MAX), 15360 * 1024);
    assert_int_equal(xa_smaps_huge_page_bytes(LOW, LOW), 0);
}

/* The text is read in pieces, and lines are cut by their ends. */
static void
wherever_the_text_is_cut_the_sum_is_the_same(void **state)
{
    static char text[LONG_BYTES];
    (void)state;
    for (size_t pad = 0; pad < 1100; pad++) {
        /* A long name of a file, longer than what is kept of a line. */
        memset(text, 'a', pad);
        snprintf(text + pad, sizeof text - pad, "\n%s%s", account, account);
        xa_os_fake_set_file("/proc/self/smaps", text);
        assert_int_equal(xa_smaps_huge_page_bytes(LOW, HIGH), 2 * 6144 * 1024);
    }
}

static void
no_file_and_nonsense_are_nothing(void **state)
{
    (void)state;
    assert_int_equal(xa_smaps_huge_page_bytes(0, UINTPTR_MAX), 0);
    xa_os_fake_set_file("/proc/self/smaps", "AnonHugePages: 2048 kB\n-\n00000000\n:-:\n");
    assert_int_equal(xa_smaps_huge_page_bytes(0, UINTPTR_MAX), 0);
    xa_os_fake_set_file("/proc/self/smaps", "");
    assert_int_equal(xa_smaps_huge_page_bytes(0, UINTPTR_MAX), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(huge_pages_within_the_bounds_are_added_up),
        XA_OS_FAKE_FRESH(wherever_the_text_is_cut_the_sum_is_the_same),
        XA_OS_FAKE_FRESH(no_file_and_nonsense_are_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
