/*
 * jemalloc_arena_test.c - arenas, extent hooks and caches as RocksDB, folly and Redis use them.
 *
 * Through mallctl and mallocx alone.  What RocksDB does for its block cache: make an arena, read
 * its hooks, copy them, put a function in the place of `alloc` that calls the old one and keeps
 * the memory out of core dumps; then allocate with the arena and one cache for each thread.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/child.h"
#include "../support/threads.h"
#include "xalloc/jemalloc.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* As RocksDB has them: there if the preloaded library has them. */
#pragma weak mallctl
#pragma weak mallocx
#pragma weak rallocx
#pragma weak xallocx
#pragma weak sallocx
#pragma weak dallocx
#pragma weak sdallocx
#pragma weak nallocx

enum { KIB = 1024, MIB = 1024 * KIB, BLOCKS = 400, THREADS = 4, ROUNDS = 5000, SECONDS = 60 };

static unsigned
make_arena(void)
{
    unsigned arena = 0;
    size_t bytes = sizeof arena;
    assert_int_equal(mallctl("arenas.create", &arena, &bytes, NULL, 0), 0);
    return arena;
}

/* A control of an arena: "arena.<i>.name". */
static int
control(unsigned arena, const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
{
    char text[64];
    (void)snprintf(text, sizeof text, "arena.%u.%s", arena, name);
    return mallctl(text, old, old_bytes, new, new_bytes);
}

static void
command(unsigned arena, const char *name)
{
    assert_int_equal(control(arena, name, NULL, NULL, NULL, 0), 0);
}

/* ---- RocksDB's allocator ---- */

static extent_alloc_t *_Atomic original_alloc;
static extent_hooks_t wrapped;
static atomic_uint wrapped_calls;

static void *
alloc_without_dump(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
    bool *commit, unsigned arena)
{
    extent_alloc_t *original = atomic_load(&original_alloc);
    void *result = original(hooks, new_addr, size, alignment, zero, commit, arena);
    if (result != NULL && madvise(result, size, MADV_DONTDUMP) != 0)
        (void)fprintf(stderr, "madvise fails\n");
    atomic_fetch_add(&wrapped_calls, 1);
    return result;
}

static unsigned
make_wrapped_arena(void)
{
    extent_hooks_t *hooks, *mine = &wrapped, *old;
    size_t bytes = sizeof hooks;
    unsigned arena = make_arena();
    assert_int_equal(control(arena, "extent_hooks", &hooks, &bytes, NULL, 0), 0);
    atomic_store(&original_alloc, hooks->alloc);
    wrapped = *hooks;
    wrapped.alloc = alloc_without_dump;
    bytes = sizeof old;
    assert_int_equal(control(arena, "extent_hooks", &old, &bytes, &mine, sizeof mine), 0);
    assert_ptr_equal(old, hooks);
    return arena;
}

static void
use_as_block_cache(unsigned index, void *argument)
{
    unsigned arena = *(unsigned *)argument, cache = 0, number = 0;
    size_t bytes = sizeof cache;
    unsigned char *blocks[BLOCKS] = {NULL};
    assert_int_equal(mallctl("tcache.create", &cache, &bytes, NULL, 0), 0);
    int flags = MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)cache);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (round * 7919 + index) % BLOCKS;
        size_t size = 1 + (round * 31) % (40 * KIB);
        if (blocks[i] != NULL) {
            assert_int_equal(blocks[i][0], (unsigned char)index);
            dallocx(blocks[i], flags);
        }
        blocks[i] = mallocx(size, flags);
        assert_non_null(blocks[i]);
        assert_true(sallocx(blocks[i], flags) == nallocx(size, flags));
        assert_true(malloc_usable_size(blocks[i]) >= size);
        memset(blocks[i], (int)index, size);
        bytes = sizeof number;
        if (round % 100 == 0) {
            assert_int_equal(
                mallctl("arenas.lookup", &number, &bytes, &blocks[i], sizeof blocks[i]), 0);
            assert_int_equal(number, arena);
        }
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i] != NULL)
            dallocx(blocks[i], MALLOCX_TCACHE((int)cache));
    assert_int_equal(mallctl("tcache.destroy", NULL, NULL, &cache, sizeof cache), 0);
}

static void
a_block_cache_lives_in_an_arena_of_its_own(void **state)
{
    (void)state;
    unsigned arena = make_wrapped_arena();
    assert_true(xa_threads_run(THREADS, use_as_block_cache, &arena, SECONDS));
    assert_true(atomic_load(&wrapped_calls) > 0);
    command(arena, "destroy");
    assert_int_not_equal(control(arena, "purge", NULL, NULL, NULL, 0), EINVAL);
    /* The number comes back. */
    unsigned again = make_arena();
    assert_int_equal(again, arena);
    command(again, "destroy");
}

/* ---- folly: an arena for huge pages, bound threads ---- */

