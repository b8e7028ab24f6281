/*
 * private_chunk_decay_test.c - unused granules of a private arena's chunks are purged.
 */
#include "arena/private_chunk_decay.h"

#include "support/os_fake.h"

#include <limits.h>
#include <string.h>

#include "arena/private_map.h"
#include "arena/private_section.h"
#include "support/hooks.h"
#include "support/own_arena.h"

enum { GRANULE = XA_GRANULE_BYTES };

static struct xa_private_arena *arena; /* entered all the time */

static void
begin(void)
{
    arena = xa_own_arena_enter();
}

static void
zeros_are_told_only_where_there_are_some(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *keeper = xa_own_arena_take_large(1, &is_zeroed),
         *object = xa_own_arena_take_large(4, &is_zeroed);
    assert_false(is_zeroed);
    memset(object, 1, 4 * GRANULE);
    xa_own_arena_give(object);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 1);
    assert_ptr_equal(xa_own_arena_take_large(4, &is_zeroed), object);
    assert_true(is_zeroed);
    assert_int_equal(object[0] | object[4 * GRANULE - 1], 0);
    memset(object, 1, 4 * GRANULE);
    xa_own_arena_give(object);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_ptr_equal(xa_own_arena_take_large(4, &is_zeroed), object);
    assert_false(is_zeroed);
    xa_own_arena_give(keeper);
    xa_own_arena_check();
}

static void
what_cannot_be_purged_is_tried_once(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = xa_own_arena_take_large(4, &is_zeroed);
    (void)xa_own_arena_take_large(1, &is_zeroed);
    xa_own_arena_give(object);
    xa_hooks_fail(XA_HOOK_PURGE_FORCED, ULONG_MAX);
    xa_hooks_fail(XA_HOOK_PURGE_LAZY, ULONG_MAX);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(xa_hooks_calls(XA_HOOK_PURGE_FORCED), 1);
    assert_int_equal(arena->counters.waiting, 0);
    xa_own_arena_check();
}

static void
one_empty_chunk_stays_for_the_decay_time(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = xa_own_arena_take_large(8, &is_zeroed);
    struct xa_private_extent *extent = xa_private_map_find((uintptr_t)object);
    xa_own_arena_give(object);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
    xa_private_chunk_decay(arena, XA_PRIVATE_DECAYED);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
    xa_os_fake_set_clock(2000);
    xa_private_chunk_decay(arena, XA_PRIVATE_DECAYED);
    assert_int_equal(extent->state, XA_PRIVATE_STATE_FREE);
    xa_own_arena_check();
}

static void *to_free[2];
static unsigned freed;

/* Each call frees one more, as another thread would. */
static void
free_another(void)
{
    if (freed == sizeof to_free / sizeof *to_free)
        return;
    assert_true(xa_private_section_enter(arena));
    xa_own_arena_give(to_free[freed++]);
    xa_private_section_leave(arena);
}

/* Three chunks, the first with something to purge, each of the others with one run. */
static void
make_three_chunks(void) XA_NO_ANALYSIS
{
    bool is_zeroed;
    void *object = xa_own_arena_take_large(1, &is_zeroed);
    (void)xa_own_arena_take_large(1, &is_zeroed);
    for (unsigned i = 0; i < 2; i++)
        to_free[i] = xa_own_arena_take_large(XA_PRIVATE_RUN_MAX_GRANULES, &is_zeroed);
    xa_own_arena_give(object);
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
    xa_own_arena_check();
    xa_private_extent_decay(arena, XA_PRIVATE_ALL);
    assert_int_equal(arena->counters.waiting, 0);
    xa_own_arena_check();
}

static struct xa_private_extent *being_purged;

/* As in a child that was forked in the middle of a purge by another thread. */
static void
look_as_a_child(void)
{
    struct xa_private_chunk *chunk = being_purged->chunk;
    if (freed != 0 || chunk == NULL || chunk->purging == 0)
        return;
    assert_true(xa_private_section_enter(arena));
    unsigned granules = chunk->purging;
    assert_int_equal(
        xa_bitmap_count(&chunk->free, 0, chunk->granules), chunk->granules - 1 - granules);
    xa_private_chunk_decay_reset_in_child(arena);
    assert_int_equal(xa_bitmap_count(&chunk->free, 0, chunk->granules), chunk->granules - 1);
    assert_int_equal(xa_bitmap_count(&chunk->waiting, 0, chunk->granules), granules);
    xa_own_arena_check();
    xa_private_section_leave(arena);
    chunk->purging = (uint16_t)granules; /* the parent's purger goes on */
    freed++;
}

static void
what_was_being_purged_is_free_in_a_child(void **state) XA_NO_ANALYSIS
{
    bool is_zeroed;
    (void)state;
    begin();
    char *object = xa_own_arena_take_large(4, &is_zeroed);
    (void)xa_own_arena_take_large(1, &is_zeroed);
    being_purged = xa_private_map_find((uintptr_t)object);
    xa_own_arena_give(object);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    object = xa_own_arena_take_large(4, &is_zeroed);
    xa_own_arena_give(object);
    freed = 0;
    xa_hooks_set_guest(look_as_a_child);
    xa_private_chunk_decay(arena, XA_PRIVATE_ALL);
    xa_hooks_set_guest(NULL);
    assert_int_equal(freed, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(zeros_are_told_only_where_there_are_some),
        XA_OS_FAKE_FRESH(what_cannot_be_purged_is_tried_once),
        XA_OS_FAKE_FRESH(one_empty_chunk_stays_for_the_decay_time),
        XA_OS_FAKE_FRESH(a_chunk_that_is_being_purged_is_not_given_up),
        XA_OS_FAKE_FRESH(what_was_being_purged_is_free_in_a_child),
    };
    return cmocka_run_group_tests_name("private_chunk_decay", tests, NULL, NULL);
}
