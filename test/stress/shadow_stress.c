/*
 * shadow_stress.c - random calls from many threads, checked against the shadow of
 * support/shadow.h.
 *
 *   shadow_stress [--seed N] [--seconds N] [--threads N]
 *
 * Each thread keeps some objects of its own and calls malloc, calloc, realloc, reallocarray,
 * aligned_alloc, posix_memalign, memalign, free and the sized frees on them at random; sizes run
 * from 1 byte to 8 MiB, even on a logarithmic scale.  Some objects go through a ring to whichever
 * thread takes them next, so that every thread frees what others made.  Checked all along: no two
 * live objects overlap, contents stay, alignment holds, the usable size is constant, calloc's
 * bytes are zero, realloc keeps what it must.
 *
 * Now and then all threads stop, and mallinfo2 must agree with the shadow: no less than the live
 * bytes, and no more than a bound.  At the end everything is freed and it must come down to nearly
 * nothing.
 *
 * The program ends with 0 if all held, else by abort() with a message.  It prints its seed first.
 */
#define _GNU_SOURCE

#include "../support/seed.h"
#include "../support/shadow.h"
#include "../support/threads.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

extern void free_sized(void *ptr, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *ptr, size_t alignment, size_t size) __attribute__((weak));

enum {
    OBJECTS = 500, /* that a thread holds at most */
    RING = 256,    /* objects under way between threads */
    SIZE_MAX_BYTES = 8 << 20,
    LIVE_MAX_BYTES = 512 << 20, /* above this, threads free more than they allocate */
    ABI_ALIGNMENT = 16,
    ROUNDS = 4,               /* at the end of each, mallinfo2 is compared */
    REST_MAX_BYTES = 24 << 20 /* what may count as allocated when nothing is */
};

/* How an object was made, which says how it may be freed. */
enum kind { PLAIN, ALIGNED };

struct slot {
    struct xa_shadow_object object; /* address is NULL if the slot is empty */
    enum kind kind;
};

/* A place in the ring: `state` says who may touch it. */
enum place_state { EMPTY, BUSY, FULL };

struct place {
    _Atomic(int) state;
    struct slot slot;
};

struct worker {
    struct xa_seed_random random;
    unsigned long operations;
    struct slot slots[OBJECTS];
};

static struct {
    uint64_t seed;
    unsigned seconds;
    unsigned threads;
} settings = {0, 10, 4};

static struct place ring[RING];
static struct worker *workers;
static atomic_bool stop;
static atomic_ulong operations;
static bool instrumented;

/* The baseline of mallinfo2 before any work. */
static size_t baseline_bytes;

static void
fail(const char *what)
{
    /* The object itself has been named by the shadow, where there is one. */
    fprintf(stderr, "shadow_stress: %s; repeat with --seed 0x%llx --threads %u --seconds %u\n",
        what, (unsigned long long)settings.seed, settings.threads, settings.seconds);
    fflush(stderr);
    abort();
}

static void
check(bool holds, const char *what)
{
    if (!holds)
        fail(what);
}

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A new object is in `slot`, apart from its usable size, number and contents. */
static void
enter(struct slot *slot)
{
    check(slot->object.address != NULL, "an allocation failed");
    slot->object.usable_bytes = malloc_usable_size(slot->object.address);
    check(xa_shadow_insert(&slot->object), "a new object is wrong");
    xa_shadow_fill(&slot->object);
}

/* An object is about to be freed or resized. */
static void
leave(struct slot *slot)
{
    check(malloc_usable_size(slot->object.address) == slot->object.usable_bytes,
        "the usable size of a live object changed");
    check(xa_shadow_is_intact(&slot->object), "the contents of a live object changed");
    check(xa_shadow_remove(&slot->object), "a live object overlapped");
}

