/*
 * report_test.c - the report as a person (and a script) reads it: its forms, parts and limits.
 */
#include "control/report.h"

#include "support/os_fake.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "config/options.h"
#include "support/report_text.h"
#include "support/words.h"

/* As a program's own settings: what is dirty stays so until a test says otherwise. */
extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { COLUMNS_MAX = 100 };

static size_t
count_lines(const char *from, const char *to)
{
    size_t lines = 0;
    for (; from < to; from++)
        lines += *from == '\n';
    return lines;
}

static void
every_line_fits_and_holds_plain_text(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    size_t column = 0;
    for (size_t i = 0; i < xa_report_text_length; i++) {
        if (xa_report_text[i] == '\n') {
            /* No blanks at a line's end. */
            assert_true(i == 0 || xa_report_text[i - 1] != ' ');
            column = 0;
            continue;
        }
        assert_true(isprint((unsigned char)xa_report_text[i]));
        if (++column > COLUMNS_MAX)
            fail_msg("a line of more than %d columns ends: %.*s", COLUMNS_MAX, 40,
                xa_report_text + i - 39);
    }
    assert_memory_equal(
        xa_report_text, "xalloc: statistics of process 4711 for a test (xalloc ", 54);
    assert_true(xa_report_text_pieces >= 2);
}

static void
even_the_largest_numbers_fit(void **state)
{
    (void)state;
    xa_report_text_allocate();
    unsigned size_class = XA_SMALL_CLASSES;
    struct xa_bin_counters *bin = &xa_arena_at(0)->bins[size_class].counters;
    void *object = xa_fast_malloc(XA_SMALL_MAX_BYTES);
    assert_non_null(object);
    /* A year of a busy program: 2^50 allocations, a terabyte of objects. */
    atomic_fetch_add(&bin->allocations, xa_words_power(49));
    atomic_fetch_add(&bin->frees, xa_words_power(49));
    atomic_fetch_add(&bin->slabs, (size_t)1 << 22);
    atomic_fetch_add(&bin->allocations, (size_t)1 << 24);
    atomic_fetch_add(&xa_arena_at(0)->heap.counters.mapped_bytes, xa_words_power(42));
    atomic_fetch_add(&xa_arena_at(0)->heap.counters.purged_bytes, xa_words_power(55));
    xa_report_text_write(XA_REPORT_ALL);
    size_t column = 0;
    for (size_t i = 0; i < xa_report_text_length; i++) {
        column = xa_report_text[i] == '\n' ? 0 : column + 1;
        assert_true(column <= COLUMNS_MAX);
    }
}

static void
each_letter_has_its_effect(void **state)
{
    static const struct {
        const char *letter;
        const char *without[3];
    } letters[] = {
        {"g", {"Options that"}},
        {"m", {"Size classes", "  large  ", "  huge  "}},
        {"a", {"\nArenas\n"}},
        {"b", {"Size classes"}},
        {"l", {"  large  ", "  huge  "}},
        {"e", {"Free runs"}},
        {"h", {"huge pages"}},
        {"r", {"resident", "in memory", "Free runs"}},
        /* There are no such figures. */
        {"d", {NULL}},
        {"x", {NULL}},
    };
    (void)state;
    xa_report_text_allocate();
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++) {
        for (unsigned j = 0; j < 3 && letters[i].without[j] != NULL; j++) {
            xa_report_text_print("");
            assert_non_null(strstr(xa_report_text, letters[i].without[j]));
            xa_report_text_print(letters[i].letter);
            /* "in memory" is also in the explanations of other lines. */
            const char *found = strstr(xa_report_text, letters[i].without[j]);
            if (found != NULL && strncmp(found, "in memory, ", 11) != 0)
                fail_msg("%s leaves \"%s\"", letters[i].letter, letters[i].without[j]);
        }
    }
    xa_report_text_print("gmabler");
    size_t shortest = xa_report_text_length;
    xa_report_text_print("gmdablxer?!z");
    assert_int_equal(xa_report_text_length, shortest);
    xa_report_text_print(NULL);
    assert_non_null(strstr(xa_report_text, "Options that"));
}

static void
json_is_one_object_with_ours_first(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_print("J");
    assert_memory_equal(xa_report_text, "{\n\t\"xalloc\": {\n\t\t\"version\": ", 28);
    assert_non_null(strstr(xa_report_text, "\n\t\"jemalloc\": {\n"));
    assert_string_equal(xa_report_text + xa_report_text_length - 6, "\n\t}\n}\n");
    long depth = 0;
    for (size_t i = 0; i < xa_report_text_length; i++)
        depth += strchr("{[", xa_report_text[i]) != NULL ? 1
            : strchr("}]", xa_report_text[i]) != NULL    ? -1
                                                         : 0;
    assert_int_equal(depth, 0);
    xa_report_text_print("Jgr");
    assert_null(strstr(xa_report_text, "\"version\""));
    assert_null(strstr(xa_report_text, "\"opt\""));
    assert_null(strstr(xa_report_text, "resident"));
}

