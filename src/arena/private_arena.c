/*
 * private_arena.c - see private_arena.h.
 *
 *   small object     a slot of a slab           private_run.c
 *   up to 1 MiB      a run of granules          private_run.c, private_chunk.c
 *   beyond, or more aligned than a granule      an extent of its own, private_extent.c
 *
 * The sizes are those that the automatic arenas would give, so that nallocx() need not ask which
 * arena is meant.
 *
 * Unused memory is dirty for dirty_decay_ms, then muzzy for muzzy_decay_ms, then offered to the
 * dalloc hook.  Threads that free look at the time; so does the purging thread, as long as
 * something waits.
 *
 * Arenas and records of extents are only ever that.  A pointer's extent is therefore found
 * without a lock; its arena's lock is taken; and under that it is looked up once more.
 *
 * A forked child in which some arena's lock was held by a thread that is gone begins a new life
 * of that arena: what was there before stays valid and is never given out again.
 *
 * Locking: PRIVATE_ARENAS guards the table's changes, PRIVATE_ARENA each arena.
 */
#include "arena/private_arena.h"

#include "arena/private_arena_parts.h"
#include "arena/private_chunk_decay.h"
#include "arena/private_run.h"
#include "arena/private_section.h"
#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"
#include "page/page_purge.h"

#include <string.h>

enum {
    NUMBERS = XA_PRIVATE_ARENA_LAST + 1 - XA_PRIVATE_ARENA_FIRST,
};

static struct {
    struct xa_lock lock;
    _Atomic unsigned end;                    /* [a] one more than the highest number in use */
    uint64_t epoch;                          /* [r] the last one given out */
    struct xa_private_arena *unused;         /* [r] */
    struct xa_private_statistics *destroyed; /* [r] NULL until the first is */
} registry = {.lock.rank = XA_LOCK_RANK_PRIVATE_ARENAS};

/* [a] By number; changed under the registry's lock. */
XA_BULKY _Atomic(struct xa_private_arena *) xa_private_arena_table[NUMBERS];

void
xa_private_arena_set_step(xa_private_arena_step *function)
{
    xa_private_section_set_step(function);
}

static struct xa_private_arena *
at(unsigned index)
{
    if (index < XA_PRIVATE_ARENA_FIRST || index > XA_PRIVATE_ARENA_LAST)
        return NULL;
    return atomic_load_explicit(
        &xa_private_arena_table[index - XA_PRIVATE_ARENA_FIRST], memory_order_acquire);
}

struct xa_private_arena *
xa_private_arena_enter(unsigned index) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = at(index);
    if (arena == NULL || !xa_private_section_enter(arena))
        return NULL;
    if (arena->is_open && atomic_load_explicit(&arena->index, memory_order_relaxed) == index)
        return arena;
    xa_private_section_leave(arena);
    return NULL;
}

static void
leave(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    xa_private_section_leave(arena);
}

/* ---- Making and dropping ---- */

static void
begin_life(struct xa_private_arena *arena, unsigned index, struct extent_hooks_s *hooks)
{
    xa_lock_lock(&arena->lock);
    atomic_store_explicit(&arena->index, index, memory_order_relaxed);
    atomic_store_explicit(&arena->epoch, ++registry.epoch, memory_order_relaxed);
    atomic_store_explicit(&arena->hooks, hooks, memory_order_release);
    atomic_store_explicit(&arena->decay_ms[XA_PRIVATE_DIRTY],
        xa_page_purge_time_ms(NULL, XA_PAGE_PURGE_DIRTY), memory_order_relaxed);
    atomic_store_explicit(&arena->decay_ms[XA_PRIVATE_MUZZY],
        xa_page_purge_time_ms(NULL, XA_PAGE_PURGE_MUZZY), memory_order_relaxed);
    arena->created_ms = arena->looked_ms = xa_os_now_ms();
    arena->life++;
    arena->grow_bytes = XA_PRIVATE_EXTENT_MIN_BYTES;
    arena->grow_limit = SIZE_MAX;
    arena->name[0] = '\0';
    arena->is_open = true;
    xa_lock_unlock(&arena->lock);
}

