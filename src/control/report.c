/*
 * report.c - see report.h.
 *
 * First where the memory is, then what would give some back (report_places.c), then the rest
 * (report_tables.c): most readers need no more than the first page.
 *
 * The statistics and the buffer of a report are static, so that a signal handler on a
 * small stack can write one too.  There are a few such sets: one report may begin in the
 * middle of another.  A forked child gives up those that other threads were at.
 */
#include "control/report.h"

#include "alloc/fork.h"
#include "config/options.h"
#include "control/jemalloc_report.h"
#include "control/report_places.h"
#include "control/report_tables.h"
#include "os/claim.h"
#include "os/os.h"

enum { SETS = 4 };

struct set {
    struct xa_claim claim;
    struct xa_report report;
    char buffer[XA_EMITTER_BUFFER_BYTES];
};
XA_BULKY struct set xa_report_sets[SETS];

static void
put_text_options(struct xa_report *report)
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
        xa_text_put_padded(&e->text, row->name, XA_REPORT_PART_LABEL_WIDTH, XA_TEXT_LEFT);
        xa_emitter_line(e, now);
    }
    if (!any)
        xa_emitter_line(e, "  none");
}

static void
put_head(struct xa_report *report, const char *title)
{
    struct xa_emitter *e = &report->emitter;
    if (e->form == XA_EMITTER_TEXT) {
        xa_text_put_string(&e->text, "xalloc: statistics of process ");
        xa_text_put_unsigned(&e->text, xa_os_process_id());
        xa_text_put_string(&e->text, title);
        xa_emitter_line(e, " (xalloc " XALLOC_VERSION ", bytes)");
    }
    if (xa_report_part_has(report, XA_REPORT_GENERAL)) {
        xa_emitter_string(e, "version", XALLOC_VERSION);
        xa_emitter_info(e, "the allocator of the process", "version", XALLOC_VERSION);
    }
    xa_emitter_number(e, "process", xa_os_process_id());
}

static void
put_report(struct xa_report *report, const char *title)
{
    struct xa_emitter *e = &report->emitter;
    xa_emitter_open(e, "xalloc");
    put_head(report, title);
    xa_report_places_put(report);
    xa_report_places_put_measures(report);
    xa_report_tables_put_totals(report);
    if (xa_report_part_has(report, XA_REPORT_MERGED) && xa_report_part_has(report, XA_REPORT_BINS))
        xa_report_tables_put_classes(report);
    if (xa_report_part_has(report, XA_REPORT_MERGED) && xa_report_part_has(report, XA_REPORT_LARGE))
        xa_report_tables_put_large(report);
    if (xa_report_part_has(report, XA_REPORT_EXTENTS) &&
        xa_report_part_has(report, XA_REPORT_RESIDENT))
        xa_report_tables_put_runs(report);
    if (xa_report_part_has(report, XA_REPORT_ARENAS))
        xa_report_tables_put_arenas(report);
    if (xa_report_part_has(report, XA_REPORT_GENERAL))
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
    struct xa_report *report = &set->report;
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
