/*
 * jemalloc_report.h - the figures in JSON as programs know them from jemalloc.
 */
#ifndef XA_CONTROL_JEMALLOC_REPORT_H
#define XA_CONTROL_JEMALLOC_REPORT_H

#include "control/emitter.h"
#include "control/statistics.h"

/* The version of jemalloc whose interface this is. */
#define XA_JEMALLOC_REPORT_VERSION "5.3.1-0-xalloc-" XALLOC_VERSION

/*
 * The group "jemalloc": config, opt, arenas, stats and stats.arenas as jemalloc 5.3 writes
 * them, so far as xalloc has such figures.  `parts` are of enum xa_report_part.
 */
void xa_jemalloc_report_put(
    struct xa_emitter *emitter, const struct xa_statistics *statistics, unsigned parts);

#endif