/* Under the registry's lock; the arena's may still be tried by somebody who is late. */
static unsigned
make(struct extent_hooks_s *hooks)
{
    unsigned index = XA_PRIVATE_ARENA_FIRST;
    while (index <= XA_PRIVATE_ARENA_LAST && at(index) != NULL)
        index++;
    if (index > XA_PRIVATE_ARENA_LAST)
        return XA_PRIVATE_ARENA_NONE;
    struct xa_private_arena *arena = registry.unused;
    if (arena != NULL)
        registry.unused = arena->next_unused;
    else if ((arena = xa_metadata_take(sizeof *arena)) == NULL)
        return XA_PRIVATE_ARENA_NONE;
    else
        xa_lock_init(&arena->lock, XA_LOCK_RANK_PRIVATE_ARENA);
    begin_life(arena, index, hooks);
    /* Release: whoever finds the arena finds it complete. */
    atomic_store_explicit(
        &xa_private_arena_table[index - XA_PRIVATE_ARENA_FIRST], arena, memory_order_release);
    if (index >= atomic_load_explicit(&registry.end, memory_order_relaxed))
        atomic_store_explicit(&registry.end, index + 1, memory_order_release);
    return index;
}

unsigned
xa_private_arena_create(struct extent_hooks_s *hooks)
{
    if (hooks == NULL)
        hooks = xa_extent_hooks_default();
    if (hooks->alloc == NULL || !xa_private_section_begin())
        return XA_PRIVATE_ARENA_NONE;
    xa_lock_lock(&registry.lock);
    unsigned index = make(hooks);
    xa_lock_unlock(&registry.lock);
    xa_private_section_end();
    return index;
}

bool
xa_private_arena_exists(unsigned index)
{
    return xa_private_arena_epoch(index) != 0;
}

unsigned
xa_private_arena_end(void)
{
    return atomic_load_explicit(&registry.end, memory_order_acquire);
}

static void
forget_objects(struct xa_private_arena *arena)
{
    struct xa_private_counters *counters = &arena->counters;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        struct xa_private_class_counters *class = &counters->classes[c];
        xa_private_extent_count_events(&class->frees, xa_private_extent_load(&class->live));
        xa_private_extent_count(&class->live, -xa_private_extent_load(&class->live));
        xa_private_extent_count(&class->slabs, -xa_private_extent_load(&class->slabs));
        xa_private_extent_count(&class->nonfull, -xa_private_extent_load(&class->nonfull));
    }
    xa_private_extent_count_events(
        &counters->large_frees, xa_private_extent_load(&counters->large_objects));
    _Atomic size_t *const live[] = {
        &counters->small, &counters->large, &counters->small_objects, &counters->large_objects};
    for (unsigned i = 0; i < sizeof live / sizeof *live; i++)
        xa_private_extent_count(live[i], -xa_private_extent_load(live[i]));
}

/* Drop all objects, and make all caches forget them.  Unlocks. */
static void
drop_objects(struct xa_private_arena *arena, uint64_t epoch) XA_REQUIRES(arena->lock)
{
    atomic_store_explicit(&arena->epoch, epoch, memory_order_release);
    xa_private_section_wait_for_hooks(arena);
    while (arena->whole != NULL) {
        struct xa_private_extent *extent = arena->whole;
        xa_private_arena_take_from_whole(arena, extent);
        xa_private_extent_give(arena, extent, XA_PRIVATE_DIRTY);
    }
    xa_private_run_drop_all(arena);
    forget_objects(arena);
}

static uint64_t
next_epoch(void)
{
    xa_lock_lock(&registry.lock);
    uint64_t epoch = ++registry.epoch;
    xa_lock_unlock(&registry.lock);
    return epoch;
}

void
xa_private_arena_give_back(struct xa_private_arena *arena, enum xa_private_how how)
{
    arena->looked_ms = xa_os_now_ms();
    xa_private_chunk_decay(arena, how);
    xa_private_extent_decay(arena, how);
}

bool
xa_private_arena_reset(unsigned index) XA_NO_ANALYSIS
{
    uint64_t epoch = next_epoch();
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    drop_objects(arena, epoch);
    xa_private_arena_give_back(arena, XA_PRIVATE_DECAYED);
    leave(arena);
    return true;
}

/* The arena is empty: its number and its structure may be used again. */
static void
retire(struct xa_private_arena *arena, unsigned index)
{
    xa_lock_lock(&registry.lock);
    atomic_store_explicit(
        &xa_private_arena_table[index - XA_PRIVATE_ARENA_FIRST], NULL, memory_order_release);
    arena->next_unused = registry.unused;
    registry.unused = arena;
    unsigned end = index + 1;
    if (atomic_load_explicit(&registry.end, memory_order_relaxed) == end) {
        while (end > XA_PRIVATE_ARENA_FIRST && at(end - 1) == NULL)
            end--;
        atomic_store_explicit(
            &registry.end, end == XA_PRIVATE_ARENA_FIRST ? 0 : end, memory_order_release);
    }
    xa_lock_unlock(&registry.lock);
}

