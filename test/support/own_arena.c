/*
 * own_arena.c - see own_arena.h.
 */
#include "support/own_arena.h"

#include "support/os_fake.h"

#include "arena/private_map.h"
#include "config/options.h"
#include "support/hooks.h"

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
    struct xa_private_arena *arena = xa_private_map_find((uintptr_t)object)->arena;
    assert_int_equal(xa_private_arena_return(object), XA_PRIVATE_LIVE);
    assert_true(xa_private_arena_reset(index));
    assert_true(xa_private_arena_purge(index));
    assert_int_equal(xa_hooks_extents(), 0);
    assert_true(xa_private_extent_enter(arena));
    return arena;
}
