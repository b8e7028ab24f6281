/*
 * extended_test.c - mallocx and its like with every flag; arenas, caches and bound threads.
 */
#include "alloc/extended.h"

#include "support/os_fake.h"

#include <stdio.h>
#include <string.h>

#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/private_arena.h"
#include "arena/slab.h"
#include "support/hooks.h"
#include "support/seed.h"
#include "support/threads.h"
#include "thread/thread_count.h"

extern const char *xalloc_conf;
const char *xalloc_conf = "background_thread:false,dirty_decay_ms:-1";

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    SLOTS = 200,
    ROUNDS = 20000,
    SECONDS = 60,
};

static uint64_t seed;

static size_t
usable(const void *object)
{
    return xa_release_usable_bytes(object, "test");
}

static void *
take(size_t size, int flags)
{
    void *object = xa_extended_allocate(size, flags);
    assert_non_null(object);
    return object;
}

static unsigned
make(void)
{
    unsigned arena = xa_extended_create_arena(xa_hooks_begin());
    assert_int_not_equal(arena, XA_EXTENDED_NONE);
    return arena;
}

static bool
is_filled(const unsigned char *object, size_t from, size_t to, unsigned char value)
{
    for (size_t i = from; i < to; i++)
        if (object[i] != value)
            return false;
    return true;
}

static void
macros_have_jemallocs_bits(void **state)
{
    (void)state;
    assert_int_equal(MALLOCX_LG_ALIGN(12), 12);
    assert_int_equal(MALLOCX_ALIGN(1), 0);
    assert_int_equal(MALLOCX_ALIGN(4096), 12);
    for (unsigned shift = 0; shift < 8 * sizeof(size_t); shift++)
        assert_int_equal(MALLOCX_ALIGN((size_t)1 << shift), shift);
    assert_int_equal(MALLOCX_ZERO, 0x40);
    assert_int_equal(MALLOCX_TCACHE_NONE, 0x100);
    assert_int_equal(MALLOCX_TCACHE(0), 0x200);
    assert_int_equal(MALLOCX_TCACHE(4093), 0xfff00);
    assert_int_equal(MALLOCX_ARENA(0), 0x100000);
    assert_int_equal((unsigned)MALLOCX_ARENA(4094), 0xfff00000);
}

static void
sizes_are_known_before_for_all_flags(void **state)
{
    (void)state;
    unsigned arena = make(), cache = xa_extended_create_cache();
    const int sources[] = {0, MALLOCX_TCACHE_NONE, MALLOCX_ARENA(0), MALLOCX_ARENA((int)arena),
        MALLOCX_TCACHE((int)cache), MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)cache)};
    for (size_t size = 0; size < 9 * MIB; size += 1 + size / 3)
        for (int lg = 0; lg <= 23; lg++)
            for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
                int flags = sources[i] | MALLOCX_LG_ALIGN(lg);
                unsigned char *object = take(size, flags);
                assert_int_equal(usable(object), xa_extended_bytes(size, flags));
                assert_true(usable(object) >= size);
                assert_int_equal((uintptr_t)object & (((uintptr_t)1 << lg) - 1), 0);
                object[0] = object[usable(object) - 1] = 1;
                xa_extended_release(object, flags);
            }
}

