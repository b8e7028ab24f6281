/*
 * report_tables.h - the parts of a report behind its first page.
 */
#ifndef XA_CONTROL_REPORT_TABLES_H
#define XA_CONTROL_REPORT_TABLES_H

#include "control/report_part.h"

/* The process's sums. */
void xa_report_tables_put_totals(struct xa_report *report);

/* Size classes; and large and huge objects, which have none. */
void xa_report_tables_put_classes(struct xa_report *report);
void xa_report_tables_put_large(struct xa_report *report);

/* Runs of free granules, by their length; and the arenas that there are. */
void xa_report_tables_put_runs(struct xa_report *report);
void xa_report_tables_put_arenas(struct xa_report *report);

#endif
