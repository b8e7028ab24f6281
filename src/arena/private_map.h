/*
 * private_map.h - address → extent of a private arena, anywhere in the address space.
 *
 * Extent hooks return memory wherever they like, so the window's map does not help.  This is a
 * tree of three levels over granules, made as it is needed: 4096 times 64 GiB, each 4096 times
 * 16 MiB, each 1024 granules.  It may be asked for any address at any time, by wild pointers as
 * well, takes three loads and no lock.  Its nodes, and the records that it leads to, are never
 * anything else again.
 *
 * Addresses beyond 2^48 hold nothing, and no extent may lie there: no host gives them unasked.
 */
#ifndef XA_ARENA_PRIVATE_MAP_H
#define XA_ARENA_PRIVATE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

struct xa_private_extent;
struct xa_private_map_root;

/* [a] NULL until the first extent comes. */
extern XA_HIDDEN struct xa_private_map_root *_Atomic xa_private_map_root;

/* True if there ever was an extent: else no address needs to be looked up. */
static inline bool
xa_private_map_is_used(void)
{
    /* Relaxed: whoever has a pointer to an object got it after the map was there. */
    return atomic_load_explicit(&xa_private_map_root, memory_order_relaxed) != NULL;
}

/* The extent that covers the address, or NULL. */
struct xa_private_extent *xa_private_map_find(uintptr_t address);

enum xa_private_map_result {
    XA_PRIVATE_MAP_DONE,
    XA_PRIVATE_MAP_NO_MEMORY, /* or the range is beyond what the map covers */
    XA_PRIVATE_MAP_TAKEN,     /* another extent covers part of it */
};

/* Cover whole granules by an extent.  Nothing has changed unless DONE. */
XA_MUST_USE enum xa_private_map_result xa_private_map_insert(
    uintptr_t address, size_t bytes, struct xa_private_extent *extent);

/* Say who covers granules that were inserted once: another extent, or NULL for nobody. */
void xa_private_map_set(uintptr_t address, size_t bytes, struct xa_private_extent *extent);

#endif
