/*
 * report.h - the statistics: as text for people, on 100 columns, as JSON and as OpenMetrics.
 */
#ifndef XA_CONTROL_REPORT_H
#define XA_CONTROL_REPORT_H

#include "control/emitter.h"
#include "control/statistics.h"

/* Parts that may be left out, each by the letter of jemalloc's malloc_stats_print(). */
enum xa_report_part {
    XA_REPORT_GENERAL = 1 << 0,    /* g: what does not change: version, options, classes */
    XA_REPORT_MERGED = 1 << 1,     /* m: the sums over all arenas */
    XA_REPORT_DESTROYED = 1 << 2,  /* d: the same of destroyed arenas; there are none */
    XA_REPORT_ARENAS = 1 << 3,     /* a: each arena */
    XA_REPORT_BINS = 1 << 4,       /* b: size classes */
    XA_REPORT_LARGE = 1 << 5,      /* l: large and huge objects */
    XA_REPORT_MUTEXES = 1 << 6,    /* x: locks; they count nothing */
    XA_REPORT_EXTENTS = 1 << 7,    /* e: free runs, by length */
    XA_REPORT_HUGE_PAGES = 1 << 8, /* h: huge pages; takes longest to find out */
    XA_REPORT_RESIDENT = 1 << 9,   /* r, ours: what is in memory, for which the host is asked */
    XA_REPORT_ALL = (1 << 10) - 1,
    XA_REPORT_SUMMARY = XA_REPORT_HUGE_PAGES | XA_REPORT_RESIDENT,
};

/* What to write: in what form, and which parts. */
struct xa_report_wish {
    enum xa_emitter_form form;
    unsigned parts; /* of enum xa_report_part */
};

/*
 * What letters wish for: J for JSON, O (ours) for OpenMetrics, and the lower-case ones
 * above.  All parts as text without any, or if NULL; unknown letters mean nothing.
 */
struct xa_report_wish xa_report_parse(const char *letters);

/*
 * Write a report in pieces of whole lines.  `title` is said of it in the text.  False if as
 * many as can be at a time are being written at this moment, by other threads or by the code
 * that a signal interrupted; nothing is written then.  No lock, no allocation.
 */
bool xa_report_write(
    const char *title, const struct xa_report_wish *wish, xa_message_writer *writer, void *context);

#endif
