/*
 * private_chunk_test.c - runs and slabs in the chunks of a private arena.
 */
#include "arena/private_chunk.h"

#include "support/os_fake.h"

#include <limits.h>
#include <string.h>

#include "arena/private_map.h"
#include "support/hooks.h"
#include "support/own_arena.h"
#include "support/seed.h"

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    GRANULE = XA_GRANULE_BYTES,
    OBJECTS = 2000,
    ROUNDS = 30000,
};

static uint64_t seed;
static struct xa_private_arena *arena; /* entered all the time */

static void
begin(void)
{
    arena = xa_own_arena_enter();
}

static char *
take_large(unsigned granules, bool *is_zeroed) XA_NO_ANALYSIS
{
    char *object = xa_private_chunk_take_large(arena, granules, is_zeroed);
    assert_non_null(object);
    return object;
}

static enum xa_private_verdict
look(const void *object, struct xa_private_run **run)
{
    return xa_private_chunk_look(xa_private_map_find((uintptr_t)object), (uintptr_t)object, run);
}

static void
give(void *object) XA_NO_ANALYSIS
{
    struct xa_private_run *run;
    assert_int_equal(look(object, &run), XA_PRIVATE_LIVE);
    xa_private_chunk_return(arena, run, (uintptr_t)object);
}

/* Every byte of every chunk is counted once. */
static void
check_books(void)
{
    const struct xa_private_counters *c = &arena->counters;
    size_t sum = xa_private_extent_load(&c->active);
    for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
        sum += xa_private_extent_load(&c->free_bytes[quality]);
    assert_int_equal(sum, xa_private_extent_load(&c->mapped));
    assert_int_equal(sum, xa_hooks_bytes());
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        for (struct xa_private_extent *extent = arena->chunks[bucket]; extent != NULL;
             extent = extent->next) {
            unsigned longest = xa_bitmap_longest_run(&extent->chunk->free);
            assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
            assert_int_equal(extent->chunk->bucket, bucket);
            assert_true(longest == 0 ? bucket == 0 : longest >> (bucket - 1) == 1);
        }
}

static void
slabs_are_filled_before_new_ones_are_made(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c += 5) {
        unsigned slots = xa_size_class_table[c].slots;
        for (unsigned i = 0; i < 2 * slots; i++)
            assert_non_null(xa_private_chunk_take_small(arena, c));
        const struct xa_private_class_counters *counters = &arena->counters.classes[c];
        assert_int_equal(counters->slabs, 2);
        assert_int_equal(counters->nonfull, 0);
        assert_int_equal(counters->live, 2 * slots);
        assert_non_null(xa_private_chunk_take_small(arena, c));
        assert_int_equal(counters->slabs, 3);
        assert_int_equal(counters->nonfull, slots > 1);
    }
    check_books();
}

static void
every_address_of_a_slab_is_known_for_what_it_is(void **state) XA_NO_ANALYSIS
{
    struct xa_private_run *run;
    (void)state;
    begin();
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_size_class *class = &xa_size_class_table[c];
        char *object = xa_private_chunk_take_small(arena, c);
        assert_int_equal(look(object, &run), XA_PRIVATE_LIVE);
        assert_int_equal(run->size_class, c);
        assert_int_equal(look(object + 1, &run), XA_PRIVATE_INSIDE);
        assert_int_equal(look(object + class->object_bytes - 1, &run), XA_PRIVATE_INSIDE);
        if (class->slots > 1)
            assert_int_equal(look(object + class->object_bytes, &run), XA_PRIVATE_FREE);
        size_t slab_bytes = (size_t) class->granules * GRANULE;
        if ((size_t) class->slots * class->object_bytes < slab_bytes)
            assert_int_equal(look(object + slab_bytes - 1, &run), XA_PRIVATE_INSIDE);
        give(object);
        assert_int_equal(look(object, &run), XA_PRIVATE_FREE);
    }
    check_books();
}

