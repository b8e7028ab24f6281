/*
 * emitter_test.c - one declaration of a figure comes out in each of three forms.
 */
#include "control/emitter.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 64 * 1024 };

static char text[TEXT_MAX];
static char buffer[XA_EMITTER_BUFFER_BYTES];
static size_t length, pieces;
static struct xa_emitter e;

static const struct xa_figure size = {
    "held", "held", "what is held", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 10};
static const struct xa_figure number = {
    "calls", "calls", "so far", XA_FIGURE_NUMBER, XA_FIGURE_COUNTER, 8};
static const struct xa_figure part = {
    "part", "part", "of the whole", XA_FIGURE_PERMILLE, XA_FIGURE_GAUGE, 9};
static const struct xa_figure hidden = {
    "given", "", "given back", XA_FIGURE_BYTES, XA_FIGURE_COUNTER, 0};

static void
keep(void *context, const char *piece, size_t bytes)
{
    assert_ptr_equal(context, &length);
    assert_true(bytes > 0 && length + bytes < TEXT_MAX);
    assert_int_equal(piece[bytes - 1], '\n');
    assert_int_equal(piece[bytes], '\0');
    memcpy(text + length, piece, bytes);
    length += bytes;
    text[length] = '\0';
    pieces++;
}

static void
begin(enum xa_emitter_form form)
{
    length = pieces = 0;
    xa_emitter_begin(&e, form, buffer, keep, &length);
}

static void
expect(const char *expected)
{
    xa_emitter_end(&e);
    assert_string_equal(text, expected);
}

static void
put_figures(void)
{
    xa_emitter_figure(&e, &size, 1536);
    xa_emitter_figure(&e, &number, 7);
    xa_emitter_figure(&e, &part, 1234);
}

static void
figures_are_lines_of_text(void **state)
{
    (void)state;
    begin(XA_EMITTER_TEXT);
    xa_emitter_line(&e, "Title");
    put_figures();
    expect("Title\n"
           "  held                          1536     1.5 KiB  what is held\n"
           "  calls                            7              so far\n"
           "  part                                   123.4 %  of the whole\n");
}

static void
figures_are_keys_of_json(void **state)
{
    (void)state;
    begin(XA_EMITTER_JSON);
    xa_emitter_line(&e, "Title");
    xa_emitter_open(&e, "group");
    put_figures();
    xa_emitter_close(&e);
    expect("{\n\t\"group\": {\n\t\t\"held\": 1536,\n\t\t\"calls\": 7,\n"
           "\t\t\"part_ratio\": 1.234\n\t}\n}\n");
}

static void
figures_are_metrics(void **state)
{
    (void)state;
    begin(XA_EMITTER_METRICS);
    xa_emitter_line(&e, "Title");
    xa_emitter_open(&e, "group");
    xa_emitter_number(&e, "only in JSON", 1);
    xa_emitter_info(&e, "which", "version", "1.0");
    put_figures();
    xa_emitter_close(&e);
    expect("# TYPE xalloc info\n# HELP xalloc which\nxalloc_info{version=\"1.0\"} 1\n"
           "# TYPE xalloc_held_bytes gauge\n# UNIT xalloc_held_bytes bytes\n"
           "# HELP xalloc_held_bytes what is held\nxalloc_held_bytes 1536\n"
           "# TYPE xalloc_calls counter\n# HELP xalloc_calls so far\nxalloc_calls_total 7\n"
           "# TYPE xalloc_part_ratio gauge\n# UNIT xalloc_part_ratio ratio\n"
           "# HELP xalloc_part_ratio of the whole\nxalloc_part_ratio 1.234\n"
           "# EOF\n");
}

static void
values_of_json_are_what_they_are(void **state)
{
    (void)state;
    begin(XA_EMITTER_JSON);
    xa_emitter_number(&e, "zero", 0);
    xa_emitter_number(&e, "largest", UINT64_MAX);
    xa_emitter_signed(&e, "least", INT64_MIN);
    xa_emitter_flag(&e, "yes", true);
    xa_emitter_flag(&e, "no", false);
    xa_emitter_string(&e, "text", "a\"b\\c\n\x7f\xc3\xa4");
    expect("{\n\t\"zero\": 0,\n\t\"largest\": 9223372036854775807,\n"
           "\t\"least\": -9223372036854775808,\n\t\"yes\": true,\n\t\"no\": false,\n"
           "\t\"text\": \"a\\\"b\\\\c\\u000a\\u007f\\u00c3\\u00a4\"\n}\n");
}

static void
groups_and_lists_may_be_empty_and_stand_in_each_other(void **state)
{
    (void)state;
    begin(XA_EMITTER_JSON);
    expect("{}\n");
    begin(XA_EMITTER_JSON);
    xa_emitter_open(&e, "empty");
    xa_emitter_close(&e);
    xa_emitter_open_list(&e, "list");
    xa_emitter_close_list(&e);
    xa_emitter_open_list(&e, "rows");
    for (unsigned i = 0; i < 2; i++) {
        xa_emitter_open_row(&e);
        xa_emitter_number(&e, "a", i);
        xa_emitter_number(&e, "b", 2);
        xa_emitter_close_row(&e);
    }
    xa_emitter_close_list(&e);
    xa_emitter_number(&e, "last", 1);
    expect("{\n\t\"empty\": {},\n\t\"list\": [],\n\t\"rows\": [\n"
           "\t\t{\"a\": 0, \"b\": 2},\n\t\t{\"a\": 1, \"b\": 2}\n\t],\n\t\"last\": 1\n}\n");
}

