/*
 * private_chunk_test.c - runs of granules in the chunks of a private arena.
 */
#include "arena/private_chunk.h"

#include "support/os_fake.h"

#include "arena/private_chunk_decay.h"
#include "arena/private_run.h"
#include "support/own_arena.h"
#include "support/seed.h"

enum { GRANULE = XA_GRANULE_BYTES, OBJECTS = 2000, ROUNDS = 30000 };

static uint64_t seed;
static struct xa_private_arena *arena; /* entered all the time */

static void
begin(void)
{
    arena = xa_own_arena_enter();
}

static void
runs_grow_and_shrink_where_they_stand(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    struct xa_private_run *run, *other;
    (void)state;
    begin();
    char *object = xa_own_arena_take_large(8, &is_zeroed);
    assert_int_equal(xa_own_arena_look(object, &run), XA_PRIVATE_LIVE);
    assert_true(xa_private_chunk_resize(arena, run, 3));
    assert_int_equal(xa_own_arena_look(object + 3 * GRANULE, &other), XA_PRIVATE_FREE);
    xa_own_arena_check();
    char *behind = xa_own_arena_take_large(2, &is_zeroed);
    assert_ptr_equal(behind, object + 3 * GRANULE);
    assert_false(xa_private_chunk_resize(arena, run, 4));
    xa_own_arena_give(behind);
    assert_true(xa_private_chunk_resize(arena, run, 5));
    assert_int_equal(xa_own_arena_look(object + 4 * GRANULE, &other), XA_PRIVATE_INSIDE);
    assert_ptr_equal(other, run);
    assert_false(xa_private_chunk_resize(arena, run, 60));
    xa_own_arena_check();
    xa_own_arena_give(object);
    xa_own_arena_check();
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
            xa_own_arena_give(objects[i]);
            objects[i] = NULL;
        } else {
            unsigned c = 1 + (unsigned)xa_seed_below(&random, XA_SMALL_CLASSES);
            unsigned unit = (unsigned)(xa_private_extent_unit() / GRANULE);
            objects[i] = xa_seed_below(&random, 20) == 0
                ? xa_own_arena_take_large(
                      unit * (1 + (unsigned)xa_seed_below(&random, 60 / unit)), &is_zeroed)
                : xa_private_run_take_small(arena, c);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % 16, 0);
            objects[i][0] = (char)i;
        }
        if (round % 1000 == 0) {
            xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
            xa_own_arena_check();
        }
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i] != NULL)
            xa_own_arena_give(objects[i]);
    xa_own_arena_check();
    xa_private_run_drop_all(arena);
    xa_own_arena_check();
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
        XA_OS_FAKE_FRESH(runs_grow_and_shrink_where_they_stand),
        XA_OS_FAKE_FRESH(random_objects_keep_the_books),
        XA_OS_FAKE_FRESH(where_pages_are_large_runs_are_whole_pages),
    };
    seed = xa_seed_choose(NULL);
    return cmocka_run_group_tests_name("private_chunk", tests, NULL, NULL);
}
