/*
 * jemalloc.h - the functions that programs know from jemalloc 5.3, as libxalloc has them.
 *
 * Names, constants and meanings are those of jemalloc(3); where they differ, it is said
 * here.  A program that was built with <jemalloc/jemalloc.h> needs no change: the names in
 * the library are the same.
 */
#ifndef XALLOC_JEMALLOC_H
#define XALLOC_JEMALLOC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Statistics ---- */

/*
 * Write the statistics, in pieces, by calling write_cb(cbopaque, text); without a callback by
 * malloc_message, or to standard error.  The callback may allocate.
 *
 *   opts   letters, each of which has an effect; NULL is none; others mean nothing
 *            J  JSON: the object "xalloc", and "jemalloc" with jemalloc's groups and names
 *            O  OpenMetrics text (xalloc's own letter)
 *            g  leave out what does not change: version, options, size classes
 *            m  leave out the sums over all arenas
 *            d  leave out the sums over destroyed arenas; xalloc has none
 *            a  leave out the arenas
 *            b  leave out the size classes
 *            l  leave out the large objects
 *            x  leave out the locks; xalloc counts nothing of them
 *            e  leave out the free runs of pages
 *            h  leave out the huge pages, which take longest to find out
 *            r  leave out what is in memory (xalloc's own letter): then the host is not
 *               asked, and the figures take microseconds
 *
 * No lock is taken: it may be called in a signal handler, and in a child after fork().  If
 * four are being written at the same time it waits for one of them to end, for a while.
 */
void malloc_stats_print(
    void (*write_cb)(void *cbopaque, const char *text), void *cbopaque, const char *opts);

/*
 * Where all that xalloc says goes: messages, and reports without a callback or a file; NULL:
 * to standard error.  The first argument is NULL.
 */
extern void (*malloc_message)(void *cbopaque, const char *text);

#ifdef __cplusplus
}
#endif

#endif
