/*
 * explicit_cache_test.c - caches with a number: what they keep, and whose it is.
 */
#include "alloc/explicit_cache.h"

#include "support/os_fake.h"

#include <pthread.h>
#include <string.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "arena/private_arena.h"
#include "support/hooks.h"
#include "support/seed.h"
#include "support/threads.h"

extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,dirty_decay_ms:-1";

enum { AUTOMATIC_CLASS = 10, ROUNDS = 20000, SLOTS = 300, THREADS = 4, SECONDS = 120 };

#define AUTOMATIC XA_EXPLICIT_CACHE_AUTOMATIC

static uint64_t seed;

static unsigned
make(void)
{
    unsigned cache = xa_explicit_cache_create();
    assert_int_not_equal(cache, XA_EXPLICIT_CACHE_NONE);
    return cache;
}

static void *
take(unsigned cache, unsigned source, unsigned size_class)
{
    void *object = xa_explicit_cache_take(cache, source, size_class);
    assert_non_null(object);
    memset(object, 1, xa_size_class_table[size_class].object_bytes);
    return object;
}

static void
numbers_run_out_and_come_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < XA_EXPLICIT_CACHES_MAX; i++)
        assert_int_equal(make(), i);
    assert_int_equal(xa_explicit_cache_create(), XA_EXPLICIT_CACHE_NONE);
    assert_true(xa_explicit_cache_destroy(1234));
    assert_false(xa_explicit_cache_destroy(1234));
    assert_false(xa_explicit_cache_flush(XA_EXPLICIT_CACHES_MAX));
    assert_int_equal(make(), 1234);
}

static void
a_cache_keeps_so_many_and_counts_them(void **state)
{
    void *objects[100];
    (void)state;
    unsigned cache = make();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 7) {
        for (unsigned i = 0; i < 100; i++)
            objects[i] = take(cache, AUTOMATIC, c);
        size_t before = xa_explicit_cache_objects(c);
        for (unsigned i = 0; i < 100; i++) {
            assert_true(xa_explicit_cache_put(cache, AUTOMATIC, c, objects[i]));
            assert_true(xa_explicit_cache_objects(c) <= 32);
        }
        assert_true(xa_explicit_cache_objects(c) > 0);
        assert_true(before <= 32);
    }
    assert_true(xa_explicit_cache_flush(cache));
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        assert_int_equal(xa_explicit_cache_objects(c), 0);
}

static void
a_cache_holds_one_sources_objects_at_a_time(void **state)
{
    (void)state;
    unsigned cache = make(), arena = xa_extended_create_arena(xa_hooks_begin());
    void *mine = take(cache, arena, AUTOMATIC_CLASS);
    assert_null(xa_explicit_cache_take(cache, AUTOMATIC, AUTOMATIC_CLASS));
    void *other = xa_fast_malloc(xa_size_class_table[AUTOMATIC_CLASS].object_bytes);
    assert_false(xa_explicit_cache_put(cache, AUTOMATIC, AUTOMATIC_CLASS, other));
    assert_true(xa_explicit_cache_put(cache, arena, AUTOMATIC_CLASS, mine));
    assert_true(xa_explicit_cache_flush(cache));
    assert_true(xa_explicit_cache_put(cache, AUTOMATIC, AUTOMATIC_CLASS, other));
    assert_null(xa_explicit_cache_take(cache, arena, AUTOMATIC_CLASS));
    assert_ptr_equal(take(cache, AUTOMATIC, AUTOMATIC_CLASS), other);
}

static void
without_memory_a_cache_is_of_no_use(void **state)
{
    (void)state;
    unsigned cache = make(), arena = xa_extended_create_arena(xa_hooks_begin());
    xa_hooks_fail(XA_HOOK_ALLOC, 100);
    assert_null(xa_explicit_cache_take(cache, arena, AUTOMATIC_CLASS));
    xa_hooks_fail(XA_HOOK_ALLOC, 0);
    (void)take(cache, arena, AUTOMATIC_CLASS);
}

/* ---- Hooks that use the cache they serve ---- */

