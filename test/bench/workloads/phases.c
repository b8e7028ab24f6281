/*
 * phases.c - generations of threads whose memory rises and falls, with objects that survive them.
 *
 *   phases generations [THREADS]    of each generation, 4
 *
 * A thread allocates many objects, frees nearly all of them, and does so again; every generation
 * prefers other sizes.  One object in twenty survives: it is left to the thread of the same place
 * two generations later, which frees it when its own memory is at its highest.  So few objects,
 * whose thread is gone, hold many pages.
 */
#include "workload.h"

#include <stdlib.h>

enum {
    THREADS_MAX = 64,
    GENERATIONS = 8,
    PHASES = 2,
    PHASE_OBJECTS = 10000,
    SURVIVOR_EVERY = 20,
    HEIRS = 2, /* generations until survivors are freed */
    SIZE_KINDS = 4,
};

/* Least size and range of each generation, in turn. */
static const uint16_t size_kinds[SIZE_KINDS][2] = {{16, 112}, {200, 800}, {32, 300}, {600, 3000}};

struct legacy {
    void **objects;
    size_t count;
};

static struct legacy legacies[HEIRS][THREADS_MAX];
static void **rising[THREADS_MAX];
static size_t phase_objects;
static size_t generation;

static void
free_legacy(struct legacy *legacy)
{
    for (size_t i = 0; i < legacy->count; i++)
        free(legacy->objects[i]);
    legacy->count = 0;
}

static void
live(size_t number, void *shared)
{
    (void)shared;
    const uint16_t *kind = size_kinds[generation % SIZE_KINDS];
    struct workload_random random = workload_seed(generation * THREADS_MAX + number + 1);
    struct legacy *legacy = &legacies[generation % HEIRS][number];
    void **objects = rising[number];

    for (size_t phase = 0; phase < PHASES; phase++) {
        for (size_t i = 0; i < phase_objects; i++)
            objects[i] = workload_allocate(kind[0] + workload_below(&random, kind[1]));
        if (phase == 0)
            free_legacy(legacy);
        for (size_t i = 0; i < phase_objects; i++) {
            if (i % SURVIVOR_EVERY == 0)
                legacy->objects[legacy->count++] = objects[i];
            else
                free(objects[i]);
        }
    }
}

static void
prepare(struct workload_run *run)
{
    phase_objects = workload_scaled(run, PHASE_OBJECTS);
    size_t survivors = PHASES * (phase_objects / SURVIVOR_EVERY + 1);
    for (size_t i = 0; i < run->parameter; i++) {
        rising[i] = workload_map(phase_objects * sizeof rising[i][0]);
        for (size_t j = 0; j < HEIRS; j++)
            legacies[j][i].objects = workload_map(survivors * sizeof(void *));
    }
}

static size_t
slice(struct workload_run *run)
{
    for (size_t i = 0; i < GENERATIONS; i++) {
        generation = i;
        workload_run_threads(run->parameter, live, NULL);
    }
    return GENERATIONS * PHASES * phase_objects * run->parameter;
}

static const struct workload_case cases[] = {
    {"generations", 4, THREADS_MAX, 1, 7, prepare, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
