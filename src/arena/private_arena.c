/*
 * private_arena.c - see private_arena.h.
 *
 *   small object     a slot of a slab           private_chunk.c
 *   up to 1 MiB      a run of granules          private_chunk.c
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

#include "arena/large.h"
#include "arena/private_chunk.h"
#include "arena/private_figures.h"
#include "arena/private_map.h"
#include "base/assert.h"
#include "config/options.h"
#include "extent/metadata.h"
#include "os/os.h"

#include <string.h>

enum {
    NUMBERS = XA_PRIVATE_ARENA_LAST + 1 - XA_PRIVATE_ARENA_FIRST,
    LOOKS_PER_DECAY = 16,
    TRIES = 16, /* to find the arena of an extent that changes hands meanwhile */
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
xa_private_arena_set_thread(struct xa_private_arena_thread thread)
{
    xa_private_extent_set_thread(thread);
}

static struct xa_private_arena *
at(unsigned index)
{
    if (index < XA_PRIVATE_ARENA_FIRST || index > XA_PRIVATE_ARENA_LAST)
        return NULL;
    return atomic_load_explicit(
        &xa_private_arena_table[index - XA_PRIVATE_ARENA_FIRST], memory_order_acquire);
}

/* The arena of this number, entered; NULL if there is none, or in a signal handler's way. */
static struct xa_private_arena *
enter(unsigned index) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = at(index);
    if (arena == NULL || !xa_private_extent_enter(arena))
        return NULL;
    if (arena->is_open && atomic_load_explicit(&arena->index, memory_order_relaxed) == index)
        return arena;
    xa_private_extent_leave(arena);
    return NULL;
}

static void
leave(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    xa_private_extent_leave(arena);
}

/* ---- Making and dropping ---- */

static void
begin_life(struct xa_private_arena *arena, unsigned index, struct extent_hooks_s *hooks)
{
    xa_lock_init(&arena->lock, XA_LOCK_RANK_PRIVATE_ARENA);
    atomic_store_explicit(&arena->index, index, memory_order_relaxed);
    atomic_store_explicit(&arena->epoch, ++registry.epoch, memory_order_relaxed);
    atomic_store_explicit(&arena->hooks, hooks, memory_order_release);
    atomic_store_explicit(
        &arena->decay_ms[XA_PRIVATE_DIRTY], xa_options.dirty_decay_ms, memory_order_relaxed);
    atomic_store_explicit(
        &arena->decay_ms[XA_PRIVATE_MUZZY], xa_options.muzzy_decay_ms, memory_order_relaxed);
    arena->created_ms = arena->looked_ms = xa_os_now_ms();
    arena->life++;
    arena->grow_bytes = XA_PRIVATE_EXTENT_MIN_BYTES;
    arena->grow_limit = SIZE_MAX;
    arena->name[0] = '\0';
    arena->is_open = true;
}

/* Under the registry's lock. */
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
    if (hooks->alloc == NULL || !xa_private_extent_begin())
        return XA_PRIVATE_ARENA_NONE;
    xa_lock_lock(&registry.lock);
    unsigned index = make(hooks);
    xa_lock_unlock(&registry.lock);
    xa_private_extent_end();
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

/* Let the threads that are in hooks for it come back.  Unlocks. */
static void
wait_for_hooks(struct xa_private_arena *arena) XA_REQUIRES(arena->lock)
{
    while (arena->hooks_running != 0) {
        xa_lock_unlock(&arena->lock);
        xa_os_yield();
        xa_lock_lock(&arena->lock);
    }
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

/* An extent that was an object is busy. */
static void
take_from_whole(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_unlist(&arena->whole, extent);
    xa_private_extent_count(&arena->counters.active, -extent->bytes);
    extent->state = XA_PRIVATE_STATE_BUSY;
}

static void
put_to_whole(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_list(&arena->whole, extent);
    xa_private_extent_count(&arena->counters.active, extent->bytes);
    extent->state = XA_PRIVATE_STATE_WHOLE;
}

/* Drop all objects, and make all caches forget them.  Unlocks. */
static void
drop_objects(struct xa_private_arena *arena, uint64_t epoch) XA_REQUIRES(arena->lock)
{
    atomic_store_explicit(&arena->epoch, epoch, memory_order_release);
    wait_for_hooks(arena);
    while (arena->whole != NULL) {
        struct xa_private_extent *extent = arena->whole;
        take_from_whole(arena, extent);
        xa_private_extent_give(arena, extent, XA_PRIVATE_DIRTY);
    }
    xa_private_chunk_drop_all(arena);
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

/* Give back what is due, or all.  Unlocks. */
static void
decay(struct xa_private_arena *arena, enum xa_private_how how) XA_REQUIRES(arena->lock)
{
    arena->looked_ms = xa_os_now_ms();
    xa_private_chunk_decay(arena, how);
    xa_private_extent_decay(arena, how);
}

bool
xa_private_arena_reset(unsigned index) XA_NO_ANALYSIS
{
    uint64_t epoch = next_epoch();
    struct xa_private_arena *arena = enter(index);
    if (arena == NULL)
        return false;
    drop_objects(arena, epoch);
    decay(arena, XA_PRIVATE_DECAYED);
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
        xa_private_figures_gather(arena, figures);
        xa_private_figures_add(registry.destroyed, figures);
    }
    xa_lock_unlock(&registry.lock);
    if (figures != NULL)
        xa_metadata_return(figures, sizeof *figures);
    arena->counters = (struct xa_private_counters){0};
}

bool
xa_private_arena_destroy(unsigned index) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = enter(index);
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
    if (!xa_private_extent_begin())
        return true;
    keep_figures(arena);
    retire(arena, index);
    xa_private_extent_end();
    return true;
}