static unsigned guest_cache, guest_calls;

static void
use_the_cache(void)
{
    void *object = xa_extended_allocate(100, MALLOCX_TCACHE((int)guest_cache));
    assert_non_null(object);
    xa_extended_release(object, MALLOCX_TCACHE((int)guest_cache));
    guest_calls++;
}

static void
hooks_may_use_the_cache_that_they_serve(void **state)
{
    void *objects[SLOTS];
    (void)state;
    guest_cache = make();
    unsigned arena = xa_extended_create_arena(xa_hooks_begin());
    int flags = MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)guest_cache);
    xa_hooks_set_guest(use_the_cache);
    for (int i = 0; i < SLOTS; i++) {
        objects[i] = xa_extended_allocate(60000, flags);
        assert_non_null(objects[i]);
    }
    for (int i = 0; i < SLOTS; i++)
        xa_extended_release(objects[i], flags);
    assert_true(guest_calls > 0);
    assert_true(xa_explicit_cache_destroy(guest_cache));
    xa_hooks_set_guest(NULL);
    assert_true(xa_private_arena_destroy(arena));
}

/* ---- Threads ---- */

static unsigned shared_cache;

static void
work(unsigned index, void *argument)
{
    struct xa_seed_random random = xa_seed_start(seed, index);
    unsigned arena = *(unsigned *)argument;
    unsigned char *objects[SLOTS] = {NULL};
    size_t sizes[SLOTS];
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&random, SLOTS);
        int flags = MALLOCX_TCACHE((int)shared_cache);
        if (xa_seed_below(&random, 2))
            flags |= MALLOCX_ARENA((int)arena);
        if (objects[i] != NULL) {
            assert_int_equal(objects[i][0], (unsigned char)index);
            assert_int_equal(objects[i][sizes[i] - 1], (unsigned char)index);
            xa_extended_release(objects[i], flags);
            objects[i] = NULL;
            continue;
        }
        sizes[i] = xa_seed_size(&random, 1, 20000);
        objects[i] = xa_extended_allocate(sizes[i], flags);
        assert_non_null(objects[i]);
        memset(objects[i], (int)index, sizes[i]);
        if (round % 1000 == 0)
            assert_true(xa_explicit_cache_flush(shared_cache));
    }
    for (int i = 0; i < SLOTS; i++)
        xa_fast_free(objects[i]);
}

static void
threads_that_share_a_cache_do_no_harm(void **state)
{
    struct xa_private_statistics s;
    (void)state;
    shared_cache = make();
    unsigned arena = xa_extended_create_arena(xa_hooks_begin());
    assert_true(xa_threads_run(THREADS, work, &arena, SECONDS));
    assert_true(xa_explicit_cache_destroy(shared_cache));
    assert_true(xa_private_arena_statistics(arena, &s));
    assert_int_equal(s.small_objects, 0);
}

/* ---- fork ---- */

static void
a_child_keeps_caches_that_nobody_was_changing(void **state)
{
    (void)state;
    unsigned cache = make();
    void *object = take(cache, AUTOMATIC, AUTOMATIC_CLASS);
    assert_true(xa_explicit_cache_put(cache, AUTOMATIC, AUTOMATIC_CLASS, object));
    xa_explicit_cache_reset_in_child();
    assert_ptr_equal(take(cache, AUTOMATIC, AUTOMATIC_CLASS), object);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(numbers_run_out_and_come_back),
        XA_OS_FAKE_FRESH(a_cache_keeps_so_many_and_counts_them),
        XA_OS_FAKE_FRESH(a_cache_holds_one_sources_objects_at_a_time),
        XA_OS_FAKE_FRESH(without_memory_a_cache_is_of_no_use),
        XA_OS_FAKE_FRESH(hooks_may_use_the_cache_that_they_serve),
        XA_OS_FAKE_FRESH(threads_that_share_a_cache_do_no_harm),
        XA_OS_FAKE_FRESH(a_child_keeps_caches_that_nobody_was_changing),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("explicit_cache", tests, NULL, NULL);
}
