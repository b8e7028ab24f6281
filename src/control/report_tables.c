/*
 * report_tables.c - see report_tables.h.
 *
 * What is in the text and what only in the other forms is said by the width of a figure's column.
 */
#include "control/report_tables.h"

#include <stdatomic.h>

static size_t
value_of(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
set_number(struct xa_emitter_row *row, size_t number)
{
    struct xa_text text;
    xa_text_init(&text, row->name, sizeof row->name);
    xa_text_put_unsigned(&text, number);
}

/* ---- Totals ---- */

enum shown { ALWAYS, RESIDENT, HUGE_PAGES, NOT_ZERO };

static const struct {
    struct xa_figure figure;
    uint8_t shown; /* enum shown */
} totals[] = {
#define TOTAL(name, unit, kind, shown, label, text) \
    {{#name, label, text, XA_FIGURE_##unit, XA_FIGURE_##kind, 0}, shown},
#include "config/total_figures.def"
#undef TOTAL
};

static bool
is_shown(const struct xa_report *report, enum shown shown, size_t value)
{
    switch (shown) {
    case RESIDENT: return xa_report_part_has(report, XA_REPORT_RESIDENT);
    case HUGE_PAGES:
        return xa_report_part_has(report, XA_REPORT_RESIDENT) &&
            xa_report_part_has(report, XA_REPORT_HUGE_PAGES);
    case NOT_ZERO: return value != 0 || report->emitter.form != XA_EMITTER_TEXT;
    case ALWAYS: break;
    }
    return true;
}

void
xa_report_tables_put_totals(struct xa_report *report)
{
    const struct xa_statistics *s = &report->statistics;
    const size_t values[] = {
#define TOTAL(name, unit, kind, shown, label, text) s->name,
#include "config/total_figures.def"
#undef TOTAL
    };
    xa_emitter_line(&report->emitter, "In all");
    xa_emitter_open(&report->emitter, "totals");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (is_shown(report, totals[i].shown, values[i]))
            xa_emitter_figure(&report->emitter, &totals[i].figure, values[i]);
    xa_emitter_close(&report->emitter);
}

/* ---- Size classes ---- */

static const struct xa_figure class_figures[] = {
    {"live_objects", "live", "objects that the program has", XA_FIGURE_NUMBER, XA_FIGURE_GAUGE, 12},
    {"live", "bytes live", "in objects that the program has", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 14},
    {"cached_objects", "cached", "free objects in caches and depots", XA_FIGURE_NUMBER,
        XA_FIGURE_GAUGE, 10},
    {"slabs", "slabs", "slabs that exist", XA_FIGURE_NUMBER, XA_FIGURE_GAUGE, 9},
    {"utilised", "utilised", "of the slots, those with live objects", XA_FIGURE_PERMILLE,
        XA_FIGURE_GAUGE, 10},
    {"allocations", "allocations", "objects that left slabs so far", XA_FIGURE_NUMBER,
        XA_FIGURE_COUNTER, 15},
    {"frees", "frees", "objects that came back to slabs so far", XA_FIGURE_NUMBER,
        XA_FIGURE_COUNTER, 15},
    {"cached", "", "in free objects in caches and depots", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
    {"free_slots", "", "in slots that are free and in no cache", XA_FIGURE_BYTES, XA_FIGURE_GAUGE,
        0},
    {"rounding", "", "of live objects beyond the requests, from a sample", XA_FIGURE_BYTES,
        XA_FIGURE_GAUGE, 0},
    {"resident", "", "of slabs in memory", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
};

static bool
fill_class(const void *context, size_t index, struct xa_emitter_row *row)
{
    const struct xa_report *report = context;
    unsigned c = (unsigned)index + 1;
    if (c > XA_SMALL_CLASSES)
        return false;
    const struct xa_class_statistics *class = &report->statistics.classes[c];
    size_t object_bytes = xa_size_class_table[c].object_bytes;
    size_t slots = class->slabs * xa_size_class_table[c].slots;
    size_t allocations = value_of(&class->totals.allocations);
    set_number(row, object_bytes);
    row->is_skipped = allocations == 0;
    const size_t values[] = {class->live, class->live * object_bytes, class->cached, class->slabs,
        slots == 0 ? 0 : class->live * 1000 / slots, allocations, value_of(&class->totals.frees),
        class->cached * object_bytes, class->free_bytes, class->rounding, class->resident};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        row->values[i] = values[i];
    return true;
}

void
xa_report_tables_put_classes(struct xa_report *report)
{
    const struct xa_emitter_table table = {.key = "classes",
        .title = "Size classes (allocations and frees are counted when objects leave and "
                 "reach slabs)",
        .infix = "class",
        .label = "size",
        .head = "size",
        .name_width = 8,
        .is_name_number = true,
        .figures = class_figures,
        .count = sizeof class_figures / sizeof *class_figures -
            !xa_report_part_has(report, XA_REPORT_RESIDENT),
        .fill = fill_class,
        .context = report};
    xa_emitter_table(&report->emitter, &table);
}

static void
put_text_large(struct xa_report *report, const char *label, size_t objects, size_t allocations)
{
    struct xa_text *text = &report->emitter.text;
    xa_text_put_string(text, "  ");
    xa_text_put_padded(text, label, XA_REPORT_PART_LABEL_WIDTH, XA_TEXT_LEFT);
    size_t from = xa_text_length(text);
    xa_text_put_unsigned(text, objects);
    xa_text_pad(text, from, 12, XA_TEXT_RIGHT);
    xa_text_put_string(text, " live, ");
    xa_text_put_unsigned(text, allocations);
    xa_emitter_line(&report->emitter, " allocated so far");
}

void
xa_report_tables_put_large(struct xa_report *report)
{
    static const struct xa_figure figures[] = {
        {"large_objects", "", "large objects that are live", XA_FIGURE_NUMBER, XA_FIGURE_GAUGE, 0},
        {"large_allocations", "", "large objects from page heaps so far", XA_FIGURE_NUMBER,
            XA_FIGURE_COUNTER, 0},
        {"huge_objects", "", "huge objects that are live", XA_FIGURE_NUMBER, XA_FIGURE_GAUGE, 0},
        {"huge_allocations", "", "huge objects so far", XA_FIGURE_NUMBER, XA_FIGURE_COUNTER, 0},
    };
    const struct xa_statistics *s = &report->statistics;
    const size_t values[] = {
        s->large_objects, s->large_allocations, s->huge_objects, s->huge_allocations};
    if (report->emitter.form == XA_EMITTER_TEXT) {
        put_text_large(report, "large", values[0], values[1]);
        put_text_large(report, "huge", values[2], values[3]);
        return;
    }
    xa_emitter_open(&report->emitter, "large");
    for (unsigned i = 0; i < 4; i++)
        xa_emitter_figure(&report->emitter, &figures[i], values[i]);
    xa_emitter_close(&report->emitter);
}

/* ---- Free runs and arenas ---- */

static bool
fill_run(const void *context, size_t index, struct xa_emitter_row *row)
{
    const struct xa_report *report = context;
    if (index >= XA_RESIDENCY_RUN_LENGTHS)
        return false;
    const struct xa_residency_runs *runs = &report->statistics.runs[index];
    set_number(row, (size_t)XA_GRANULE_BYTES << index);
    row->is_skipped = runs->count == 0;
    row->values[0] = runs->count;
    row->values[1] = runs->dirty_bytes;
    row->values[2] = runs->clean_bytes;
    return true;
}

void
xa_report_tables_put_runs(struct xa_report *report)
{
    static const struct xa_figure figures[] = {
        {"runs", "runs", "runs of free granules up to this length", XA_FIGURE_NUMBER,
            XA_FIGURE_GAUGE, 12},
        {"dirty", "dirty", "in such runs, not given back yet", XA_FIGURE_BYTES, XA_FIGURE_GAUGE,
            16},
        {"clean", "without memory", "in such runs, without memory", XA_FIGURE_BYTES,
            XA_FIGURE_GAUGE, 16},
    };
    const struct xa_emitter_table table = {.key = "free_runs",
        .title = "Free runs",
        .infix = "free",
        .label = "length",
        .head = "up to",
        .name_width = 9,
        .is_name_number = true,
        .figures = figures,
        .count = 3,
        .fill = fill_run,
        .context = report};
    xa_emitter_table(&report->emitter, &table);
}

static bool
fill_arena(const void *context, size_t index, struct xa_emitter_row *row)
{
    (void)context;
    if (index >= XA_ARENAS_MAX)
        return false;
    const struct xa_arena *arena = xa_arena_at((unsigned)index);
    row->is_skipped = arena == NULL;
    if (arena == NULL)
        return true;
    const struct xa_heap_counters *heap = &arena->heap.counters;
    const size_t values[] = {atomic_load_explicit(&arena->threads, memory_order_relaxed),
        value_of(&heap->active_bytes), value_of(&heap->dirty_bytes), value_of(&heap->mapped_bytes),
        value_of(&heap->large_objects), value_of(&heap->purged_bytes), value_of(&heap->muzzy_bytes),
        value_of(&heap->slab_bytes), value_of(&heap->large_bytes)};
    set_number(row, index);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        row->values[i] = values[i];
    return true;
}

void
xa_report_tables_put_arenas(struct xa_report *report)
{
    static const struct xa_figure figures[] = {
        {"threads", "threads", "threads that use the arena", XA_FIGURE_NUMBER, XA_FIGURE_GAUGE, 9},
        {"active", "active", "in slabs and large objects", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 16},
        {"dirty", "dirty", "unused, not given back yet", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 16},
        {"mapped", "mapped", "address space", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 16},
        {"large_objects", "large objects", "large objects, kept ones included", XA_FIGURE_NUMBER,
            XA_FIGURE_GAUGE, 15},
        {"purged", "given back", "given back to the system so far", XA_FIGURE_BYTES,
            XA_FIGURE_COUNTER, 18},
        {"muzzy", "", "unused, the system may take it", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
        {"slab", "", "in slabs", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
        {"large", "", "in large objects", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
    };
    const struct xa_emitter_table table = {.key = "arenas",
        .title = "Arenas",
        .infix = "arena",
        .label = "arena",
        .head = "arena",
        .name_width = 8,
        .is_name_number = true,
        .figures = figures,
        .count = sizeof figures / sizeof *figures,
        .fill = fill_arena,
        .context = report};
    xa_emitter_table(&report->emitter, &table);
}
