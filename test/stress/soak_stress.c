/*
 * soak_stress.c - everything at once, for as long as wanted, checked against the shadow.
 *
 *   XALLOC_TEST_SECONDS   how long, 5 unless set; `make soak` sets an hour
 *   XALLOC_TEST_SEED      as everywhere
 *
 * Workers take, resize and free objects of all sizes, some of which go to other workers through a
 * ring; a worker works for a moment only, then its thread ends, with what it had cached, and
 * another takes its place.  Meanwhile signals strike them, of which the handler sleeps; one thread
 * gives memory back, to different degrees; another makes arenas, in which the workers leave
 * objects, resets and destroys them with what is there; another forks children, which find the heap
 * as they may, work on in it with objects of their own, of the ring and of those arenas, make an
 * arena and start a thread themselves.
 * What is freed at the one end is handed out at the other: an object that two have is seen by the
 * shadow, or by what it holds.  At the end no slot of any slab is taken, no cache has a share
 * of the budget, and of the arenas that were made nothing is left.
 *
 * This is the core, over the real host, so that it runs under every sanitizer.  ThreadSanitizer
 * knows no program that forks beside threads, nor a kernel that orders what threads do (see
 * cache_purge_stress.c): with it there are no children, and caches are not taken back.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alloc/allocate.h"
#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "alloc/release.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/private_arena.h"
#include "control/mallctl.h"
#include "support/child.h"
#include "support/seed.h"
#include "support/shadow.h"
#include "support/threads.h"
#include "thread/cache_purge.h"
#include "thread/thread_cache.h"

enum {
    WORKERS = 6,
    OBJECTS = 200, /* that a worker holds at most */
    RING = 64,
    ARENAS = 4,
    ARENA_OBJECTS = 48, /* in an arena, at most */
    ARENA_BYTES_MAX = 100000,
    LIFE = 20000, /* operations until a worker's thread ends, at most */
    BYTES_MAX = 6 << 20,
    BYTES_MAX_OFTEN = 20000,
    LIVE_BYTES_MAX = 128 << 20,
    SIGNAL_NS = 2000000,
    HANDLER_NS = 300000,
    TRIM_NS = 7000000,
    FORK_NS = 30000000,
    ARENA_NS = 3000000,
    CHILD_OPERATIONS = 3000,
    SECONDS_TO_END = 60,
};

/* Without a purging thread under ThreadSanitizer: nobody takes caches back then. */
extern const char *xalloc_conf;
const char *xalloc_conf =
    XA_THREAD_SANITIZER ? "narenas:3,background_thread:false" : "narenas:3,dirty_decay_ms:50";

/* A place in the ring: `state` says who may touch the object. */
enum place_state { EMPTY, BUSY, FULL };

struct place {
    _Atomic(int) state;
    struct xa_shadow_object object;
};

/* An arena that comes and goes.  `users` is the number of workers in it, -1 while it changes. */
struct arena {
    _Atomic(int) users;
    unsigned index, cache; /* numbers, as in arenas.create and tcache.create */
    struct place places[ARENA_OBJECTS];
};

struct worker {
    struct xa_seed_random numbers;
    _Atomic(pthread_t) thread;
    atomic_bool is_there; /* the thread may get signals */
    struct xa_shadow_object objects[OBJECTS];
};

static uint64_t seed;
static struct place ring[RING];
static struct arena arenas[ARENAS];
static struct worker workers[WORKERS + 1]; /* the last is that of children */
static pthread_mutex_t signal_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_over;
static atomic_ulong operations, lives, children, handled, trims, arenas_made;

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "soak_stress: %s; repeat with XALLOC_TEST_SEED=0x%llx\n", what,
        (unsigned long long)seed);
    abort();
}

static void
check(bool holds, const char *what)
{
    if (!holds)
        fail(what);
}

