/*
 * residency.h - which of xalloc's memory is in memory, by what it is used for.
 */
#ifndef XA_CONTROL_RESIDENCY_H
#define XA_CONTROL_RESIDENCY_H

#include "config/size_class.h"

/* What pages are used for: slabs by the code of their class, then these. */
enum xa_residency_kind {
    XA_RESIDENCY_LARGE = XA_CLASS_LARGE, /* live runs */
    XA_RESIDENCY_HUGE = XA_CLASS_HUGE,   /* live mappings */
    XA_RESIDENCY_STOCK,                  /* large objects that threads keep */
    XA_RESIDENCY_KEPT,                   /* huge mappings that are kept */
    XA_RESIDENCY_DIRTY,                  /* free granules that may hold memory */
    XA_RESIDENCY_MUZZY,                  /* free ones that were offered to the system */
    XA_RESIDENCY_CLEAN,                  /* free ones that were given back, or never used */
    XA_RESIDENCY_METADATA,               /* our own structures */
    XA_RESIDENCY_LIBRARY,                /* the library's file, but for metadata in it */
    XA_RESIDENCY_KINDS,
};

enum { XA_RESIDENCY_RUN_LENGTHS = 9 }; /* 1 granule, 2, up to 4, 8, … 256 */

/* Runs of free granules, none of which could be longer. */
struct xa_residency_runs {
    size_t count;
    size_t dirty_bytes; /* muzzy ones included */
    size_t clean_bytes;
};

struct xa_residency {
    size_t bytes[XA_RESIDENCY_KINDS]; /* in memory; row 0 is not used */
    size_t large_rounding;            /* bytes of live runs and mappings beyond what was asked */
    struct xa_residency_runs
        runs[XA_RESIDENCY_RUN_LENGTHS]; /* by the power of two of their length */
};

/*
 * Ask the host about every page; no lock is taken.  While other threads allocate, some
 * granules may be counted as what they were or will be.
 */
void xa_residency_measure(struct xa_residency *residency);

/* What of the library's file is mapped, but for metadata; 0 if it is part of the program. */
size_t xa_residency_library_bytes(void);

#endif
