/*
 * own_arena.h - a process with a private arena of the hooks of hooks.h, over the fake host.
 */
#ifndef XA_TEST_OWN_ARENA_H
#define XA_TEST_OWN_ARENA_H

#include "arena/private_extent.h"

/* Start the host, whose clock is at 1000, and the automatic arenas; no muzzy pages. */
void xa_own_arena_begin(int64_t dirty_decay_ms);

/* The same, and the number of a new arena. */
unsigned xa_own_arena_make(int64_t dirty_decay_ms);

/* The same, and that arena, without any extent, and entered for good. */
struct xa_private_arena *xa_own_arena_enter(void);

#endif