static void
sleep_ns(long nanoseconds)
{
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

static size_t
usable(const void *address)
{
    return xa_release_usable_bytes(address, "soak_stress");
}

static void
enter(struct xa_shadow_object *object, void *address, size_t size, size_t alignment)
{
    check(address != NULL, "an allocation failed");
    *object = (struct xa_shadow_object){.address = address,
        .size_bytes = size,
        .usable_bytes = usable(address),
        .alignment = alignment};
    check(xa_shadow_insert(object), "a new object is wrong");
    xa_shadow_fill(object);
}

static void
leave(const struct xa_shadow_object *object)
{
    check(usable(object->address) == object->usable_bytes, "a live object's size changed");
    check(xa_shadow_is_intact(object), "a live object's contents changed");
    check(xa_shadow_remove(object), "a live object overlapped");
}

static void
release(struct xa_shadow_object *object)
{
    if (object->address == NULL)
        return;
    leave(object);
    xa_fast_free(object->address);
    object->address = NULL;
}

static void
take(struct xa_seed_random *numbers, struct xa_shadow_object *object, size_t size)
{
    size_t alignment = 16;
    void *address;
    release(object);
    switch (xa_seed_below(numbers, 4)) {
    case 0:
        address = xa_allocate_zeroed(size);
        check(address != NULL && *(char *)address == 0 &&
                memcmp(address, (char *)address + 1, size - 1) == 0,
            "zeroed memory is not");
        break;
    case 1:
        alignment <<= xa_seed_below(numbers, 12);
        address = xa_allocate_aligned(alignment, size);
        break;
    default: address = xa_fast_malloc(size);
    }
    enter(object, address, size, alignment);
}

static void
resize(struct xa_shadow_object *object, size_t size)
{
    struct xa_shadow_object moved = *object;
    if (object->address == NULL)
        return;
    leave(object);
    moved.address = xa_resize(object->address, size);
    check(moved.address != NULL &&
            xa_shadow_prefix_is_intact(
                &moved, object->size_bytes < size ? object->size_bytes : size),
        "a resized object lost its contents");
    enter(object, moved.address, size, 16);
}

/* Put our object into the ring, and take whatever was there. */
static void
exchange(struct xa_seed_random *numbers, struct xa_shadow_object *object)
{
    struct place *place = &ring[xa_seed_below(numbers, RING)];
    int expected = atomic_load_explicit(&place->state, memory_order_relaxed);
    struct xa_shadow_object other = {0};
    if (expected == BUSY ||
        !atomic_compare_exchange_strong_explicit(
            &place->state, &expected, BUSY, memory_order_acquire, memory_order_relaxed))
        return;
    if (expected == FULL)
        other = place->object;
    place->object = *object;
    *object = other;
    atomic_store_explicit(
        &place->state, place->object.address != NULL ? FULL : EMPTY, memory_order_release);
}

/* ---- Arenas that come and go ---- */

static void
control(unsigned index, const char *verb)
{
    char name[64];
    (void)snprintf(name, sizeof name, "arena.%u.%s", index, verb);
    check(xa_mallctl(name, NULL, NULL, NULL, 0) == 0, verb);
}

static unsigned
make(const char *name)
{
    unsigned number = 0;
    size_t bytes = sizeof number;
    /* Refused while a fork or another look at the figures has their lock. */
    while (xa_mallctl(name, &number, &bytes, NULL, 0) == EAGAIN)
        sleep_ns(ARENA_NS);
    check(number != 0 || strcmp(name, "tcache.create") == 0, "no arena");
    return number;
}

/* Flags for a call about the arena's objects: with no cache, or the one of its own. */
static int
arena_flags(struct xa_seed_random *numbers, const struct arena *arena)
{
    int flags = MALLOCX_ARENA((int)arena->index);
    return flags |
        (xa_seed_below(numbers, 2) == 0 ? MALLOCX_TCACHE_NONE : MALLOCX_TCACHE((int)arena->cache));
}

/* A place is ours: put an object there, change the one that is there, or take it away. */
static void
work_at(struct xa_seed_random *numbers, const struct arena *arena, struct xa_shadow_object *object)
{
    struct xa_shadow_object before = *object;
    size_t size = xa_seed_size(numbers, 1, ARENA_BYTES_MAX);
    int flags = arena_flags(numbers, arena);
    if (before.address != NULL) {
        check(xa_extended_arena_of(before.address) == arena->index, "an object changed its arena");
        leave(&before);
        object->address = NULL;
    }
    if (before.address == NULL) {
        enter(object, xa_extended_allocate(size, flags), size, 16);
    } else if (xa_seed_below(numbers, 2) == 0) {
        void *address = xa_extended_reallocate(before.address, size, flags);
        struct xa_shadow_object moved = before;
        moved.address = address;
        check(address != NULL &&
                xa_shadow_prefix_is_intact(
                    &moved, before.size_bytes < size ? before.size_bytes : size),
            "a resized object of an arena lost its contents");
        enter(object, address, size, 16);
    } else if (xa_seed_below(numbers, 2) == 0) {
        xa_fast_free(before.address);
    } else {
        xa_extended_release(before.address, flags & ~MALLOCX_ARENA((int)arena->index));
    }
}

static void
work_in_arena(struct xa_seed_random *numbers)
{
    struct arena *arena = &arenas[xa_seed_below(numbers, ARENAS)];
    struct place *place = &arena->places[xa_seed_below(numbers, ARENA_OBJECTS)];
    int users = atomic_load(&arena->users), expected = atomic_load(&place->state);
    if (users < 0 || !atomic_compare_exchange_strong(&arena->users, &users, users + 1))
        return;
    if (expected != BUSY && atomic_compare_exchange_strong(&place->state, &expected, BUSY)) {
        work_at(numbers, arena, &place->object);
        atomic_store(&place->state, place->object.address != NULL ? FULL : EMPTY);
    }
    atomic_fetch_sub(&arena->users, 1);
}

static void
open_arena(struct arena *arena)
{
    arena->index = make("arenas.create");
    arena->cache = make("tcache.create");
    atomic_fetch_add(&arenas_made, 1);
    atomic_store(&arena->users, 0);
}

/* Nobody is in it: what is there is as it was left, and goes with the arena, or before. */
static void
forget_objects(struct xa_seed_random *numbers, struct arena *arena)
{
    for (int i = 0; i < ARENA_OBJECTS; i++) {
        struct xa_shadow_object *object = &arena->places[i].object;
        if (object->address == NULL)
            continue;
        leave(object);
        if (xa_seed_below(numbers, 2) == 0)
            xa_fast_free(object->address);
        object->address = NULL;
        atomic_store(&arena->places[i].state, EMPTY);
    }
}

static void
close_arena(struct xa_seed_random *numbers, struct arena *arena)
{
    int nobody = 0;
    while (!atomic_compare_exchange_strong(&arena->users, &nobody, -1)) {
        nobody = 0;
        sleep_ns(ARENA_NS / 100);
    }
    forget_objects(numbers, arena);
}

static void
destroy_arena(const struct arena *arena, bool cache_first)
{
    if (cache_first)
        check(xa_extended_destroy_cache(arena->cache), "a cache cannot be destroyed");
    control(arena->index, "destroy");
    check(!xa_private_arena_exists(arena->index), "an arena was not destroyed");
    /* What the cache has of the arena is nobody's any more. */
    if (!cache_first)
        check(xa_extended_destroy_cache(arena->cache), "a cache cannot be destroyed");
}

static void *
change_arenas(void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 1002);
    while (!atomic_load(&is_over)) {
        struct arena *arena = &arenas[xa_seed_below(&numbers, ARENAS)];
        close_arena(&numbers, arena);
        switch (xa_seed_below(&numbers, 3)) {
        case 0:
            control(arena->index, "reset");
            atomic_store(&arena->users, 0);
            break;
        default: destroy_arena(arena, xa_seed_below(&numbers, 2) == 0); open_arena(arena);
        }
        sleep_ns(ARENA_NS);
    }
    return argument;
}

