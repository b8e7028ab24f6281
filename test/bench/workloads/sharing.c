/*
 * sharing.c - do objects of different threads lie in one cache line?
 *
 *   sharing active [THREADS]     each thread allocates an object, writes it often, frees it, again
 *   sharing passive [THREADS]    the same, but first they free neighbours which the main thread made
 *                                and gave away: an allocator that hands a thread such memory again
 *                                lets it share lines for good
 *
 * The idea is that of the two cache tests of E. Berger et al., "Hoard" (ASPLOS 2000).
 */
#include "workload.h"

#include <stdlib.h>

enum {
    THREADS_MAX = 64,
    OBJECT_BYTES = 8,
    OBJECTS = 100000,
    WRITES = 200,
};

static void *gifts[THREADS_MAX];
static size_t thread_objects;

static void
write_often(void *object)
{
    volatile long *word = object;
    for (int i = 0; i < WRITES; i++)
        *word += i;
}

static void
work(size_t number, void *shared)
{
    (void)shared;
    free(gifts[number]);
    gifts[number] = NULL;
    for (size_t i = 0; i < thread_objects; i++) {
        void *object = workload_allocate(OBJECT_BYTES);
        write_often(object);
        free(object);
    }
}

static size_t
slice_active(struct workload_run *run)
{
    thread_objects = workload_scaled(run, OBJECTS) / run->parameter;
    workload_run_threads(run->parameter, work, NULL);
    return thread_objects * run->parameter;
}

static size_t
slice_passive(struct workload_run *run)
{
    for (size_t i = 0; i < run->parameter; i++)
        gifts[i] = workload_allocate(OBJECT_BYTES);
    return slice_active(run);
}

static const struct workload_case cases[] = {
    {"active", 4, THREADS_MAX, 1, 15, NULL, slice_active, NULL},
    {"passive", 4, THREADS_MAX, 1, 15, NULL, slice_passive, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
