/*
 * private_arena_objects.c - objects of private arenas: taking, finding, resizing, giving back.
 *
 * See private_arena.c.
 */
#include "arena/private_arena.h"

#include <string.h>

#include "arena/large.h"
#include "arena/private_arena_parts.h"
#include "arena/private_map.h"
#include "arena/private_run.h"
#include "arena/private_section.h"
#include "os/os.h"

enum {
    LOOKS_PER_DECAY = 16,
    TRIES = 16, /* to find the arena of an extent that changes hands meanwhile */
};

static void
leave(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    xa_private_section_leave(arena);
}

void
xa_private_arena_take_from_whole(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_unlist(&arena->whole, extent);
    xa_private_extent_count(&arena->counters.active, -extent->bytes);
    extent->state = XA_PRIVATE_STATE_BUSY;
}

void
xa_private_arena_put_to_whole(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_list(&arena->whole, extent);
    xa_private_extent_count(&arena->counters.active, extent->bytes);
    extent->state = XA_PRIVATE_STATE_WHOLE;
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
    xa_private_arena_put_to_whole(arena, extent);
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
        ? xa_private_run_take_large(arena, (unsigned)(usable / XA_GRANULE_BYTES), is_zeroed)
        : take_whole(arena, usable, alignment, wants_zeros, is_zeroed);
    if (object != NULL)
        count_large(arena, usable);
    return object;
}

void *
xa_private_arena_take(
    unsigned index, size_t bytes, size_t alignment, bool wants_zeros) XA_NO_ANALYSIS
{
    struct xa_private_arena *arena = bytes > PTRDIFF_MAX ? NULL : xa_private_arena_enter(index);
    if (arena == NULL)
        return NULL;
    unsigned size_class = xa_size_class_of_aligned(bytes, alignment);
    bool is_zeroed = false;
    void *object = size_class != XA_CLASS_NONE
        ? xa_private_run_take_small(arena, size_class)
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
    struct xa_private_arena *arena = xa_private_arena_enter(index);
    unsigned taken = 0;
    if (arena == NULL)
        return 0;
    while (taken < count && (objects[taken] = xa_private_run_take_small(arena, size_class)) != NULL)
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
        if (!xa_private_section_enter(arena))
            return NULL;
        /* Under the arena's lock its extents stay its extents. */
        if (xa_private_map_find(address) == *extent &&
            atomic_load_explicit(&(*extent)->arena, memory_order_relaxed) == arena)
            return arena;
        xa_private_section_leave(arena);
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
    case XA_PRIVATE_STATE_CHUNK: return xa_private_run_look(object->extent, address, &object->run);
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

bool
xa_private_arena_describe(const void *pointer, struct xa_private_object *description)
{
    struct object object;
    if (look(pointer, &object) == XA_PRIVATE_FOREIGN)
        return false;
    bool is_whole = object.extent->state == XA_PRIVATE_STATE_WHOLE;
    bool is_known = is_whole || object.run != NULL;
    *description = (struct xa_private_object){.start = object.extent->address};
    if (object.run != NULL)
        description->start =
            xa_private_run_object(object.run, (uintptr_t)pointer, &description->is_free);
    if (is_known)
        description->bytes = usable_bytes(&object);
    leave(object.arena);
    return is_known;
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
        xa_private_arena_give_back(arena, XA_PRIVATE_DECAYED);
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
        xa_private_run_return(arena, object->run, address);
    } else {
        xa_private_arena_take_from_whole(arena, object->extent);
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
    xa_private_arena_take_from_whole(arena, extent);
    if (!fits)
        fits = xa_private_extent_grow(arena, extent, wanted);
    else if (extent->bytes - wanted >= XA_PRIVATE_EXTENT_MIN_BYTES)
        (void)!xa_private_extent_shrink(arena, extent, wanted);
    if (fits) {
        xa_private_extent_count(&arena->counters.large, usable - extent->usable);
        extent->usable = usable;
    }
    xa_private_arena_put_to_whole(arena, extent);
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