/* ---- Settings ---- */

static bool
decay_one(unsigned index, enum xa_private_how how) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = enter(index);
    if (arena == NULL)
        return false;
    decay(arena, how);
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
    struct xa_private_arena *arena = enter(index);
    if (arena == NULL)
        return false;
    *bytes = arena->grow_limit;
    leave(arena);
    return true;
}

bool
xa_private_arena_set_grow_limit(unsigned index, size_t bytes)
{
    struct xa_private_arena *arena = enter(index);
    if (arena == NULL)
        return false;
    arena->grow_limit = bytes;
    leave(arena);
    return true;
}

bool
xa_private_arena_name(unsigned index, char *name)
{
    struct xa_private_arena *arena = enter(index);
    if (arena == NULL)
        return false;
    memcpy(name, arena->name, sizeof arena->name);
    leave(arena);
    return true;
}

bool
xa_private_arena_set_name(unsigned index, const char *name)
{
    struct xa_private_arena *arena = enter(index);
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
    struct xa_private_arena *arena = enter(index);
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

/* ---- Taking ---- */

/* Bytes of an extent for an object of its own. */
static size_t
whole_bytes(size_t usable)
{
    size_t bytes = xa_bits_align_up(usable, xa_private_extent_unit());
    return bytes > XA_PRIVATE_EXTENT_MIN_BYTES ? bytes : XA_PRIVATE_EXTENT_MIN_BYTES;
}

static void
count_large(struct xa_private_arena *arena, size_t usable)
{
    xa_private_extent_count(&arena->counters.large, usable);
    xa_private_extent_count(&arena->counters.large_objects, 1);
    xa_private_extent_count_events(&arena->counters.large_allocations, 1);
}

static void
uncount_large(struct xa_private_arena *arena, size_t usable)
{
    xa_private_extent_count(&arena->counters.large, -usable);
    xa_private_extent_count(&arena->counters.large_objects, (size_t)-1);
    xa_private_extent_count_events(&arena->counters.large_frees, 1);
}

/* Unlocks. */
static void *
take_whole(struct xa_private_arena *arena, size_t usable, size_t alignment, bool wants_zeros,
    bool *is_zeroed) XA_REQUIRES(arena->lock)
{
    size_t bytes = whole_bytes(usable);
    struct xa_private_extent *extent =
        xa_private_extent_take(arena, bytes, bytes, alignment, wants_zeros);
    if (extent == NULL)
        return NULL;
    extent->usable = usable;
    *is_zeroed = extent->is_zeroed;
    put_to_whole(arena, extent);
    return (void *)extent->address;
}

/* Unlocks. */
static void *
take_large(struct xa_private_arena *arena, size_t bytes, size_t alignment, bool wants_zeros,
    bool *is_zeroed) XA_REQUIRES(arena->lock)
{
    size_t usable = xa_large_object_bytes(bytes, alignment);
    bool is_run = usable <= (size_t)XA_PRIVATE_RUN_MAX_GRANULES * XA_GRANULE_BYTES &&
        alignment <= xa_private_extent_unit();
    void *object = is_run
        ? xa_private_chunk_take_large(arena, (unsigned)(usable / XA_GRANULE_BYTES), is_zeroed)
        : take_whole(arena, usable, alignment, wants_zeros, is_zeroed);
    if (object != NULL)
        count_large(arena, usable);
    return object;
}

void *
xa_private_arena_take(
    unsigned index, size_t bytes, size_t alignment, bool wants_zeros) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = bytes > PTRDIFF_MAX ? NULL : enter(index);
    if (arena == NULL)
        return NULL;
    unsigned size_class = xa_size_class_of_aligned(bytes, alignment);
    bool is_zeroed = false;
    void *object = size_class != XA_CLASS_NONE
        ? xa_private_chunk_take_small(arena, size_class)
        : take_large(arena, bytes, alignment, wants_zeros, &is_zeroed);
    leave(arena);
    if (wants_zeros && !is_zeroed && object != NULL)
        memset(object, 0, bytes);
    return object;
}

