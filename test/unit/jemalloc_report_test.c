/*
 * jemalloc_report_test.c - the tree that jemalloc's users know, with our figures.
 *
 * That it is JSON is for a real parser to say: test/integration/stats_print_test.py.
 */
#include "control/jemalloc_report.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/start.h"
#include "control/report.h"

extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false";

enum { TEXT_MAX = 256 * 1024 };

static char text[TEXT_MAX];
static size_t length;
static struct xa_statistics s;

static void
keep(void *context, const char *piece, size_t bytes)
{
    (void)context;
    assert_true(length + bytes < TEXT_MAX);
    memcpy(text + length, piece, bytes);
    length += bytes;
    text[length] = '\0';
}

static void
write_parts(unsigned parts)
{
    static char buffer[XA_EMITTER_BUFFER_BYTES];
    struct xa_emitter e;
    length = 0;
    xa_statistics_gather(&s, XA_STATISTICS_WITH_RESIDENT);
    xa_emitter_begin(&e, XA_EMITTER_JSON, buffer, keep, NULL);
    xa_jemalloc_report_put(&e, &s, parts);
    xa_emitter_end(&e);
}

/* The number behind the first such key after the place where another one begins. */
static size_t
number(const char *place, const char *key)
{
    char wanted[64];
    const char *at = strstr(text, place);
    if (at == NULL)
        fail_msg("no %s in %.2000s", place, text);
    snprintf(wanted, sizeof wanted, "\"%s\": ", key);
    at = strstr(at, wanted);
    if (at == NULL)
        fail_msg("no %s behind %s", key, place);
    return strtoull(at + strlen(wanted), NULL, 10);
}

static unsigned
count(const char *word)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        found++;
    return found;
}

static void
the_groups_are_jemalloc_s(void **state)
{
    static const char *const groups[] = {"\n\t\"jemalloc\": {", "\n\t\t\"version\": \"5.3.1-",
        "\n\t\t\"config\": {", "\n\t\t\"opt\": {", "\n\t\t\"arenas\": {", "\n\t\t\"stats\": {",
        "\n\t\t\"stats.arenas\": {", "\n\t\t\t\"merged\": {", "\n\t\t\t\"0\": {"};
    const char *at = text;
    (void)state;
    assert_non_null(xa_fast_malloc(100));
    write_parts(XA_REPORT_ALL);
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
        at = strstr(at, groups[i]);
        if (at == NULL)
            fail_msg("no %s in its place", groups[i]);
    }
}

static void
the_figures_are_those_of_the_statistics(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++)
        memset(xa_fast_malloc(100), 1, 100);
    assert_non_null(xa_fast_malloc(200000));
    assert_non_null(xa_fast_malloc(9 << 20));
    write_parts(XA_REPORT_ALL);
    assert_int_equal(number("\"stats\"", "allocated"), s.allocated);
    assert_int_equal(number("\"stats\"", "resident"), s.resident);
    assert_int_equal(number("\"stats\"", "metadata"), s.metadata);
    assert_int_equal(number("\"stats\"", "mapped"), s.mapped - s.retained);
    assert_int_equal(number("\"merged\"", "pactive"), s.active / 4096);
    assert_int_equal(number("\"merged\"", "nthreads"), 1);
    assert_int_equal(number("\"small\"", "allocated"), s.small);
    assert_int_equal(number("\"large\"", "allocated"), s.large);
    assert_int_equal(number("\"large\"", "nmalloc"), 2);
    assert_int_equal(number("\"large\"", "ndalloc"), 0);
    assert_int_equal(number("\"arenas\"", "nbins"), XA_SMALL_CLASSES);
    assert_int_equal(count("\"nregs\""), XA_SMALL_CLASSES);
    /* Those of all arenas, and of the one. */
    assert_int_equal(count("\"curregs\""), 2 * XA_SMALL_CLASSES);
    char bin[64];
    snprintf(bin, sizeof bin, "\"curregs\": %zu,", s.classes[xa_size_class_of(100)].live);
    assert_non_null(strstr(text, bin));
}

static void
options_are_of_their_types(void **state)
{
    (void)state;
    xa_os_fake_set_environment("XALLOC_CONF",
        "dirty_decay_ms:-1,tcache:false,junk:alloc,stats_file:/tmp/a\"b,stats_interval:4K");
    assert_non_null(xa_fast_malloc(100));
    write_parts(XA_REPORT_ALL);
    assert_non_null(strstr(text, "\"dirty_decay_ms\": -1,"));
    assert_non_null(strstr(text, "\"tcache\": false,"));
    assert_non_null(strstr(text, "\"junk\": \"alloc\","));
    assert_non_null(strstr(text, "\"stats_file\": \"/tmp/a\\\"b\","));
    assert_non_null(strstr(text, "\"stats_interval\": 4096,"));
    assert_non_null(strstr(text, "\"stats_signal\": \"none\","));
}

static void
parts_can_be_left_out(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(100));
    write_parts(XA_REPORT_ALL & ~(unsigned)XA_REPORT_GENERAL);
    assert_null(strstr(text, "\"version\""));
    assert_null(strstr(text, "\"config\""));
    assert_null(strstr(text, "\"opt\""));
    assert_null(strstr(text, "\"nregs\""));
    write_parts(XA_REPORT_ALL & ~(unsigned)XA_REPORT_MERGED);
    assert_null(strstr(text, "\"merged\""));
    assert_non_null(strstr(text, "\"0\": {"));
    write_parts(XA_REPORT_ALL & ~(unsigned)XA_REPORT_ARENAS);
    assert_non_null(strstr(text, "\"merged\""));
    assert_null(strstr(text, "\"0\": {"));
    write_parts(XA_REPORT_ALL & ~(unsigned)(XA_REPORT_ARENAS | XA_REPORT_MERGED));
    assert_null(strstr(text, "\"stats.arenas\""));
    write_parts(XA_REPORT_ALL & ~(unsigned)XA_REPORT_BINS);
    assert_null(strstr(text, "\"bins\""));
    assert_int_equal(count("\"curregs\""), 0);
    write_parts(XA_REPORT_ALL & ~(unsigned)XA_REPORT_RESIDENT);
    assert_null(strstr(text, "\"resident\""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(the_groups_are_jemalloc_s),
        XA_OS_FAKE_FRESH(the_figures_are_those_of_the_statistics),
        XA_OS_FAKE_FRESH(options_are_of_their_types),
        XA_OS_FAKE_FRESH(parts_can_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
