/*
 * report_part.h - a report that is being written, for the files that write its parts.
 */
#ifndef XA_CONTROL_REPORT_PART_H
#define XA_CONTROL_REPORT_PART_H

#include "control/report.h"

enum { XA_REPORT_PART_LABEL_WIDTH = 18 };

struct xa_report {
    struct xa_emitter emitter;
    struct xa_statistics statistics;
    unsigned parts; /* of enum xa_report_part */
};

static inline bool
xa_report_part_has(const struct xa_report *report, enum xa_report_part part)
{
    return (report->parts & part) != 0;
}

#endif
