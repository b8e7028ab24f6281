/*
 * outlet.h - where reports go that nobody called for: at exit, at a signal, now and then.
 */
#ifndef XA_CONTROL_OUTLET_H
#define XA_CONTROL_OUTLET_H

#include "control/report.h"

/*
 * Write a report to the file of the option "stats_file", or, without one and if that fails,
 * where messages go.  `letters` as for xa_report_parse().  No lock, no allocation.
 */
void xa_outlet_report(const char *title, const char *letters);

/*
 * From now on `bytes` were allocated more; once they pass a multiple of the option
 * "stats_interval", a report is written.  Called outside of everything, since a program's
 * malloc_message may allocate.
 */
void xa_outlet_note_allocated(size_t bytes);

#endif
