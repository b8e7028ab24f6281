/*
 * emitter.c - see emitter.h.
 *
 * OpenMetrics wants all samples of a metric together, so there a table is gone through
 * once for each of its columns; in the other forms once.
 */
#include "control/emitter.h"

enum {
    /* What a line may need: an option's text in JSON, each character escaped, is the longest. */
    LINE_BYTES = 2048,
    LABEL_WIDTH = 18,
    BYTES_WIDTH = 16,
    HUMAN_WIDTH = 12,
};

static void
flush(struct xa_emitter *e)
{
    size_t length = xa_text_length(&e->text);
    if (length > 0)
        e->writer(e->context, e->text.start, length);
    xa_text_clear(&e->text);
}

/* End the line; make room for another. */
static void
end_line(struct xa_emitter *e)
{
    xa_text_put_char(&e->text, '\n');
    if (xa_text_length(&e->text) + LINE_BYTES >= XA_EMITTER_BUFFER_BYTES)
        flush(e);
}

static void
put(struct xa_emitter *e, const char *string)
{
    xa_text_put_string(&e->text, string);
}

static bool
is_json(const struct xa_emitter *e)
{
    return e->form == XA_EMITTER_JSON;
}

/* ---- JSON ---- */

/* Begin a line of its own, behind a comma if one is due. */
static void
begin_item(struct xa_emitter *e)
{
    if (e->needs_comma)
        xa_text_put_char(&e->text, ',');
    if (e->is_in_row) {
        if (e->needs_comma)
            xa_text_put_char(&e->text, ' ');
    } else {
        end_line(e);
        xa_text_put_repeated(&e->text, '\t', e->depth);
    }
    e->needs_comma = true;
}

/* In quotes; what is not plain ASCII becomes \u00XX, so that any bytes give a valid text. */
static void
put_json_string(struct xa_emitter *e, const char *string)
{
    static const char digits[] = "0123456789abcdef";
    xa_text_put_char(&e->text, '"');
    for (; *string != '\0'; string++) {
        unsigned char c = (unsigned char)*string;
        if (c >= ' ' && c < 0x7f) {
            if (c == '"' || c == '\\')
                xa_text_put_char(&e->text, '\\');
            xa_text_put_char(&e->text, *string);
        } else {
            put(e, "\\u00");
            xa_text_put_char(&e->text, digits[c >> 4]);
            xa_text_put_char(&e->text, digits[c & 15]);
        }
    }
    xa_text_put_char(&e->text, '"');
}

static void
put_key(struct xa_emitter *e, const char *key)
{
    begin_item(e);
    if (key == NULL)
        return;
    put_json_string(e, key);
    put(e, ": ");
}

static void
open_group(struct xa_emitter *e, const char *key, char bracket)
{
    if (!is_json(e))
        return;
    put_key(e, key);
    xa_text_put_char(&e->text, bracket);
    e->depth++;
    e->needs_comma = false;
}

static void
close_group(struct xa_emitter *e, char bracket)
{
    if (!is_json(e))
        return;
    e->depth--;
    /* An empty group is closed where it was opened. */
    if (e->needs_comma && !e->is_in_row) {
        end_line(e);
        xa_text_put_repeated(&e->text, '\t', e->depth);
    }
    xa_text_put_char(&e->text, bracket);
    e->needs_comma = true;
}

void
xa_emitter_open(struct xa_emitter *e, const char *key)
{
    open_group(e, key, '{');
}

void
xa_emitter_close(struct xa_emitter *e)
{
    close_group(e, '}');
}

void
xa_emitter_open_list(struct xa_emitter *e, const char *key)
{
    open_group(e, key, '[');
}

void
xa_emitter_close_list(struct xa_emitter *e)
{
    close_group(e, ']');
}

void
xa_emitter_open_row(struct xa_emitter *e)
{
    open_group(e, NULL, '{');
    e->is_in_row = true;
}

void
xa_emitter_close_row(struct xa_emitter *e)
{
    close_group(e, '}');
    e->is_in_row = false;
}

/* Readers may take numbers for signed ones of 64 bits. */
static void
put_json_number(struct xa_emitter *e, uint64_t value)
{
    xa_text_put_unsigned(&e->text, value < INT64_MAX ? value : INT64_MAX);
}

void
xa_emitter_number(struct xa_emitter *e, const char *key, uint64_t value)
{
    if (!is_json(e))
        return;
    put_key(e, key);
    put_json_number(e, value);
}

void
xa_emitter_signed(struct xa_emitter *e, const char *key, int64_t value)
{
    if (!is_json(e))
        return;
    put_key(e, key);
    xa_text_put_signed(&e->text, value);
}

void
xa_emitter_flag(struct xa_emitter *e, const char *key, bool value)
{
    if (!is_json(e))
        return;
    put_key(e, key);
    put(e, value ? "true" : "false");
}

