/*
 * private_chunk_decay.h - purging the unused granules of a private arena's chunks.
 */
#ifndef XA_ARENA_PRIVATE_CHUNK_DECAY_H
#define XA_ARENA_PRIVATE_CHUNK_DECAY_H

#include "arena/private_chunk.h"

/* Purge unused granules that are due; and give up the empty chunk, if it is.  Unlocks. */
void xa_private_chunk_decay(struct xa_private_arena *arena, enum xa_private_how how)
    XA_REQUIRES(arena->lock);

/* In a forked child: what other threads were purging is free again. */
void xa_private_chunk_decay_reset_in_child(struct xa_private_arena *arena);

#endif