static void
release(struct worker *worker, struct slot *slot)
{
    struct xa_shadow_object *object = &slot->object;
    bool sized = xa_seed_below(&worker->random, 3) == 0;

    if (object->address == NULL)
        return;
    leave(slot);
    if (sized && slot->kind == PLAIN && free_sized != NULL)
        free_sized(object->address, object->size_bytes);
    else if (sized && slot->kind == ALIGNED && free_aligned_sized != NULL)
        free_aligned_sized(object->address, object->alignment, object->size_bytes);
    else
        free(object->address);
    object->address = NULL;
}

static void
make_plain(struct worker *worker, struct slot *slot, size_t size)
{
    struct xa_shadow_object *object = &slot->object;

    slot->kind = PLAIN;
    object->size_bytes = size;
    object->alignment = ABI_ALIGNMENT;
    if (xa_seed_below(&worker->random, 3) > 0) {
        object->address = malloc(size);
    } else {
        object->address = calloc(1, size);
        check(object->address != NULL, "calloc failed");
        check(
            object->address[0] == 0 && memcmp(object->address, object->address + 1, size - 1) == 0,
            "calloc's memory is not zero");
    }
    enter(slot);
}

/* Whether a sanitizer or Valgrind has taken the allocator's place: they keep no such statistics. */
static bool
is_instrumented(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return dlsym(RTLD_DEFAULT, "__asan_init") != NULL ||
        dlsym(RTLD_DEFAULT, "__tsan_init") != NULL ||
        (preload != NULL && strstr(preload, "vgpreload") != NULL);
}

static void
make_aligned(struct worker *worker, struct slot *slot, size_t size)
{
    struct xa_shadow_object *object = &slot->object;
    void *address = NULL;

    /* Up to 64 KiB, and now and then up to 4 MiB. */
    object->alignment = (size_t)16
        << xa_seed_below(&worker->random, xa_seed_below(&worker->random, 20) == 0 ? 19 : 13);
    /* Sanitizers insist on what C11 said of aligned_alloc: a multiple of the alignment. */
    if (instrumented)
        size = (size + object->alignment - 1) / object->alignment * object->alignment;
    object->size_bytes = size;
    slot->kind = ALIGNED;
    switch (xa_seed_below(&worker->random, 3)) {
    case 0:
        check(posix_memalign(&address, object->alignment, size) == 0, "posix_memalign failed");
        break;
    case 1: address = memalign(object->alignment, size); break;
    default: address = aligned_alloc(object->alignment, size); break;
    }
    object->address = address;
    enter(slot);
}

static void
resize(struct worker *worker, struct slot *slot, size_t size)
{
    struct xa_shadow_object old = slot->object;
    struct xa_shadow_object moved;
    size_t kept = old.size_bytes < size ? old.size_bytes : size;

    leave(slot);
    if (xa_seed_below(&worker->random, 4) == 0)
        slot->object.address = reallocarray(old.address, 1, size);
    else
        slot->object.address = realloc(old.address, size);
    check(slot->object.address != NULL, "realloc failed");
    /* The old contents are to be found at the new place. */
    moved = old;
    moved.address = slot->object.address;
    check(xa_shadow_prefix_is_intact(&moved, kept), "realloc did not keep the contents");
    slot->object.size_bytes = size;
    slot->object.alignment = ABI_ALIGNMENT;
    slot->kind = PLAIN;
    enter(slot);
}

/* Put our object into the ring, and take whatever was there. */
static void
exchange(struct worker *worker, struct slot *slot)
{
    struct place *place = &ring[xa_seed_below(&worker->random, RING)];
    int expected = atomic_load_explicit(&place->state, memory_order_relaxed);
    struct slot other = {0};

    if (expected == BUSY ||
        !atomic_compare_exchange_strong_explicit(
            &place->state, &expected, BUSY, memory_order_acquire, memory_order_relaxed))
        return;
    if (expected == FULL)
        other = place->slot;
    place->slot = *slot;
    *slot = other;
    atomic_store_explicit(
        &place->state, place->slot.object.address != NULL ? FULL : EMPTY, memory_order_release);
}

