/*
 * probe.c - one misuse of the heap, by name: probe NAME; probe --list names them all.
 *
 * A probe does its misuse, says so on stderr, goes on working with the heap for a while, and ends
 * with 0: whoever runs it sees from the order of the lines whether the allocator said something at
 * once, later, or never.  What must fail without harm (an impossible alignment) ends with REFUSED
 * if it does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REFUSED = 10, NOT_THERE = 11, SIZE = 40, LARGE = 200000, HUGE = 8 << 20 };

/* The compiler shall know nothing of the pointer, and believe every use of it. */
static void *
opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer)::"memory");
    return pointer;
}

static void *
take(size_t size)
{
    char *object = opaque(malloc(size));
    if (object == NULL)
        exit(99);
    memset(object, 'x', size);
    return opaque(object);
}

static void
say_done(void)
{
    static const char done[] = "-- done\n";
    if (write(STDERR_FILENO, done, sizeof done - 1) < 0)
        exit(99);
}

/* As a program that has been running for a while. */
static void
warm_up(size_t size)
{
    enum { COUNT = 500 };
    void *objects[COUNT];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            objects[i] = take(size);
        for (unsigned i = 0; i < COUNT; i++)
            free(objects[i]);
    }
}

static void
double_free(void)
{
    void *object = take(SIZE);
    free(object);
    free(opaque(object));
}

static void
double_free_warm(void)
{
    warm_up(SIZE);
    double_free();
}

static void
double_free_one_between(void)
{
    void *first = take(SIZE), *second = take(SIZE);
    free(first);
    free(second);
    free(opaque(first));
}

static void
double_free_one_between_warm(void)
{
    warm_up(SIZE);
    double_free_one_between();
}

static void
double_free_after_flush(void)
{
    void *object = take(SIZE), *other = take(SIZE);
    warm_up(SIZE);
    free(object);
    free(other);
    malloc_trim(0);
    free(opaque(object));
}

static void *
free_in_thread(void *object)
{
    free(object);
    return NULL;
}

static void
double_free_by_two_threads(void)
{
    pthread_t thread;
    void *object = take(SIZE);
    if (pthread_create(&thread, NULL, free_in_thread, object) != 0)
        exit(99);
    pthread_join(thread, NULL);
    free(opaque(object));
}

static void
double_free_large(void)
{
    void *object = take(LARGE);
    free(object);
    free(opaque(object));
}

static void
double_free_huge(void)
{
    void *object = take(HUGE);
    free(object);
    free(opaque(object));
}

static void
free_interior(void)
{
    char *object = take(SIZE);
    free(opaque(object + 16));
}

static void
free_interior_warm(void)
{
    warm_up(SIZE);
    free_interior();
}

static void
free_interior_large(void)
{
    char *object = take(LARGE);
    free(opaque(object + 4096));
}

static void
free_stack(void)
{
    char on_the_stack[SIZE];
    free(opaque(on_the_stack + 16));
}

static void
free_static(void)
{
    static char object[SIZE];
    free(opaque(object));
}

static void
free_mapping(void)
{
    char *pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free(opaque(pages + 4096));
}

static void
free_unmapped(void)
{
    char *pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages, 65536);
    free(opaque(pages + 4096));
}

/* A function that not every C library has. */
static void *
find(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    if (function == NULL && dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL) != NULL)
        function = dlsym(RTLD_DEFAULT, name);
    if (function == NULL)
        exit(NOT_THERE);
    return function;
}

static void
free_sized_wrong(void)
{
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))find("free_sized");
    free_sized(take(SIZE), 1000);
}

static void
free_sized_wrong_large(void)
{
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))find("free_sized");
    free_sized(take(LARGE), 3 * LARGE);
}

static void
free_aligned_sized_wrong(void)
{
    void (*free_it)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))find("free_aligned_sized");
    free_it(opaque(aligned_alloc(64, 256)), 64, 4096);
}

static void
delete_sized_wrong(void)
{
    void (*delete_it)(void *, size_t) =
        (void (*)(void *, size_t))find(sizeof(size_t) == 8 ? "_ZdlPvm" : "_ZdlPvj");
    delete_it(take(SIZE), 1000);
}

static void
delete_aligned_sized_wrong(void)
{
    void (*delete_it)(void *, size_t, size_t) = (void (*)(void *, size_t, size_t))find(
        sizeof(size_t) == 8 ? "_ZdlPvmSt11align_val_t" : "_ZdlPvjSt11align_val_t");
    delete_it(opaque(aligned_alloc(64, 256)), 4096, 64);
}

static void
delete_sized_wrong_warm(void)
{
    warm_up(SIZE);
    delete_sized_wrong();
}

static void
realloc_freed(void)
{
    void *object = take(SIZE);
    free(object);
    free(opaque(realloc(opaque(object), 500)));
}

static void
realloc_freed_large(void)
{
    void *object = take(LARGE);
    free(object);
    free(opaque(realloc(opaque(object), 2 * LARGE)));
}

static void
realloc_interior(void)
{
    char *object = take(SIZE);
    (void)!opaque(realloc(opaque(object + 16), 500));
}

