/*
 * private_section.h - sections: what a thread does to a private arena under its lock.
 *
 * A layer above is told of each step, and keeps signal handlers from beginning a section in the
 * middle of one of their own thread.  A hook is called between two parts of a section: the lock
 * is given up, and the arena knows that a thread is in a hook for it, so that nobody destroys it.
 */
#ifndef XA_ARENA_PRIVATE_SECTION_H
#define XA_ARENA_PRIVATE_SECTION_H

#include "arena/private_extent.h"

/* Whom to tell of each step from now on, for ever. */
void xa_private_section_set_step(xa_private_arena_step *function);

/* Begin and end a section.  False in a handler that interrupted one of its own thread. */
XA_MUST_USE bool xa_private_section_enter(struct xa_private_arena *arena)
    XA_TRY_ACQUIRES(true, arena->lock);
void xa_private_section_leave(struct xa_private_arena *arena) XA_RELEASES(arena->lock);

/* The same without an arena. */
XA_MUST_USE bool xa_private_section_begin(void);
void xa_private_section_end(void);

/* The hooks, which may be called until the section goes on. */
struct extent_hooks_s *xa_private_section_begin_hook(struct xa_private_arena *arena)
    XA_RELEASES(arena->lock);
void xa_private_section_end_hook(struct xa_private_arena *arena) XA_ACQUIRES(arena->lock);

/* Let the threads that are in hooks for it come back.  Unlocks. */
void xa_private_section_wait_for_hooks(struct xa_private_arena *arena) XA_REQUIRES(arena->lock);

#endif
