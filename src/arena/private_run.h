/*
 * private_run.h - the objects of a private arena that are in the runs of its chunks.
 *
 * A run is a slab of small objects, or one large object.
 */
#ifndef XA_ARENA_PRIVATE_RUN_H
#define XA_ARENA_PRIVATE_RUN_H

#include "arena/private_chunk.h"

/* An object of a small size class; NULL if the hooks have no memory.  Unlocks. */
XA_MUST_USE void *xa_private_run_take_small(struct xa_private_arena *arena, unsigned size_class)
    XA_REQUIRES(arena->lock);

/* A run of granules, at most XA_PRIVATE_RUN_MAX_GRANULES, as an object.  Unlocks. */
XA_MUST_USE void *xa_private_run_take_large(
    struct xa_private_arena *arena, unsigned granules, bool *is_zeroed) XA_REQUIRES(arena->lock);

/* What an address in a chunk is, and the run that it is in (NULL: none). */
enum xa_private_verdict xa_private_run_look(
    struct xa_private_extent *extent, uintptr_t address, struct xa_private_run **run);

/* Where the object begins, or could, that an address in the run is in; and whether it is free. */
uintptr_t xa_private_run_object(struct xa_private_run *run, uintptr_t address, bool *is_free);

/* Free a live object of this run.  Unlocks. */
void xa_private_run_return(struct xa_private_arena *arena, struct xa_private_run *run,
    uintptr_t address) XA_REQUIRES(arena->lock);

/* Drop all runs; chunks become free extents.  Unlocks. */
void xa_private_run_drop_all(struct xa_private_arena *arena) XA_REQUIRES(arena->lock);

#endif
