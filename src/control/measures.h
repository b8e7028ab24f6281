/*
 * measures.h - what would give most memory back, and how.
 */
#ifndef XA_CONTROL_MEASURES_H
#define XA_CONTROL_MEASURES_H

#include "base/text.h"
#include "control/statistics.h"

enum xa_measure_kind {
    XA_MEASURE_TRIM,     /* give unused pages back */
    XA_MEASURE_CACHES,   /* free objects that threads keep */
    XA_MEASURE_FREE,     /* free slots of a class */
    XA_MEASURE_ROUNDING, /* requests that just miss a smaller class */
};

struct xa_measure {
    size_t bytes; /* that it would give back, at most */
    uint8_t kind; /* enum xa_measure_kind */
    uint8_t size_class;
};

enum { XA_MEASURES_MAX = 3, XA_MEASURE_TEXT_BYTES = 128 };

/* Measures worth a line: a hundredth of what is in memory, and half a MiB. */
struct xa_measures {
    unsigned count;
    struct xa_measure list[XA_MEASURES_MAX]; /* the greatest first */
};

void xa_measures_find(struct xa_measures *measures, const struct xa_statistics *statistics);

/* A word for it, and a sentence that says what to do. */
const char *xa_measures_name(const struct xa_measure *measure);
void xa_measures_put(
    const struct xa_measure *measure, const struct xa_statistics *statistics, struct xa_text *text);

#endif
