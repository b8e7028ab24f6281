/*
 * report.c - see report.h.
 *
 * First where the memory is, then what would give some back, then the rest: most readers
 * need no more than the first page.
 *
 * The statistics and the buffer of a report are static, so that a signal handler on a
 * small stack can write one too.  There are a few such sets: one report may begin in the
 * middle of another.  A forked child gives up those that other threads were at.
 */
#include "control/report.h"

#include <stdatomic.h>

#include "alloc/fork.h"
#include "config/options.h"
#include "control/jemalloc_report.h"
#include "control/measures.h"
#include "os/claim.h"
#include "os/os.h"

enum {
    SETS = 4,
    PLACE_LABEL_WIDTH = 16,
    PLACE_BYTES_WIDTH = 14,
    PLACE_HUMAN_WIDTH = 11,
    FREE_CLASSES_SHOWN = 3,
    FREE_CLASS_LEAST_BYTES = 64 * 1024,
    TEXT_LABEL_WIDTH = 18,
};

struct report {
    struct xa_emitter emitter;
    struct xa_statistics statistics;
    unsigned parts;
};

struct set {
    struct xa_claim claim;
    struct report report;
    char buffer[XA_EMITTER_BUFFER_BYTES];
};
XA_BULKY struct set xa_report_sets[SETS];

