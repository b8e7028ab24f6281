/*
 * private_arena_stress.c - several threads on one private arena, checked against a shadow.
 *
 *   XALLOC_TEST_SECONDS   how long, 2 unless set
 *
 * Workers take, resize and free objects of all sizes, from the shared arena, from one that each
 * makes and destroys again and again, and from the automatic ones, with and without a cache;
 * objects of the shared arena go round between workers.  One more thread purges, changes decay
 * times and hooks, and reads figures.  Hooks fail now and then, and allocate.
 *
 * The shadow knows each live object's range and contents: two owners of one byte are seen.  At
 * the end nothing is live, and the hooks have everything back.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "arena/private_arena.h"
#include "support/hooks.h"
#include "support/seed.h"
#include "support/shadow.h"
#include "support/threads.h"

enum {
    WORKERS = 4,
    OBJECTS = 200, /* that a worker holds at most */
    RING = 64,
    BYTES_MAX = 1 << 20,
    BYTES_MAX_OFTEN = 4000,
    ROUNDS_A_LIFE = 3000, /* of a worker's own arena */
    TROUBLE_NS = 2000000,
    SECONDS_TO_END = 120,
};

extern const char *xalloc_conf;
const char *xalloc_conf = "dirty_decay_ms:50,background_thread:false";

/* An object and what the shadow has of it. */
struct holder {
    struct xa_shadow_object object;
};

static uint64_t seed;
static unsigned shared;
static _Atomic(struct holder *) ring[RING];
static atomic_bool is_over;
static _Atomic unsigned long operations, refusals;

static _Noreturn void
give_up(const char *text)
{
    (void)fprintf(stderr, "private_arena_stress: %s\n", text);
    exit(1);
}

static void
check(bool holds, const char *text)
{
    if (!holds)
        give_up(text);
}

static void
allocate_in_hook(void)
{
    void *object = xa_fast_malloc(100);
    xa_fast_free(object);
}

static void
enter(struct holder *holder, void *address, size_t size)
{
    holder->object = (struct xa_shadow_object){.address = address,
        .size_bytes = size,
        .usable_bytes = xa_release_usable_bytes(address, "stress"),
        .alignment = 16};
    check(holder->object.usable_bytes >= size, "an object is too short");
    check(xa_shadow_insert(&holder->object), "an object overlaps another");
    xa_shadow_fill(&holder->object);
}

static void
leave(struct holder *holder)
{
    check(xa_shadow_is_intact(&holder->object), "an object has changed");
    check(xa_shadow_remove(&holder->object), "an object was given to another");
}

static void
release(struct holder *holder, int flags)
{
    leave(holder);
    if (flags == 0)
        xa_fast_free(holder->object.address);
    else
        xa_extended_release(holder->object.address, flags);
    free(holder);
}

static size_t
some_size(struct xa_seed_random *random)
{
    return xa_seed_size(random, 1, xa_seed_below(random, 20) ? BYTES_MAX_OFTEN : BYTES_MAX);
}

static struct holder *
take(struct xa_seed_random *random, int flags)
{
    size_t size = some_size(random);
    void *address = xa_extended_allocate(size, flags);
    if (address == NULL) {
        atomic_fetch_add(&refusals, 1);
        return NULL;
    }
    struct holder *holder = malloc(sizeof *holder);
    check(holder != NULL, "no memory for the test itself");
    enter(holder, address, size);
    return holder;
}

static void
resize(struct xa_seed_random *random, struct holder *holder, int flags)
{
    size_t size = some_size(random), kept = holder->object.size_bytes;
    check(xa_shadow_is_intact(&holder->object), "an object has changed");
    /* While it moves, its old place may go to another at once. */
    check(xa_shadow_remove(&holder->object), "an object was given to another");
    struct xa_shadow_object before = holder->object;
    void *address = xa_extended_reallocate(holder->object.address, size, flags);
    if (address == NULL) {
        check(xa_shadow_insert(&holder->object), "an object overlaps another");
        xa_shadow_fill(&holder->object);
        return;
    }
    before.address = address;
    check(xa_shadow_prefix_is_intact(&before, size < kept ? size : kept),
        "contents were lost in resizing");
    enter(holder, address, size);
}

/* Where a worker's next call goes. */
static int
some_flags(struct xa_seed_random *random, unsigned own, unsigned cache)
{
    switch (xa_seed_below(random, 6)) {
    case 0: return 0;
    case 1: return MALLOCX_TCACHE_NONE;
    case 2: return MALLOCX_ARENA((int)own);
    case 3: return MALLOCX_ARENA((int)shared) | MALLOCX_TCACHE((int)cache);
    default: return MALLOCX_ARENA((int)shared);
    }
}

