/*
 * operations_fuzz.c - any order of calls against a shadow of what is live: for libFuzzer.
 *
 * The input is a program for two threads: the one that libFuzzer calls and one of our own, of which
 * only one runs at a time, so that an input always does the same.  Each step is a byte for the
 * operation and the place, and a number for the size.  An object that one thread has taken may be
 * freed or resized by the other: what libraries call handing over.
 *
 * Checked after each step: a new object overlaps none that is live, is aligned, and is as large as
 * was asked; all that was written into an object, usable bytes included, is there until it is
 * freed; what calloc gives is zero; a size that cannot be had changes nothing; a size that is right
 * is never taken for a wrong one (`abort` makes any complaint fatal).  At the end of each input all
 * is freed, and the statistics say that nothing is live.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/allocate.h"
#include "alloc/fast_path.h"
#include "alloc/release.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "control/statistics.h"
#include "thread/thread_cache.h"

/* As a program's own settings: no thread but ours, and what is free goes back at once, or late. */
extern const char *xalloc_conf;
const char *xalloc_conf = "narenas:2,background_thread:false,dirty_decay_ms:0,abort:true";

enum {
    PLACES = 64,
    STEPS_MAX = 400,
    LIVE_BYTES_MAX = 64 << 20, /* more in an input only takes time */
    KEPT_BYTES_MAX = 4096,     /* of a large object its ends are filled and checked */
    THREADS = 2,
};

enum operation {
    MALLOC,
    CALLOC,
    REALLOC,
    ALIGNED,
    FREE,
    USABLE,
    IMPOSSIBLE,
    TRIM,
    FLUSH,
    FREE_SIZED,
    OPERATIONS,
};

struct object {
    unsigned char *address;
    size_t asked_bytes, usable_bytes, alignment;
    unsigned char mark;
};

struct step {
    enum operation operation;
    unsigned place, thread;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct object objects[PLACES];
static size_t live_bytes;
static unsigned char last_mark;

/* The other thread: it does one step when `wanted` is posted, and posts `done`. */
static sem_t wanted, done;
static const struct step *step_of_other;

static void
check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "operations_fuzz: does not hold: %s\n", what);
    abort();
}

/* The bytes of an object that are filled and looked at: all, or the two ends of a large one. */
static void
walk(const struct object *object, size_t bytes, bool fills)
{
    for (size_t i = 0; i < bytes; i++) {
        if (i == KEPT_BYTES_MAX && bytes > 2 * KEPT_BYTES_MAX)
            i = bytes - KEPT_BYTES_MAX;
        unsigned char value = (unsigned char)(object->mark + i);
        if (fills)
            object->address[i] = value;
        else
            check(object->address[i] == value, "an object keeps what was written");
    }
}

static size_t
usable(const void *address)
{
    return xa_release_usable_bytes(address, "usable");
}

static void
enter(struct object *object, void *address, size_t asked_bytes, size_t alignment)
{
    size_t usable_bytes = usable(address);
    check((uintptr_t)address % 16 == 0, "a multiple of 16");
    check((uintptr_t)address % alignment == 0, "aligned as asked");
    check(usable_bytes >= asked_bytes, "as large as asked");
    for (unsigned i = 0; i < PLACES; i++) {
        const struct object *other = &objects[i];
        check(other->address == NULL || other == object ||
                (unsigned char *)address + usable_bytes <= other->address ||
                other->address + other->usable_bytes <= (unsigned char *)address,
            "no two live objects overlap");
    }
    *object = (struct object){address, asked_bytes, usable_bytes, alignment, ++last_mark};
    live_bytes += usable_bytes;
    walk(object, usable_bytes, true);
}

static void
leave(struct object *object)
{
    live_bytes -= object->usable_bytes;
    object->address = NULL;
}

static void
release(struct object *object)
{
    walk(object, object->usable_bytes, false);
    unsigned char *address = object->address;
    leave(object);
    xa_fast_free(address);
}

/* With its size, as the caches take it or as their slow path does. */
static void
release_sized(struct object *object, bool slowly)
{
    struct object old = *object;
    walk(&old, old.usable_bytes, false);
    leave(object);
    if (slowly)
        xa_release_sized_beyond(old.address, old.asked_bytes, old.alignment);
    else
        xa_fast_free_sized(old.address, old.asked_bytes, old.alignment);
}

