/*
 * report.c - see report.h.
 *
 * One report at a time: the statistics and the text's buffer are static, so that a
 * signal handler on a small stack can write one too.  A flag guards them; whoever
 * finds it set goes away.
 */
#include "control/report.h"

#include <stdatomic.h>

#include "base/text.h"
#include "config/options.h"
#include "control/statistics.h"
#include "os/os.h"

enum {
    BUFFER_BYTES = 4096,
    LINE_BYTES = XA_OPTION_TEXT_MAX + 64, /* the longest line has an option's text in it */
    LABEL_WIDTH = 18,
    BYTES_WIDTH = 16,
    HUMAN_WIDTH = 12,
};

struct report {
    struct xa_text text;
    xa_message_writer *writer;
    void *context;
};

static atomic_flag is_busy = ATOMIC_FLAG_INIT;
XA_BULKY struct xa_statistics xa_report_statistics; /* of whoever set is_busy */
XA_BULKY char xa_report_buffer[BUFFER_BYTES];       /* likewise */

static void
flush(struct report *report)
{
    size_t length = xa_text_length(&report->text);
    if (length > 0)
        report->writer(report->context, report->text.start, length);
    xa_text_clear(&report->text);
}

/* End the line; make room for another. */
static void
end_line(struct report *report)
{
    xa_text_put_char(&report->text, '\n');
    if (xa_text_length(&report->text) + LINE_BYTES >= BUFFER_BYTES)
        flush(report);
}

static void
put_line(struct report *report, const char *line)
{
    xa_text_put_string(&report->text, line);
    end_line(report);
}

static void
put_number(struct report *report, size_t value, size_t width)
{
    size_t from = xa_text_length(&report->text);
    xa_text_put_unsigned(&report->text, value);
    xa_text_pad(&report->text, from, width, XA_TEXT_RIGHT);
}

static void
put_size(struct report *report, size_t value, size_t width)
{
    size_t from = xa_text_length(&report->text);
    xa_text_put_size(&report->text, value);
    xa_text_pad(&report->text, from, width, XA_TEXT_RIGHT);
}

static void
put_percent(struct report *report, size_t permille, size_t width)
{
    size_t from = xa_text_length(&report->text);
    xa_text_put_percent(&report->text, permille);
    xa_text_pad(&report->text, from, width, XA_TEXT_RIGHT);
}

static void
put_label(struct report *report, const char *label)
{
    xa_text_put_string(&report->text, "  ");
    xa_text_put_padded(&report->text, label, LABEL_WIDTH, XA_TEXT_LEFT);
}

/* "  label        12345678    11.8 MiB  what it is" */
static void
put_bytes(struct report *report, const char *label, size_t bytes, const char *what)
{
    put_label(report, label);
    put_number(report, bytes, BYTES_WIDTH);
    put_size(report, bytes, HUMAN_WIDTH);
    xa_text_put_string(&report->text, "  ");
    put_line(report, what);
}

static void
put_share(struct report *report, const char *label, size_t permille, const char *what)
{
    put_label(report, label);
    put_percent(report, permille, BYTES_WIDTH + HUMAN_WIDTH);
    xa_text_put_string(&report->text, "  ");
    put_line(report, what);
}

static void
put_count(struct report *report, const char *label, size_t value, const char *what)
{
    put_label(report, label);
    put_number(report, value, BYTES_WIDTH);
    xa_text_put_repeated(&report->text, ' ', HUMAN_WIDTH + 2);
    put_line(report, what);
}

static size_t
value_of(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
put_summary(struct report *report)
{
    const struct xa_statistics *s = &xa_report_statistics;
    put_bytes(report, "allocated", s->allocated, "live objects, rounded up to their size classes");
    put_bytes(report, "active", s->active, "slabs and large objects");
    put_bytes(report, "metadata", s->metadata, "mapped for xalloc's own structures");
    if (!xa_options.strict_syscalls) {
        put_bytes(report, "resident", s->resident, "of all this in memory, as the system says");
        put_bytes(report, "huge pages", s->huge_pages, "of that in pages of 2 MiB");
    }
    put_bytes(report, "mapped", s->mapped, "active + dirty + muzzy + retained + metadata");
    put_bytes(report, "retained", s->retained, "mapped, but without memory");
    put_bytes(report, "dirty", s->dirty, "unused, not given back yet");
    put_bytes(report, "muzzy", s->muzzy, "unused, the system may take it");
    put_share(report, "internal frag.", s->internal_fragmentation,
        "of small objects: rounding up (from a sample)");
    put_share(report, "external frag.", s->external_fragmentation,
        "of active: what no live object is in");
}

static void
put_breakdown(struct report *report)
{
    const struct xa_statistics *s = &xa_report_statistics;
    put_line(report, "Where the active bytes are");
    put_bytes(report, "small objects", s->small, "live");
    put_bytes(report, "large objects", s->large, "live, beyond 64 KiB");
    put_bytes(report, "cached", s->cached, "free objects on their way between threads");
    put_bytes(report, "  in threads", s->thread_cached, "those in the caches of threads");
    put_bytes(report, "free slots", s->free_slots, "in slabs");
    put_bytes(report, "  without memory", s->slab_purged, "whole pages of them, given back");
    put_bytes(report, "slab tails", s->tails, "too short for another object");
    put_count(report, "threads", s->threads, "that have a cache");
    put_count(report, "live objects", s->live_objects, "small, large and huge");
    put_bytes(report, "given back", value_of(&s->heaps.purged_bytes), "to the system so far");
    if (s->lost != 0)
        put_bytes(report, "lost", s->lost, "freed, but set aside by a fork in mid-operation");
}

static void
put_columns(struct report *report, const char *const *names, const size_t *widths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        xa_text_put_padded(&report->text, names[i], widths[i], XA_TEXT_RIGHT);
    end_line(report);
}

static void
put_classes(struct report *report)
{
    static const char *const names[] = {
        "size", "live", "bytes live", "cached", "slabs", "utilised", "allocations", "frees"};
    static const size_t widths[] = {8, 12, 14, 10, 9, 10, 15, 15};
    put_line(report,
        "Size classes (allocations and frees are counted when objects leave and "
        "reach slabs)");
    put_columns(report, names, widths, sizeof names / sizeof *names);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_class_statistics *class = &xa_report_statistics.classes[c];
        const struct xa_size_class *row = &xa_size_class_table[c];
        size_t allocations = value_of(&class->totals.allocations);
        if (allocations == 0)
            continue;
        size_t slots = class->slabs * row->slots;
        put_number(report, row->object_bytes, widths[0]);
        put_number(report, class->live, widths[1]);
        put_number(report, class->live * row->object_bytes, widths[2]);
        put_number(report, class->cached, widths[3]);
        put_number(report, class->slabs, widths[4]);
        put_percent(report, slots == 0 ? 0 : class->live * 1000 / slots, widths[5]);
        put_number(report, allocations, widths[6]);
        put_number(report, value_of(&class->totals.frees), widths[7]);
        end_line(report);
    }
    put_label(report, "large");
    put_number(report, xa_report_statistics.large_objects, 12);
    xa_text_put_string(&report->text, " live, ");
    put_number(report, xa_report_statistics.large_allocations, 0);
    put_line(report, " allocated so far");
    put_label(report, "huge");
    put_number(report, xa_report_statistics.huge_objects, 12);
    xa_text_put_string(&report->text, " live, ");
    put_number(report, xa_report_statistics.huge_allocations, 0);
    put_line(report, " allocated so far");
}

