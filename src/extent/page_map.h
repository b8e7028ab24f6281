/*
 * page_map.h - address → size class, and → the records of what is there.
 *
 * All of the heap lies in one window of address space that starts at a random
 * base.  Nothing of the window is reserved: memory is mapped in it piece by piece.
 * A table with one byte a granule says the size class of each; it is mapped step
 * by step as the window fills, so the first 4 GiB cost 256 KiB of address space
 * and one page of memory.
 *
 *   class of an address = classes[(address - base) >> 14], if that is below `limit`
 *
 * The one range test also turns away NULL and everything that is not ours, so any
 * address may be asked.  Tail granules of large runs and free granules read 0.
 *
 * Reading takes no lock.  `base` is constant once the window is there; `limit` only grows.  A reader holds a pointer that some thread got from
 * malloc after the growth, and whatever brought the pointer to it brought the
 * growth as well, so relaxed loads are enough; the same holds for the class byte
 * of a live object.  For a pointer that was never ours any answer is handled.
 */
#ifndef XA_EXTENT_PAGE_MAP_H
#define XA_EXTENT_PAGE_MAP_H

#include <stdatomic.h>

#include "extent/extent.h"

enum {
    XA_PAGE_MAP_STEP_SLOTS = 1024, /* the table grows for this many chunk slots: 4 GiB */
    /* 1 TiB; or all that 32 bits address, beyond which two slots would have one address. */
    XA_PAGE_MAP_STEPS = sizeof(uintptr_t) > 4 ? 256 : 1,
    XA_PAGE_MAP_SLOTS = XA_PAGE_MAP_STEPS * XA_PAGE_MAP_STEP_SLOTS,
};

/* What there is for each slot of a step. */
struct xa_page_map_step {
    uint64_t taken[XA_PAGE_MAP_STEP_SLOTS / 64]; /* [w] a one for each slot in use; page/window.c */
    _Atomic(struct xa_region *) regions[XA_PAGE_MAP_STEP_SLOTS]; /* [a] what stands there */
};

/* Two variables, not two fields: a processor addresses each of them directly. */
extern XA_HIDDEN uintptr_t xa_page_map_start; /* [c] of the window, a multiple of the chunk size */
extern XA_HIDDEN _Atomic size_t
    xa_page_map_limit; /* [a] granules that the table covers; 0 at first */

struct xa_page_map {
    /* [a] NULL: not covered.  Backwards: step 0, next to what it leads to in small programs. */
    struct xa_page_map_step *_Atomic steps_from_last[XA_PAGE_MAP_STEPS];
    struct xa_page_map_step first; /* here, since small programs need no other */
};

extern XA_HIDDEN struct xa_page_map xa_page_map;

static inline struct xa_page_map_step *_Atomic *
xa_page_map_step_place(size_t number)
{
    return &xa_page_map.steps_from_last[XA_PAGE_MAP_STEPS - 1 - number];
}

/*
 * The table begins so far in front of the window, and the rest of that is free for it to
 * grow and then unmapped: one address leads to both.  A multiple of the chunk size, as the
 * window's start is.
 */
#define XA_PAGE_MAP_TABLE_BYTES ((uintptr_t)XA_PAGE_MAP_SLOTS * XA_CHUNK_GRANULES)
#define XA_PAGE_MAP_FRONT_BYTES \
    (2 * XA_PAGE_MAP_TABLE_BYTES > XA_CHUNK_BYTES ? 2 * XA_PAGE_MAP_TABLE_BYTES : XA_CHUNK_BYTES)

/* Put the window at `base`; covers nothing yet.  Called once. */
void xa_page_map_init(uintptr_t base);

/* Bytes of table that cover one step; and where the step's part of it begins. */
size_t xa_page_map_step_bytes(void);

/*
 * Cover one step more.  False if memory ran out or the table cannot grow in place.
 * Called under the window's lock.
 */
XA_MUST_USE bool xa_page_map_grow(void);

/*
 * The base.  A plain load: it is written once, before `limit`, and whoever reads it
 * earlier finds the limit 0.  Compilers fold no atomic load into the instruction that
 * needs it.
 */
