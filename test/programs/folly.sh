#!/bin/bash
#
# folly.sh - what folly asks jemalloc, written anew: detection, growth in place, idle threads.
#
# folly takes a malloc for jemalloc if ten weak symbols are there and a byte from malloc moves the
# count that thread.allocatedp points to.  From then on it sizes strings by nallocx, grows vectors
# by xallocx, frees by sdallocx, and gives back the caches and pages of threads that wait.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/include/jemalloc/jemalloc.h libjemalloc-dev
need /usr/bin/gcc gcc
takes_place_of=libjemalloc.so.2

prepare()
{
    cat >folly.c <<'EOF'
#include <jemalloc/jemalloc.h>
#pragma weak mallocx
#pragma weak rallocx
#pragma weak xallocx
#pragma weak sallocx
#pragma weak dallocx
#pragma weak sdallocx
#pragma weak nallocx
#pragma weak mallctl
#pragma weak mallctlnametomib
#pragma weak mallctlbymib

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, OBJECTS = 20000 };

static void
check(const char *what, bool holds)
{
    printf("%s: %s\n", what, holds ? "yes" : "no");
    if (!holds)
        exit(1);
}

/* Not to be folded away: the compiler knows that malloc changes no variable of ours. */
static void *volatile kept;

/* What folly/memory/Malloc.h calls usingJEMalloc(). */
static bool
is_jemalloc(void)
{
    if (mallocx == NULL || rallocx == NULL || xallocx == NULL || sallocx == NULL ||
        dallocx == NULL || sdallocx == NULL || nallocx == NULL || mallctl == NULL ||
        mallctlnametomib == NULL || mallctlbymib == NULL)
        return false;
    volatile uint64_t *counter;
    size_t bytes = sizeof(uint64_t *);
    if (mallctl("thread.allocatedp", &counter, &bytes, NULL, 0) != 0)
        return false;
    if (bytes != sizeof(uint64_t *))
        return false;
    uint64_t before = *counter;
    kept = malloc(1);
    if (kept == NULL)
        return false;
    free(kept);
    return before != *counter;
}

static uint64_t
read_count(const char *name)
{
    uint64_t value = 0;
    size_t bytes = sizeof value;
    if (mallctl(name, &value, &bytes, NULL, 0) != 0)
        check(name, false);
    return value;
}

/* Each thread's own, and exact to what caches hold back. */
static void
check_counts(void)
{
    static __thread char *objects[OBJECTS];
    uint64_t allocated = read_count("thread.allocated");
    uint64_t freed = read_count("thread.deallocated");
    size_t sum = 0;
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = malloc(16 + i % 600);
        memset(objects[i], i, 16 + i % 600);
        sum += malloc_usable_size(objects[i]);
    }
    uint64_t more = read_count("thread.allocated") - allocated;
    if (more != sum)
        fprintf(stderr, "thread.allocated grew by %llu and not %zu\n", (unsigned long long)more,
            sum);
    check("thread.allocated", more == sum);
    check("thread.deallocated rests", read_count("thread.deallocated") == freed);
    for (int i = 0; i < OBJECTS; i++)
        sdallocx(objects[i], 16 + i % 600, 0);
    check("thread.deallocated", read_count("thread.deallocated") - freed == sum);
}

/* goodMallocSize(): strings and vectors ask for as much as they would be given. */
static void
check_good_sizes(void)
{
    for (size_t size = 1; size < 10000000; size += size / 7 + 1) {
        size_t good = nallocx(size, 0);
        void *object = malloc(good);
        if (good < size || malloc_usable_size(object) != good || nallocx(good, 0) != good)
            check("good size", false);
        sdallocx(object, good, 0);
    }
    check("good sizes", true);
}

/* fbvector: in place if there is room, else move. */
static void
check_growth(void)
{
    size_t capacity = nallocx(64, 0), used = 0, moves = 0;
    unsigned char *vector = mallocx(capacity, 0);
    for (; used < 3000000; used++) {
        if (used == capacity) {
            size_t wanted = nallocx(capacity * 3 / 2, 0);
            size_t got = xallocx(vector, wanted, 0, 0);
            if (got < capacity || got != sallocx(vector, 0))
                check("xallocx", false);
            if (got < wanted) {
                vector = rallocx(vector, wanted, 0);
                moves++;
            }
            capacity = wanted;
        }
        vector[used] = (unsigned char)(used * 31);
    }
    for (size_t i = 0; i < used; i++)
        if (vector[i] != (unsigned char)(i * 31))
            check("vector", false);
    check("vector", moves > 0);
    check("shrink", xallocx(vector, 1 << 20, 0, 0) >= 1 << 20);
    check("shrunk", vector[12345] == (12345 * 31 & 255));
    sdallocx(vector, sallocx(vector, 0), 0);
}

/* MemoryIdler::flushLocalMallocCaches() of a thread that is about to wait. */
static void
check_idle(void)
{
    unsigned arenas = 0, arena = 77;
    size_t bytes = sizeof arenas, mib[3], length = 3, dirty[4], dirty_length = 4, pages = 1;
    uint64_t epoch = 1;
    check("thread.tcache.flush", mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    check("opt.narenas", mallctl("opt.narenas", &arenas, &bytes, NULL, 0) == 0 && arenas > 0);
    bytes = sizeof arena;
    check("thread.arena", mallctl("thread.arena", &arena, &bytes, NULL, 0) == 0 && arena < arenas);
    check("arena.0.purge", mallctlnametomib("arena.0.purge", mib, &length) == 0 && length == 3);
    mib[1] = arena;
    check("purge", mallctlbymib(mib, length, NULL, NULL, NULL, 0) == 0);
    check("epoch", mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) == 0);
    check("pdirty is there", mallctlnametomib("stats.arenas.0.pdirty", dirty, &dirty_length) == 0);
    dirty[2] = arena;
    bytes = sizeof pages;
    check("pdirty", mallctlbymib(dirty, dirty_length, &pages, &bytes, NULL, 0) == 0 && pages == 0);
}

static void *
work(void *argument)
{
    (void)argument;
    check("jemalloc, in a thread", is_jemalloc());
    check_counts();
    return NULL;
}

int
main(void)
{
    bool is_found = is_jemalloc();
    check("jemalloc", is_found);
    check_counts();
    check_good_sizes();
    check_growth();
    check_idle();
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, NULL);
        pthread_join(thread, NULL);
    }
    return 0;
}
EOF
    # Weak symbols alone do not make the linker take the library.
    gcc -std=gnu11 -O2 -fno-builtin -o folly folly.c -pthread -Wl,--no-as-needed -ljemalloc
}

session()
{
    prove "$XA_PROGRAMS_FOLDER/input/folly"
    under "$XA_PROGRAMS_FOLDER/input/folly"
}

run_program
