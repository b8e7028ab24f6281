/*
 * report_places.h - a report's first page: where the memory is, and what would give some back.
 */
#ifndef XA_CONTROL_REPORT_PLACES_H
#define XA_CONTROL_REPORT_PLACES_H

#include "control/report_part.h"

/* Each place, with what is mapped there and, if the report has that, what of it is in memory. */
void xa_report_places_put(struct xa_report *report);

/* The measures that are worth a line. */
void xa_report_places_put_measures(struct xa_report *report);

#endif