static void
impossible_sizes_are_refused(void **state)
{
    (void)state;
    unsigned arena = make();
    const int sources[] = {0, MALLOCX_ZERO, MALLOCX_TCACHE_NONE, MALLOCX_ARENA((int)arena)};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        assert_null(xa_extended_allocate(SIZE_MAX, sources[i]));
        assert_null(xa_extended_allocate((size_t)PTRDIFF_MAX + 1, sources[i]));
        assert_null(xa_extended_allocate(1, sources[i] | MALLOCX_LG_ALIGN(63)));
        assert_null(xa_extended_allocate(PTRDIFF_MAX, sources[i] | MALLOCX_LG_ALIGN(62)));
        assert_int_equal(xa_extended_bytes(SIZE_MAX, sources[i]), 0);
        assert_int_equal(xa_extended_bytes((size_t)PTRDIFF_MAX + 1, sources[i]), 0);
        assert_int_equal(xa_extended_bytes(1, sources[i] | MALLOCX_LG_ALIGN(63)), 0);
    }
    void *object = take(100, 0);
    assert_null(xa_extended_reallocate(object, SIZE_MAX, 0));
    assert_null(xa_extended_reallocate(object, SIZE_MAX, MALLOCX_ZERO));
    assert_int_equal(xa_extended_resize(object, SIZE_MAX, 0, 0), usable(object));
    assert_int_equal(xa_extended_resize(object, 10, SIZE_MAX, 0), usable(object));
    assert_null(xa_extended_reallocate(object, 1000, MALLOCX_LG_ALIGN(63)));
    assert_int_equal(xa_extended_resize(object, 10, 1000, MALLOCX_LG_ALIGN(63)), usable(object));
    xa_extended_release(object, 0);
}

static void
zeros_are_zero_wherever_they_come_from(void **state)
{
    (void)state;
    unsigned arena = make(), cache = xa_extended_create_cache();
    const int sources[] = {0, MALLOCX_TCACHE_NONE, MALLOCX_ARENA(0), MALLOCX_ARENA((int)arena),
        MALLOCX_TCACHE((int)cache), MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)cache)};
    for (int round = 0; round < 3; round++)
        for (size_t size = 1; size < 5 * MIB; size += 1 + size / 2)
            for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
                unsigned char *object = take(size, sources[i] | MALLOCX_ZERO);
                assert_true(is_filled(object, 0, size, 0));
                memset(object, 0xff, usable(object));
                xa_extended_release(object, sources[i]);
            }
}

static void
what_grows_is_zeroed_from_the_old_end_on(void **state)
{
    (void)state;
    unsigned arena = make();
    const int sources[] = {0, MALLOCX_TCACHE_NONE, MALLOCX_ARENA((int)arena)};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        for (size_t from = 10; from < 4 * MIB; from *= 5)
            for (size_t to = 10; to < 9 * MIB; to *= 7) {
                int flags = sources[i] | MALLOCX_ZERO;
                unsigned char *object = take(from, flags);
                size_t before = usable(object);
                memset(object, 7, before);
                object = xa_extended_reallocate(object, to, flags);
                assert_non_null(object);
                size_t after = usable(object);
                assert_true(after >= to);
                assert_true(is_filled(object, 0, to < before ? to : before, 7));
                if (to > before)
                    assert_true(is_filled(object, before, to, 0));
                memset(object, 7, after);
                size_t stretched = xa_extended_resize(object, after + 1, 5 * MIB, flags);
                assert_int_equal(stretched, usable(object));
                assert_true(is_filled(object, 0, after, 7));
                if (stretched > after)
                    assert_true(is_filled(object, after, stretched, 0));
                xa_extended_release(object, flags);
            }
}

static void
resizing_in_place_never_moves_and_tells_the_truth(void **state)
{
    (void)state;
    unsigned arena = make(), grown = 0, shrunk = 0;
    struct xa_seed_random random = xa_seed_start(seed, 1);
    for (int round = 0; round < 3000; round++) {
        int flags = xa_seed_below(&random, 2) ? MALLOCX_ARENA((int)arena) : 0;
        size_t size = xa_seed_size(&random, 1, 8 * MIB), wanted = xa_seed_size(&random, 1, 8 * MIB);
        size_t extra = xa_seed_below(&random, 2) ? xa_seed_size(&random, 1, 4 * MIB) : 0;
        unsigned char *object = take(size, flags);
        size_t before = usable(object);
        object[0] = 7;
        size_t after = xa_extended_resize(object, wanted, extra, flags);
        assert_int_equal(usable(object), after);
        assert_int_equal(object[0], 7);
        object[after - 1] = 7;
        grown += after > before;
        shrunk += after < before;
        if (after < wanted)
            assert_true(after >= before || after >= wanted);
        xa_extended_release(object, flags);
    }
    assert_true(grown > 0 && shrunk > 0);
}