/* A child's own: with it go objects that nobody frees. */
static void
use_own_arena(struct xa_seed_random *numbers)
{
    unsigned index = xa_extended_create_arena(NULL);
    check(index != XA_PRIVATE_ARENA_NONE, "no arena in a child");
    for (int i = 0; i < ARENA_OBJECTS; i++) {
        size_t size = xa_seed_size(numbers, 1, ARENA_BYTES_MAX);
        unsigned char *object = xa_extended_allocate(size, MALLOCX_ARENA((int)index));
        check(object != NULL, "no memory in a child's arena");
        memset(object, i, size);
        if (i % 2 == 0)
            xa_fast_free(object);
    }
    check(xa_private_arena_destroy(index), "a child's arena cannot be destroyed");
}

/* ---- Workers ---- */

static void
work(struct worker *worker)
{
    struct xa_seed_random *numbers = &worker->numbers;
    struct xa_shadow_object *object = &worker->objects[xa_seed_below(numbers, OBJECTS)];
    size_t choice = xa_seed_below(numbers, 100);
    size_t max = xa_seed_below(numbers, 100) == 0 ? BYTES_MAX : BYTES_MAX_OFTEN;
    size_t size = xa_seed_size(numbers, 1, max);
    if (choice < 5)
        work_in_arena(numbers);
    else if (choice < 25 || xa_shadow_live_bytes() > LIVE_BYTES_MAX)
        release(object);
    else if (choice < 40)
        exchange(numbers, object);
    else if (choice < 55)
        resize(object, size);
    else
        take(numbers, object, size);
}

