/*
 * zeroed.c - calloc, of memory that is new and of memory that was used before.
 *
 *   zeroed fresh [MEGABYTES]      objects of 64 bytes to 64 KiB that are never freed
 *   zeroed recycled [PLACES]      objects of 16 bytes to 16 KiB that replace each other at random
 *
 * Each object has a word of each page written.  What comes new from the system is zero, and need
 * not be cleared again.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    PLACES_MAX = 1000000,
    SLICE_OPERATIONS = 100000,
    FRESH_LOW = 6,
    FRESH_HIGH = 16,
    RECYCLED_LOW = 4,
    RECYCLED_HIGH = 14,
};

static void **places;

static void *
allocate_zeroed(size_t size_bytes)
{
    long *object = calloc(1, size_bytes);
    workload_require(object != NULL && object[0] == 0, "calloc");
    workload_touch_pages(object, 0, size_bytes);
    return object;
}

static size_t
slice_fresh(struct workload_run *run)
{
    size_t left_bytes = workload_scaled(run, run->parameter * 1000000);
    size_t count = 0;
    for (;;) {
        size_t size_bytes = workload_size_by_doublings(&run->random, FRESH_LOW, FRESH_HIGH);
        if (size_bytes > left_bytes)
            return count;
        /* Kept for good; the address goes nowhere, which is all that a benchmark needs. */
        allocate_zeroed(size_bytes);
        left_bytes -= size_bytes;
        count++;
    }
}

static void
replace(struct workload_run *run, size_t place)
{
    free(places[place]);
    places[place] =
        allocate_zeroed(workload_size_by_doublings(&run->random, RECYCLED_LOW, RECYCLED_HIGH));
}

static void
prepare_recycled(struct workload_run *run)
{
    places = workload_map(run->parameter * sizeof places[0]);
    for (size_t i = 0; i < run->parameter; i++)
        replace(run, i);
}

static size_t
slice_recycled(struct workload_run *run)
{
    size_t operations = workload_scaled(run, SLICE_OPERATIONS);
    for (size_t i = 0; i < operations; i++)
        replace(run, workload_below(&run->random, run->parameter));
    return operations;
}

static const struct workload_case cases[] = {
    {"fresh", 50, 10000, 1, 7, NULL, slice_fresh, NULL},
    {"recycled", 1000, PLACES_MAX, 3, 15, prepare_recycled, slice_recycled, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