static void
resizing_keeps_alignment_and_contents(void **state)
{
    (void)state;
    unsigned arena = make();
    struct xa_seed_random random = xa_seed_start(seed, 2);
    unsigned char *object = take(100, MALLOCX_ARENA((int)arena));
    size_t size = 100;
    memset(object, 0, size);
    for (int round = 1; round < 3000; round++) {
        size_t wanted = xa_seed_size(&random, 1, 5 * MIB);
        int flags = MALLOCX_LG_ALIGN((int)xa_seed_below(&random, 18));
        if (xa_seed_below(&random, 2))
            flags |= MALLOCX_ARENA((int)arena);
        if (xa_seed_below(&random, 3) == 0)
            flags |= MALLOCX_TCACHE_NONE;
        object = xa_extended_reallocate(object, wanted, flags);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % ((uintptr_t)1 << (flags & 63)), 0);
        size_t kept = wanted < size ? wanted : size;
        assert_int_equal(object[0], (unsigned char)(round - 1));
        assert_int_equal(object[kept - 1], (unsigned char)(round - 1));
        size = wanted;
        memset(object, round, size);
    }
    xa_fast_free(object);
}

static void
a_null_pointer_is_resized_into_a_new_object_and_freed_into_nothing(void **state)
{
    (void)state;
    void *object = xa_extended_reallocate(NULL, 100, MALLOCX_ZERO);
    assert_non_null(object);
    xa_extended_release(object, MALLOCX_TCACHE_NONE);
    xa_extended_release(NULL, 0);
    xa_extended_release(NULL, MALLOCX_TCACHE_NONE);
    xa_extended_release(NULL, MALLOCX_TCACHE((int)xa_extended_create_cache()));
    assert_int_equal(xa_extended_resize(NULL, 10, 10, 0), 0);
}

static void
without_a_cache_objects_come_from_slabs_and_go_there(void **state)
{
    (void)state;
    void *object = take(100, MALLOCX_TCACHE_NONE);
    unsigned size_class = xa_page_map_class((uintptr_t)object);
    size_t cached = xa_thread_state_objects(xa_thread_state_self, size_class);
    xa_extended_release(object, MALLOCX_TCACHE_NONE);
    assert_int_equal(xa_thread_state_objects(xa_thread_state_self, size_class), cached);
    assert_int_equal(xa_slab_look((uintptr_t)object), XA_SLAB_FREE);
}

static void
an_arenas_objects_are_the_whole_interfaces(void **state)
{
    (void)state;
    unsigned arena = make();
    static const size_t sizes[] = {1, 16, 1000, 60000, 70000, 900 * KIB, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *object = take(sizes[i], MALLOCX_ARENA((int)arena));
        assert_true(xa_hooks_has(object));
        assert_int_equal(xa_extended_arena_of(object), arena);
        assert_true(usable(object) >= sizes[i]);
        memset(object, 3, usable(object));
        object = xa_resize(object, usable(object) + 1);
        assert_non_null(object);
        assert_int_equal(object[0], 3);
        assert_int_equal(object[sizes[i] - 1], 3);
        xa_fast_free(object);
    }
    struct xa_private_statistics s;
    assert_true(xa_private_arena_statistics(arena, &s));
    assert_int_equal(s.small_objects + s.large_objects, 0);
    assert_true(xa_private_arena_destroy(arena));
}

