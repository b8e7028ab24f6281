/*
 * private_arena_parts.h - what the files of private_arena share.
 */
#ifndef XA_ARENA_PRIVATE_ARENA_PARTS_H
#define XA_ARENA_PRIVATE_ARENA_PARTS_H

#include "arena/private_extent.h"

/*
 * The arena of this number, entered (private_extent.h); NULL if there is none, or in the way of a
 * signal handler.
 */
struct xa_private_arena *xa_private_arena_enter(unsigned index);

/* Give back what is due, or all.  Unlocks. */
void xa_private_arena_give_back(struct xa_private_arena *arena, enum xa_private_how how)
    XA_REQUIRES(arena->lock);

/* An extent that was an object of its own is busy; a busy one is such an object. */
void xa_private_arena_take_from_whole(
    struct xa_private_arena *arena, struct xa_private_extent *extent) XA_REQUIRES(arena->lock);
void xa_private_arena_put_to_whole(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock);

/* Fill in all of `statistics`; lock-free. */
void xa_private_arena_gather(
    const struct xa_private_arena *arena, struct xa_private_statistics *statistics);

#endif
