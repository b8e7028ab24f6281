/*
 * pair.c - malloc and free of one object, again and again: the hottest path of all.
 *
 *   pair head [SIZE]       16 bytes at the start are written
 *   pair touched [SIZE]    a word of each page is written
 *   pair touching [SIZE]   no malloc at all: what those writes cost in memory that is there
 *
 * The last is for the curve over all sizes: what an object costs beyond the touching of its pages
 * is the allocator's.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    OPERATIONS_MAX = 300000,
    /* Objects up to this size are cheap for all; beyond, fewer of them take as long. */
    HEAD_CHEAP_BYTES = 16384,
    TOUCHED_CHEAP_BYTES = 2048,
    HEAD_OPERATIONS_MIN = 100,
    TOUCHED_OPERATIONS_MIN = 4,
};

static char *resident;

static size_t
operations_for(const struct workload_run *run, size_t cheap_bytes, size_t least)
{
    size_t operations = workload_scaled(run, OPERATIONS_MAX);
    if (run->parameter > cheap_bytes)
        operations = (size_t)((double)operations * (double)cheap_bytes / (double)run->parameter);
    return operations > least ? operations : least;
}

static size_t
slice_head(struct workload_run *run)
{
    size_t operations = operations_for(run, HEAD_CHEAP_BYTES, HEAD_OPERATIONS_MIN);
    for (size_t i = 0; i < operations; i++)
        free(workload_allocate(run->parameter));
    return operations;
}

static size_t
slice_touched(struct workload_run *run)
{
    size_t operations = operations_for(run, TOUCHED_CHEAP_BYTES, TOUCHED_OPERATIONS_MIN);
    for (size_t i = 0; i < operations; i++) {
        void *object = workload_allocate(run->parameter);
        workload_touch_pages(object, 0, run->parameter);
        free(object);
    }
    return operations;
}

static void
prepare_touching(struct workload_run *run)
{
    resident = workload_map(run->parameter);
    workload_touch_pages(resident, 0, run->parameter);
}

static size_t
slice_touching(struct workload_run *run)
{
    size_t operations = operations_for(run, TOUCHED_CHEAP_BYTES, TOUCHED_OPERATIONS_MIN);
    for (size_t i = 0; i < operations; i++)
        workload_touch_pages(resident, 0, run->parameter);
    return operations;
}

static const struct workload_case cases[] = {
    {"head", 64, (size_t)1 << 30, 3, 15, NULL, slice_head, NULL},
    {"touched", 65536, (size_t)1 << 30, 3, 15, NULL, slice_touched, NULL},
    {"touching", 65536, (size_t)1 << 30, 3, 15, prepare_touching, slice_touching, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