static void
an_arena_or_cache_that_is_not_there_is_none(void **state)
{
    (void)state;
    assert_null(xa_extended_allocate(10, MALLOCX_ARENA(300)));
    assert_null(xa_extended_allocate(10, MALLOCX_ARENA(200)));
    assert_null(xa_extended_allocate(10, MALLOCX_ARENA(4094)));
    void *object = take(10, MALLOCX_TCACHE(77));
    xa_extended_release(object, MALLOCX_TCACHE(77));
    assert_false(xa_extended_flush_cache(77));
    assert_false(xa_extended_destroy_cache(77));
    assert_false(xa_extended_destroy_cache(UINT_MAX));
    assert_false(xa_extended_bind_thread(300));
    assert_false(xa_extended_bind_thread(200));
    assert_int_equal(xa_extended_arena_of(&object), XA_EXTENDED_NONE);
    assert_int_equal(xa_extended_arena_of(NULL), XA_EXTENDED_NONE);
}

static void
objects_tell_their_arena(void **state)
{
    (void)state;
    assert_int_equal(xa_extended_arena_of(take(10, 0)), 0);
    assert_int_equal(xa_extended_arena_of(take(100000, 0)), 0);
    assert_int_equal(xa_extended_arena_of(take(10 * MIB, 0)), 0);
}

/* ---- Misuse ---- */

static char *victim;

static void
free_victim(void *argument)
{
    (void)argument;
    xa_fast_free(victim);
}

static void
misuse_is_told_as_for_other_objects(void **state)
{
    static const size_t sizes[] = {100, 30000, 500 * KIB, 3 * MIB};
    char text[300], object_text[64];
    (void)state;
    unsigned arena = make();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *object = take(sizes[i], MALLOCX_ARENA((int)arena));
        (void)take(sizes[i], MALLOCX_ARENA((int)arena));
        (void)snprintf(object_text, sizeof object_text, "an object of %zu bytes", usable(object));
        victim = object + 16;
        (void)snprintf(text, sizeof text,
            "xalloc: free(%p): inside %s at %p, live or in a cache. "
            "Free the pointer that malloc returned.\n",
            (void *)victim, object_text, (void *)object);
        xa_os_fake_assert_fatal(free_victim, NULL, text);
        victim = object;
        xa_fast_free(object);
        (void)snprintf(text, sizeof text,
            "xalloc: free(%p): already free, %s. Look for a second free of the same pointer.\n",
            (void *)victim,
            sizes[i] <= XA_SMALL_MAX_BYTES ? object_text : "an object of a private arena");
        xa_os_fake_assert_fatal(free_victim, NULL, text);
        if (sizes[i] > XA_SMALL_MAX_BYTES)
            continue;
        victim = object + 16;
        (void)snprintf(text, sizeof text,
            "xalloc: free(%p): inside %s at %p, which is free. "
            "Free the pointer that malloc returned.\n",
            (void *)victim, object_text, (void *)object);
        xa_os_fake_assert_fatal(free_victim, NULL, text);
    }
}

static void
addresses_near_an_arena_are_foreign(void **state)
{
    (void)state;
    unsigned arena = make();
    char *object = take(3 * MIB, MALLOCX_ARENA((int)arena));
    victim = object - 1;
    assert_int_equal(usable(object - 1), 0);
    /* Where addresses have 32 bits, these would do for memory that was ours. */
    assert_non_null(strstr(
        xa_os_fake_errors(), sizeof(size_t) > 4 ? "not from xalloc" : "no object of xalloc's"));
    assert_int_equal(usable(object + 3 * MIB), 0);
    assert_null(xa_resize(object + 3 * MIB, 10));
    xa_fast_free(object + 3 * MIB);
    assert_int_equal(usable(object), 3 * MIB);
}

/* ---- Memory from malloc ---- */

static void *
alloc_from_malloc(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
    bool *commit, unsigned arena)
{
    (void)hooks, (void)arena;
    if (new_addr != NULL)
        return NULL;
    void *start = *zero
        ? xa_extended_allocate(size, MALLOCX_ZERO | MALLOCX_LG_ALIGN(__builtin_ctzll(alignment)))
        : xa_allocate_aligned(alignment, size);
    *commit = start != NULL;
    return start;
}