unsigned
xa_private_arena_take_some(
    unsigned index, unsigned size_class, void **objects, unsigned count) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = enter(index);
    unsigned taken = 0;
    if (arena == NULL)
        return 0;
    while (
        taken < count && (objects[taken] = xa_private_chunk_take_small(arena, size_class)) != NULL)
        taken++;
    leave(arena);
    return taken;
}

/* ---- From a pointer to its object ---- */

/* What a live pointer is. */
struct object {
    struct xa_private_arena *arena;
    struct xa_private_extent *extent;
    struct xa_private_run *run; /* NULL: an extent of its own */
    bool is_lost;               /* of a life before a fork: nothing but its memory is left */
};

/* The arena of the extent at the address, entered; NULL if there is none. */
static struct xa_private_arena *
enter_owner(uintptr_t address, struct xa_private_extent **extent) XA_NO_ANALYSIS
{
    for (unsigned i = 0; i < TRIES; i++) {
        *extent = xa_private_map_find(address);
        if (*extent == NULL)
            return NULL;
        struct xa_private_arena *arena =
            atomic_load_explicit(&(*extent)->arena, memory_order_relaxed);
        if (!xa_private_extent_enter(arena))
            return NULL;
        /* Under the arena's lock its extents stay its extents. */
        if (xa_private_map_find(address) == *extent &&
            atomic_load_explicit(&(*extent)->arena, memory_order_relaxed) == arena)
            return arena;
        xa_private_extent_leave(arena);
    }
    return NULL;
}

/* What the pointer is; its arena is entered unless it is FOREIGN. */
static enum xa_private_verdict
look(const void *pointer, struct object *object)
{
    uintptr_t address = (uintptr_t)pointer;
    *object = (struct object){NULL, NULL, NULL, false};
    object->arena = enter_owner(address, &object->extent);
    if (object->arena == NULL)
        return XA_PRIVATE_FOREIGN;
    object->is_lost = object->extent->life != object->arena->life;
    switch (object->extent->state) {
    case XA_PRIVATE_STATE_WHOLE:
        return address == object->extent->address ? XA_PRIVATE_LIVE : XA_PRIVATE_INSIDE;
    case XA_PRIVATE_STATE_CHUNK:
        return xa_private_chunk_look(object->extent, address, &object->run);
    default: return XA_PRIVATE_FREE;
    }
}

static size_t
usable_bytes(const struct object *object)
{
    if (object->run == NULL)
        return object->extent->usable;
    if (object->run->kind == XA_EXTENT_LARGE)
        return (size_t)object->run->granules * XA_GRANULE_BYTES;
    return xa_size_class_table[object->run->size_class].object_bytes;
}

enum xa_private_verdict
xa_private_arena_look(const void *pointer, size_t *bytes)
{
    struct object object;
    enum xa_private_verdict verdict = look(pointer, &object);
    if (verdict == XA_PRIVATE_LIVE)
        *bytes = usable_bytes(&object);
    if (verdict != XA_PRIVATE_FOREIGN)
        leave(object.arena);
    return verdict;
}

unsigned
xa_private_arena_lookup(const void *pointer)
{
    struct object object;
    unsigned index = XA_PRIVATE_ARENA_NONE;
    enum xa_private_verdict verdict = look(pointer, &object);
    if (verdict == XA_PRIVATE_FOREIGN)
        return index;
    if (verdict != XA_PRIVATE_FREE)
        index = atomic_load_explicit(&object.arena->index, memory_order_relaxed);
    leave(object.arena);
    return index;
}

/* ---- Giving back ---- */

/* Something was freed: now and then, give back what is due.  Unlocks. */
static void
tick(struct xa_private_arena *arena) XA_REQUIRES(arena->lock)
{
    int64_t decay_ms =
        atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_DIRTY], memory_order_relaxed);
    /* Not from within a hook, which would be called again and again. */
    if (decay_ms < 0 || arena->hooks_running != 0)
        return;
    if (xa_os_now_ms() - arena->looked_ms >= (uint64_t)decay_ms / LOOKS_PER_DECAY)
        decay(arena, XA_PRIVATE_DECAYED);
}

