/*
 * aligned.c - objects at aligned addresses, replaced at random.
 *
 *   aligned lines [PLACES]    16 to 1024 bytes at multiples of 16 to 128
 *   aligned pages [PLACES]    4 to 32 KiB at multiples of 4 KiB: buffers for direct input and output
 */
#include "workload.h"

#include <stdlib.h>

enum {
    PLACES_MAX = 1000000,
    SLICE_OPERATIONS = 200000,
    LINE_ALIGNMENTS = 4,
    LINE_ALIGNMENT_MIN = 16,
    LINE_SIZE_LOW = 4,
    LINE_SIZE_HIGH = 10,
    PAGES_MAX = 8,
};

static void **places;

static void *
allocate_aligned(size_t alignment, size_t size_bytes)
{
    void *object;
    int result = posix_memalign(&object, alignment, size_bytes);
    workload_require(result == 0 && (uintptr_t)object % alignment == 0, "posix_memalign");
    workload_touch_pages(object, 0, size_bytes);
    return object;
}

static void *
allocate_lines(struct workload_random *random)
{
    size_t alignment = (size_t)LINE_ALIGNMENT_MIN << workload_below(random, LINE_ALIGNMENTS);
    size_t size_bytes = workload_size_by_doublings(random, LINE_SIZE_LOW, LINE_SIZE_HIGH);
    return allocate_aligned(alignment, size_bytes);
}

static void *
allocate_pages(struct workload_random *random)
{
    size_t page_count = 1 + workload_below(random, PAGES_MAX);
    return allocate_aligned(WORKLOAD_PAGE_BYTES, page_count * WORKLOAD_PAGE_BYTES);
}

static size_t
replace_many(struct workload_run *run, void *(*allocate)(struct workload_random *random))
{
    size_t operations = workload_scaled(run, SLICE_OPERATIONS);
    for (size_t i = 0; i < operations; i++) {
        size_t place = workload_below(&run->random, run->parameter);
        free(places[place]);
        places[place] = allocate(&run->random);
    }
    return operations;
}

static void
prepare(struct workload_run *run)
{
    places = workload_map(run->parameter * sizeof places[0]);
}

static size_t
slice_lines(struct workload_run *run)
{
    return replace_many(run, allocate_lines);
}

static size_t
slice_pages(struct workload_run *run)
{
    return replace_many(run, allocate_pages);
}

static const struct workload_case cases[] = {
    {"lines", 10000, PLACES_MAX, 3, 15, prepare, slice_lines, NULL},
    {"pages", 1000, PLACES_MAX, 3, 15, prepare, slice_pages, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