static bool
dalloc_to_malloc(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena)
{
    (void)hooks, (void)size, (void)committed, (void)arena;
    xa_fast_free(addr);
    return false;
}

static void
hooks_may_take_their_memory_from_malloc(void **state)
{
    static extent_hooks_t hooks = {.alloc = alloc_from_malloc, .dalloc = dalloc_to_malloc};
    static unsigned char *objects[SLOTS];
    (void)state;
    struct xa_seed_random random = xa_seed_start(seed, 3);
    unsigned arena = xa_extended_create_arena(&hooks);
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&random, SLOTS);
        if (objects[i] != NULL) {
            assert_int_equal(objects[i][0], (unsigned char)i);
            assert_int_equal(xa_extended_arena_of(objects[i]), arena);
            xa_fast_free(objects[i]);
            objects[i] = NULL;
        } else {
            size_t size = xa_seed_size(&random, 1, 3 * MIB);
            objects[i] = take(size, MALLOCX_ARENA((int)arena));
            objects[i][0] = objects[i][size - 1] = (unsigned char)i;
        }
        if (round % 500 == 0)
            assert_true(xa_private_arena_purge(arena));
    }
    assert_true(xa_private_arena_destroy(arena));
}

/* ---- Caches ---- */

static void
a_cache_gives_back_what_was_put_last(void **state)
{
    (void)state;
    unsigned cache = xa_extended_create_cache();
    int flags = MALLOCX_TCACHE((int)cache);
    assert_int_equal(cache, 0);
    void *first = take(100, flags), *second = take(100, flags);
    xa_extended_release(first, flags);
    xa_extended_release(second, flags);
    assert_ptr_equal(take(100, flags), second);
    assert_ptr_equal(take(100, flags), first);
    assert_true(xa_extended_destroy_cache(cache));
    assert_false(xa_extended_flush_cache(cache));
    assert_int_equal(xa_extended_create_cache(), cache);
}

static void
a_caches_objects_go_back_to_their_arena(void **state)
{
    (void)state;
    unsigned arena = make(), cache = xa_extended_create_cache();
    int flags = MALLOCX_TCACHE((int)cache) | MALLOCX_ARENA((int)arena);
    struct xa_private_statistics s;
    void *objects[SLOTS];
    for (int i = 0; i < SLOTS; i++) {
        objects[i] = take(200, flags);
        assert_true(xa_hooks_has(objects[i]));
    }
    for (int i = 0; i < SLOTS; i++)
        xa_extended_release(objects[i], flags);
    assert_true(xa_private_arena_statistics(arena, &s));
    assert_true(s.small_objects > 0);
    /* What the cache holds is that arena's: others go without. */
    void *other = take(200, MALLOCX_TCACHE((int)cache));
    assert_false(xa_hooks_has(other));
    xa_extended_release(other, MALLOCX_TCACHE((int)cache));
    assert_true(xa_extended_flush_cache(cache));
    assert_true(xa_private_arena_statistics(arena, &s));
    assert_int_equal(s.small_objects, 0);
    /* Empty, it may change over. */
    other = take(200, MALLOCX_TCACHE((int)cache));
    xa_extended_release(other, MALLOCX_TCACHE((int)cache));
    assert_ptr_equal(take(200, MALLOCX_TCACHE((int)cache)), other);
}

static void
a_cache_forgets_the_objects_of_an_arena_that_is_gone(void **state)
{
    (void)state;
    unsigned arena = make(), cache = xa_extended_create_cache();
    int flags = MALLOCX_TCACHE((int)cache) | MALLOCX_ARENA((int)arena);
    xa_extended_release(take(200, flags), flags);
    assert_true(xa_private_arena_reset(arena));
    void *object = take(200, flags);
    assert_int_equal(xa_extended_arena_of(object), arena);
    xa_extended_release(object, flags);
    assert_true(xa_private_arena_destroy(arena));
    assert_int_equal(xa_extended_create_arena(NULL), arena);
    object = take(200, flags);
    assert_int_equal(xa_extended_arena_of(object), arena);
    memset(object, 1, 200);
    xa_extended_release(object, flags);
    assert_true(xa_private_arena_destroy(arena));
    assert_true(xa_extended_destroy_cache(cache));
}

