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

/* The same, and that arena, without any extent, and entered for good: what is below is for it. */
extern struct xa_private_arena *xa_own_arena;
struct xa_private_arena *xa_own_arena_enter(void);

/* A large object in a chunk. */
char *xa_own_arena_take_large(unsigned granules, bool *is_zeroed);

/* What an address in a chunk is, and the run that it is in. */
enum xa_private_verdict xa_own_arena_look(const void *object, struct xa_private_run **run);

/* Free a live object in a chunk. */
void xa_own_arena_give(void *object);

/* Fail the test unless every byte of every chunk is counted once. */
void xa_own_arena_check(void);

#endif