static inline uintptr_t
xa_page_map_base(void)
{
    if (XA_THREAD_SANITIZER)
        return __atomic_load_n(&xa_page_map_start, __ATOMIC_RELAXED);
    return xa_page_map_start;
}

/* The table: a byte a granule. */
static inline _Atomic uint8_t *
xa_page_map_classes(void)
{
    return (_Atomic uint8_t *)(xa_page_map_base() - XA_PAGE_MAP_FRONT_BYTES);
}

/* True if the table does not cover the granule.  A relaxed load; see above for the folding. */
static inline bool
xa_page_map_is_beyond(size_t granule)
{
#if defined(__x86_64__)
    if (!XA_THREAD_SANITIZER) {
        bool is_beyond;
        __asm__("cmp %2, %1" : "=@ccae"(is_beyond) : "r"(granule), "m"(xa_page_map_limit));
        return is_beyond;
    }
#endif
    return granule >= atomic_load_explicit(&xa_page_map_limit, memory_order_relaxed);
}

static inline size_t
xa_page_map_granule_of(uintptr_t address)
{
    return (address - xa_page_map_base()) >> XA_GRANULE_SHIFT;
}

static inline uintptr_t
xa_page_map_address_of(size_t granule)
{
    return xa_page_map_base() + (granule << XA_GRANULE_SHIFT);
}

/* The code of the size class at any address; XA_CLASS_NONE where nothing of ours begins. */
static inline unsigned
xa_page_map_class(uintptr_t address)
{
    size_t granule = xa_page_map_granule_of(address);
    if (xa_page_map_is_beyond(granule))
        return XA_CLASS_NONE;
    return atomic_load_explicit(&xa_page_map_classes()[granule], memory_order_relaxed);
}

/* Say what `count` granules from `granule` on hold.  They are covered. */
static inline void
xa_page_map_set_class(size_t granule, size_t count, unsigned code)
{
    /* Release: a sweep that finds a slab's class finds its record. */
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(
            &xa_page_map_classes()[granule + i], (uint8_t)code, memory_order_release);
}

/*
 * Take the class away, so that only one of several threads that free the same
 * large object gets it.  Acquire-release, so that the owner's last writes to the
 * object come before its reuse even if the program raced.
 */
static inline unsigned
xa_page_map_take_class(size_t granule)
{
    return atomic_exchange_explicit(
        &xa_page_map_classes()[granule], XA_CLASS_NONE, memory_order_acq_rel);
}

/* The step that a slot of the window belongs to; NULL if it is not covered. */
static inline struct xa_page_map_step *
xa_page_map_step_of(size_t slot)
{
    return atomic_load_explicit(
        xa_page_map_step_place(slot / XA_PAGE_MAP_STEP_SLOTS), memory_order_acquire);
}

/* What stands in chunk slot `slot`, or NULL.  Any number may be asked. */
struct xa_region *xa_page_map_region(size_t slot);

/* Publish what stands in a covered slot; NULL takes it away. */
void xa_page_map_set_region(size_t slot, struct xa_region *region);

/* The chunk that a granule in use lies in; the caller knows that it is one. */
static inline struct xa_chunk *
xa_page_map_chunk_of(size_t granule)
{
    size_t slot = granule / XA_CHUNK_GRANULES;
    struct xa_page_map_step *step = xa_page_map_step_of(slot);
    return (struct xa_chunk *)(void *)atomic_load_explicit(
        &step->regions[slot % XA_PAGE_MAP_STEP_SLOTS], memory_order_acquire);
}

/* The record of a granule in use. */
static inline struct xa_extent *
xa_page_map_record(size_t granule)
{
    return &xa_page_map_chunk_of(granule)->records[granule % XA_CHUNK_GRANULES];
}

/* The granule where the run of a granule in use begins. */
static inline size_t
xa_page_map_head(size_t granule)
{
    const struct xa_extent *record = xa_page_map_record(granule);
    return record->kind == XA_EXTENT_TAIL ? granule - record->granules : granule;
}

#endif