static void
free_into_cache(void *argument)
{
    int flags = MALLOCX_TCACHE((int)(uintptr_t)argument);
    xa_extended_release(victim, flags);
}

static void
a_second_free_into_a_cache_is_told(void **state)
{
    char text[200];
    (void)state;
    unsigned cache = xa_extended_create_cache();
    int flags = MALLOCX_TCACHE((int)cache);
    victim = take(100, flags);
    xa_extended_release(victim, flags);
    (void)snprintf(text, sizeof text,
        "xalloc: free(%p): already free, an object of 112 bytes. "
        "Look for a second free of the same pointer.\n",
        (void *)victim);
    xa_os_fake_assert_fatal(free_into_cache, (void *)(uintptr_t)cache, text);
}

/* ---- Bound threads ---- */

static void
a_bound_thread_allocates_from_its_arena_alone(void **state)
{
    (void)state;
    void *before = xa_fast_malloc(100), *other = xa_fast_malloc(100000);
    assert_int_equal(xa_extended_thread_arena(), 0);
    unsigned arena = make();
    assert_true(xa_extended_bind_thread(arena));
    assert_int_equal(xa_extended_thread_arena(), arena);
    /* What it frees of others' does not come back to it. */
    xa_fast_free(before);
    xa_fast_free(other);
    for (size_t size = 0; size < 5 * MIB; size += 1 + size / 4) {
        void *object = xa_fast_malloc(size), *aligned = xa_allocate_aligned(4096, size);
        unsigned char *zeroed = xa_allocate_zeroed(size);
        assert_true(xa_hooks_has(object) && xa_hooks_has(aligned) && xa_hooks_has(zeroed));
        assert_int_equal((uintptr_t)aligned % 4096, 0);
        assert_true(is_filled(zeroed, 0, size, 0));
        object = xa_resize(object, size + 100);
        assert_true(xa_hooks_has(object));
        assert_true(xa_hooks_has(take(size, MALLOCX_ZERO)));
        assert_false(xa_hooks_has(take(size, MALLOCX_ARENA(0))));
        xa_fast_free(object);
        xa_fast_free(aligned);
        xa_fast_free(zeroed);
    }
    assert_false(xa_private_arena_destroy(arena));
    assert_true(xa_extended_bind_thread(0));
    assert_int_equal(xa_extended_thread_arena(), 0);
    void *after = xa_fast_malloc(100);
    assert_false(xa_hooks_has(after));
    xa_fast_free(after);
    assert_ptr_equal(xa_fast_malloc(100), after);
    assert_true(xa_private_arena_destroy(arena));
}

static void
a_thread_that_counts_counts_all_of_them(void **state)
{
    static unsigned char *objects[SLOTS];
    static int flags[SLOTS];
    (void)state;
    struct xa_seed_random random = xa_seed_start(seed, 4);
    unsigned arena = make(), cache = xa_extended_create_cache();
    const int sources[] = {0, MALLOCX_TCACHE_NONE, MALLOCX_ARENA((int)arena),
        MALLOCX_TCACHE((int)cache), MALLOCX_ARENA((int)arena) | MALLOCX_TCACHE((int)cache)};
    struct xa_thread_count *count = xa_thread_count_begin(xa_start_thread());
    assert_non_null(count);
    size_t held = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&random, SLOTS);
        if (objects[i] != NULL) {
            held -= usable(objects[i]);
            xa_extended_release(objects[i], flags[i]);
            objects[i] = NULL;
        } else {
            flags[i] = sources[xa_seed_below(&random, sizeof sources / sizeof *sources)];
            objects[i] = take(xa_seed_size(&random, 1, 5 * MIB), flags[i]);
            held += usable(objects[i]);
        }
        if (round == ROUNDS / 2)
            assert_true(xa_extended_bind_thread(arena));
        if (round % 100 == 0) {
            xa_thread_count_settle(xa_thread_state_self);
            assert_int_equal(count->allocated - count->deallocated, held);
        }
    }
    assert_true(xa_extended_bind_thread(0));
}

