/*
 * grow.c - memory that grows by realloc.
 *
 *   grow vector [BYTES]        one vector at a time, doubled from 16 bytes to 4 KiB, freed
 *   grow vectors [COUNT]       1,000 vectors, doubled in turns from 16 bytes to 16 KiB, all freed
 *   grow buffer [MEGABYTES]    one buffer, from 4 KiB by half of itself to 512 MiB
 *
 * An operation is a call of realloc.  What is new is written: whole in vectors, a word of each page
 * in the buffer.
 */
#include "workload.h"

#include <stdlib.h>
#include <string.h>

enum {
    START_BYTES = 16,
    VECTOR_STEPS = 300000,
    VECTORS_MAX = 100000,
    VECTORS_END_BYTES = 16384,
    BUFFER_START_BYTES = 4096,
};

static char **vectors;

static char *
grown(char *memory, size_t old_bytes, size_t new_bytes)
{
    char *result = realloc(memory, new_bytes);
    workload_require(result != NULL, "realloc");
    memset(result + old_bytes, (int)(new_bytes & 127), new_bytes - old_bytes);
    return result;
}

static size_t
slice_vector(struct workload_run *run)
{
    size_t steps = workload_scaled(run, VECTOR_STEPS);
    size_t done = 0;
    while (done < steps) {
        char *vector = NULL;
        size_t old_bytes = 0;
        for (size_t bytes = START_BYTES; bytes <= run->parameter; bytes *= 2) {
            vector = grown(vector, old_bytes, bytes);
            old_bytes = bytes;
            done++;
        }
        free(vector);
    }
    return done;
}

static void
prepare_vectors(struct workload_run *run)
{
    vectors = workload_map(run->parameter * sizeof vectors[0]);
}

static size_t
slice_vectors(struct workload_run *run)
{
    size_t done = 0;
    size_t old_bytes = 0;
    for (size_t bytes = START_BYTES; bytes <= VECTORS_END_BYTES; bytes *= 2) {
        for (size_t i = 0; i < run->parameter; i++)
            vectors[i] = grown(vectors[i], old_bytes, bytes);
        done += run->parameter;
        old_bytes = bytes;
    }
    for (size_t i = 0; i < run->parameter; i++) {
        free(vectors[i]);
        vectors[i] = NULL;
    }
    return done;
}

static size_t
slice_buffer(struct workload_run *run)
{
    size_t end_bytes = workload_scaled(run, run->parameter << 20);
    size_t old_bytes = 0;
    size_t done = 0;
    char *buffer = NULL;

    for (size_t bytes = BUFFER_START_BYTES; old_bytes < end_bytes; bytes += bytes / 2) {
        buffer = realloc(buffer, bytes < end_bytes ? bytes : end_bytes);
        workload_require(buffer != NULL, "realloc");
        bytes = bytes < end_bytes ? bytes : end_bytes;
        workload_touch_pages(buffer, old_bytes, bytes);
        old_bytes = bytes;
        done++;
    }
    free(buffer);
    return done;
}

static const struct workload_case cases[] = {
    {"vector", 4096, 1 << 20, 3, 15, NULL, slice_vector, NULL},
    {"vectors", 1000, VECTORS_MAX, 2, 11, prepare_vectors, slice_vectors, NULL},
    {"buffer", 512, 100000, 0, 3, NULL, slice_buffer, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
