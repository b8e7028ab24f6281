/*
 * pareto.c - allocations and frees in random order, with sizes of a Pareto distribution.
 *
 *   pareto mix [THREADS]    1
 *
 * Most objects are small and most of the bytes are in few big ones: at an exponent of 1.1, from 16
 * bytes up to a limit of 256 KiB.  A step looks at a random place: what is there is freed, or the
 * place is filled.  Half of the steps go to one sixteenth of the places, so most objects die young
 * and some live long.  Threads share nothing; the number of steps is the same for any number.
 */
#include "workload.h"

#include <math.h>
#include <stdlib.h>

enum {
    THREADS_MAX = 256,
    SLICE_OPERATIONS = 500000,
    PLACES = 100000,
    BUSY_PART = 16,
    SIZE_MIN = 16,
    SIZE_MAX_BYTES = 256 * 1024,
    DRAWN_SIZES = 8192,
};

static const double EXPONENT = 1.1;

static uint32_t *sizes;
static struct workload_random *randoms;
static void **places; /* `place_count` for each thread */
static size_t place_count;
static size_t thread_operations;

/* Drawn beforehand, since pow() would cost more than malloc. */
static void
draw_sizes(struct workload_random *random)
{
    sizes = workload_map(DRAWN_SIZES * sizeof sizes[0]);
    for (size_t i = 0; i < DRAWN_SIZES; i++) {
        double chance = ((double)workload_below(random, 1 << 30) + 1) / (double)(1 << 30);
        double size_bytes = SIZE_MIN * pow(chance, -1 / EXPONENT);
        sizes[i] = size_bytes < SIZE_MAX_BYTES ? (uint32_t)size_bytes : SIZE_MAX_BYTES;
    }
}

static void
prepare(struct workload_run *run)
{
    draw_sizes(&run->random);
    place_count = PLACES / run->parameter;
    places = workload_map(place_count * run->parameter * sizeof places[0]);
    randoms = workload_map(run->parameter * sizeof randoms[0]);
    for (size_t i = 0; i < run->parameter; i++)
        randoms[i] = workload_seed(i + 1);
}

static void
mix(size_t number, void *shared)
{
    (void)shared;
    struct workload_random random = randoms[number];
    void **own = places + number * place_count;

    for (size_t i = 0; i < thread_operations; i++) {
        size_t bound = workload_next(&random) >> 63 ? place_count / BUSY_PART + 1 : place_count;
        size_t place = workload_below(&random, bound);
        if (own[place] != NULL) {
            free(own[place]);
            own[place] = NULL;
            continue;
        }
        size_t size_bytes = sizes[workload_below(&random, DRAWN_SIZES)];
        own[place] = workload_allocate(size_bytes);
        workload_touch_pages(own[place], WORKLOAD_PAGE_BYTES, size_bytes);
    }
    randoms[number] = random;
}

static size_t
slice(struct workload_run *run)
{
    thread_operations = workload_scaled(run, SLICE_OPERATIONS) / run->parameter;
    if (run->parameter == 1)
        mix(0, NULL);
    else
        workload_run_threads(run->parameter, mix, NULL);
    return thread_operations * run->parameter;
}

static const struct workload_case cases[] = {
    {"mix", 1, THREADS_MAX, 2, 11, prepare, slice, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
