/*
 * batch.c - many objects of mixed sizes, then all of them freed.
 *
 *   batch fifo [COUNT]    freed in the order of their birth
 *   batch lifo [COUNT]    freed in the opposite order
 *
 * A batch of 1,000 fits into what a thread may keep for itself, one of 100,000 does not.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    SLICE_OPERATIONS = 300000,
    COUNT_MAX = 1000000,
    SIZE_MIN = 16,
    SIZE_RANGE = 240,
};

static void **objects;
static uint16_t *sizes;

static void
prepare(struct workload_run *run)
{
    objects = workload_map(run->parameter * sizeof objects[0]);
    sizes = workload_map(run->parameter * sizeof sizes[0]);
    for (size_t i = 0; i < run->parameter; i++)
        sizes[i] = (uint16_t)(SIZE_MIN + workload_below(&run->random, SIZE_RANGE));
}

static size_t
batches_in_slice(const struct workload_run *run)
{
    size_t batches = workload_scaled(run, SLICE_OPERATIONS) / run->parameter;
    return batches > 0 ? batches : 1;
}

static void
allocate_batch(size_t count)
{
    for (size_t i = 0; i < count; i++)
        objects[i] = workload_allocate(sizes[i]);
}

static size_t
slice_fifo(struct workload_run *run)
{
    size_t batches = batches_in_slice(run);
    for (size_t batch = 0; batch < batches; batch++) {
        allocate_batch(run->parameter);
        for (size_t i = 0; i < run->parameter; i++)
            free(objects[i]);
    }
    return batches * run->parameter;
}

static size_t
slice_lifo(struct workload_run *run)
{
    size_t batches = batches_in_slice(run);
    for (size_t batch = 0; batch < batches; batch++) {
        allocate_batch(run->parameter);
        for (size_t i = run->parameter; i-- > 0;)
            free(objects[i]);
    }
    return batches * run->parameter;
}

static const struct workload_case cases[] = {
    {"fifo", 1000, COUNT_MAX, 4, 15, prepare, slice_fifo, NULL},
    {"lifo", 1000, COUNT_MAX, 4, 15, prepare, slice_lifo, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