/* One life of a worker's own arena. */
static void
live(struct xa_seed_random *random, struct holder **objects, unsigned cache)
{
    unsigned own = xa_extended_create_arena(NULL);
    check(own != XA_EXTENDED_NONE, "no arena");
    for (int round = 0; round < ROUNDS_A_LIFE && !atomic_load(&is_over); round++) {
        size_t i = xa_seed_below(random, OBJECTS);
        int flags = some_flags(random, own, cache);
        if (objects[i] == NULL)
            objects[i] = take(random, flags);
        else if (xa_seed_below(random, 4) == 0)
            resize(random, objects[i], flags);
        else if (xa_seed_below(random, 4) == 0 &&
            xa_extended_arena_of(objects[i]->object.address) == shared)
            objects[i] = atomic_exchange(&ring[xa_seed_below(random, RING)], objects[i]);
        else {
            release(objects[i], flags);
            objects[i] = NULL;
        }
        atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
    }
    /* Some go one by one, the rest with the arena. */
    for (int i = 0; i < OBJECTS; i++) {
        if (objects[i] == NULL || xa_extended_arena_of(objects[i]->object.address) != own)
            continue;
        if (i % 2 == 0) {
            release(objects[i], 0);
        } else {
            leave(objects[i]);
            free(objects[i]);
        }
        objects[i] = NULL;
    }
    check(xa_private_arena_destroy(own), "an arena cannot be destroyed");
}

static void
work(unsigned index, void *argument)
{
    struct holder *objects[OBJECTS] = {NULL};
    struct xa_seed_random random = xa_seed_start(seed, index);
    (void)argument;
    unsigned cache = xa_extended_create_cache();
    check(cache != XA_EXTENDED_NONE, "no cache");
    while (!atomic_load(&is_over)) {
        if (xa_seed_below(&random, 3) == 0)
            check(xa_extended_bind_thread(shared), "cannot be bound");
        live(&random, objects, cache);
        check(xa_extended_bind_thread(0), "cannot be unbound");
    }
    for (int i = 0; i < OBJECTS; i++)
        if (objects[i] != NULL)
            release(objects[i], 0);
    check(xa_extended_destroy_cache(cache), "a cache cannot be destroyed");
}

/* What everybody else has to live with. */
static void *
make_trouble(void *argument)
{
    struct xa_seed_random random = xa_seed_start(seed, WORKERS);
    const struct timespec pause = {.tv_nsec = TROUBLE_NS};
    struct xa_private_statistics figures;
    (void)argument;
    while (!atomic_load(&is_over)) {
        enum xa_hook hook = (enum xa_hook)xa_seed_below(&random, XA_HOOKS);
        if (hook != XA_HOOK_DESTROY)
            xa_hooks_fail(hook, 1 + xa_seed_below(&random, 3));
        switch (xa_seed_below(&random, 5)) {
        case 0: check(xa_private_arena_purge(shared), "cannot be purged"); break;
        case 1: check(xa_private_arena_decay(shared), "cannot decay"); break;
        case 2:
            check(xa_private_arena_set_muzzy_ms(shared, (int64_t)xa_seed_below(&random, 30) - 1),
                "cannot be set");
            break;
        case 3: xa_private_arena_decay_all(); break;
        default:
            check(xa_private_arena_statistics(shared, &figures), "no figures");
            check(xa_private_arena_dirty_bytes() < (size_t)1 << 31, "wrong figures");
        }
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static unsigned
seconds(void)
{
    const char *text = getenv("XALLOC_TEST_SECONDS");
    return text == NULL ? 2 : (unsigned)strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
    static struct xa_threads team;
    struct xa_private_statistics figures;
    pthread_t trouble;
    const struct timespec time = {.tv_sec = seconds()};
    seed = xa_seed_choose(argc > 1 ? argv[1] : NULL);
    check(xa_shadow_init(), "no memory for the shadow");
    xa_fast_free(xa_fast_malloc(1));
    shared = xa_extended_create_arena(xa_hooks_begin());
    xa_hooks_set_guest(allocate_in_hook);
    check(xa_threads_start(&team, WORKERS, work, NULL), "no threads");
    check(pthread_create(&trouble, NULL, make_trouble, NULL) == 0, "no thread");
    (void)nanosleep(&time, NULL);
    atomic_store(&is_over, true);
    check(xa_threads_join(&team, SECONDS_TO_END), "threads hang");
    (void)pthread_join(trouble, NULL);
    for (unsigned hook = 0; hook < XA_HOOKS; hook++)
        xa_hooks_fail((enum xa_hook)hook, 0);
    for (int i = 0; i < RING; i++)
        if (ring[i] != NULL)
            release(ring[i], 0);
    check(xa_shadow_live_objects() == 0, "objects are left");
    check(xa_private_arena_statistics(shared, &figures), "no figures");
    check(figures.small_objects + figures.large_objects == 0, "objects are counted as live");
    check(figures.mapped == xa_hooks_bytes(), "bytes are counted wrongly");
    check(xa_private_arena_destroy(shared), "the arena cannot be destroyed");
    check(xa_hooks_extents() == 0, "extents were not given back");
    (void)printf("%lu operations, %lu refusals\n", operations, refusals);
    check(operations > 1000, "too little was done");
    return 0;
}