void
xa_emitter_string(struct xa_emitter *e, const char *key, const char *value)
{
    if (!is_json(e))
        return;
    put_key(e, key);
    put_json_string(e, value);
}

/* ---- Text ---- */

void
xa_emitter_line(struct xa_emitter *e, const char *line)
{
    if (e->form != XA_EMITTER_TEXT)
        return;
    put(e, line);
    end_line(e);
}

void
xa_emitter_end_line(struct xa_emitter *e)
{
    if (e->form == XA_EMITTER_TEXT)
        end_line(e);
}

/* In a column of its own, on the right side. */
static void
put_column(struct xa_emitter *e, enum xa_figure_unit unit, size_t value, size_t width)
{
    size_t from = xa_text_length(&e->text);
    if (unit == XA_FIGURE_PERMILLE)
        xa_text_put_percent(&e->text, value);
    else
        xa_text_put_unsigned(&e->text, value);
    xa_text_pad(&e->text, from, width, XA_TEXT_RIGHT);
}

/* "  label        12345678    11.8 MiB  what it is" */
static void
put_text_figure(struct xa_emitter *e, const struct xa_figure *figure, size_t value)
{
    put(e, "  ");
    xa_text_put_padded(&e->text, figure->label, LABEL_WIDTH, XA_TEXT_LEFT);
    size_t from = xa_text_length(&e->text);
    put_column(e, figure->unit, value,
        figure->unit == XA_FIGURE_PERMILLE ? BYTES_WIDTH + HUMAN_WIDTH : BYTES_WIDTH);
    if (figure->unit == XA_FIGURE_BYTES) {
        size_t human = xa_text_length(&e->text);
        xa_text_put_size(&e->text, value);
        xa_text_pad(&e->text, human, HUMAN_WIDTH, XA_TEXT_RIGHT);
    }
    xa_text_pad(&e->text, from, BYTES_WIDTH + HUMAN_WIDTH, XA_TEXT_LEFT);
    put(e, "  ");
    put(e, figure->help);
    end_line(e);
}

/* ---- Metrics ---- */

static const char *
unit_of(const struct xa_figure *figure)
{
    return figure->unit == XA_FIGURE_BYTES   ? "bytes"
        : figure->unit == XA_FIGURE_PERMILLE ? "ratio"
                                             : "";
}

/* xalloc_INFIX_NAME_UNIT */
static void
put_metric_name(struct xa_emitter *e, const char *infix, const struct xa_figure *figure)
{
    put(e, "xalloc_");
    if (infix != NULL) {
        put(e, infix);
        put(e, "_");
    }
    put(e, figure->name);
    if (figure->unit != XA_FIGURE_NUMBER) {
        put(e, "_");
        put(e, unit_of(figure));
    }
}

/* What is said of a metric before its samples. */
static void
put_family(struct xa_emitter *e, const char *infix, const struct xa_figure *figure)
{
    put(e, "# TYPE ");
    put_metric_name(e, infix, figure);
    put(e, figure->kind == XA_FIGURE_COUNTER ? " counter" : " gauge");
    end_line(e);
    if (figure->unit != XA_FIGURE_NUMBER) {
        put(e, "# UNIT ");
        put_metric_name(e, infix, figure);
        put(e, " ");
        put(e, unit_of(figure));
        end_line(e);
    }
    put(e, "# HELP ");
    put_metric_name(e, infix, figure);
    put(e, " ");
    put(e, figure->help);
    end_line(e);
}

/* 0.123 */
static void
put_ratio(struct xa_emitter *e, size_t permille)
{
    xa_text_put_unsigned(&e->text, permille / 1000);
    xa_text_put_char(&e->text, '.');
    for (size_t rest = permille % 1000, unit = 100; unit > 0; rest %= unit, unit /= 10)
        xa_text_put_char(&e->text, (char)('0' + rest / unit));
}

/* {label="value"}; all values are plain words and numbers. */
static void
put_labels(struct xa_emitter *e, const char *label, const char *value)
{
    put(e, "{");
    put(e, label);
    put(e, "=\"");
    put(e, value);
    put(e, "\"}");
}

static void
put_sample(struct xa_emitter *e, const struct xa_emitter_table *table,
    const struct xa_figure *figure, const char *row_name, size_t value)
{
    put_metric_name(e, table == NULL ? NULL : table->infix, figure);
    if (figure->kind == XA_FIGURE_COUNTER)
        put(e, "_total");
    if (table != NULL)
        put_labels(e, table->label, row_name);
    put(e, " ");
    if (figure->unit == XA_FIGURE_PERMILLE)
        put_ratio(e, value);
    else
        xa_text_put_unsigned(&e->text, value);
    end_line(e);
}

