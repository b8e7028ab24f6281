/*
 * large.c - see large.h.
 *
 * The record of the first granule describes the object; the page map says LARGE
 * there and nothing for the rest.  The record belongs to whoever owns the object.
 */
#include "arena/large.h"

#include "base/assert.h"
#include "page/page_purge.h"

static void
count(struct xa_page_heap *heap, size_t objects, size_t allocations)
{
    /* Outside the heap's lock: a figure for people, ordered with nothing. */
    atomic_fetch_add_explicit(&heap->counters.large_objects, objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->counters.large_allocations, allocations, memory_order_relaxed);
}

/* The granules become an object; NULL if there are none. */
static void *
publish(struct xa_arena *arena, uint32_t granule, size_t bytes)
{
    if (granule == XA_GRANULE_NONE)
        return NULL;
    *xa_page_map_record(granule) = (struct xa_extent){
        .kind = XA_EXTENT_LARGE,
        .arena = arena->index,
        .granules = xa_large_granules(bytes),
        .as.large.bytes = bytes,
    };
    xa_page_map_set_class(granule, 1, XA_CLASS_LARGE);
    count(&arena->heap, 1, 1);
    return (void *)xa_page_map_address_of(granule);
}

void *
xa_large_take(struct xa_arena *arena, size_t bytes, size_t alignment, bool *is_zeroed)
{
    unsigned step = alignment <= XA_GRANULE_BYTES ? 1 : (unsigned)(alignment / XA_GRANULE_BYTES);
    uint32_t granule = xa_page_heap_take(
        &arena->heap, XA_RUN_FOR_LARGE, xa_large_granules(bytes), step, is_zeroed);
    return publish(arena, granule, bytes);
}

void *
xa_large_take_growing(struct xa_arena *arena, size_t bytes, bool *is_zeroed)
{
    uint32_t granule = xa_page_heap_take_with_room(
        &arena->heap, XA_RUN_FOR_LARGE, xa_large_granules(bytes), is_zeroed);
    return publish(arena, granule, bytes);
}

void
xa_large_retire(uintptr_t address)
{
    xa_page_map_record(xa_page_map_granule_of(address))->kind = XA_EXTENT_RETIRED;
}

void
xa_large_return(uintptr_t address)
{
    uint32_t granule = (uint32_t)xa_page_map_granule_of(address);
    struct xa_extent *record = xa_page_map_record(granule);
    struct xa_page_heap *heap = &xa_arena_at(record->arena)->heap;
    unsigned granules = record->granules;
    record->kind = XA_EXTENT_NONE;
    count(heap, (size_t)-1, 0);
    xa_page_heap_return(heap, XA_RUN_FOR_LARGE, granule, granules, granules);
    xa_page_purge_tick(heap);
}

size_t
xa_large_usable_bytes(uintptr_t address)
{
    return (size_t)xa_page_map_record(xa_page_map_granule_of(address))->granules * XA_GRANULE_BYTES;
}

size_t
xa_large_asked_bytes(uintptr_t address)
{
    return xa_page_map_record(xa_page_map_granule_of(address))->as.large.bytes;
}

bool
xa_large_resize(uintptr_t address, size_t bytes)
{
    uint32_t granule = (uint32_t)xa_page_map_granule_of(address);
    struct xa_extent *record = xa_page_map_record(granule);
    struct xa_page_heap *heap = &xa_arena_at(record->arena)->heap;
    unsigned granules = record->granules, wanted = xa_large_granules(bytes);
    if (wanted > XA_RUN_MAX_GRANULES)
        return false;
    if (wanted > granules && !xa_page_heap_extend(heap, granule, granules, wanted))
        return false;
    record->granules = wanted;
    record->as.large.bytes = bytes;
    if (wanted < granules)
        xa_page_heap_return(
            heap, XA_RUN_FOR_LARGE, granule + wanted, granules - wanted, granules - wanted);
    return true;
}