/* Three rows, of which the second is not there. */
static bool
fill(const void *context, size_t index, struct xa_emitter_row *row)
{
    assert_ptr_equal(context, &size);
    if (index == 3)
        return false;
    row->is_skipped = index == 1;
    snprintf(row->name, sizeof row->name, "%zu", index * 16);
    row->values[0] = index + 100;
    row->values[1] = index + 200;
    row->values[2] = index + 300;
    row->values[3] = index + 400;
    return true;
}

static void
put_table(const char *title)
{
    struct xa_figure figures[4];
    figures[0] = size;
    figures[1] = number;
    figures[2] = part;
    figures[3] = hidden;
    const struct xa_emitter_table table = {
        "rows", title, "row", "size", "size", 6, true, figures, 4, fill, &size};
    xa_emitter_table(&e, &table);
}

static void
a_table_is_columns_of_text(void **state)
{
    (void)state;
    begin(XA_EMITTER_TEXT);
    put_table("Rows");
    put_table(NULL);
    expect("Rows\n"
           "  size      held   calls     part\n"
           "     0       100     200   30.0 %\n"
           "    32       102     202   30.2 %\n");
}

static void
a_table_is_a_list_of_json(void **state)
{
    (void)state;
    begin(XA_EMITTER_JSON);
    put_table(NULL);
    expect("{\n\t\"rows\": [\n"
           "\t\t{\"size\": 0, \"held\": 100, \"calls\": 200, \"part_ratio\": 0.300, "
           "\"given\": 400},\n"
           "\t\t{\"size\": 32, \"held\": 102, \"calls\": 202, \"part_ratio\": 0.302, "
           "\"given\": 402}\n\t]\n}\n");
}

static void
a_table_is_metrics_with_a_label_column_by_column(void **state)
{
    (void)state;
    begin(XA_EMITTER_METRICS);
    put_table("Rows");
    expect("# TYPE xalloc_row_held_bytes gauge\n# UNIT xalloc_row_held_bytes bytes\n"
           "# HELP xalloc_row_held_bytes what is held\n"
           "xalloc_row_held_bytes{size=\"0\"} 100\nxalloc_row_held_bytes{size=\"32\"} 102\n"
           "# TYPE xalloc_row_calls counter\n# HELP xalloc_row_calls so far\n"
           "xalloc_row_calls_total{size=\"0\"} 200\nxalloc_row_calls_total{size=\"32\"} 202\n"
           "# TYPE xalloc_row_part_ratio gauge\n# UNIT xalloc_row_part_ratio ratio\n"
           "# HELP xalloc_row_part_ratio of the whole\n"
           "xalloc_row_part_ratio{size=\"0\"} 0.300\nxalloc_row_part_ratio{size=\"32\"} 0.302\n"
           "# TYPE xalloc_row_given_bytes counter\n# UNIT xalloc_row_given_bytes bytes\n"
           "# HELP xalloc_row_given_bytes given back\n"
           "xalloc_row_given_bytes_total{size=\"0\"} 400\n"
           "xalloc_row_given_bytes_total{size=\"32\"} 402\n# EOF\n");
}

static void
long_reports_come_in_pieces_of_whole_lines(void **state)
{
    char string[256];
    (void)state;
    memset(string, 0xff, sizeof string - 1);
    string[sizeof string - 1] = '\0';
    begin(XA_EMITTER_JSON);
    xa_emitter_open(&e, "group");
    /* The longest line that there is: an option's text, with each character escaped. */
    for (unsigned i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "%u", i);
        xa_emitter_string(&e, key, string);
    }
    xa_emitter_close(&e);
    xa_emitter_end(&e);
    assert_true(pieces > 10);
    /* Head and tail; lines, of which the first needs no comma; keys of one digit and of two. */
    size_t line = strlen(",\n\t\t\"\": \"\"") + 255 * strlen("\\u00ff");
    assert_int_equal(
        length, strlen("{\n\t\"group\": {") + 20 * line - 1 + 10 + 20 + strlen("\n\t}\n}\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_lines_of_text),
        cmocka_unit_test(figures_are_keys_of_json),
        cmocka_unit_test(figures_are_metrics),
        cmocka_unit_test(values_of_json_are_what_they_are),
        cmocka_unit_test(groups_and_lists_may_be_empty_and_stand_in_each_other),
        cmocka_unit_test(a_table_is_columns_of_text),
        cmocka_unit_test(a_table_is_a_list_of_json),
        cmocka_unit_test(a_table_is_metrics_with_a_label_column_by_column),
        cmocka_unit_test(long_reports_come_in_pieces_of_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
