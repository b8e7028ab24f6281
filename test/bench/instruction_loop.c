/*
 * instruction_loop.c - calls each entry point a known number of times, for callgrind.
 *
 *   instruction_loop COUNT
 *
 * Every measured call sits alone in a function named measured_<operation>, so that the profile's
 * record "measured_<operation> called something N times, inclusive cost C" is exactly the cost of
 * the entry point, whatever the library calls it (aliases share an address).  The functions are
 * reached through pointers from dlsym: no linkage stub is counted, and an entry point that the
 * library lacks is reported instead of failing to link.
 *
 * Some objects stay allocated throughout, so that an allocator which gives an empty page back at
 * once is not measured doing that.  Before a loop the path is walked WARM_UP_CALLS times, so that
 * the cache is filled.  The caller runs two counts and takes the difference, which removes what
 * happens only once; what an allocator does at every so many calls stays in, as it should.
 *
 * Prints "missing <operation>" for each entry point that cannot be found.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* noipa: no inlining, cloning or knowledge about the callee may merge two call sites. */
#if defined(__clang__)
#define MEASURED __attribute__((noinline, used))
#else
#define MEASURED __attribute__((noipa, used))
#endif

enum {
    WARM_UP_CALLS = 300,
    KEPT_OBJECTS = 100,
    SIZE_BYTES = 64,
    ALIGNMENT_BYTES = 64,
};

static void *(*malloc_function)(size_t);
static void (*free_function)(void *);
static void (*free_sized_function)(void *, size_t);
static void *(*operator_new_function)(size_t);
static void (*operator_delete_function)(void *);
static void *(*calloc_function)(size_t, size_t);
static void *(*aligned_alloc_function)(size_t, size_t);
static void *(*realloc_function)(void *, size_t);
static size_t (*malloc_usable_size_function)(void *);

/* The statement after each call keeps it from becoming a jump. */
#define AFTER_CALL() __asm__ volatile("" : : : "memory")

MEASURED static void *
measured_malloc(void)
{
    void *object = malloc_function(SIZE_BYTES);
    AFTER_CALL();
    return object;
}

MEASURED static void
measured_free(void *object)
{
    free_function(object);
    AFTER_CALL();
}

MEASURED static void
measured_free_sized(void *object)
{
    free_sized_function(object, SIZE_BYTES);
    AFTER_CALL();
}

MEASURED static void *
measured_operator_new(void)
{
    void *object = operator_new_function(SIZE_BYTES);
    AFTER_CALL();
    return object;
}

MEASURED static void
measured_operator_delete(void *object)
{
    operator_delete_function(object);
    AFTER_CALL();
}

MEASURED static void *
measured_calloc(void)
{
    void *object = calloc_function(1, SIZE_BYTES);
    AFTER_CALL();
    return object;
}

MEASURED static void *
measured_aligned_alloc(void)
{
    void *object = aligned_alloc_function(ALIGNMENT_BYTES, SIZE_BYTES);
    AFTER_CALL();
    return object;
}

MEASURED static void *
measured_realloc(void *object)
{
    void *result = realloc_function(object, SIZE_BYTES);
    AFTER_CALL();
    return result;
}

MEASURED static size_t
measured_malloc_usable_size(void *object)
{
    size_t size_bytes = malloc_usable_size_function(object);
    AFTER_CALL();
    return size_bytes;
}

/* One turn of each operation; what is not measured goes through the pointers directly. */
static void
turn_malloc(void)
{
    free_function(measured_malloc());
}

static void
turn_free(void)
{
    measured_free(malloc_function(SIZE_BYTES));
}

static void
turn_free_sized(void)
{
    measured_free_sized(malloc_function(SIZE_BYTES));
}

static void
turn_operator_new(void)
{
    operator_delete_function(measured_operator_new());
}

static void
turn_operator_delete(void)
{
    measured_operator_delete(operator_new_function(SIZE_BYTES));
}

static void
turn_calloc(void)
{
    free_function(measured_calloc());
}

static void
turn_aligned_alloc(void)
{
    free_function(measured_aligned_alloc());
}

static void
turn_realloc(void)
{
    free_function(measured_realloc(malloc_function(SIZE_BYTES)));
}

static void
turn_malloc_usable_size(void)
{
    void *object = malloc_function(SIZE_BYTES);
    if (measured_malloc_usable_size(object) < SIZE_BYTES)
        abort();
    free_function(object);
}

struct operation {
    const char *name;
    const char *symbol;
    void *address;              /* of the function pointer to set */
    const char *partner_symbol; /* also needed, or NULL */
    void (*turn)(void);
};

static const struct operation operations[] = {
    {"malloc", "malloc", &malloc_function, NULL, turn_malloc},
    {"free", "free", &free_function, NULL, turn_free},
    {"free_sized", "free_sized", &free_sized_function, NULL, turn_free_sized},
    {"operator_new", "_Znwm", &operator_new_function, "_ZdlPv", turn_operator_new},
    {"operator_delete", "_ZdlPv", &operator_delete_function, "_Znwm", turn_operator_delete},
    {"calloc", "calloc", &calloc_function, NULL, turn_calloc},
    {"aligned_alloc", "aligned_alloc", &aligned_alloc_function, NULL, turn_aligned_alloc},
    {"realloc", "realloc", &realloc_function, NULL, turn_realloc},
    {"malloc_usable_size", "malloc_usable_size", &malloc_usable_size_function, NULL,
        turn_malloc_usable_size},
};

enum { OPERATION_COUNT = sizeof operations / sizeof operations[0] };

static void
repeat(void (*turn)(void), long count)
{
    for (long i = 0; i < count; i++)
        turn();
}

static void
keep_objects(void)
{
    static void *kept[KEPT_OBJECTS];

    for (int i = 0; i < KEPT_OBJECTS; i++)
        kept[i] = malloc_function(SIZE_BYTES);
    __asm__ volatile("" : : "r"(kept) : "memory");
}

int
main(int argument_count, char **arguments)
{
    long count = argument_count == 2 ? strtol(arguments[1], NULL, 10) : 0;
    if (count < 1) {
        fputs("usage: instruction_loop COUNT\n", stderr);
        return 2;
    }
    for (int i = 0; i < OPERATION_COUNT; i++)
        *(void **)operations[i].address = dlsym(RTLD_DEFAULT, operations[i].symbol);
    keep_objects();
    for (int i = 0; i < OPERATION_COUNT; i++) {
        const struct operation *operation = &operations[i];
        const char *partner = operation->partner_symbol;
        if (*(void **)operation->address == NULL ||
            (partner != NULL && dlsym(RTLD_DEFAULT, partner) == NULL)) {
            printf("missing %s\n", operation->name);
            continue;
        }
        repeat(operation->turn, WARM_UP_CALLS);
        repeat(operation->turn, count);
    }
    return 0;
}