void
xa_emitter_info(struct xa_emitter *e, const char *help, const char *label, const char *value)
{
    if (e->form != XA_EMITTER_METRICS)
        return;
    put(e, "# TYPE xalloc info\n# HELP xalloc ");
    put(e, help);
    put(e, "\nxalloc_info");
    put_labels(e, label, value);
    put(e, " 1");
    end_line(e);
}

/* ---- All forms ---- */

void
xa_emitter_begin(struct xa_emitter *e, enum xa_emitter_form form, char *buffer,
    xa_message_writer *writer, void *context)
{
    *e = (struct xa_emitter){.writer = writer, .context = context, .form = form};
    xa_text_init(&e->text, buffer, XA_EMITTER_BUFFER_BYTES);
    if (is_json(e)) {
        put(e, "{");
        e->depth = 1;
    }
}

void
xa_emitter_end(struct xa_emitter *e)
{
    if (is_json(e)) {
        close_group(e, '}');
        end_line(e);
    } else if (e->form == XA_EMITTER_METRICS) {
        put(e, "# EOF");
        end_line(e);
    }
    flush(e);
}

/* A ratio's name says so, since everything else is bytes or a number. */
static void
put_json_figure(struct xa_emitter *e, const struct xa_figure *figure, size_t value)
{
    if (figure->unit != XA_FIGURE_PERMILLE) {
        xa_emitter_number(e, figure->name, value);
        return;
    }
    char name[sizeof figure->name + sizeof "_ratio"];
    struct xa_text text;
    xa_text_init(&text, name, sizeof name);
    xa_text_put_string(&text, figure->name);
    xa_text_put_string(&text, "_ratio");
    put_key(e, name);
    put_ratio(e, value);
}

void
xa_emitter_figure(struct xa_emitter *e, const struct xa_figure *figure, size_t value)
{
    switch (e->form) {
    case XA_EMITTER_TEXT: put_text_figure(e, figure, value); break;
    case XA_EMITTER_JSON: put_json_figure(e, figure, value); break;
    case XA_EMITTER_METRICS:
        put_family(e, NULL, figure);
        put_sample(e, NULL, figure, NULL, value);
        break;
    }
}

static void
put_text_head(struct xa_emitter *e, const struct xa_emitter_table *table)
{
    xa_emitter_line(e, table->title);
    xa_text_put_padded(&e->text, table->head, table->name_width, XA_TEXT_RIGHT);
    for (size_t i = 0; i < table->count; i++)
        if (table->figures[i].width != 0)
            xa_text_put_padded(
                &e->text, table->figures[i].label, table->figures[i].width, XA_TEXT_RIGHT);
    end_line(e);
}

static void
put_text_row(
    struct xa_emitter *e, const struct xa_emitter_table *table, const struct xa_emitter_row *row)
{
    xa_text_put_padded(&e->text, row->name, table->name_width, XA_TEXT_RIGHT);
    for (size_t i = 0; i < table->count; i++)
        if (table->figures[i].width != 0)
            put_column(e, table->figures[i].unit, row->values[i], table->figures[i].width);
    end_line(e);
}

static void
put_json_row(
    struct xa_emitter *e, const struct xa_emitter_table *table, const struct xa_emitter_row *row)
{
    xa_emitter_open_row(e);
    put_key(e, table->label);
    if (table->is_name_number)
        put(e, row->name);
    else
        put_json_string(e, row->name);
    for (size_t i = 0; i < table->count; i++)
        put_json_figure(e, &table->figures[i], row->values[i]);
    xa_emitter_close_row(e);
}

static void
put_metric_table(struct xa_emitter *e, const struct xa_emitter_table *table)
{
    for (size_t column = 0; column < table->count; column++) {
        struct xa_emitter_row row;
        const struct xa_figure *figure = &table->figures[column];
        put_family(e, table->infix, figure);
        for (size_t i = 0; row.is_skipped = false, table->fill(table->context, i, &row); i++)
            if (!row.is_skipped)
                put_sample(e, table, figure, row.name, row.values[column]);
    }
}

void
xa_emitter_table(struct xa_emitter *e, const struct xa_emitter_table *table)
{
    struct xa_emitter_row row;
    if (e->form == XA_EMITTER_METRICS) {
        put_metric_table(e, table);
        return;
    }
    bool is_text = e->form == XA_EMITTER_TEXT;
    if (is_text && table->title == NULL)
        return;
    if (is_text)
        put_text_head(e, table);
    xa_emitter_open_list(e, table->key);
    for (size_t i = 0; row.is_skipped = false, table->fill(table->context, i, &row); i++) {
        if (row.is_skipped)
            continue;
        if (is_text)
            put_text_row(e, table, &row);
        else
            put_json_row(e, table, &row);
    }
    xa_emitter_close_list(e);
}
