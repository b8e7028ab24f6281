/*
 * private_chunk.h - runs of granules in the chunks of a private arena, and slabs in these.
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

/* An object of a small size class; NULL if the hooks have no memory.  Unlocks. */
XA_MUST_USE void *xa_private_chunk_take_small(struct xa_private_arena *arena, unsigned size_class)
    XA_REQUIRES(arena->lock);

/* A run of granules, at most XA_PRIVATE_RUN_MAX_GRANULES, as an object.  Unlocks. */
XA_MUST_USE void *xa_private_chunk_take_large(
    struct xa_private_arena *arena, unsigned granules, bool *is_zeroed) XA_REQUIRES(arena->lock);

/* What an address in a chunk is, and the run that it is in (NULL: none). */
enum xa_private_verdict xa_private_chunk_look(
    struct xa_private_extent *extent, uintptr_t address, struct xa_private_run **run);

/* Where the object begins, or could, that an address in the run is in; and whether it is free. */
uintptr_t xa_private_chunk_object(struct xa_private_run *run, uintptr_t address, bool *is_free);

/* Free a live object of this run.  Unlocks. */
void xa_private_chunk_return(struct xa_private_arena *arena, struct xa_private_run *run,
    uintptr_t address) XA_REQUIRES(arena->lock);

/* Give a large run another length, where it stands.  False if that is not possible. */
XA_MUST_USE bool xa_private_chunk_resize(struct xa_private_arena *arena, struct xa_private_run *run,
    unsigned granules) XA_REQUIRES(arena->lock);

/* Drop all runs; chunks become free extents.  Unlocks. */
void xa_private_chunk_drop_all(struct xa_private_arena *arena) XA_REQUIRES(arena->lock);

/* Purge unused granules that are due; and give up the empty chunk, if it is.  Unlocks. */
void xa_private_chunk_decay(struct xa_private_arena *arena, enum xa_private_how how)
    XA_REQUIRES(arena->lock);

/* In a forked child: what other threads were purging is free again. */
void xa_private_chunk_reset_in_child(struct xa_private_arena *arena);

#endif