static void
do_one_operation(struct worker *worker)
{
    struct slot *slot = &worker->slots[xa_seed_below(&worker->random, OBJECTS)];
    size_t choice = xa_seed_below(&worker->random, 100);
    /* Few draws may be large, or nearly all of the time would go into page faults. */
    size_t size_max = xa_seed_below(&worker->random, 12) == 0 ? SIZE_MAX_BYTES : 30000;
    size_t size = xa_seed_size(&worker->random, 1, size_max);

    if (xa_shadow_live_bytes() > LIVE_MAX_BYTES && choice < 80) {
        release(worker, slot);
    } else if (choice < 20) {
        exchange(worker, slot);
    } else if (choice < 35) {
        release(worker, slot);
    } else if (choice < 55 && slot->object.address != NULL) {
        resize(worker, slot, size);
    } else {
        release(worker, slot);
        if (choice < 85)
            make_plain(worker, slot, size);
        else
            make_aligned(worker, slot, size);
    }
    worker->operations++;
}

static void
work_until_stopped(unsigned index, void *argument)
{
    struct worker *worker = &workers[index];

    (void)argument;
    worker->operations = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 20; i++)
            do_one_operation(worker);
    }
    atomic_fetch_add(&operations, worker->operations);
}

static size_t
allocated_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void
compare_statistics(void)
{
    size_t live = xa_shadow_live_bytes();
    size_t allocated = allocated_bytes();

    printf("# %zu objects, %zu bytes live, mallinfo2 says %zu\n", xa_shadow_live_objects(), live,
        allocated);
    check(allocated >= live, "mallinfo2 knows of less than is live");
    /* A fifth for size classes, an alignment's worth for aligned objects, and the caches. */
    check(allocated <= baseline_bytes + live + live / 2 + REST_MAX_BYTES,
        "mallinfo2 knows of far more than is live");
}

static void
run_round(double seconds)
{
    struct xa_threads team;
    double end = seconds_now() + seconds;

    atomic_store(&stop, false);
    check(xa_threads_start(&team, settings.threads, work_until_stopped, NULL), "no threads");
    while (seconds_now() < end)
        usleep(10000);
    atomic_store(&stop, true);
    check(xa_threads_join(&team, 60), "a thread hangs");
}

static void
free_everything(void)
{
    for (unsigned i = 0; i < settings.threads; i++) {
        for (int k = 0; k < OBJECTS; k++)
            release(&workers[i], &workers[i].slots[k]);
    }
    for (int i = 0; i < RING; i++)
        release(&workers[0], &ring[i].slot);
    check(xa_shadow_live_objects() == 0 && xa_shadow_live_bytes() == 0, "the test lost an object");
}

static void
parse_arguments(int argc, char **argv)
{
    const char *seed = NULL;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            settings.seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0)
            settings.threads = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else
            argc = 0;
    }
    if (argc % 2 == 0 || settings.threads == 0 || settings.threads > XA_THREADS_MAX) {
        fprintf(stderr, "usage: shadow_stress [--seed N] [--seconds N] [--threads 1 to %d]\n",
            XA_THREADS_MAX);
        exit(2);
    }
    settings.seed = xa_seed_choose(seed);
}

int
main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    alarm(settings.seconds * 4 + 120);
    instrumented = is_instrumented();
    workers = mmap(NULL, settings.threads * sizeof(*workers), PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(workers != MAP_FAILED && xa_shadow_init(), "no memory for the test itself");
    for (unsigned i = 0; i < settings.threads; i++)
        workers[i].random = xa_seed_start(settings.seed, i);
    baseline_bytes = allocated_bytes();
    for (int round = 0; round < ROUNDS; round++) {
        run_round((double)settings.seconds / ROUNDS);
        if (!instrumented)
            compare_statistics();
    }
    free_everything();
    if (!instrumented)
        compare_statistics();
    else
        printf("# statistics not compared: a sanitizer or Valgrind has replaced the allocator\n");
    printf(
        "# %lu operations of %u threads, all well\n", atomic_load(&operations), settings.threads);
    return 0;
}