static void *
be_bound(void *argument)
{
    /* What is returned is a complaint, or NULL. */
    unsigned arena = *(unsigned *)argument, old = 0, number = 0;
    size_t bytes = sizeof old;
    if (mallctl("thread.arena", &old, &bytes, &arena, sizeof arena) != 0)
        return (void *)(uintptr_t) "thread.arena";
    void *object = malloc(1000), *zeroed = calloc(10, 100), *grown = realloc(malloc(10), 100000);
    void *const objects[] = {object, zeroed, grown};
    for (unsigned i = 0; i < 3; i++) {
        bytes = sizeof number;
        if (mallctl("arenas.lookup", &number, &bytes, (void *)&objects[i], sizeof objects[i]) !=
                0 ||
            number != arena)
            return (void *)(uintptr_t) "an object is not of the arena";
    }
    if (mallctl("thread.arena", NULL, NULL, &old, sizeof old) != 0)
        return (void *)(uintptr_t) "back";
    void *after = malloc(1000);
    bytes = sizeof number;
    if (mallctl("arenas.lookup", &number, &bytes, &after, sizeof after) != 0 || number == arena)
        return (void *)(uintptr_t) "an object is still of the arena";
    free(object);
    free(zeroed);
    free(grown);
    free(after);
    return NULL;
}

static void
a_bound_thread_allocates_there_and_comes_back(void **state)
{
    pthread_t thread;
    void *complaint;
    (void)state;
    unsigned arena = make_arena();
    assert_int_equal(pthread_create(&thread, NULL, be_bound, &arena), 0);
    assert_int_equal(pthread_join(thread, &complaint), 0);
    if (complaint != NULL)
        fail_msg("%s", (const char *)complaint);
    command(arena, "destroy");
}

static void
settings_of_an_arena_are_its_own(void **state)
{
    ssize_t time_ms = 123, process_ms = 0;
    size_t limit = 4 * MIB, bytes = sizeof time_ms;
    const char *name = "blocks";
    (void)state;
    unsigned arena = make_arena();
    assert_int_equal(control(arena, "dirty_decay_ms", NULL, NULL, &time_ms, sizeof time_ms), 0);
    time_ms = 0;
    assert_int_equal(control(arena, "dirty_decay_ms", &time_ms, &bytes, NULL, 0), 0);
    assert_int_equal(time_ms, 123);
    bytes = sizeof process_ms;
    assert_int_equal(mallctl("arenas.dirty_decay_ms", &process_ms, &bytes, NULL, 0), 0);
    assert_int_not_equal(process_ms, 123);
    assert_int_equal(control(arena, "retain_grow_limit", NULL, NULL, &limit, sizeof limit), 0);
    assert_int_equal(control(arena, "name", NULL, NULL, (void *)&name, sizeof name), 0);
    command(arena, "decay");
    command(arena, "purge");
    command(arena, "destroy");
}

/* ---- Redis: everything of an arena at once ---- */

static void
a_reset_frees_everything(void **state)
{
    (void)state;
    unsigned arena = make_arena();
    for (int round = 0; round < 20; round++) {
        for (size_t size = 1; size < 3 * MIB; size += 1 + size / 5) {
            unsigned char *object =
                mallocx(size, MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE_NONE | MALLOCX_ZERO);
            assert_non_null(object);
            assert_int_equal(object[0] | object[size - 1], 0);
            memset(object, 1, size);
        }
        command(arena, "reset");
    }
    command(arena, "destroy");
}

static void
the_default_hooks_can_be_read_but_not_replaced_in_automatic_arenas(void **state)
{
    extent_hooks_t *hooks = NULL, *mine = &wrapped;
    size_t bytes = sizeof hooks;
    (void)state;
    assert_int_equal(control(0, "extent_hooks", &hooks, &bytes, NULL, 0), 0);
    assert_non_null(hooks);
    assert_true(hooks->alloc != NULL && hooks->dalloc != NULL && hooks->merge != NULL);
    assert_int_equal(control(0, "extent_hooks", NULL, NULL, &mine, sizeof mine), EFAULT);
    assert_int_equal(control(0, "destroy", NULL, NULL, NULL, 0), EFAULT);
}

/* ---- fork ---- */

static void
a_child_uses_its_parents_arena(void **state)
{
    (void)state;
    unsigned arena = make_arena();
    char *object = mallocx(100, MALLOCX_ARENA((int)arena));
    pid_t pid = fork();
    if (pid == 0) {
        char *mine = mallocx(100000, MALLOCX_ARENA((int)arena));
        XA_CHILD_CHECK(mine != NULL);
        memset(mine, 1, 100000);
        free(object);
        free(mine);
        XA_CHILD_CHECK(control(arena, "destroy", NULL, NULL, NULL, 0) == 0);
        _exit(0);
    }
    assert_int_equal(xa_child_wait(pid, SECONDS), 0);
    free(object);
    command(arena, "destroy");
}

static void
errno_is_left_alone(void **state)
{
    (void)state;
    errno = 77;
    void *object = mallocx(5 * MIB, 0);
    object = rallocx(object, 9 * MIB, MALLOCX_ZERO);
    (void)xallocx(object, 3 * MIB, MIB, 0);
    sdallocx(object, 3 * MIB, 0);
    assert_null(mallocx(SIZE_MAX, 0));
    assert_int_equal(nallocx(SIZE_MAX, 0), 0);
    assert_int_equal(errno, 77);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_cache_lives_in_an_arena_of_its_own),
        cmocka_unit_test(a_bound_thread_allocates_there_and_comes_back),
        cmocka_unit_test(settings_of_an_arena_are_its_own),
        cmocka_unit_test(a_reset_frees_everything),
        cmocka_unit_test(the_default_hooks_can_be_read_but_not_replaced_in_automatic_arenas),
        cmocka_unit_test(a_child_uses_its_parents_arena),
        cmocka_unit_test(errno_is_left_alone),
    };
    return cmocka_run_group_tests_name("jemalloc_arena", tests, xa_child_check_allocator, NULL);
}
