/*
 * slab.h - one slab: which of its slots are free.
 *
 * A bit for each slot, a one where it is free.  Slots go out lowest first, so
 * pages at a slab's end that were never needed are never touched.
 *
 * Locking: the caller holds the lock of the slab's bin, but for the making.
 */
#ifndef XA_ARENA_SLAB_H
#define XA_ARENA_SLAB_H

#include "extent/page_map.h"

/* What is at an address that a program calls an object of a small class. */
enum xa_slab_verdict {
    XA_SLAB_TAKEN,  /* an object that is out: live, or in a cache */
    XA_SLAB_FREE,   /* a free slot */
    XA_SLAB_INSIDE, /* not the beginning of a slot */
};

/*
 * [c] From this class on, so many: the page map says CHECKED of their slabs, so that each call
 * goes to src/check.
 */
extern struct xa_slab_checked {
    unsigned first;
    unsigned count; /* 0: none */
} xa_slab_checked;

/*
 * Make the granules from `granule` on a slab of the class, all slots free, and
 * publish its class.  False if memory for its map ran out.
 */
XA_MUST_USE bool xa_slab_init(
    uint32_t granule, unsigned size_class, uint16_t arena, uint8_t generation);

/* The slab is empty and nobody's: take its class out of the page map. */
void xa_slab_finish(uint32_t granule);

/* Granules of the slab that have been written at some time. */
unsigned xa_slab_touched_granules(uint32_t granule);

/* Take up to `count` free slots, lowest first, into `objects`; how many there were. */
unsigned xa_slab_take(uint32_t granule, void **objects, unsigned count);

/*
 * Memory within a slab is given back in parts: pages, or more of them where a slab has more
 * than eight pages.
 */
size_t xa_slab_part_bytes(const struct xa_extent *record);

/*
 * The parts that have been written and hold no object now, a one for each; those that have
 * no memory already are left out.
 */
unsigned xa_slab_unused_parts(uint32_t granule);

/* The parts have no memory any more. */
void xa_slab_note_purged(uint32_t granule, unsigned parts);

/* [a] What slabs have in parts without memory.  Near enough if others are at it. */
extern XA_HIDDEN _Atomic size_t xa_slab_purged_bytes;

/* What is at an address of a small class. */
enum xa_slab_verdict xa_slab_look(uintptr_t address);

/* A slab at hand, for freeing several of its objects one after another. */
struct xa_slab_view {
    uint32_t granule; /* XA_GRANULE_NONE: none at hand */
    struct xa_extent *record;
    const struct xa_size_class *class;
    uintptr_t start;
    size_t bytes;
    uint64_t *words;
};

/* Take the slab of an object at hand. */
void xa_slab_view(struct xa_slab_view *view, uintptr_t address);

/* True if the address is in the slab at hand. */
static inline bool
xa_slab_view_has(const struct xa_slab_view *view, uintptr_t address)
{
    return address - view->start < view->bytes;
}

/*
 * Free the slots of the objects, from the front on, as far as these lie in the slab at hand
 * and are taken; how many were.  `*verdict` is what is at the first that was not freed, or
 * TAKEN if that lies elsewhere or all were.
 */
unsigned xa_slab_return(const struct xa_slab_view *view, void *const *objects, unsigned count,
    enum xa_slab_verdict *verdict);

/* The granule where the slab of any address in it begins. */
static inline uint32_t
xa_slab_of(uintptr_t address)
{
    return (uint32_t)xa_page_map_head(xa_page_map_granule_of(address));
}

#endif
