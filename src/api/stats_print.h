/*
 * stats_print.h - the statistics as jemalloc's users call for them.
 */
#ifndef XA_API_STATS_PRINT_H
#define XA_API_STATS_PRINT_H

#include <stddef.h>

/* Writes to the program's malloc_message if it has one, else to standard error. */
void xa_stats_print_write(void *context, const char *text, size_t bytes);

#endif
