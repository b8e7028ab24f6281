/*
 * private_chunk.h - chunks of a private arena, cut into runs of granules.
 */
#ifndef XA_ARENA_PRIVATE_CHUNK_H
#define XA_ARENA_PRIVATE_CHUNK_H

#include "arena/private_extent.h"
#include "base/bitmap.h"

enum { XA_PRIVATE_INLINE_WORDS = 2 };

/* One a granule; a run is described by that of its first one. */
struct xa_private_run {
    struct xa_private_extent *extent; /* [x] the chunk's */
    struct xa_private_run *next;      /* [x] of a slab with free slots, on the class's list */
    struct xa_private_run *previous;
    uint8_t kind;        /* [x] enum xa_extent_kind: NONE, SLAB, LARGE or TAIL */
    uint8_t size_class;  /* [x] of a slab */
    uint16_t granules;   /* [x] of the run; of a tail, how far back its head is */
    uint16_t free_slots; /* [x] of a slab */
    union {
        uint64_t words[XA_PRIVATE_INLINE_WORDS]; /* [x] a one for each free slot */
        uint64_t *far_words;                     /* the same, for slabs with more slots */
    } free;
};

struct xa_private_chunk {
    struct xa_bitmap free;                   /* [x] granules in no run, and not just being purged */
    struct xa_bitmap dirty;                  /* [x] may hold something else than zeros */
    struct xa_bitmap muzzy;                  /* [x] of the free dirty ones: purged lazily */
    struct xa_bitmap waiting;                /* [x] of the free dirty ones: still to be purged */
    uint64_t since_ms[2];                    /* [x] when some became dirty, muzzy */
    size_t counted[XA_PRIVATE_RETAINED + 1]; /* [x] what the arena's counters have of it */
    size_t counted_waiting;                  /* [x] */
    uint16_t granules;                       /* [c] */
    uint16_t purging;                        /* [x] granules that are taken out to be purged */
    uint8_t bucket;                          /* [x] */
    struct xa_private_run runs[];
};

/* Ones in one of the bitmaps. */
static inline unsigned
xa_private_chunk_count(const struct xa_bitmap *map)
{
    return xa_bitmap_count(map, 0, XA_BITMAP_BITS);
}

/* The first granule of a run in its chunk, and its address. */
static inline unsigned
xa_private_chunk_index(const struct xa_private_run *run)
{
    return (unsigned)(run - run->extent->chunk->runs);
}

static inline uintptr_t
xa_private_chunk_address(const struct xa_private_run *run)
{
    return run->extent->address + (uintptr_t)xa_private_chunk_index(run) * XA_GRANULE_BYTES;
}

/* A run of granules, at most XA_PRIVATE_RUN_MAX_GRANULES, of no kind yet; or NULL.  Unlocks. */
XA_MUST_USE struct xa_private_run *xa_private_chunk_take_run(
    struct xa_private_arena *arena, unsigned granules, bool *is_zeroed) XA_REQUIRES(arena->lock);

/* The run's granules are free from now on.  Unlocks. */
void xa_private_chunk_return_run(struct xa_private_arena *arena, struct xa_private_run *run)
    XA_REQUIRES(arena->lock);

/* Give a large run another length, where it stands.  False if that is not possible. */
XA_MUST_USE bool xa_private_chunk_resize(struct xa_private_arena *arena, struct xa_private_run *run,
    unsigned granules) XA_REQUIRES(arena->lock);

/* The bitmaps have changed: count anew, and put the chunk into the bucket where it belongs now. */
void xa_private_chunk_settle(struct xa_private_arena *arena, struct xa_private_extent *extent);

/* If the chunk has no run any more it takes the place of the one that was kept.  Unlocks. */
void xa_private_chunk_keep_if_empty(
    struct xa_private_arena *arena, struct xa_private_extent *extent) XA_REQUIRES(arena->lock);

/*
 * A chunk without a run is a free extent from now on: a dirty one, or, if all of it has been
 * purged, one that still has to be offered to dalloc, as what is muzzy has.  Unlocks.
 */
void xa_private_chunk_unmake(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock);

/* Any of the arena's chunks; NULL if it has none. */
struct xa_private_extent *xa_private_chunk_any(const struct xa_private_arena *arena);

/* Drop all runs of a chunk, which becomes a free extent.  Unlocks. */
void xa_private_chunk_drop(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock);

#endif