static void
metrics_have_their_end(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_print("O");
    assert_memory_equal(xa_report_text, "# TYPE xalloc info\n", 19);
    assert_string_equal(xa_report_text + xa_report_text_length - 6, "# EOF\n");
    assert_non_null(strstr(xa_report_text, "\nxalloc_place_mapped_bytes{place=\"live\"} "));
    assert_non_null(strstr(xa_report_text, "\nxalloc_class_allocations_total{size=\"64\"} "));
    assert_null(strstr(xa_report_text, "jemalloc"));
}

static void
options_are_listed_that_are_not_at_their_defaults(void **state)
{
    (void)state;
    xalloc_conf = NULL;
    xa_os_fake_set_environment("XALLOC_CONF", "narenas:3,stats_print:true");
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    const char *line = strstr(xa_report_text, "Options");
    assert_non_null(line);
    assert_int_equal(count_lines(line, xa_report_text + xa_report_text_length), 3);
    assert_int_equal(strtoul(xa_report_text_find_line(line, "narenas"), NULL, 10), 3);
    assert_non_null(xa_report_text_find_line(line, "stats_print"));
}

static void
without_settings_there_are_no_options_to_list(void **state)
{
    (void)state;
    xalloc_conf = NULL;
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    const char *line = strstr(xa_report_text, "Options");
    assert_string_equal(xa_report_text_next_line(line), "  none\n");
}

/* A report in the middle of a report, as a signal handler would try. */
static void
report_again(void *context, const char *piece, size_t bytes)
{
    unsigned *refused = context;
    (void)piece;
    (void)bytes;
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    if (!xa_report_write(" again", &wish, report_again, context))
        ++*refused;
}

static void
reports_begin_in_the_middle_of_another_but_not_for_ever(void **state)
{
    const struct xa_report_wish wish = {XA_EMITTER_TEXT, 0};
    unsigned refused = 0;
    (void)state;
    xa_report_text_allocate();
    assert_true(xa_report_write("", &wish, report_again, &refused));
    assert_true(refused >= 1);
    xa_report_text_write(XA_REPORT_ALL);
}

static unsigned long
calls_for_memory(void)
{
    return xa_os_fake_count(XA_OS_FAKE_ANY) - xa_os_fake_count(XA_OS_FAKE_READ_FILE);
}

static void
a_report_allocates_nothing(void **state)
{
    (void)state;
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    size_t allocated = xa_report_text_figures.allocated, metadata = xa_report_text_figures.metadata;
    unsigned long calls = calls_for_memory();
    xa_report_text_write(XA_REPORT_ALL);
    assert_int_equal(xa_report_text_figures.allocated, allocated);
    assert_int_equal(xa_report_text_figures.metadata, metadata);
    assert_int_equal(calls_for_memory(), calls);
}

static void
a_report_can_be_written_before_the_first_call(void **state)
{
    (void)state;
    xa_os_init();
    xa_report_text_write(XA_REPORT_ALL);
    assert_int_equal(xa_report_text_number("allocated"), 0);
    assert_int_equal(xa_report_text_number("mapped"), 0);
}

static void
strict_system_calls_leave_the_resident_bytes_out(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF", "strict_syscalls:true");
    xa_report_text_allocate();
    xa_report_text_write(XA_REPORT_ALL);
    assert_null(xa_report_text_find_line(xa_report_text, "resident"));
    assert_null(xa_report_text_find_line(xa_report_text, "huge pages"));
    assert_int_equal(xa_report_text_number("allocated"), xa_report_text_figures.allocated);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(every_line_fits_and_holds_plain_text),
        XA_OS_FAKE_FRESH(even_the_largest_numbers_fit),
        XA_OS_FAKE_FRESH(each_letter_has_its_effect),
        XA_OS_FAKE_FRESH(json_is_one_object_with_ours_first),
        XA_OS_FAKE_FRESH(metrics_have_their_end),
        XA_OS_FAKE_FRESH(options_are_listed_that_are_not_at_their_defaults),
        XA_OS_FAKE_FRESH(without_settings_there_are_no_options_to_list),
        XA_OS_FAKE_FRESH(reports_begin_in_the_middle_of_another_but_not_for_ever),
        XA_OS_FAKE_FRESH(a_report_allocates_nothing),
        XA_OS_FAKE_FRESH(a_report_can_be_written_before_the_first_call),
        XA_OS_FAKE_FRESH(strict_system_calls_leave_the_resident_bytes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