static unsigned allocations_in_hooks;

static void
allocate_in_hook(void)
{
    void *object = xa_fast_malloc(100);
    assert_non_null(object);
    assert_false(xa_hooks_has(object));
    xa_fast_free(object);
    allocations_in_hooks++;
}

static void
hooks_of_a_bound_thread_allocate_from_elsewhere(void **state)
{
    (void)state;
    unsigned arena = make();
    assert_true(xa_extended_bind_thread(arena));
    xa_hooks_set_guest(allocate_in_hook);
    for (int i = 0; i < 100; i++)
        assert_non_null(xa_fast_malloc(60000));
    assert_true(allocations_in_hooks > 0);
    assert_true(xa_hooks_has(xa_fast_malloc(100)));
    xa_hooks_set_guest(NULL);
}

static void
bind_and_end(unsigned index, void *argument)
{
    (void)index;
    assert_true(xa_extended_bind_thread(*(unsigned *)argument));
    assert_non_null(xa_fast_malloc(100));
}

static void
a_thread_that_ends_is_no_longer_bound(void **state)
{
    (void)state;
    assert_non_null(xa_fast_malloc(1));
    unsigned arena = make();
    assert_true(xa_threads_run(4, bind_and_end, &arena, SECONDS));
    assert_true(xa_private_arena_destroy(arena));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macros_have_jemallocs_bits),
        XA_OS_FAKE_FRESH(sizes_are_known_before_for_all_flags),
        XA_OS_FAKE_FRESH(impossible_sizes_are_refused),
        XA_OS_FAKE_FRESH(zeros_are_zero_wherever_they_come_from),
        XA_OS_FAKE_FRESH(what_grows_is_zeroed_from_the_old_end_on),
        XA_OS_FAKE_FRESH(resizing_in_place_never_moves_and_tells_the_truth),
        XA_OS_FAKE_FRESH(resizing_keeps_alignment_and_contents),
        XA_OS_FAKE_FRESH(a_null_pointer_is_resized_into_a_new_object_and_freed_into_nothing),
        XA_OS_FAKE_FRESH(without_a_cache_objects_come_from_slabs_and_go_there),
        XA_OS_FAKE_FRESH(an_arenas_objects_are_the_whole_interfaces),
        XA_OS_FAKE_FRESH(an_arena_or_cache_that_is_not_there_is_none),
        XA_OS_FAKE_FRESH(objects_tell_their_arena),
        XA_OS_FAKE_FRESH(misuse_is_told_as_for_other_objects),
        XA_OS_FAKE_FRESH(addresses_near_an_arena_are_foreign),
        XA_OS_FAKE_FRESH(hooks_may_take_their_memory_from_malloc),
        XA_OS_FAKE_FRESH(a_cache_gives_back_what_was_put_last),
        XA_OS_FAKE_FRESH(a_caches_objects_go_back_to_their_arena),
        XA_OS_FAKE_FRESH(a_cache_forgets_the_objects_of_an_arena_that_is_gone),
        XA_OS_FAKE_FRESH(a_second_free_into_a_cache_is_told),
        XA_OS_FAKE_FRESH(a_bound_thread_allocates_from_its_arena_alone),
        XA_OS_FAKE_FRESH(a_thread_that_counts_counts_all_of_them),
        XA_OS_FAKE_FRESH(hooks_of_a_bound_thread_allocate_from_elsewhere),
        XA_OS_FAKE_FRESH(a_thread_that_ends_is_no_longer_bound),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("extended", tests, NULL, NULL);
}
