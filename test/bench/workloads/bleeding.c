/*
 * bleeding.c - a server whose threads pass their objects on and die.
 *
 *   bleeding server [THREADS]    at a time, 100
 *
 * Each of the threads holds a window of objects and replaces random ones.  When it has done its
 * share it starts a successor, to which it leaves the window, and ends.  So nearly every object is
 * freed by another thread than its maker, which is long gone.  The idea is that of Larson and
 * Krishnan, "Memory allocation for long-running server applications" (ISMM 1998).
 */
#include "workload.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

enum {
    CHAINS_MAX = 1000,
    WINDOW_OBJECTS = 1000,
    GENERATIONS = 10,
    GENERATION_OPERATIONS = 1000,
    SIZE_MIN = 16,
    SIZE_RANGE = 496,
};

/* A succession of threads, one at a time. */
struct chain {
    void *window[WINDOW_OBJECTS];
    struct workload_random random;
    size_t generations_left;
    size_t generation_operations;
    sem_t *finished;
};

static struct chain *chains;

static void *
live(void *argument)
{
    struct chain *chain = argument;
    pthread_t successor;

    for (size_t i = 0; i < chain->generation_operations; i++) {
        size_t victim = workload_below(&chain->random, WINDOW_OBJECTS);
        free(chain->window[victim]);
        chain->window[victim] =
            workload_allocate(SIZE_MIN + workload_below(&chain->random, SIZE_RANGE));
    }
    if (--chain->generations_left == 0) {
        sem_post(chain->finished);
        return NULL;
    }
    int result = pthread_create(&successor, NULL, live, chain);
    workload_require(result == 0, "pthread_create");
    pthread_detach(successor);
    return NULL;
}

/* The first windows are the main thread's. */
static void
prepare(struct workload_run *run)
{
    chains = workload_map(run->parameter * sizeof chains[0]);
    for (size_t i = 0; i < run->parameter; i++) {
        chains[i].random = workload_seed(i + 1);
        for (size_t j = 0; j < WINDOW_OBJECTS; j++)
            chains[i].window[j] =
                workload_allocate(SIZE_MIN + workload_below(&chains[i].random, SIZE_RANGE));
    }
}

static size_t
slice(struct workload_run *run)
{
    size_t operations = workload_scaled(run, GENERATION_OPERATIONS);
    sem_t finished;

    sem_init(&finished, 0, 0);
    for (size_t i = 0; i < run->parameter; i++) {
        pthread_t first;
        chains[i].finished = &finished;
        chains[i].generations_left = GENERATIONS;
        chains[i].generation_operations = operations;
        int result = pthread_create(&first, NULL, live, &chains[i]);
        workload_require(result == 0, "pthread_create");
        pthread_detach(first);
    }
    for (size_t i = 0; i < run->parameter; i++)
        sem_wait(&finished);
    sem_destroy(&finished);
    return run->parameter * GENERATIONS * operations;
}

static const struct workload_case cases[] = {
    {"server", 100, CHAINS_MAX, 1, 7, prepare, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