static void
usable_size_of_freed(void)
{
    void *object = take(SIZE);
    free(object);
    (void)malloc_usable_size(opaque(object));
}

static void
overflow_by_one(void)
{
    char *object = take(SIZE);
    object[SIZE] = 0;
    (void)opaque(object);
    free(object);
}

static void
overflow_into_neighbours(void)
{
    enum { COUNT = 20 };
    char *objects[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        objects[i] = take(SIZE);
    memset(opaque(objects[COUNT / 2]), 'y', SIZE + 64);
    for (unsigned i = 0; i < COUNT; i++)
        free(objects[i]);
}

static void
overflow_large(void)
{
    char *object = take(100000);
    memset(opaque(object), 'y', 100000 + 8);
    free(object);
}

static void
overflow_read(void)
{
    volatile char *object = take(SIZE);
    long page = sysconf(_SC_PAGESIZE);
    for (long i = 0; i < page + page / 2; i++)
        (void)object[i];
    free((void *)object);
}

static void
underflow_by_eight(void)
{
    enum { COUNT = 20 };
    char *objects[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        objects[i] = take(SIZE);
    /* Of all: where objects are placed by chance, one of them may have no neighbour. */
    for (unsigned i = 0; i < COUNT; i++)
        if ((uintptr_t)objects[i] % 4096 != 0)
            memset((char *)opaque(objects[i]) - 8, 'y', 8);
    for (unsigned i = 0; i < COUNT; i++)
        free(objects[i]);
}

static void
write_after_free(void)
{
    char *object = take(SIZE);
    free(object);
    ((char *)opaque(object))[20] = 'z';
    (void)opaque(object);
}

/* The first words, where many allocators keep the links of their lists. */
static void
write_after_free_at_start(void)
{
    char *first = take(SIZE), *second = take(SIZE);
    free(first);
    free(second);
    memset(opaque(second), 'z', 16);
    (void)opaque(second);
}

static void
read_after_free(void)
{
    volatile char *object = take(SIZE);
    free((void *)object);
    (void)object[20];
}

static void
alignment_impossible(void)
{
    void *object = opaque(aligned_alloc(24, 96));
    int error = errno;
    void *other = NULL;
    if (object == NULL && error == EINVAL && posix_memalign(&other, 3, 96) == EINVAL)
        exit(REFUSED);
}

static void
size_impossible(void)
{
    volatile size_t count = SIZE_MAX / 2;
    if (opaque(calloc(count, 4)) == NULL && opaque(malloc(SIZE_MAX - 100)) == NULL)
        exit(REFUSED);
}

#define PROBE(name) \
    {               \
#name, name \
    }
static const struct {
    const char *name;
    void (*misuse)(void);
} probes[] = {
    PROBE(double_free),
    PROBE(double_free_warm),
    PROBE(double_free_one_between),
    PROBE(double_free_one_between_warm),
    PROBE(double_free_after_flush),
    PROBE(double_free_by_two_threads),
    PROBE(double_free_large),
    PROBE(double_free_huge),
    PROBE(free_interior),
    PROBE(free_interior_warm),
    PROBE(free_interior_large),
    PROBE(free_stack),
    PROBE(free_static),
    PROBE(free_mapping),
    PROBE(free_unmapped),
    PROBE(free_sized_wrong),
    PROBE(free_sized_wrong_large),
    PROBE(free_aligned_sized_wrong),
    PROBE(delete_sized_wrong),
    PROBE(delete_sized_wrong_warm),
    PROBE(delete_aligned_sized_wrong),
    PROBE(realloc_freed),
    PROBE(realloc_freed_large),
    PROBE(realloc_interior),
    PROBE(usable_size_of_freed),
    PROBE(overflow_by_one),
    PROBE(overflow_into_neighbours),
    PROBE(overflow_large),
    PROBE(overflow_read),
    PROBE(underflow_by_eight),
    PROBE(write_after_free),
    PROBE(write_after_free_at_start),
    PROBE(read_after_free),
    PROBE(alignment_impossible),
    PROBE(size_impossible),
};

/* What a program would go on with: first a little, then enough to empty and fill every cache. */
static void
go_on(void)
{
    enum { FEW = 8 };
    void *objects[FEW];
    for (unsigned i = 0; i < FEW; i++)
        objects[i] = take(SIZE);
    for (unsigned i = 0; i < FEW; i++)
        free(objects[i]);
    warm_up(SIZE);
    warm_up(16);
    free(take(LARGE));
    malloc_trim(0);
}

int
main(int count, char **arguments)
{
    enum { PROBES = sizeof probes / sizeof *probes };
    for (unsigned i = 0; count == 2 && i < PROBES; i++) {
        if (strcmp(arguments[1], "--list") == 0)
            puts(probes[i].name);
        if (strcmp(arguments[1], probes[i].name) != 0)
            continue;
        probes[i].misuse();
        say_done();
        go_on();
        return 0;
    }
    return count == 2 && strcmp(arguments[1], "--list") == 0 ? 0 : 2;
}
