/*
 * report.h - the statistics as text that a person can read, on 100 columns.
 */
#ifndef XA_CONTROL_REPORT_H
#define XA_CONTROL_REPORT_H

#include "os/message.h"

/* How much of the report. */
enum xa_report_depth { XA_REPORT_SUMMARY, XA_REPORT_FULL };

/*
 * Write the report in pieces of whole lines.  False if another thread (or the code
 * that a signal interrupted) is writing one at this moment; nothing is written then.
 * No lock, no allocation.
 */
bool xa_report_write(
    const char *title, enum xa_report_depth depth, xa_message_writer *writer, void *context);

/* The full report to where the option "stats_file" says, or to standard error. */
void xa_report_at_exit(void);
void xa_report_at_signal(void);

#endif
