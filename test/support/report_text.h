/*
 * report_text.h - a report, and the numbers that stand in it.
 *
 * For unit tests, over the core.
 */
#ifndef XA_TEST_REPORT_TEXT_H
#define XA_TEST_REPORT_TEXT_H

#include <stddef.h>

#include "control/report.h"
#include "control/statistics.h"

enum { XA_REPORT_TEXT_COLUMNS_MAX = 16 };

/* The last report, with its end marked, the pieces it came in, and the figures at that time. */
extern char xa_report_text[];
extern size_t xa_report_text_length, xa_report_text_pieces;
extern struct xa_statistics xa_report_text_figures;

/* Objects of all kinds, two of three still live. */
void xa_report_text_allocate(void);

/* Write a report of these parts as text; with these letters, which takes no figures. */
void xa_report_text_write(unsigned parts);
void xa_report_text_print(const char *letters);

/* The line that begins with a label, behind the label; NULL if there is none. */
const char *xa_report_text_find_line(const char *from, const char *label);

/* The number behind a label that begins a line, at or after a place; in all of the report. */
size_t xa_report_text_number_behind(const char *from, const char *label);
size_t xa_report_text_number(const char *label);

/* The numbers of a line, a percentage as permille; how many there are. */
unsigned xa_report_text_columns(const char *line, size_t columns[XA_REPORT_TEXT_COLUMNS_MAX]);

const char *xa_report_text_next_line(const char *line);

#endif
