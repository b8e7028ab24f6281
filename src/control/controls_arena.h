/*
 * controls_arena.h - what the control tree asks of private arenas and explicit caches.
 *
 * The one place where it meets them; a process in which there can be none answers as one in
 * which none was made.
 */
#ifndef XA_CONTROL_CONTROLS_ARENA_H
#define XA_CONTROL_CONTROLS_ARENA_H

#include "alloc/extended.h"
#include "alloc/start.h"
#include "arena/large.h"
#include "arena/private_arena.h"
#include "arena/slab.h"
#include "page/page_purge.h"

static inline unsigned
xa_controls_arena_end(void)
{
    return 0;
}

static inline bool
xa_controls_arena_exists(unsigned index)
{
    (void)index;
    return false;
}

static inline bool
xa_controls_arena_statistics(unsigned index, struct xa_private_statistics *statistics)
{
    (void)index;
    (void)statistics;
    return false;
}

static inline void
xa_controls_arena_destroyed(struct xa_private_statistics *statistics)
{
    *statistics = (struct xa_private_statistics){0};
}

static inline unsigned
xa_controls_arena_create(struct extent_hooks_s *hooks)
{
    (void)hooks;
    return XA_EXTENDED_NONE;
}

static inline bool
xa_controls_arena_reset(unsigned index)
{
    (void)index;
    return false;
}

static inline bool
xa_controls_arena_destroy(unsigned index)
{
    (void)index;
    return false;
}

/* XA_PRIVATE_ARENA_NONE: all of them. */
static inline void
xa_controls_arena_purge(unsigned index, bool is_forced)
{
    (void)index;
    (void)is_forced;
}

static inline bool
xa_controls_arena_decay_ms(unsigned index, enum xa_page_purge_age age, int64_t *time_ms)
{
    (void)index;
    (void)age;
    (void)time_ms;
    return false;
}

static inline bool
xa_controls_arena_set_decay_ms(unsigned index, enum xa_page_purge_age age, int64_t time_ms)
{
    (void)index;
    (void)age;
    (void)time_ms;
    return false;
}

static inline bool
xa_controls_arena_grow_limit(unsigned index, size_t *bytes)
{
    (void)index;
    (void)bytes;
    return false;
}

static inline bool
xa_controls_arena_set_grow_limit(unsigned index, size_t bytes)
{
    (void)index;
    (void)bytes;
    return false;
}

static inline bool
xa_controls_arena_name(unsigned index, char *name)
{
    (void)index;
    (void)name;
    return false;
}

static inline bool
xa_controls_arena_set_name(unsigned index, const char *name)
{
    (void)index;
    (void)name;
    return false;
}

static inline struct extent_hooks_s *
xa_controls_arena_hooks(unsigned index)
{
    (void)index;
    return NULL;
}

static inline bool
xa_controls_arena_set_hooks(unsigned index, struct extent_hooks_s *hooks)
{
    (void)index;
    (void)hooks;
    return false;
}

static inline unsigned
xa_controls_arena_create_cache(void)
{
    return XA_EXTENDED_NONE;
}

static inline bool
xa_controls_arena_flush_cache(unsigned cache)
{
    (void)cache;
    return false;
}

static inline bool
xa_controls_arena_destroy_cache(unsigned cache)
{
    (void)cache;
    return false;
}

static inline unsigned
xa_controls_arena_of_thread(void)
{
    const struct xa_thread_state *state = xa_start_thread();
    return state == NULL ? 0 : state->arena->index;
}

static inline bool
xa_controls_arena_bind_thread(unsigned index)
{
    struct xa_thread_state *state = xa_start_thread();
    struct xa_arena *arena = state == NULL || index >= XA_ARENAS_MAX ? NULL : xa_arena_join(index);
    if (arena == NULL)
        return false;
    struct xa_arena *before = state->arena;
    state->arena = arena;
    xa_arena_leave(before);
    return true;
}

static inline unsigned
xa_controls_arena_lookup(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    unsigned size_class = xa_page_map_class(address);
    if (size_class == XA_CLASS_NONE)
        return XA_EXTENDED_NONE;
    if (size_class == XA_CLASS_HUGE)
        return 0;
    return xa_page_map_record(xa_page_map_head(xa_page_map_granule_of(address)))->arena;
}

#endif
