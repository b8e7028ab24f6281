/*
 * own_arena.c - see own_arena.h.
 */
#include "support/own_arena.h"

#include "support/os_fake.h"

#include "arena/private_map.h"
#include "arena/private_run.h"
#include "arena/private_section.h"
#include "config/options.h"
#include "support/hooks.h"

struct xa_private_arena *xa_own_arena;

void
xa_own_arena_begin(int64_t dirty_decay_ms)
{
    xa_os_init();
    xa_os_fake_set_clock(1000);
    xa_size_class_init(xa_os_facts.page_bytes);
    xa_options.dirty_decay_ms = dirty_decay_ms;
    xa_options.muzzy_decay_ms = 0;
    xa_arena_init();
}

unsigned
xa_own_arena_make(int64_t dirty_decay_ms)
{
    xa_own_arena_begin(dirty_decay_ms);
    unsigned index = xa_private_arena_create(xa_hooks_begin());
    assert_int_not_equal(index, XA_PRIVATE_ARENA_NONE);
    return index;
}

struct xa_private_arena *
xa_own_arena_enter(void) XA_NO_ANALYSIS
{
    unsigned index = xa_own_arena_make(1000);
    /* The arena itself is known by an object of it. */
    void *object = xa_private_arena_take(index, 1, 1, false);
    xa_own_arena = xa_private_map_find((uintptr_t)object)->arena;
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
    assert_true(xa_private_arena_reset(index));
    assert_true(xa_private_arena_purge(index));
    assert_int_equal(xa_hooks_extents(), 0);
    assert_true(xa_private_section_enter(xa_own_arena));
    return xa_own_arena;
}

char *
xa_own_arena_take_large(unsigned granules, bool *is_zeroed) XA_NO_ANALYSIS
{
    char *object = xa_private_run_take_large(xa_own_arena, granules, is_zeroed);
    assert_non_null(object);
    return object;
}

enum xa_private_verdict
xa_own_arena_look(const void *object, struct xa_private_run **run)
{
    return xa_private_run_look(xa_private_map_find((uintptr_t)object), (uintptr_t)object, run);
}

void
xa_own_arena_give(void *object) XA_NO_ANALYSIS
{
    struct xa_private_run *run;
    assert_int_equal(xa_own_arena_look(object, &run), XA_PRIVATE_LIVE);
    xa_private_run_return(xa_own_arena, run, (uintptr_t)object);
}

void
xa_own_arena_check(void)
{
    const struct xa_private_counters *c = &xa_own_arena->counters;
    size_t sum = xa_private_extent_load(&c->active);
    for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
        sum += xa_private_extent_load(&c->free_bytes[quality]);
    assert_int_equal(sum, xa_private_extent_load(&c->mapped));
    assert_int_equal(sum, xa_hooks_bytes());
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        for (struct xa_private_extent *extent = xa_own_arena->chunks[bucket]; extent != NULL;
             extent = extent->next) {
            unsigned longest = xa_bitmap_longest_run(&extent->chunk->free);
            assert_int_equal(extent->state, XA_PRIVATE_STATE_CHUNK);
            assert_int_equal(extent->chunk->bucket, bucket);
            assert_true(longest == 0 ? bucket == 0 : longest >> (bucket - 1) == 1);
        }
}
