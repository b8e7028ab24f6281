/*
 * extent.h - the records of page ranges.
 *
 * The heap is cut into granules of 16 KiB, 256 of them in a chunk of 4 MiB.  Each
 * granule has a record of 64 bytes, in memory far from the granule itself.  A run
 * of granules that is in use is described by the record of its first granule, its
 * head; the records of the others only point back to it.  Granules that are free
 * have no meaning in their records: the chunk's bitmaps know them.
 *
 *   slab    objects of one size class; a bit for each free slot
 *   large   one object of whole granules
 *   tail    not a head; says where the head is
 *
 * A huge object (larger than XA_RUN_MAX_GRANULES) has a mapping and a record of
 * its own, struct xa_huge.
 *
 * Who may change a record: a slab's, the holder of its bin's lock; a large one's,
 * the thread that owns the object.  `kind`, `size_class`, `arena` and `granules`
 * stay as they are while the run is in use.
 */
#ifndef XA_EXTENT_EXTENT_H
#define XA_EXTENT_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitmap.h"
#include "config/size_class.h"

enum {
    XA_CHUNK_SHIFT = 22,
    XA_CHUNK_BYTES = 1 << XA_CHUNK_SHIFT,
    XA_CHUNK_GRANULES = XA_CHUNK_BYTES / XA_GRANULE_BYTES,
    XA_RUN_MAX_GRANULES = XA_CHUNK_GRANULES / 2,
    XA_SLAB_INLINE_WORDS = 4,
    XA_GRANULE_NONE = 0, /* the window never gives its first slot out */
};

enum xa_extent_kind {
    XA_EXTENT_NONE,
    XA_EXTENT_SLAB,
    XA_EXTENT_LARGE,
    XA_EXTENT_RETIRED, /* large, freed, and kept by a thread */
    XA_EXTENT_TAIL,
};

struct xa_slab {
    uint32_t next; /* [b] granule of the next slab on the bin's list, or XA_GRANULE_NONE */
    uint32_t previous;
    uint16_t free_slots; /* [b] */
    uint16_t used_slots; /* [b] slots below this one have been given out some time */
    uint8_t list;        /* [b] which list of the bin, by how full it is */
    uint8_t generation;  /* [c] of the bin that made it */
    uint8_t rests;       /* [b] sweeps that found it unchanged since a slot was taken */
    uint8_t purged;      /* [b] a one for each part without memory, all its slots being free */
    union {
        uint64_t words[XA_SLAB_INLINE_WORDS]; /* [b] a one for each free slot */
        uint64_t *far_words;                  /* the same, for slabs with more slots */
    } free;
};

struct xa_large {
    size_t bytes;   /* as the program asked */
    bool is_fenced; /* what is behind them is src/check's */
};

struct xa_extent {
    uint8_t kind;       /* [c] enum xa_extent_kind */
    uint8_t size_class; /* [c] of a slab */
    uint16_t arena;     /* [c] index of the arena that the run came from */
    uint32_t granules;  /* [c] of the run; of a tail, how far back its head is */
    union {
        struct xa_slab slab;
        struct xa_large large;
    } as;
};

/* So that the records of a chunk and its descriptor fit a block of 16 KiB. */
_Static_assert(sizeof(struct xa_extent) <= 56, "less than a cache line a record");

/*
 * What stands in one chunk slot of the window: a chunk of runs, or (part of) a
 * huge mapping.  The memory of a region is only ever used for regions of its kind
 * again (extent/region.c), so that a wild pointer may be looked up at any time.
 */
enum xa_region_kind { XA_REGION_CHUNK, XA_REGION_HUGE, XA_REGION_KINDS };

struct xa_region {
    uint8_t kind;           /* [c] enum xa_region_kind */
    _Atomic uint16_t arena; /* [a] of a chunk; constant while published */
    _Atomic uint32_t slot;  /* its first slot; constant while published */
    struct xa_region *next; /* [s] on the list of unused ones */
};

struct xa_chunk {
    struct xa_region region;
    uint32_t heap_generation;         /* [c] of the page heap that made it */
    _Atomic uint32_t mapped_granules; /* [p] from the chunk's start; read by the report */
    uint8_t advice;                   /* [p] enum xa_huge_page_advice: what the system was told */
    struct xa_bitmap free;            /* [p] mapped and in no run */
    struct xa_bitmap dirty;           /* [p] may hold something else than zeros, free or not */
    struct xa_bitmap muzzy;           /* [p] of the free dirty ones: offered to the system */
    /* [c] One a granule, behind the descriptor, so that a small process touches one page of both. */
    struct xa_extent records[XA_CHUNK_GRANULES] __attribute__((aligned(64)));
};

struct xa_huge {
    struct xa_region region;
    uint32_t slots;       /* [c] of the window */
    _Atomic size_t bytes; /* mapped, from the first slot's start; changed by the object's owner */
    size_t asked_bytes;   /* as the program asked */
    struct xa_huge *next_kept; /* [h] on the list of freed mappings that are kept */
    uint64_t freed_ms;         /* [h] when; 0: nobody has looked since */
    bool is_zeroed;            /* [h] the kept mapping reads as zeros */
    uint8_t advice;            /* enum xa_huge_page_advice: what the system was told; the owner's */
    bool is_fenced;            /* what is behind the asked bytes is src/check's; the owner's */
    bool is_stuck;             /* [h] the host would neither unmap nor empty it */
};

#endif