/* Word by word, since others may be reading. */
static void
clear_counters(struct xa_private_arena *arena)
{
    _Atomic size_t *words = (_Atomic size_t *)(void *)&arena->counters;
    for (size_t i = 0; i < sizeof arena->counters / sizeof *words; i++)
        atomic_store_explicit(&words[i], 0, memory_order_relaxed);
}

/* What it has counted goes to the sum of those that were destroyed, and begins again. */
static void
keep_figures(struct xa_private_arena *arena)
{
    struct xa_private_statistics *figures = NULL;
    xa_lock_lock(&registry.lock);
    if (registry.destroyed == NULL)
        registry.destroyed = xa_metadata_take(sizeof *registry.destroyed);
    figures = xa_metadata_take(sizeof *figures);
    if (registry.destroyed != NULL && figures != NULL) {
        xa_private_arena_gather(arena, figures);
        xa_private_arena_add(registry.destroyed, figures);
    }
    xa_lock_unlock(&registry.lock);
    if (figures != NULL)
        xa_metadata_return(figures, sizeof *figures);
    clear_counters(arena);
}

bool
xa_private_arena_destroy(unsigned index) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    if (atomic_load_explicit(&arena->threads, memory_order_relaxed) != 0) {
        leave(arena);
        return false;
    }
    arena->is_open = false;
    drop_objects(arena, 0);
    xa_private_chunk_decay(arena, XA_PRIVATE_DESTROY);
    xa_private_extent_decay(arena, XA_PRIVATE_DESTROY);
    leave(arena);
    if (!xa_private_section_begin())
        return true;
    keep_figures(arena);
    retire(arena, index);
    xa_private_section_end();
    return true;
}

/* ---- Settings ---- */

static bool
decay_one(unsigned index, enum xa_private_how how) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    xa_private_arena_give_back(arena, how);
    leave(arena);
    return true;
}

bool
xa_private_arena_purge(unsigned index)
{
    return decay_one(index, XA_PRIVATE_ALL);
}

bool
xa_private_arena_decay(unsigned index)
{
    return decay_one(index, XA_PRIVATE_DECAYED);
}

void
xa_private_arena_purge_all(void)
{
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++)
        (void)xa_private_arena_purge(index);
}

void
xa_private_arena_decay_all(void)
{
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++)
        (void)xa_private_arena_decay(index);
}

struct extent_hooks_s *
xa_private_arena_hooks(unsigned index)
{
    const struct xa_private_arena *arena = at(index);
    return arena == NULL ? NULL : atomic_load_explicit(&arena->hooks, memory_order_acquire);
}

struct extent_hooks_s *
xa_private_arena_set_hooks(unsigned index, struct extent_hooks_s *hooks)
{
    struct xa_private_arena *arena = at(index);
    if (hooks == NULL)
        hooks = xa_extent_hooks_default();
    if (arena == NULL || hooks->alloc == NULL)
        return NULL;
    return atomic_exchange_explicit(&arena->hooks, hooks, memory_order_acq_rel);
}

bool
xa_private_arena_decay_ms(unsigned index, int64_t *dirty_ms, int64_t *muzzy_ms)
{
    const struct xa_private_arena *arena = at(index);
    if (arena == NULL)
        return false;
    *dirty_ms = atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_DIRTY], memory_order_relaxed);
    *muzzy_ms = atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_MUZZY], memory_order_relaxed);
    return true;
}

static bool
set_decay_ms(unsigned index, enum xa_private_quality quality, int64_t milliseconds)
{
    struct xa_private_arena *arena = milliseconds < -1 ? NULL : at(index);
    if (arena == NULL)
        return false;
    atomic_store_explicit(&arena->decay_ms[quality], milliseconds, memory_order_relaxed);
    return milliseconds == -1 || decay_one(index, XA_PRIVATE_ALL);
}

bool
xa_private_arena_set_dirty_ms(unsigned index, int64_t milliseconds)
{
    return set_decay_ms(index, XA_PRIVATE_DIRTY, milliseconds);
}

bool
xa_private_arena_set_muzzy_ms(unsigned index, int64_t milliseconds)
{
    return set_decay_ms(index, XA_PRIVATE_MUZZY, milliseconds);
}

bool
xa_private_arena_grow_limit(unsigned index, size_t *bytes)
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    *bytes = arena->grow_limit;
    leave(arena);
    return true;
}

bool
xa_private_arena_set_grow_limit(unsigned index, size_t bytes)
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    arena->grow_limit = bytes;
    leave(arena);
    return true;
}

