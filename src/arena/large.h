/*
 * large.h - objects of whole granules: too large for a slab, too small for a mapping.
 */
#ifndef XA_ARENA_LARGE_H
#define XA_ARENA_LARGE_H

#include "arena/arena.h"

#define XA_LARGE_MAX_BYTES ((size_t)XA_RUN_MAX_GRANULES * XA_GRANULE_BYTES)

/*
 * Take an object of `bytes`, at most XA_LARGE_MAX_BYTES, at a multiple of
 * `alignment` (a power of two up to half a chunk).  NULL if memory ran out.
 */
XA_MUST_USE void *xa_large_take(
    struct xa_arena *arena, size_t bytes, size_t alignment, bool *is_zeroed);

/* The same for what has grown, and may go on: at a place where it can, as far as there is one. */
XA_MUST_USE void *xa_large_take_growing(struct xa_arena *arena, size_t bytes, bool *is_zeroed);

/* An object whose class is out of the page map keeps its granules, for whoever keeps them. */
void xa_large_retire(uintptr_t address);

/* Free an object whose class the caller has taken from the page map, retired or not. */
void xa_large_return(uintptr_t address);

/* Granules of an object of `bytes`. */
static inline unsigned
xa_large_granules(size_t bytes)
{
    size_t unit = (size_t)xa_page_heap_unit() * XA_GRANULE_BYTES;
    return (unsigned)(xa_bits_align_up(bytes, unit) / XA_GRANULE_BYTES);
}

/*
 * Bytes that a program may use of an object of `bytes` at a multiple of `alignment` that is not a
 * small one: whole granules, or, beyond what a run can be, whole pages.
 */
static inline size_t
xa_large_object_bytes(size_t bytes, size_t alignment)
{
    if (bytes <= XA_LARGE_MAX_BYTES && alignment <= XA_CHUNK_BYTES / 2)
        return (size_t)xa_large_granules(bytes) * XA_GRANULE_BYTES;
    return xa_bits_align_up(bytes, xa_os_facts.page_bytes);
}

/*
 * A retired object, by its record and its first granule, is a live one of `bytes` again; not more
 * than it had.
 */
static inline void *
xa_large_reuse(struct xa_extent *record, uint32_t granule, size_t bytes)
{
    record->kind = XA_EXTENT_LARGE;
    record->as.large.bytes = bytes;
    xa_page_map_set_class(granule, 1, XA_CLASS_LARGE);
    return (void *)xa_page_map_address_of(granule);
}

/* Granules of this object. */
static inline unsigned
xa_large_granules_of(uintptr_t address)
{
    return xa_page_map_record(xa_page_map_granule_of(address))->granules;
}

/* Bytes of the object's granules, and as the program asked. */
size_t xa_large_usable_bytes(uintptr_t address);
size_t xa_large_asked_bytes(uintptr_t address);

/* Change the size where the object stands.  False if that is not possible. */
XA_MUST_USE bool xa_large_resize(uintptr_t address, size_t bytes);

#endif
