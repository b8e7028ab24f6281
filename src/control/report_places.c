/*
 * report_places.c - see report_places.h.
 *
 * Sizes stand in bytes, for scripts, and behind them as people read them.  Below the free slots
 * are the classes that have most of them.
 */
#include "control/report_places.h"

#include "control/measures.h"

enum {
    PLACE_LABEL_WIDTH = 16,
    PLACE_BYTES_WIDTH = 14,
    PLACE_HUMAN_WIDTH = 11,
    FREE_CLASSES_SHOWN = 3,
    FREE_CLASS_LEAST_BYTES = 64 * 1024,
};

static void
set_name(struct xa_emitter_row *row, const char *name)
{
    struct xa_text text;
    xa_text_init(&text, row->name, sizeof row->name);
    xa_text_put_string(&text, name);
}

struct place_name {
    char name[16];
    char label[16];
    char help[32];
};

static const struct place_name place_names[] = {
#define PLACE(constant, name, label, text) {name, label, text},
#include "config/place_figures.def"
#undef PLACE
};

static bool
fill_place(const void *context, size_t index, struct xa_emitter_row *row)
{
    const struct xa_report *report = context;
    if (index >= XA_PLACES)
        return false;
    set_name(row, place_names[index].name);
    row->values[0] = report->statistics.places[index].bytes;
    row->values[1] = report->statistics.places[index].resident;
    return true;
}

static void
put_size(struct xa_text *text, size_t bytes)
{
    size_t from = xa_text_length(text);
    xa_text_put_unsigned(text, bytes);
    xa_text_pad(text, from, PLACE_BYTES_WIDTH, XA_TEXT_RIGHT);
    from = xa_text_length(text);
    xa_text_put_size(text, bytes);
    xa_text_pad(text, from, PLACE_HUMAN_WIDTH, XA_TEXT_RIGHT);
}

/* "  label    12345678   11.8 MiB   12340000   11.7 MiB  what it is" */
static void
put_place(
    struct xa_report *report, const char *label, size_t bytes, size_t resident, const char *help)
{
    struct xa_text *text = &report->emitter.text;
    xa_text_put_string(text, "  ");
    xa_text_put_padded(text, label, PLACE_LABEL_WIDTH, XA_TEXT_LEFT);
    put_size(text, bytes);
    if (xa_report_part_has(report, XA_REPORT_RESIDENT))
        put_size(text, resident);
    xa_text_put_string(text, "  ");
    xa_text_put_string(text, help);
    xa_emitter_end_line(&report->emitter);
}

/* The class with the most free bytes that comes after `before` in that order; 0 if there is none. */
static unsigned
next_free_class(const struct xa_statistics *s, unsigned before)
{
    unsigned best = 0;
    size_t bound = before == 0 ? SIZE_MAX : s->classes[before].free_bytes;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        size_t bytes = s->classes[c].free_bytes;
        bool is_after = bytes < bound || (bytes == bound && c > before);
        if (is_after && bytes >= FREE_CLASS_LEAST_BYTES &&
            (best == 0 || bytes > s->classes[best].free_bytes))
            best = c;
    }
    return best;
}

static void
put_free_classes(struct xa_report *report)
{
    const struct xa_statistics *s = &report->statistics;
    unsigned c = next_free_class(s, 0);
    for (unsigned i = 0; i < FREE_CLASSES_SHOWN && c != 0; i++, c = next_free_class(s, c)) {
        char label[PLACE_LABEL_WIDTH + 1], help[32];
        struct xa_text text;
        size_t slots = s->classes[c].slabs * xa_size_class_table[c].slots;
        size_t object_bytes = xa_size_class_table[c].object_bytes;
        xa_text_init(&text, label, sizeof label);
        xa_text_put_string(&text, "  class ");
        xa_text_put_unsigned(&text, object_bytes);
        xa_text_init(&text, help, sizeof help);
        xa_text_put_percent(
            &text, slots == 0 ? 0 : s->classes[c].free_bytes / object_bytes * 1000 / slots);
        xa_text_put_string(&text, " of its slots");
        put_place(report, label, s->classes[c].free_bytes, s->classes[c].free_resident, help);
    }
}

static void
put_text_places(struct xa_report *report)
{
    struct xa_emitter *e = &report->emitter;
    const struct xa_place_statistics *places = report->statistics.places;
    struct xa_place_statistics all = {0};
    xa_text_put_padded(
        &e->text, "Where the memory is", PLACE_LABEL_WIDTH + PLACE_HUMAN_WIDTH, XA_TEXT_LEFT);
    xa_text_put_padded(&e->text, "mapped", PLACE_BYTES_WIDTH + 2, XA_TEXT_RIGHT);
    if (xa_report_part_has(report, XA_REPORT_RESIDENT))
        xa_text_put_padded(
            &e->text, "in memory", PLACE_BYTES_WIDTH + PLACE_HUMAN_WIDTH, XA_TEXT_RIGHT);
    xa_emitter_end_line(e);
    for (unsigned i = 0; i < XA_PLACES; i++) {
        put_place(
            report, place_names[i].label, places[i].bytes, places[i].resident, place_names[i].help);
        if (i == XA_PLACE_FREE_SLOTS)
            put_free_classes(report);
        all.bytes += places[i].bytes;
        all.resident += places[i].resident;
    }
    put_place(report, "in all", all.bytes, all.resident, "the sum of these");
}

void
xa_report_places_put(struct xa_report *report)
{
    static const struct xa_figure figures[] = {
        {"mapped", "", "where what xalloc has mapped is", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
        {"resident", "", "where what of it is in memory is", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
    };
    const struct xa_emitter_table table = {.key = "places",
        .infix = "place",
        .label = "place",
        .figures = figures,
        .count = xa_report_part_has(report, XA_REPORT_RESIDENT) ? 2 : 1,
        .fill = fill_place,
        .context = report};
    if (report->emitter.form == XA_EMITTER_TEXT)
        put_text_places(report);
    else
        xa_emitter_table(&report->emitter, &table);
}

/* ---- What would give some back ---- */

static void
put_measure(struct xa_report *report, const struct xa_measure *measure)
{
    struct xa_emitter *e = &report->emitter;
    char line[XA_MEASURE_TEXT_BYTES];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_measures_put(measure, &report->statistics, &text);
    if (e->form == XA_EMITTER_TEXT) {
        size_t from = xa_text_length(&e->text);
        xa_text_put_size(&e->text, measure->bytes);
        xa_text_pad(&e->text, from, PLACE_HUMAN_WIDTH, XA_TEXT_RIGHT);
        xa_text_put_string(&e->text, "  ");
        xa_emitter_line(e, line);
    }
    xa_emitter_open_row(e);
    xa_emitter_string(e, "measure", xa_measures_name(measure));
    if (measure->size_class != 0)
        xa_emitter_number(e, "size", xa_size_class_table[measure->size_class].object_bytes);
    xa_emitter_number(e, "bytes", measure->bytes);
    xa_emitter_string(e, "how", line);
    xa_emitter_close_row(e);
}

void
xa_report_places_put_measures(struct xa_report *report)
{
    struct xa_emitter *e = &report->emitter;
    struct xa_measures measures;
    xa_measures_find(&measures, &report->statistics);
    xa_emitter_line(e, "What would give most back");
    xa_emitter_open_list(e, "measures");
    for (unsigned i = 0; i < measures.count; i++)
        put_measure(report, &measures.list[i]);
    xa_emitter_close_list(e);
    if (measures.count == 0)
        xa_emitter_line(e, "  nothing that is worth it");
}