bool
xa_private_arena_name(unsigned index, char *name)
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    memcpy(name, arena->name, sizeof arena->name);
    leave(arena);
    return true;
}

bool
xa_private_arena_set_name(unsigned index, const char *name)
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    size_t length = strnlen(name, sizeof arena->name - 1);
    memcpy(arena->name, name, length);
    memset(arena->name + length, 0, sizeof arena->name - length);
    leave(arena);
    return true;
}

uint64_t
xa_private_arena_epoch(unsigned index)
{
    const struct xa_private_arena *arena = at(index);
    return arena == NULL ? 0 : atomic_load_explicit(&arena->epoch, memory_order_acquire);
}

bool
xa_private_arena_bind(unsigned index)
{
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    if (arena == NULL)
        return false;
    atomic_fetch_add_explicit(&arena->threads, 1, memory_order_relaxed);
    leave(arena);
    return true;
}

void
xa_private_arena_unbind(unsigned index)
{
    struct xa_private_arena *arena = at(index);
    if (arena != NULL)
        atomic_fetch_sub_explicit(&arena->threads, 1, memory_order_relaxed);
}

/* ---- Figures ---- */

bool
xa_private_arena_statistics(unsigned index, struct xa_private_statistics *statistics)
{
    const struct xa_private_arena *arena = at(index);
    if (arena == NULL)
        return false;
    xa_private_arena_gather(arena, statistics);
    return true;
}

void
xa_private_arena_destroyed(struct xa_private_statistics *statistics)
{
    *statistics = (struct xa_private_statistics){0};
    if (!xa_private_section_begin())
        return;
    xa_lock_lock(&registry.lock);
    if (registry.destroyed != NULL)
        *statistics = *registry.destroyed;
    xa_lock_unlock(&registry.lock);
    xa_private_section_end();
}

static size_t
resident_of(const struct xa_private_extent *list)
{
    size_t sum = 0;
    for (const struct xa_private_extent *extent = list; extent != NULL; extent = extent->next)
        sum += xa_os_resident_bytes(extent->address, extent->bytes);
    return sum;
}

size_t
xa_private_arena_resident_bytes(void)
{
    size_t sum = 0;
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++) {
        struct xa_private_arena *arena = xa_private_arena_enter(index);
        if (arena == NULL)
            continue;
        sum += resident_of(arena->whole);
        for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
            sum += resident_of(arena->free[quality]);
        for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
            sum += resident_of(arena->chunks[bucket]);
        leave(arena);
    }
    return sum;
}

/* What will be given back some time, by itself. */
static size_t
dirty_bytes(const struct xa_private_arena *arena)
{
    const struct xa_private_counters *counters = &arena->counters;
    size_t waiting = xa_private_extent_load(&counters->waiting);
    size_t muzzy = xa_private_extent_load(&counters->free_bytes[XA_PRIVATE_MUZZY]);
    if (atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_DIRTY], memory_order_relaxed) < 0)
        return 0;
    if (atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_MUZZY], memory_order_relaxed) >= 0)
        return waiting;
    return waiting > muzzy ? waiting - muzzy : 0;
}

size_t
xa_private_arena_dirty_bytes(void)
{
    size_t sum = 0;
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++) {
        const struct xa_private_arena *arena = at(index);
        if (arena != NULL)
            sum += dirty_bytes(arena);
    }
    return sum;
}

/* ---- fork ---- */

/* A thread that is gone was changing it: begin again, and leave all that it has where it is. */
static void
set_aside(struct xa_private_arena *arena)
{
    arena->life++;
    arena->whole = NULL;
    arena->empty_chunk = NULL;
    for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
        arena->free[quality] = NULL;
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        arena->chunks[bucket] = NULL;
    for (unsigned c = 0; c <= XA_SMALL_CLASSES; c++)
        arena->partial[c] = NULL;
    clear_counters(arena);
}

void
xa_private_arena_reset_in_child(unsigned bound)
{
    if (xa_lock_reset_in_child(&registry.lock))
        registry.unused = NULL;
    xa_private_extent_reset_in_child();
    xa_extent_hooks_reset_in_child();
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++) {
        struct xa_private_arena *arena = at(index);
        if (arena == NULL)
            continue;
        if (xa_lock_reset_in_child(&arena->lock))
            set_aside(arena);
        else
            xa_private_chunk_decay_reset_in_child(arena);
        arena->hooks_running = 0;
        atomic_store_explicit(&arena->threads, index == bound, memory_order_relaxed);
    }
}