/* Unlocks. */
static void
return_object(const struct object *object, uintptr_t address) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = object->arena;
    size_t before = xa_private_extent_load(&arena->counters.waiting);
    if (object->run == NULL || object->run->kind == XA_EXTENT_LARGE)
        uncount_large(arena, usable_bytes(object));
    if (object->run != NULL) {
        xa_private_chunk_return(arena, object->run, address);
    } else {
        take_from_whole(arena, object->extent);
        xa_private_extent_give(arena, object->extent, XA_PRIVATE_DIRTY);
    }
    if (xa_private_extent_load(&arena->counters.waiting) > before)
        tick(arena);
}

enum xa_private_verdict
xa_private_arena_return(void *pointer)
{
    struct object object;
    enum xa_private_verdict verdict = look(pointer, &object);
    if (verdict == XA_PRIVATE_FOREIGN)
        return verdict;
    if (verdict == XA_PRIVATE_LIVE && !object.is_lost)
        return_object(&object, (uintptr_t)pointer);
    leave(object.arena);
    return verdict;
}

/* ---- Resizing ---- */

/* One try; false if nothing has changed.  Unlocks. */
static bool
resize_whole(struct xa_private_arena *arena, struct xa_private_extent *extent, size_t bytes)
    XA_REQUIRES(arena->lock)
{
    size_t usable = xa_large_object_bytes(bytes, 1), wanted = whole_bytes(usable);
    bool fits = wanted <= extent->bytes;
    take_from_whole(arena, extent);
    if (!fits)
        fits = xa_private_extent_grow(arena, extent, wanted);
    else if (extent->bytes - wanted >= XA_PRIVATE_EXTENT_MIN_BYTES)
        (void)!xa_private_extent_shrink(arena, extent, wanted);
    if (fits) {
        xa_private_extent_count(&arena->counters.large, usable - extent->usable);
        extent->usable = usable;
    }
    put_to_whole(arena, extent);
    return fits;
}

static bool
resize_run(struct xa_private_arena *arena, struct xa_private_run *run, size_t bytes)
    XA_REQUIRES(arena->lock)
{
    size_t before = (size_t)run->granules * XA_GRANULE_BYTES;
    size_t usable = xa_large_object_bytes(bytes, 1);
    if (usable > (size_t)XA_PRIVATE_RUN_MAX_GRANULES * XA_GRANULE_BYTES ||
        !xa_private_chunk_resize(arena, run, (unsigned)(usable / XA_GRANULE_BYTES)))
        return false;
    xa_private_extent_count(&arena->counters.large, usable - before);
    return true;
}

static bool
resize(struct object *object, size_t bytes) XA_NO_ANALYSIS
{
    return object->run == NULL ? resize_whole(object->arena, object->extent, bytes)
                               : resize_run(object->arena, object->run, bytes);
}

size_t
xa_private_arena_resize(void *pointer, size_t least, size_t most)
{
    struct object object;
    enum xa_private_verdict verdict = look(pointer, &object);
    if (verdict == XA_PRIVATE_FOREIGN)
        return 0;
    size_t bytes = verdict == XA_PRIVATE_LIVE ? usable_bytes(&object) : 0;
    bool is_small = object.run != NULL && object.run->kind == XA_EXTENT_SLAB;
    /* A large object stays one. */
    if (bytes != 0 && !is_small && !object.is_lost && most > XA_SMALL_MAX_BYTES &&
        most <= PTRDIFF_MAX) {
        if (!resize(&object, most) && bytes < least && least < most)
            (void)!resize(&object, least);
        bytes = usable_bytes(&object);
    }
    leave(object.arena);
    return bytes;
}

/* ---- Figures ---- */

bool
xa_private_arena_statistics(unsigned index, struct xa_private_statistics *statistics)
{
    const struct xa_private_arena *arena = at(index);
    if (arena == NULL)
        return false;
    xa_private_figures_gather(arena, statistics);
    return true;
}

void
xa_private_arena_destroyed(struct xa_private_statistics *statistics)
{
    *statistics = (struct xa_private_statistics){0};
    if (!xa_private_extent_begin())
        return;
    xa_lock_lock(&registry.lock);
    if (registry.destroyed != NULL)
        *statistics = *registry.destroyed;
    xa_lock_unlock(&registry.lock);
    xa_private_extent_end();
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
    arena->counters = (struct xa_private_counters){0};
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
        arena->hooks_running = 0;
        atomic_store_explicit(&arena->threads, index == bound, memory_order_relaxed);
    }
}
