/*
 * controls_arena.h - what the control tree asks of private arenas: short forms of two headers.
 *
 * Each is for one arena by its number, or where it says so for all of them.
 */
#ifndef XA_CONTROL_CONTROLS_ARENA_H
#define XA_CONTROL_CONTROLS_ARENA_H

#include "alloc/extended.h"
#include "arena/private_arena.h"
#include "page/page_purge.h"

/* Give back what is due, or all that is unused.  XA_PRIVATE_ARENA_NONE: all of them. */
static inline void
xa_controls_arena_purge(unsigned index, bool is_forced)
{
    if (index == XA_PRIVATE_ARENA_NONE && is_forced)
        xa_private_arena_purge_all();
    else if (index == XA_PRIVATE_ARENA_NONE)
        xa_private_arena_decay_all();
    else if (is_forced)
        (void)xa_private_arena_purge(index);
    else
        (void)xa_private_arena_decay(index);
}

static inline bool
xa_controls_arena_decay_ms(unsigned index, enum xa_page_purge_age age, int64_t *time_ms)
{
    int64_t dirty_ms, muzzy_ms;
    if (!xa_private_arena_decay_ms(index, &dirty_ms, &muzzy_ms))
        return false;
    *time_ms = age == XA_PAGE_PURGE_DIRTY ? dirty_ms : muzzy_ms;
    return true;
}

static inline bool
xa_controls_arena_set_decay_ms(unsigned index, enum xa_page_purge_age age, int64_t time_ms)
{
    return age == XA_PAGE_PURGE_DIRTY ? xa_private_arena_set_dirty_ms(index, time_ms)
                                      : xa_private_arena_set_muzzy_ms(index, time_ms);
}

/* The same for all that there are. */
static inline void
xa_controls_arena_set_all_decay_ms(enum xa_page_purge_age age, int64_t time_ms)
{
    unsigned end = xa_private_arena_end();
    for (unsigned i = XA_PRIVATE_ARENA_FIRST; i < end; i++)
        (void)xa_controls_arena_set_decay_ms(i, age, time_ms);
}

#endif
