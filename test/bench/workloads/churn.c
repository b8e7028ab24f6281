/*
 * churn.c - a heap of live objects of which a random one is freed and replaced by one of another
 * size, again and again.
 *
 *   churn random [MEGABYTES]    live throughout; sizes of 16 to 511 bytes
 *
 * At 50 MB the heap does not fit into the processor's cache, at 1 GB not into its translation
 * buffers: then it counts how much the allocator reads and writes beside the objects.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    SLICE_OPERATIONS = 100000,
    SIZE_MIN = 16,
    SIZE_RANGE = 496,
    SIZE_MEAN = SIZE_MIN + SIZE_RANGE / 2,
};

static void **objects;
static size_t object_count;

static size_t
random_size(struct workload_run *run)
{
    return SIZE_MIN + workload_below(&run->random, SIZE_RANGE);
}

static void
prepare(struct workload_run *run)
{
    object_count = run->parameter * 1000000 / SIZE_MEAN;
    objects = workload_map(object_count * sizeof objects[0]);
    for (size_t i = 0; i < object_count; i++)
        objects[i] = workload_allocate(random_size(run));
}

static size_t
slice(struct workload_run *run)
{
    size_t operations = workload_scaled(run, SLICE_OPERATIONS);
    for (size_t i = 0; i < operations; i++) {
        size_t victim = workload_below(&run->random, object_count);
        free(objects[victim]);
        objects[victim] = workload_allocate(random_size(run));
    }
    return operations;
}

static const struct workload_case cases[] = {
    {"random", 50, 100000, 8, 15, prepare, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