static void
runs_grow_and_shrink_where_they_stand(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    struct xa_private_run *run, *other;
    (void)state;
    begin();
    char *object = take_large(8, &is_zeroed);
    assert_int_equal(look(object, &run), XA_PRIVATE_LIVE);
    assert_true(xa_private_chunk_resize(arena, run, 3));
    assert_int_equal(look(object + 3 * GRANULE, &other), XA_PRIVATE_FREE);
    check_books();
    char *behind = take_large(2, &is_zeroed);
    assert_ptr_equal(behind, object + 3 * GRANULE);
    assert_false(xa_private_chunk_resize(arena, run, 4));
    give(behind);
    assert_true(xa_private_chunk_resize(arena, run, 5));
    assert_int_equal(look(object + 4 * GRANULE, &other), XA_PRIVATE_INSIDE);
    assert_ptr_equal(other, run);
    assert_false(xa_private_chunk_resize(arena, run, 60));
    check_books();
    give(object);
    check_books();
}

static void
zeros_are_told_only_where_there_are_some(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *keeper = take_large(1, &is_zeroed), *object = take_large(4, &is_zeroed);
    assert_false(is_zeroed);
    memset(object, 1, 4 * GRANULE);
    give(object);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 1);
    assert_ptr_equal(take_large(4, &is_zeroed), object);
    assert_true(is_zeroed);
    assert_int_equal(object[0] | object[4 * GRANULE - 1], 0);
    memset(object, 1, 4 * GRANULE);
    give(object);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_ptr_equal(take_large(4, &is_zeroed), object);
    assert_false(is_zeroed);
    give(keeper);
    check_books();
}

static void
what_cannot_be_purged_is_tried_once(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = take_large(4, &is_zeroed);
    (void)take_large(1, &is_zeroed);
    give(object);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    xa_hooks_fail(XA_HOOK_PURGE_LAZY, ULONG_MAX);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 1);
    assert_int_equal(arena->counters.waiting, 0);
    check_books();
}

static void
one_empty_chunk_stays_for_the_decay_time(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = take_large(8, &is_zeroed);
    struct xa_private_extent *extent = xa_private_map_find((uintptr_t)object);
    give(object);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
    xa_private_chunk_decay(arena, XA_PRIVATE_DECAYED);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
    xa_os_fake_set_clock(2000);
    xa_private_chunk_decay(arena, XA_PRIVATE_DECAYED);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_FREE);
    check_books();
}

/* ---- What others do while a hook runs ---- */

static void *to_free[2];
static unsigned freed;

/* Each call frees one more, as another thread would. */
static void
free_another(void)
{
    if (freed == sizeof to_free / sizeof *to_free)
        return;
    assert_true(xa_private_extent_enter(arena));
    give(to_free[freed++]);
    xa_private_extent_leave(arena);
}

/* Three chunks, the first with something to purge, each of the others with one run. */
static void
make_three_chunks(void) XA_NO_ANALYSIS
{
    bool is_zeroed;
    void *object = take_large(1, &is_zeroed);
    (void)take_large(1, &is_zeroed);
    for (unsigned i = 0; i < 2; i++)
        to_free[i] = take_large(XA_PRIVATE_RUN_MAX_GRANULES, &is_zeroed);
    give(object);
    assert_ptr_not_equal(
        xa_private_map_find((uintptr_t)to_free[0]), xa_private_map_find((uintptr_t)to_free[1]));
}

static void
a_chunk_that_is_being_purged_is_not_given_up(void **state) XA_NO_ANALYSIS
{
    (void)state;
    begin();
    make_three_chunks();
    struct xa_private_extent *second = xa_private_map_find((uintptr_t)to_free[0]);
    xa_hooks_set_guest(free_another);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    xa_hooks_set_guest(NULL);
    assert_int_equal(freed, 2);
    assert_int_equal(second->state, XA_PRIVATE_STATE_FREE);
    check_books();
    xa_private_extent_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(arena->counters.waiting, 0);
    check_books();
}