static void
take(struct object *object, const struct step *step)
{
    size_t alignment = (size_t)1 << (step->operation == ALIGNED ? step->place % 24 : 0);
    void *address;
    if (object->address != NULL)
        release(object);
    switch (step->operation) {
    case CALLOC:
        address = xa_allocate_zeroed(step->size);
        for (size_t i = 0; address != NULL && i < step->size; i++)
            check(((char *)address)[i] == 0, "calloc gives zeros");
        break;
    case ALIGNED: address = xa_allocate_aligned(alignment, step->size); break;
    default: address = xa_fast_malloc(step->size); break;
    }
    check(address != NULL, "there is memory for a small program");
    enter(object, address, step->size, alignment);
}

static void
resize(struct object *object, size_t size)
{
    if (object->address == NULL)
        return;
    struct object before = *object;
    walk(&before, before.usable_bytes, false);
    unsigned char *address = xa_resize(before.address, size);
    check(address != NULL, "there is memory for a small program");
    struct object kept = {address, 0, 0, 1, before.mark};
    size_t usable_bytes = usable(address);
    size_t kept_bytes = before.asked_bytes < size ? before.asked_bytes : size;
    check(usable_bytes >= size, "as large as asked");
    /* Of a large object the end that was filled may be in the middle now, or cut off. */
    if (kept_bytes > KEPT_BYTES_MAX)
        kept_bytes = KEPT_BYTES_MAX;
    walk(&kept, kept_bytes, false);
    leave(object);
    enter(object, address, size, 1);
}

static void
ask_the_impossible(struct object *object, size_t size)
{
    size_t too_much = SIZE_MAX - size;
    check(xa_fast_malloc(too_much) == NULL, "what cannot be had is NULL");
    check(xa_allocate_aligned(4096, too_much) == NULL, "what cannot be had is NULL");
    if (object->address != NULL) {
        check(xa_resize(object->address, too_much) == NULL, "what cannot be had is NULL");
        walk(object, object->usable_bytes, false);
    }
}

static void
do_step(const struct step *step)
{
    struct object *object = &objects[step->place];
    switch (step->operation) {
    case MALLOC:
    case CALLOC:
    case ALIGNED: take(object, step); break;
    case REALLOC: resize(object, step->size | 1); break;
    case FREE:
        if (object->address != NULL)
            release(object);
        break;
    case USABLE:
        if (object->address != NULL)
            check(
                usable(object->address) == object->usable_bytes, "an object's size never changes");
        break;
    case IMPOSSIBLE: ask_the_impossible(object, step->size); break;
    case TRIM: (void)xa_arena_trim(step->size); break;
    case FREE_SIZED:
        if (object->address != NULL)
            release_sized(object, step->size % 2 == 0);
        break;
    default: {
        struct xa_thread_state *self = xa_start_thread();
        if (self != NULL)
            xa_thread_cache_flush(self);
    }
    }
}

static void *
serve(void *argument)
{
    for (;;) {
        while (sem_wait(&wanted) != 0)
            continue;
        do_step(step_of_other);
        sem_post(&done);
    }
    return argument;
}

static void
begin_once(void)
{
    static pthread_t other;
    static bool has_begun;
    if (has_begun)
        return;
    has_begun = true;
    check(sem_init(&wanted, 0, 0) == 0 && sem_init(&done, 0, 0) == 0, "semaphores work");
    check(pthread_create(&other, NULL, serve, NULL) == 0, "a thread starts");
}

static void
run_step(const struct step *step)
{
    if (step->thread == 0) {
        do_step(step);
        return;
    }
    step_of_other = step;
    sem_post(&wanted);
    while (sem_wait(&done) != 0)
        continue;
}

/* Three bytes: operation and thread, place, and how large: mostly small, some of any magnitude. */
static struct step
step_of(const uint8_t data[3])
{
    unsigned magnitude = data[2] >> 3;
    size_t size = magnitude < 16
        ? (size_t)data[2] * 5
        : ((size_t)(8 + data[2] % 8) << (magnitude - 16)) * 16 + data[1] / PLACES;
    return (struct step){data[0] % OPERATIONS, data[1] % PLACES, data[0] / 128 % THREADS, size};
}

static size_t
bytes_in_use(void)
{
    struct xa_statistics statistics;
    xa_statistics_gather(&statistics, XA_STATISTICS_QUICK);
    return statistics.allocated;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    begin_once();
    size_t in_use = bytes_in_use();
    for (unsigned i = 0; i < STEPS_MAX && bytes >= 3; i++, data += 3, bytes -= 3) {
        struct step step = step_of(data);
        if (live_bytes + step.size > LIVE_BYTES_MAX)
            step.size %= 4096;
        run_step(&step);
    }
    for (unsigned i = 0; i < PLACES; i++)
        if (objects[i].address != NULL)
            release(&objects[i]);
    check(bytes_in_use() == in_use, "nothing is live at the end");
    return 0;
}