static size_t
value_of(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static bool
has(const struct report *report, enum xa_report_part part)
{
    return (report->parts & part) != 0;
}

static void
set_name(struct xa_emitter_row *row, const char *name)
{
    struct xa_text text;
    xa_text_init(&text, row->name, sizeof row->name);
    xa_text_put_string(&text, name);
}

static void
set_number(struct xa_emitter_row *row, size_t number)
{
    struct xa_text text;
    xa_text_init(&text, row->name, sizeof row->name);
    xa_text_put_unsigned(&text, number);
}

/* ---- Where the memory is ---- */

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
    const struct report *report = context;
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
put_place(struct report *report, const char *label, size_t bytes, size_t resident, const char *help)
{
    struct xa_text *text = &report->emitter.text;
    xa_text_put_string(text, "  ");
    xa_text_put_padded(text, label, PLACE_LABEL_WIDTH, XA_TEXT_LEFT);
    put_size(text, bytes);
    if (has(report, XA_REPORT_RESIDENT))
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
put_free_classes(struct report *report)
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
put_text_places(struct report *report)
{
    struct xa_emitter *e = &report->emitter;
    const struct xa_place_statistics *places = report->statistics.places;
    struct xa_place_statistics all = {0};
    xa_text_put_padded(
        &e->text, "Where the memory is", PLACE_LABEL_WIDTH + PLACE_HUMAN_WIDTH, XA_TEXT_LEFT);
    xa_text_put_padded(&e->text, "mapped", PLACE_BYTES_WIDTH + 2, XA_TEXT_RIGHT);
    if (has(report, XA_REPORT_RESIDENT))
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

static void
put_places(struct report *report)
{
    static const struct xa_figure figures[] = {
        {"mapped", "", "where what xalloc has mapped is", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
        {"resident", "", "where what of it is in memory is", XA_FIGURE_BYTES, XA_FIGURE_GAUGE, 0},
    };
    const struct xa_emitter_table table = {.key = "places",
        .infix = "place",
        .label = "place",
        .figures = figures,
        .count = has(report, XA_REPORT_RESIDENT) ? 2 : 1,
        .fill = fill_place,
        .context = report};
    if (report->emitter.form == XA_EMITTER_TEXT)
        put_text_places(report);
    else
        xa_emitter_table(&report->emitter, &table);
}

/* ---- What would give some back ---- */

static void
put_measure(struct report *report, const struct xa_measure *measure)
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

static void
put_measures(struct report *report)
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
is_shown(const struct report *report, enum shown shown, size_t value)
{
    switch (shown) {
    case RESIDENT: return has(report, XA_REPORT_RESIDENT);
    case HUGE_PAGES: return has(report, XA_REPORT_RESIDENT) && has(report, XA_REPORT_HUGE_PAGES);
    case NOT_ZERO: return value != 0 || report->emitter.form != XA_EMITTER_TEXT;
    case ALWAYS: break;
    }
    return true;
}

static void
put_totals(struct report *report)
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
    const struct report *report = context;
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

static void
put_classes(struct report *report)
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
        .count = sizeof class_figures / sizeof *class_figures - !has(report, XA_REPORT_RESIDENT),
        .fill = fill_class,
        .context = report};
    xa_emitter_table(&report->emitter, &table);
}

static void
put_text_large(struct report *report, const char *label, size_t objects, size_t allocations)
{
    struct xa_text *text = &report->emitter.text;
    xa_text_put_string(text, "  ");
    xa_text_put_padded(text, label, TEXT_LABEL_WIDTH, XA_TEXT_LEFT);
    size_t from = xa_text_length(text);
    xa_text_put_unsigned(text, objects);
    xa_text_pad(text, from, 12, XA_TEXT_RIGHT);
    xa_text_put_string(text, " live, ");
    xa_text_put_unsigned(text, allocations);
    xa_emitter_line(&report->emitter, " allocated so far");
}

static void
put_large(struct report *report)
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
    const struct report *report = context;
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

static void
put_runs(struct report *report)
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

static void
put_arenas(struct report *report)
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

/* ---- Options ---- */

static void
put_text_options(struct report *report)
{
    struct xa_emitter *e = &report->emitter;
    if (e->form != XA_EMITTER_TEXT)
        return;
    xa_emitter_line(e, "Options that are not at their defaults");
    bool any = false;
    for (size_t i = 0; i < xa_options_row_count; i++) {
        const struct xa_option_row *row = &xa_options_rows[i];
        char now[XA_OPTION_TEXT_MAX + 1], initial[XA_OPTION_TEXT_MAX + 1];
        struct xa_text now_text, initial_text;
        xa_text_init(&now_text, now, sizeof now);
        xa_text_init(&initial_text, initial, sizeof initial);
        xa_options_put_value(&xa_options, row, &now_text);
        xa_options_put_value(&xa_options_defaults, row, &initial_text);
        if (xa_text_equals(now, xa_text_length(&now_text), initial))
            continue;
        any = true;
        xa_text_put_string(&e->text, "  ");
        xa_text_put_padded(&e->text, row->name, TEXT_LABEL_WIDTH, XA_TEXT_LEFT);
        xa_emitter_line(e, now);
    }
    if (!any)
        xa_emitter_line(e, "  none");
}

/* ---- The whole ---- */

static void
put_head(struct report *report, const char *title)
{
    struct xa_emitter *e = &report->emitter;
    if (e->form == XA_EMITTER_TEXT) {
        xa_text_put_string(&e->text, "xalloc: statistics of process ");
        xa_text_put_unsigned(&e->text, xa_os_process_id());
        xa_text_put_string(&e->text, title);
        xa_emitter_line(e, " (xalloc " XALLOC_VERSION ", bytes)");
    }
    if (has(report, XA_REPORT_GENERAL)) {
        xa_emitter_string(e, "version", XALLOC_VERSION);
        xa_emitter_info(e, "the allocator of the process", "version", XALLOC_VERSION);
    }
    xa_emitter_number(e, "process", xa_os_process_id());
}

static void
put_report(struct report *report, const char *title)
{
    struct xa_emitter *e = &report->emitter;
    xa_emitter_open(e, "xalloc");
    put_head(report, title);
    put_places(report);
    put_measures(report);
    put_totals(report);
    if (has(report, XA_REPORT_MERGED) && has(report, XA_REPORT_BINS))
        put_classes(report);
    if (has(report, XA_REPORT_MERGED) && has(report, XA_REPORT_LARGE))
        put_large(report);
    if (has(report, XA_REPORT_EXTENTS) && has(report, XA_REPORT_RESIDENT))
        put_runs(report);
    if (has(report, XA_REPORT_ARENAS))
        put_arenas(report);
    if (has(report, XA_REPORT_GENERAL))
        put_text_options(report);
    xa_emitter_close(e);
    if (e->form == XA_EMITTER_JSON)
        xa_jemalloc_report_put(e, &report->statistics, report->parts);
}

struct xa_report_wish
xa_report_parse(const char *letters)
{
    struct xa_report_wish wish = {XA_EMITTER_TEXT, XA_REPORT_ALL};
    for (; letters != NULL && *letters != '\0'; letters++) {
        switch (*letters) {
        case 'J': wish.form = XA_EMITTER_JSON; break;
        case 'O': wish.form = XA_EMITTER_METRICS; break;
        case 'g': wish.parts &= ~(unsigned)XA_REPORT_GENERAL; break;
        case 'm': wish.parts &= ~(unsigned)XA_REPORT_MERGED; break;
        case 'd': wish.parts &= ~(unsigned)XA_REPORT_DESTROYED; break;
        case 'a': wish.parts &= ~(unsigned)XA_REPORT_ARENAS; break;
        case 'b': wish.parts &= ~(unsigned)XA_REPORT_BINS; break;
        case 'l': wish.parts &= ~(unsigned)XA_REPORT_LARGE; break;
        case 'x': wish.parts &= ~(unsigned)XA_REPORT_MUTEXES; break;
        case 'e': wish.parts &= ~(unsigned)XA_REPORT_EXTENTS; break;
        case 'h': wish.parts &= ~(unsigned)XA_REPORT_HUGE_PAGES; break;
        case 'r': wish.parts &= ~(unsigned)XA_REPORT_RESIDENT; break;
        default: break;
        }
    }
    return wish;
}

static enum xa_statistics_depth
depth_for(unsigned parts)
{
    if ((parts & XA_REPORT_RESIDENT) == 0)
        return XA_STATISTICS_QUICK;
    return (parts & XA_REPORT_HUGE_PAGES) == 0 ? XA_STATISTICS_WITH_RESIDENT
                                               : XA_STATISTICS_WITH_HUGE_PAGES;
}

/* What other threads were writing will never be finished here. */
static void
reset_in_child(void)
{
    for (unsigned i = 0; i < SETS; i++)
        if (xa_claim_is_orphan(&xa_report_sets[i].claim))
            xa_claim_give_up(&xa_report_sets[i].claim);
}

static struct set *
take_set(void)
{
    xa_fork_call(reset_in_child);
    for (unsigned i = 0; i < SETS; i++)
        if (xa_claim_try(&xa_report_sets[i].claim))
            return &xa_report_sets[i];
    return NULL;
}

bool
xa_report_write(
    const char *title, const struct xa_report_wish *wish, xa_message_writer *writer, void *context)
{
    struct set *set = take_set();
    if (set == NULL)
        return false;
    struct report *report = &set->report;
    report->parts = wish->parts;
    if (xa_options.strict_syscalls)
        report->parts &= ~(unsigned)XA_REPORT_RESIDENT;
    xa_statistics_gather(&report->statistics, depth_for(report->parts));
    xa_emitter_begin(&report->emitter, wish->form, set->buffer, writer, context);
    put_report(report, title);
    xa_emitter_end(&report->emitter);
    xa_claim_give_up(&set->claim);
    return true;
}