/* A worker's thread of the moment.  No signal finds it once it has begun to end. */
static void *
live(void *argument)
{
    struct worker *worker = argument;
    size_t left = 1 + xa_seed_below(&worker->numbers, LIFE);
    atomic_store(&worker->thread, pthread_self());
    atomic_store(&worker->is_there, true);
    for (size_t i = 0; i < left && !atomic_load_explicit(&is_over, memory_order_relaxed); i++) {
        work(worker);
        if (i % 512 == 511)
            sleep_ns((long)xa_seed_below(&worker->numbers, 1000000));
    }
    pthread_mutex_lock(&signal_mutex);
    atomic_store(&worker->is_there, false);
    pthread_mutex_unlock(&signal_mutex);
    atomic_fetch_add(&operations, left);
    return NULL;
}

static void
live_again_and_again(unsigned index, void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, live, &workers[index]) == 0, "no thread");
        check(pthread_join(thread, NULL) == 0, "no thread to join");
        atomic_fetch_add(&lives, 1);
    }
}

static void
handle(int number)
{
    int saved = errno;
    (void)number;
    atomic_fetch_add(&handled, 1);
    sleep_ns(HANDLER_NS);
    errno = saved;
}

static void *
send_signals(void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 1000);
    while (!atomic_load(&is_over)) {
        struct worker *worker = &workers[xa_seed_below(&numbers, WORKERS)];
        pthread_mutex_lock(&signal_mutex);
        if (atomic_load(&worker->is_there))
            (void)pthread_kill(atomic_load(&worker->thread), SIGUSR1);
        pthread_mutex_unlock(&signal_mutex);
        sleep_ns(SIGNAL_NS);
    }
    return argument;
}

static void *
give_back(void *argument)
{
    struct xa_seed_random numbers = xa_seed_start(seed, 1001);
    bool left;
    while (!atomic_load(&is_over)) {
        if (!XA_THREAD_SANITIZER)
            (void)xa_cache_purge_run(
                xa_seed_below(&numbers, 2) == 0 ? XA_CACHE_PURGE_IDLE : XA_CACHE_PURGE_ALL, &left);
        (void)xa_arena_trim(xa_seed_below(&numbers, 2) == 0 ? 0 : 16 << 20);
        if (xa_seed_below(&numbers, 2) == 0)
            xa_private_arena_purge_all();
        else
            xa_private_arena_decay_all();
        atomic_fetch_add(&trims, 1);
        sleep_ns(TRIM_NS);
    }
    return argument;
}

static void *
work_in_child(void *argument)
{
    for (int i = 0; i < CHILD_OPERATIONS; i++)
        work(&workers[WORKERS]);
    return argument;
}

