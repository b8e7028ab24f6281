/*
 * private_hooks.c - see private_hooks.h.
 */
#include "arena/private_hooks.h"

bool
xa_private_hooks_commit(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    bool has_failed = hooks->commit == NULL ||
        hooks->commit(hooks, (void *)extent->address, extent->bytes, 0, extent->bytes,
            xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    if (!has_failed)
        extent->is_committed = extent->is_zeroed = true;
    return !has_failed;
}

bool
xa_private_hooks_dalloc(struct xa_private_arena *arena, const struct xa_private_extent *extent)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    bool has_failed = hooks->dalloc == NULL ||
        hooks->dalloc(hooks, (void *)extent->address, extent->bytes, extent->is_committed,
            xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    return !has_failed;
}

void
xa_private_hooks_destroy(struct xa_private_arena *arena, const struct xa_private_extent *extent)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    if (hooks->destroy != NULL)
        hooks->destroy(hooks, (void *)extent->address, extent->bytes, extent->is_committed,
            xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
}

bool
xa_private_hooks_decommit(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    bool has_failed = hooks->decommit == NULL ||
        hooks->decommit(hooks, (void *)extent->address, extent->bytes, 0, extent->bytes,
            xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    if (!has_failed)
        extent->is_committed = false;
    return !has_failed;
}

bool
xa_private_hooks_split(
    struct xa_private_arena *arena, const struct xa_private_extent *extent, size_t front)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    bool has_failed = hooks->split == NULL ||
        hooks->split(hooks, (void *)extent->address, extent->bytes, front, extent->bytes - front,
            extent->is_committed, xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    return !has_failed;
}

bool
xa_private_hooks_merge(struct xa_private_arena *arena, const struct xa_private_extent *front,
    const struct xa_private_extent *back)
{
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    bool has_failed = hooks->merge == NULL || hooks->split == NULL ||
        hooks->merge(hooks, (void *)front->address, front->bytes, (void *)back->address,
            back->bytes, front->is_committed, xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    return !has_failed;
}

enum xa_private_purge
xa_private_hooks_purge(struct xa_private_arena *arena, const struct xa_private_extent *extent,
    size_t offset, size_t bytes, bool is_lazy)
{
    enum xa_private_purge result = XA_PRIVATE_PURGE_NONE;
    void *address = (void *)extent->address;
    size_t whole = extent->bytes;
    xa_private_extent_count_events(&arena->counters.purge_calls, 1);
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    if (!is_lazy && hooks->purge_forced != NULL &&
        !hooks->purge_forced(hooks, address, whole, offset, bytes, xa_private_hooks_index(arena)))
        result = XA_PRIVATE_PURGE_ZEROED;
    else if (hooks->purge_lazy != NULL &&
        !hooks->purge_lazy(hooks, address, whole, offset, bytes, xa_private_hooks_index(arena)))
        result = XA_PRIVATE_PURGE_LAZY;
    xa_private_section_end_hook(arena);
    if (result != XA_PRIVATE_PURGE_NONE)
        xa_private_extent_count_events(&arena->counters.purged_bytes, bytes);
    return result;
}
