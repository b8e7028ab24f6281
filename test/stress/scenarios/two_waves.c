/*
 * two_waves.c - a heap that is renewed wave by wave.
 *
 *   two_waves SECONDS
 *
 * A wave is two million objects of about the same size, as a cache or an index that is built anew
 * has them.  Each wave is allocated while the one before is still in use, which is then freed in
 * the order of its birth; then the process sleeps until the next one is due.  Ten waves of
 * different sizes follow each other, with the first size again at the end; SECONDS stand for 30
 * minutes, so that a wave comes every three.  The work is the same however long the run is.
 *
 * At the end two numbers are printed, separated by a tab: calls of malloc and free, and the
 * seconds that the waves took.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../support/clock.h"

enum {
    WAVE_COUNT = 10,
    OBJECT_COUNT = 2000000,
    SPREAD_BYTES = 8, /* sizes are drawn from the wave's up to so much more */
};

static const size_t wave_bytes[WAVE_COUNT] = {100, 72, 136, 40, 88, 152, 56, 120, 24, 100};

static void **
map_pointers(void)
{
    void **pointers = mmap(NULL, OBJECT_COUNT * sizeof *pointers, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pointers == MAP_FAILED) {
        perror("two_waves: mmap");
        exit(2);
    }
    return pointers;
}

static void
allocate_wave(void **objects, size_t size_bytes)
{
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        size_t bytes = size_bytes + i * UINT64_C(2654435761) % SPREAD_BYTES;
        objects[i] = malloc(bytes);
        if (objects[i] == NULL) {
            fputs("two_waves: out of memory\n", stderr);
            exit(2);
        }
        memset(objects[i], 1, bytes);
    }
}

static void
free_wave(void **objects)
{
    for (size_t i = 0; i < OBJECT_COUNT; i++)
        free(objects[i]);
}

int
main(int argument_count, char **arguments)
{
    double seconds = argument_count == 2 ? strtod(arguments[1], NULL) : 0;
    if (!(seconds > 0)) {
        fputs("usage: two_waves SECONDS\n", stderr);
        return 2;
    }
    void **waves[2] = {map_pointers(), map_pointers()};
    double start = xa_clock_seconds();
    double busy_seconds = 0;
    unsigned long operations = 0;
    for (int wave = 0; wave < WAVE_COUNT; wave++) {
        double wave_start = xa_clock_seconds();
        allocate_wave(waves[wave % 2], wave_bytes[wave]);
        operations += OBJECT_COUNT;
        if (wave > 0) {
            free_wave(waves[(wave + 1) % 2]);
            operations += OBJECT_COUNT;
        }
        busy_seconds += xa_clock_seconds() - wave_start;
        xa_clock_sleep_until(start + seconds * (wave + 1) / WAVE_COUNT);
    }
    printf("%lu\t%.3f\n", operations, busy_seconds);
    return 0;
}