static struct xa_private_extent *being_purged;

/* As in a child that was forked in the middle of a purge by another thread. */
static void
look_as_a_child(void)
{
    struct xa_private_chunk *chunk = being_purged->chunk;
    if (freed != 0 || chunk == NULL || chunk->purging == 0)
        return;
    assert_true(xa_private_extent_enter(arena));
    unsigned granules = chunk->purging;
    assert_int_equal(
        xa_bitmap_count(&chunk->free, 0, chunk->granules), chunk->granules - 1 - granules);
    xa_private_chunk_reset_in_child(arena);
    assert_int_equal(xa_bitmap_count(&chunk->free, 0, chunk->granules), chunk->granules - 1);
    assert_int_equal(xa_bitmap_count(&chunk->waiting, 0, chunk->granules), granules);
    check_books();
    xa_private_extent_leave(arena);
    chunk->purging = (uint16_t)granules; /* the parent's purger goes on */
    freed++;
}

static void
what_was_being_purged_is_free_in_a_child(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = take_large(4, &is_zeroed);
    (void)take_large(1, &is_zeroed);
    being_purged = xa_private_map_find((uintptr_t)object);
    give(object);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    object = take_large(4, &is_zeroed);
    give(object);
    freed = 0;
    xa_hooks_set_guest(look_as_a_child);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    xa_hooks_set_guest(NULL);
    assert_int_equal(freed, 1);
}

static void
random_objects(void) XA_NO_ANALYSIS
{
    static char *objects[OBJECTS];
    struct xa_seed_random random = xa_seed_start(seed, xa_os_facts.page_bytes);
    bool is_zeroed;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t i = xa_seed_below(&random, OBJECTS);
        if (objects[i] != NULL) {
            assert_int_equal(objects[i][0], (char)i);
            give(objects[i]);
            objects[i] = NULL;
        } else {
            unsigned c = 1 + (unsigned)xa_seed_below(&random, XA_SMALL_CLASSES);
            unsigned unit = (unsigned)(xa_private_extent_unit() / GRANULE);
            objects[i] = xa_seed_below(&random, 20) == 0
                ? take_large(unit * (1 + (unsigned)xa_seed_below(&random, 60 / unit)), &is_zeroed)
                : xa_private_chunk_take_small(arena, c);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % 16, 0);
            objects[i][0] = (char)i;
        }
        if (round % 1000 == 0) {
            xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
            check_books();
        }
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i] != NULL)
            give(objects[i]);
    check_books();
    xa_private_chunk_drop_all(arena);
    check_books();
    assert_int_equal(arena->counters.active, 0);
}

static void
random_objects_keep_the_books(void **state)
{
    (void)state;
    begin();
    random_objects();
}

static void
where_pages_are_large_runs_are_whole_pages(void **state)
{
    (void)state;
    xa_os_fake_set_page_bytes(65536);
    begin();
    random_objects();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(slabs_are_filled_before_new_ones_are_made),
        XA_OS_FAKE_FRESH(every_address_of_a_slab_is_known_for_what_it_is),
        XA_OS_FAKE_FRESH(runs_grow_and_shrink_where_they_stand),
        XA_OS_FAKE_FRESH(zeros_are_told_only_where_there_are_some),
        XA_OS_FAKE_FRESH(what_cannot_be_purged_is_tried_once),
        XA_OS_FAKE_FRESH(one_empty_chunk_stays_for_the_decay_time),
        XA_OS_FAKE_FRESH(a_chunk_that_is_being_purged_is_not_given_up),
        XA_OS_FAKE_FRESH(what_was_being_purged_is_free_in_a_child),
        XA_OS_FAKE_FRESH(random_objects_keep_the_books),
        XA_OS_FAKE_FRESH(where_pages_are_large_runs_are_whole_pages),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("private_chunk", tests, NULL, NULL);
}
