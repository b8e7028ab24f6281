/*
 * private_hooks.h - the calls of a private arena's hooks for an extent that is busy.
 *
 * Each gives the lock up and takes it again: it "unlocks".  A hook that is missing is one that
 * refuses.  Only alloc is called elsewhere, since its result may have to go back at once
 * (private_extent.c).
 */
#ifndef XA_ARENA_PRIVATE_HOOKS_H
#define XA_ARENA_PRIVATE_HOOKS_H

#include "arena/private_section.h"

/* The number that hooks are told. */
static inline unsigned
xa_private_hooks_index(const struct xa_private_arena *arena)
{
    return atomic_load_explicit(&arena->index, memory_order_relaxed);
}

/* The extent is committed, and zeroed; it is not committed any more.  False if the hook refuses. */
XA_MUST_USE bool xa_private_hooks_commit(
    struct xa_private_arena *arena, struct xa_private_extent *extent) XA_REQUIRES(arena->lock);
XA_MUST_USE bool xa_private_hooks_decommit(
    struct xa_private_arena *arena, struct xa_private_extent *extent) XA_REQUIRES(arena->lock);

/* The host has the extent back; it may be asked to keep it, and cannot when an arena is destroyed. */
XA_MUST_USE bool xa_private_hooks_dalloc(struct xa_private_arena *arena,
    const struct xa_private_extent *extent) XA_REQUIRES(arena->lock);
void xa_private_hooks_destroy(struct xa_private_arena *arena,
    const struct xa_private_extent *extent) XA_REQUIRES(arena->lock);

/* The host knows the extent as two, the first of `front` bytes; two neighbours as one. */
XA_MUST_USE bool xa_private_hooks_split(struct xa_private_arena *arena,
    const struct xa_private_extent *extent, size_t front) XA_REQUIRES(arena->lock);
XA_MUST_USE bool xa_private_hooks_merge(struct xa_private_arena *arena,
    const struct xa_private_extent *front, const struct xa_private_extent *back)
    XA_REQUIRES(arena->lock);

/* Purge part of an extent, or one whose part nobody uses; what has become of it. */
enum xa_private_purge { XA_PRIVATE_PURGE_NONE, XA_PRIVATE_PURGE_LAZY, XA_PRIVATE_PURGE_ZEROED };
enum xa_private_purge xa_private_hooks_purge(struct xa_private_arena *arena,
    const struct xa_private_extent *extent, size_t offset, size_t bytes, bool is_lazy)
    XA_REQUIRES(arena->lock);

#endif
