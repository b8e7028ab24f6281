/*
 * threads.c - threads that start, use a little memory, and end.
 *
 *   threads sequence [OBJECTS]    one after the other; each allocates and frees 50 objects
 *   threads waves [OBJECTS]       32 at a time
 *
 * An operation is a thread.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    SLICE_THREADS = 320,
    WAVE_THREADS = 32,
    OBJECTS_MAX = 10000,
    SIZE_MIN = 16,
    SIZE_RANGE = 496,
};

static void
work(size_t number, void *shared)
{
    const struct workload_run *run = shared;
    struct workload_random random = workload_seed(number + 1);
    void *objects[OBJECTS_MAX];

    for (size_t i = 0; i < run->parameter; i++)
        objects[i] = workload_allocate(SIZE_MIN + workload_below(&random, SIZE_RANGE));
    for (size_t i = 0; i < run->parameter; i++)
        free(objects[i]);
}

static size_t
run_waves(struct workload_run *run, size_t wave_threads)
{
    size_t waves = 1 + workload_scaled(run, SLICE_THREADS) / wave_threads;
    for (size_t i = 0; i < waves; i++)
        workload_run_threads(wave_threads, work, run);
    return waves * wave_threads;
}

static size_t
slice_sequence(struct workload_run *run)
{
    return run_waves(run, 1);
}

static size_t
slice_waves(struct workload_run *run)
{
    return run_waves(run, WAVE_THREADS);
}

static const struct workload_case cases[] = {
    {"sequence", 50, OBJECTS_MAX, 2, 11, NULL, slice_sequence, NULL},
    {"waves", 50, OBJECTS_MAX, 2, 11, NULL, slice_waves, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