static void
put_arenas(struct report *report)
{
    static const char *const names[] = {
        "arena", "threads", "active", "dirty", "mapped", "large objects", "given back"};
    static const size_t widths[] = {8, 9, 16, 16, 16, 15, 18};
    put_line(report, "Arenas");
    put_columns(report, names, widths, sizeof names / sizeof *names);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        const struct xa_arena *arena = xa_arena_at(i);
        if (arena == NULL)
            continue;
        const struct xa_heap_counters *heap = &arena->heap.counters;
        put_number(report, i, widths[0]);
        put_number(report, atomic_load_explicit(&arena->threads, memory_order_relaxed), widths[1]);
        put_number(report, value_of(&heap->active_bytes), widths[2]);
        put_number(report, value_of(&heap->dirty_bytes), widths[3]);
        put_number(report, value_of(&heap->mapped_bytes), widths[4]);
        put_number(report, value_of(&heap->large_objects), widths[5]);
        put_number(report, value_of(&heap->purged_bytes), widths[6]);
        end_line(report);
    }
}

static void
put_options(struct report *report)
{
    put_line(report, "Options that are not at their defaults");
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
        put_label(report, row->name);
        put_line(report, now);
    }
    if (!any)
        put_line(report, "  none");
}

bool
xa_report_write(
    const char *title, enum xa_report_depth depth, xa_message_writer *writer, void *context)
{
    /* Acquire and release: the next one to report finds the buffers as the last left them. */
    if (atomic_flag_test_and_set_explicit(&is_busy, memory_order_acquire))
        return false;
    struct report report = {.writer = writer, .context = context};
    xa_text_init(&report.text, xa_report_buffer, sizeof xa_report_buffer);
    xa_statistics_gather(&xa_report_statistics,
        xa_options.strict_syscalls ? XA_STATISTICS_QUICK : XA_STATISTICS_WITH_RESIDENT);
    xa_text_put_string(&report.text, "xalloc: statistics of process ");
    xa_text_put_unsigned(&report.text, xa_os_process_id());
    xa_text_put_string(&report.text, title);
    put_line(&report, " (xalloc " XALLOC_VERSION ", bytes)");
    put_summary(&report);
    put_breakdown(&report);
    if (depth == XA_REPORT_FULL) {
        put_classes(&report);
        put_arenas(&report);
        put_options(&report);
    }
    flush(&report);
    atomic_flag_clear_explicit(&is_busy, memory_order_release);
    return true;
}

static void
write_to_error(void *context, const char *text, size_t bytes)
{
    (void)context;
    xa_message_write(text, bytes);
}

static void
write_to_file(void *context, const char *text, size_t bytes)
{
    if (!xa_os_append_file(context, text, bytes))
        xa_message_write(text, bytes);
}

static void
write_where_told(const char *title)
{
    char path[XA_OPTION_TEXT_MAX + 16];
    struct xa_text text;
    if (xa_options.stats_file[0] == '\0') {
        (void)xa_report_write(title, XA_REPORT_FULL, write_to_error, NULL);
        return;
    }
    xa_text_init(&text, path, sizeof path);
    xa_text_put_string(&text, xa_options.stats_file);
    xa_text_put_char(&text, '.');
    xa_text_put_unsigned(&text, xa_os_process_id());
    (void)xa_report_write(title, XA_REPORT_FULL, write_to_file, path);
}

void
xa_report_at_exit(void)
{
    write_where_told(" at exit");
}

void
xa_report_at_signal(void)
{
    write_where_told(" at a signal");
}