/* What the parent's threads were at is theirs; what is new, and what was in the ring, is usable. */
static _Noreturn void
be_child(void)
{
    atomic_store(&is_over, false);
    (void)work_in_child(NULL);
    use_own_arena(&workers[WORKERS].numbers);
    check(xa_threads_run_in_child(work_in_child, NULL), "no thread in a child");
    (void)xa_arena_trim(0);
    for (int i = 0; i < OBJECTS; i++)
        release(&workers[WORKERS].objects[i]);
    _exit(0);
}

static void *
make_children(void *argument)
{
    while (!atomic_load(&is_over)) {
        pid_t child = fork();
        if (child == 0)
            be_child();
        int status = child < 0 ? -1 : xa_child_wait(child, SECONDS_TO_END);
        if (status != 0)
            fprintf(stderr, "soak_stress: child's status %#x\n", (unsigned)status);
        check(status == 0, "a child failed or hung");
        workers[WORKERS].numbers = xa_seed_start(seed, 2000 + atomic_fetch_add(&children, 1));
        sleep_ns(FORK_NS);
    }
    return argument;
}

static void
check_that_all_is_free(void)
{
    for (int i = 0; i < WORKERS; i++)
        for (int k = 0; k < OBJECTS; k++)
            release(&workers[i].objects[k]);
    for (int i = 0; i < RING; i++)
        release(&ring[i].object);
    for (int i = 0; i < ARENAS; i++) {
        close_arena(&workers[0].numbers, &arenas[i]);
        destroy_arena(&arenas[i], i % 2 == 0);
    }
    check(xa_private_arena_resident_bytes() == 0, "memory of a destroyed arena was kept");
    check(xa_shadow_live_objects() == 0 && xa_shadow_live_bytes() == 0, "the test lost an object");
    if (xa_thread_state_is_real(xa_thread_state_self))
        xa_thread_cache_flush(xa_thread_state_self);
    (void)xa_arena_trim(0);
    for (unsigned i = 0; i < xa_arena_limit(); i++)
        for (unsigned c = 1; xa_arena_at(i) != NULL && c <= XA_SMALL_CLASSES; c++)
            check(xa_bin_taken_slots(&xa_arena_at(i)->bins[c].counters) == 0,
                "an object was lost: its slot is taken, and nobody has it");
}

int
main(void)
{
    void *(*const helpers[])(void *) = {send_signals, give_back, change_arenas, make_children};
    const int helper_count = XA_THREAD_SANITIZER ? 3 : 4;
    const char *text = getenv("XALLOC_TEST_SECONDS");
    double seconds = text != NULL ? strtod(text, NULL) : 5;
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct timespec begin, now;
    struct xa_threads team;
    pthread_t threads[4];

    seed = xa_seed_choose(NULL);
    check(xa_shadow_init(), "no memory for the test itself");
    for (unsigned i = 0; i <= WORKERS; i++)
        workers[i].numbers = xa_seed_start(seed, i);
    xa_start_process();
    for (int i = 0; i < ARENAS; i++)
        open_arena(&arenas[i]);
    sigaction(SIGUSR1, &action, NULL);
    check(xa_threads_start(&team, WORKERS, live_again_and_again, NULL), "no threads");
    for (int i = 0; i < helper_count; i++)
        check(pthread_create(&threads[i], NULL, helpers[i], NULL) == 0, "no threads");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        sleep_ns(50000000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
        seconds);
    atomic_store(&is_over, true);
    check(xa_threads_join(&team, SECONDS_TO_END), "a worker hangs");
    for (int i = 0; i < helper_count; i++)
        check(xa_threads_join_one(threads[i], SECONDS_TO_END), "a helper hangs");
    check_that_all_is_free();
    printf(
        "# %lu operations in %lu lives, %lu children, %lu signals, %lu trims, %lu arenas, all well\n",
        atomic_load(&operations), atomic_load(&lives), atomic_load(&children),
        atomic_load(&handled), atomic_load(&trims), atomic_load(&arenas_made));
    check(atomic_load(&lives) > WORKERS && atomic_load(&arenas_made) > ARENAS &&
            (XA_THREAD_SANITIZER || atomic_load(&children) > 0),
        "nothing was tested");
    return 0;
}
