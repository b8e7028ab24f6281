/*
 * private_arena_figures.c - what private arenas count, for people to read.
 *
 * Counters are written under the arena's lock and read here without it: the figures of an arena
 * at work are those of slightly different moments.
 */
#include "arena/private_arena_parts.h"

void
xa_private_arena_gather(const struct xa_private_arena *arena, struct xa_private_statistics *s)
{
    const struct xa_private_counters *c = &arena->counters;
    *s = (struct xa_private_statistics){0};
    s->threads = atomic_load_explicit(&arena->threads, memory_order_relaxed);
    s->dirty_ms = atomic_load_explicit(&arena->decay_ms[0], memory_order_relaxed);
    s->muzzy_ms = atomic_load_explicit(&arena->decay_ms[1], memory_order_relaxed);
    s->created_ms = arena->created_ms;
    s->small = xa_private_extent_load(&c->small);
    s->large = xa_private_extent_load(&c->large);
    s->small_objects = xa_private_extent_load(&c->small_objects);
    s->large_objects = xa_private_extent_load(&c->large_objects);
    s->large_allocations = atomic_load_explicit(&c->large_allocations, memory_order_relaxed);
    s->large_frees = atomic_load_explicit(&c->large_frees, memory_order_relaxed);
    s->active = xa_private_extent_load(&c->active);
    s->dirty = xa_private_extent_load(&c->free_bytes[XA_PRIVATE_DIRTY]);
    s->muzzy = xa_private_extent_load(&c->free_bytes[XA_PRIVATE_MUZZY]);
    s->retained = xa_private_extent_load(&c->free_bytes[XA_PRIVATE_RETAINED]);
    s->mapped = xa_private_extent_load(&c->mapped);
    s->metadata = xa_private_extent_load(&c->metadata) + sizeof *arena;
    s->purges = atomic_load_explicit(&c->purges, memory_order_relaxed);
    s->purge_calls = atomic_load_explicit(&c->purge_calls, memory_order_relaxed);
    s->purged_bytes = atomic_load_explicit(&c->purged_bytes, memory_order_relaxed);
    for (unsigned i = 1; i <= XA_SMALL_CLASSES; i++) {
        const struct xa_private_class_counters *from = &c->classes[i];
        s->classes[i] = (struct xa_private_class_statistics){
            .live = xa_private_extent_load(&from->live),
            .slabs = xa_private_extent_load(&from->slabs),
            .nonfull = xa_private_extent_load(&from->nonfull),
            .allocations = atomic_load_explicit(&from->allocations, memory_order_relaxed),
            .frees = atomic_load_explicit(&from->frees, memory_order_relaxed),
            .slabs_made = atomic_load_explicit(&from->slabs_made, memory_order_relaxed),
        };
    }
}

void
xa_private_arena_add(struct xa_private_statistics *sum, const struct xa_private_statistics *more)
{
    sum->threads += more->threads;
    sum->small += more->small;
    sum->large += more->large;
    sum->small_objects += more->small_objects;
    sum->large_objects += more->large_objects;
    sum->large_allocations += more->large_allocations;
    sum->large_frees += more->large_frees;
    sum->active += more->active;
    sum->dirty += more->dirty;
    sum->muzzy += more->muzzy;
    sum->retained += more->retained;
    sum->mapped += more->mapped;
    sum->metadata += more->metadata;
    sum->purges += more->purges;
    sum->purge_calls += more->purge_calls;
    sum->purged_bytes += more->purged_bytes;
    for (unsigned i = 1; i <= XA_SMALL_CLASSES; i++) {
        struct xa_private_class_statistics *to = &sum->classes[i];
        const struct xa_private_class_statistics *from = &more->classes[i];
        to->live += from->live;
        to->slabs += from->slabs;
        to->nonfull += from->nonfull;
        to->allocations += from->allocations;
        to->frees += from->frees;
        to->slabs_made += from->slabs_made;
    }
}
