/*
 * report_tables_test.c - the tables of a report add up, and are those of the statistics.
 */
#include "control/report_tables.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "arena/arena.h"
#include "page/huge.h"
#include "page/window.h"
#include "support/report_text.h"
#include "thread/huge_stock.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

static void
the_summary_adds_up_and_is_that_of_the_statistics(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_SUMMARY);
    assert_int_equal(xa_report_text_number("allocated"), xa_report_text_figures.allocated);
    assert_int_equal(xa_report_text_number("active"), xa_report_text_figures.active);
    assert_int_equal(xa_report_text_number("metadata"), xa_report_text_figures.metadata);
    assert_int_equal(xa_report_text_number("mapped"), xa_report_text_figures.mapped);
    assert_int_equal(xa_report_text_number("retained"), xa_report_text_figures.retained);
    assert_int_equal(xa_report_text_number("dirty"), xa_report_text_figures.dirty);
    assert_in_range(xa_report_text_number("resident"), xa_report_text_figures.resident - 64 * 1024,
        xa_report_text_figures.resident);
    assert_int_equal(xa_report_text_number("mapped"),
        xa_report_text_number("active") + xa_report_text_number("dirty") +
            xa_report_text_number("muzzy") + xa_report_text_number("retained") +
            xa_report_text_number("metadata"));
    assert_int_equal(xa_report_text_number("allocated"),
        xa_report_text_number("small objects") + xa_report_text_number("large objects"));
    assert_int_equal(xa_report_text_number("active"),
        xa_report_text_number("allocated") + xa_report_text_number("cached") +
            xa_report_text_number("free slots") + xa_report_text_number("slab tails"));
    assert_true(xa_report_text_number("in threads") <= xa_report_text_number("cached"));
    assert_int_equal(xa_report_text_number("threads"), 1);
    assert_int_equal(xa_report_text_number("live objects"), xa_report_text_figures.live_objects);
    assert_null(strstr(xa_report_text, "Size classes"));
    assert_null(strstr(xa_report_text, "Arenas"));
}

static void
the_classes_are_listed_and_add_up(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    const char *line = strstr(xa_report_text, "Size classes");
    assert_non_null(line);
    line = xa_report_text_next_line(xa_report_text_next_line(line));
    size_t live_bytes = 0, live = 0, columns[XA_REPORT_TEXT_COLUMNS_MAX];
    unsigned listed = 0, used = 0;
    for (; xa_report_text_columns(line, columns) == 8;
         line = xa_report_text_next_line(line), listed++) {
        unsigned c = xa_size_class_of(columns[0]);
        const struct xa_size_class *row = &xa_size_class_table[c];
        const struct xa_class_statistics *class = &xa_report_text_figures.classes[c];
        assert_int_equal(columns[0], row->object_bytes);
        assert_int_equal(columns[1], class->live);
        assert_int_equal(columns[2], class->live * row->object_bytes);
        assert_int_equal(columns[3], class->cached);
        assert_int_equal(columns[4], class->slabs);
        assert_int_equal(columns[5], class->live * 1000 / (class->slabs * row->slots));
        assert_int_equal(columns[6] - columns[7], class->live + class->cached);
        live += columns[1];
        live_bytes += columns[2];
    }
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        used += atomic_load(&xa_report_text_figures.classes[c].totals.allocations) != 0;
    assert_int_equal(listed, used);
    assert_true(used > 30);
    assert_int_equal(live_bytes, xa_report_text_number("small objects"));
    assert_int_equal(live + xa_report_text_number_behind(line, "large") +
            xa_report_text_number_behind(line, "huge"),
        xa_report_text_number("live objects"));
}

static void
the_arenas_are_listed_and_add_up(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_arena_set_limit(2);
    struct xa_arena *other = xa_arena_assign();
    assert_int_equal(other->index, 1);
    xa_report_text_write(XA_REPORT_ALL);
    const char *line =
        xa_report_text_next_line(xa_report_text_next_line(strstr(xa_report_text, "\nArenas") + 1));
    size_t columns[XA_REPORT_TEXT_COLUMNS_MAX], active = 0;
    for (unsigned i = 0; i < 2; i++, line = xa_report_text_next_line(line)) {
        assert_int_equal(xa_report_text_columns(line, columns), 7);
        assert_int_equal(columns[0], i);
        assert_int_equal(columns[1], 1);
        active += columns[2];
    }
    size_t huge = atomic_load(&xa_huge_counters.live_bytes);
    assert_int_equal(
        active + huge - xa_huge_stock_bytes(xa_thread_state_self), xa_report_text_number("active"));
    assert_int_equal(xa_report_text_columns(line, columns), 0);
}

static void
memory_in_huge_pages_is_that_of_heaps_and_huge_objects(void **state)
{
    static char account[512];
    (void)state;
    xa_os_fake_skip_unless_64_bits();
    xa_report_text_allocate();
    snprintf(account, sizeof account,
        "%zx-%zx rw-p 00000000 00:00 0\nAnonHugePages: 2048 kB\n"
        "%zx-%zx rw-p 00000000 00:00 0\nAnonHugePages: 4096 kB\n",
        (size_t)xa_window_address(0), (size_t)xa_window_address(1), (size_t)xa_window_address(1),
        (size_t)xa_window_address(2));
    xa_report_text_write(XA_REPORT_SUMMARY);
    assert_int_equal(xa_report_text_number("huge pages"), 0);
    xa_os_fake_set_file("/proc/self/smaps", account);
    xa_report_text_write(XA_REPORT_SUMMARY);
    assert_int_equal(xa_report_text_number("huge pages"), 6 << 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_summary_adds_up_and_is_that_of_the_statistics),
        XA_OS_FAKE_FRESH(the_classes_are_listed_and_add_up),
        XA_OS_FAKE_FRESH(the_arenas_are_listed_and_add_up),
        XA_OS_FAKE_FRESH(memory_in_huge_pages_is_that_of_heaps_and_huge_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
