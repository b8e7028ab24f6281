/*
 * report_places_test.c - a report's first page: the places add up, and advice is worth it.
 */
#include "control/report_places.h"

#include "support/os_fake.h"

#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "support/report_text.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { MIB = 1 << 20, OBJECTS = 2000 };

/* The bytes of the places, and those in memory, behind their labels. */
static void
the_places_come_first_and_add_up(void **state)
{
    static const char *const labels[] = {"live", "rounding up", "free slots", "slab tails",
        "thread caches", "depots", "large stock", "unused, dirty", "unused, muzzy", "unused, huge",
        "unused, empty", "metadata", "library"};
    static void *more[OBJECTS];
    size_t bytes = 0, resident = 0;
    (void)state;
    xa_os_fake_set_library(MIB, 256 * 1024);
    xa_report_text_allocate();
    xa_fast_free(memset(xa_fast_malloc(40 * MIB), 1, 40 * MIB));
    /* Half of a class's slots in use. */
    for (int i = 0; i < OBJECTS; i++)
        more[i] = memset(xa_fast_malloc(1000), 1, 1000);
    for (int i = 0; i < OBJECTS; i += 2)
        xa_fast_free(more[i]);
    xa_report_text_write(XA_REPORT_SUMMARY);
    assert_memory_equal(xa_report_text_next_line(xa_report_text), "Where the memory is ", 20);
    for (unsigned i = 0; i < sizeof labels / sizeof *labels; i++) {
        size_t first = xa_report_text_number(labels[i]), second = 0;
        const char *line = strstr(xa_report_text_find_line(xa_report_text, labels[i]), "B ");
        assert_non_null(line);
        second = strtoull(line + 1, NULL, 10);
        assert_int_equal(first, xa_report_text_figures.places[i].bytes);
        assert_true(second <= first + 4096);
        bytes += first;
        resident += second;
    }
    assert_int_equal(bytes, xa_report_text_number("in all"));
    assert_int_equal(bytes, xa_report_text_number("mapped") + 256 * 1024);
    assert_int_equal(resident, xa_report_text_number("resident") + 128 * 1024);
    assert_non_null(strstr(xa_report_text, "What would give most back\n"));
    assert_non_null(strstr(xa_report_text, "malloc_trim(0) gives them back now"));
    assert_non_null(strstr(xa_report_text, "\n    class "));
}

static void
a_small_process_gets_no_advice(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(100));
    xa_report_text_write(XA_REPORT_ALL);
    assert_non_null(
        strstr(xa_report_text, "What would give most back\n  nothing that is worth it\n"));
    assert_null(strstr(xa_report_text, "\n    class "));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_places_come_first_and_add_up),
        XA_OS_FAKE_FRESH(a_small_process_gets_no_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
