/*
 * workload.h - what the workload programs share: arguments, clock, random numbers, threads, output.
 *
 * A program has one or more cases.  A case is prepared once and is then a slice of fixed work that
 * is repeated: some slices to warm up, then the timed ones, of which the median counts, so that a
 * single interruption does not.  The work depends on nothing but the arguments: the same seed, and
 * the same operations for each allocator.
 *
 *   PROGRAM CASE [PARAMETER [PERCENT]]
 *
 * PARAMETER is the case's own (a size, a number of threads ...), PERCENT shortens the work.  One line
 * of TSV is printed: nanoseconds an operation; processor nanoseconds an operation, of all threads
 * and children; minor page faults of all timed slices; peak resident KiB; and the file that malloc
 * came from.
 *
 * The programs contain no allocator knowledge: preload one, or none for the C library's.  What the
 * harness needs for itself is mapped, so that it is not in the figures.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WORKLOAD_SLICES_MAX = 64,
    WORKLOAD_PAGE_BYTES = 4096,
};

/* Where a sequence of random numbers is; each thread has its own. */
struct workload_random {
    uint64_t state;
};

/* What a slice is given. */
struct workload_run {
    size_t parameter;
    size_t percent;
    struct workload_random random;
};

struct workload_case {
    const char *name;
    size_t parameter_default;
    size_t parameter_max;
    int warm_up_slices;
    int timed_slices;
    void (*prepare)(struct workload_run *run); /* before the first slice, or NULL */
    size_t (*slice)(struct workload_run *run); /* returns the number of operations */
    void (*restore)(struct workload_run *run); /* after each slice, not timed, or NULL */
};

/* The whole of a program: finds the case, runs it, prints its line.  Returns the exit status. */
int workload_main(
    int argument_count, char **arguments, const struct workload_case *cases, size_t case_count);

/* `count` shortened by the percentage of the command line; at least 1. */
size_t workload_scaled(const struct workload_run *run, size_t count);

/* End the program with status 2 unless `condition` holds. */
void workload_require(int condition, const char *what);

/* Zeroed memory that is not the allocator's, for the arrays of a workload. */
void *workload_map(size_t bytes);

/* A sequence that depends on nothing but `number`. */
struct workload_random workload_seed(uint64_t number);

/* malloc, and the writes of a program that fills the head of a structure: 16 bytes. */
void *workload_allocate(size_t size_bytes);

/* Write one word in each page of an object of which `from_bytes` have been written before. */
void workload_touch_pages(void *object, size_t from_bytes, size_t size_bytes);

/* Run `body` in `count` threads, each with its number, and wait for all. */
void workload_run_threads(size_t count, void (*body)(size_t number, void *shared), void *shared);

static inline uint64_t
workload_next(struct workload_random *random)
{
    uint64_t state = random->state;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    random->state = state;
    return state;
}

/* A number below `bound`, without a division. */
static inline size_t
workload_below(struct workload_random *random, size_t bound)
{
    return (size_t)(((workload_next(random) >> 32) * (uint64_t)bound) >> 32);
}

/* A size from 2^low to 2^high, each doubling as likely as the next. */
static inline size_t
workload_size_by_doublings(struct workload_random *random, unsigned low, unsigned high)
{
    size_t base = (size_t)1 << (low + workload_below(random, high - low));
    return base + workload_below(random, base);
}

#ifdef __cplusplus
}
#endif

#endif
