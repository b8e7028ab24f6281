/*
 * private_extent.h - the memory of a private arena, as its hooks gave it.
 *
 * An extent is a range that the hooks know: what one call of alloc returned, or what split and
 * merge made of that.  It is one of these:
 *
 *   chunk   at most XA_PRIVATE_CHUNK_MAX_BYTES, cut into runs of granules (private_chunk.h)
 *   whole   one object larger than a run, or more aligned
 *   free    nothing: dirty, muzzy (purged lazily) or retained (purged, but not deallocated)
 *   busy    some thread is calling a hook for it, or builds something of it
 *
 * The arena's lock guards all of it and is never held while a hook runs: what a hook is called
 * for is busy then, on no list and nobody else's.  A hook may allocate and free, from this arena
 * too.
 */
#ifndef XA_ARENA_PRIVATE_EXTENT_H
#define XA_ARENA_PRIVATE_EXTENT_H

#include "arena/private_arena.h"
#include "os/lock.h"

struct xa_private_chunk;
struct xa_private_run;

enum {
    /*
     * The least that hooks are asked for: more than any small object, so that memory which a hook
     * took from malloc is never found in a thread's cache (alloc/release.c).
     */
    XA_PRIVATE_EXTENT_MIN_BYTES = 128 * 1024,
    XA_PRIVATE_CHUNK_MAX_BYTES = 2 * 1024 * 1024,
    XA_PRIVATE_CHUNK_MAX_GRANULES = XA_PRIVATE_CHUNK_MAX_BYTES / XA_GRANULE_BYTES,
    XA_PRIVATE_RUN_MAX_GRANULES = XA_PRIVATE_CHUNK_MAX_GRANULES / 2,
    XA_PRIVATE_BUCKETS = 9, /* of chunks, by how long the longest free run is */
};

enum xa_private_state {
    XA_PRIVATE_STATE_BUSY,
    XA_PRIVATE_STATE_FREE,
    XA_PRIVATE_STATE_WHOLE,
    XA_PRIVATE_STATE_CHUNK,
};

enum xa_private_quality { XA_PRIVATE_DIRTY, XA_PRIVATE_MUZZY, XA_PRIVATE_RETAINED };

/* Records are only ever records: a wild pointer's look-up may read one at any time. */
struct xa_private_extent {
    _Atomic(struct xa_private_arena *) arena; /* [a] whose it is */
    uint64_t life;                            /* [x] of the arena, when it got this */
    uintptr_t address;                        /* [x] */
    size_t bytes;                             /* [x] */
    size_t usable;                            /* [x] of a whole object: what the program may use */
    uint64_t since_ms;                        /* [x] of a free one: for how long */
    struct xa_private_chunk *chunk;           /* [x] of a chunk */
    uint8_t state;                            /* [x] enum xa_private_state */
    uint8_t quality;                          /* [x] of a free one: enum xa_private_quality */
    bool is_committed;                        /* [x] */
    bool is_zeroed;                           /* [x] of a free one, or one just taken */
    struct xa_private_extent *next;           /* [x] on the arena's list for its state */
    struct xa_private_extent *previous;
};

/* Counted under the arena's lock, read without. */
struct xa_private_class_counters {
    _Atomic size_t live;
    _Atomic size_t slabs;
    _Atomic size_t nonfull;
    _Atomic uint64_t allocations;
    _Atomic uint64_t frees;
    _Atomic uint64_t slabs_made;
};

struct xa_private_counters {
    _Atomic size_t small;
    _Atomic size_t large;
    _Atomic size_t small_objects;
    _Atomic size_t large_objects;
    _Atomic uint64_t large_allocations;
    _Atomic uint64_t large_frees;
    _Atomic size_t active;
    _Atomic size_t free_bytes[XA_PRIVATE_RETAINED + 1]; /* by quality */
    _Atomic size_t waiting; /* of these, what is still to be given back */
    _Atomic size_t mapped;
    _Atomic size_t metadata;
    _Atomic uint64_t purges;
    _Atomic uint64_t purge_calls;
    _Atomic uint64_t purged_bytes;
    struct xa_private_class_counters classes[XA_SMALL_CLASSES + 1];
};

/* Keys: [x] its lock; [a] atomic.  Arenas, like extents' records, are only ever that. */
struct xa_private_arena {
    struct xa_lock lock;
    _Atomic uint32_t index;   /* [a] changes under the lock */
    _Atomic uint64_t epoch;   /* [a] see xa_private_arena_epoch(); 0: no arena */
    _Atomic uint32_t threads; /* [a] bound to it */
    uint64_t life; /* [x] counts its users, and forks that cut it: older extents are lost */
    uint32_t hooks_running;                 /* [x] threads that are in a hook for it */
    bool is_open;                           /* [x] false: being destroyed, or destroyed */
    struct extent_hooks_s *_Atomic hooks;   /* [a] */
    _Atomic int64_t decay_ms[2];            /* [a] of dirty and of muzzy memory */
    uint64_t created_ms;                    /* [x] */
    uint64_t looked_ms;                     /* [x] when something was last looked at for its age */
    size_t grow_bytes;                      /* [x] what the next chunk should have */
    size_t grow_limit;                      /* [x] the most that it may have */
    char name[XA_PRIVATE_ARENA_NAME_BYTES]; /* [x] */
    struct xa_private_extent *free[XA_PRIVATE_RETAINED + 1]; /* [x] by quality */
    struct xa_private_extent *whole;                         /* [x] */
    struct xa_private_extent *chunks[XA_PRIVATE_BUCKETS];    /* [x] */
    struct xa_private_extent *empty_chunk; /* [x] the one chunk without a run that stays */
    struct xa_private_run *partial[XA_SMALL_CLASSES + 1]; /* [x] slabs with free slots */
    struct xa_private_counters counters;
    struct xa_private_arena *next_unused; /* [r] */
};

static inline size_t
xa_private_extent_load(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Counters have one writer, the holder of the lock: a plain sum. */
static inline void
xa_private_extent_count(_Atomic size_t *counter, size_t amount)
{
    atomic_store_explicit(counter, xa_private_extent_load(counter) + amount, memory_order_relaxed);
}

static inline void
xa_private_extent_count_events(_Atomic uint64_t *counter, uint64_t events)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + events,
        memory_order_relaxed);
}

/*
 * A busy extent of at least `least`, at best `most` bytes, at a multiple of `alignment`: a free
 * one, or new from the hooks.  NULL if there is none.  Sizes are multiples of the unit below.
 */
XA_MUST_USE struct xa_private_extent *xa_private_extent_take(struct xa_private_arena *arena,
    size_t least, size_t most, size_t alignment, bool wants_zeros) XA_REQUIRES(arena->lock);

/* A busy extent is free from now on. */
void xa_private_extent_give(struct xa_private_arena *arena, struct xa_private_extent *extent,
    enum xa_private_quality quality) XA_REQUIRES(arena->lock);

/*
 * Make a busy extent longer where it stands; shorter by what lies behind `bytes`.  False if that
 * is not possible; nothing has changed then.
 */
XA_MUST_USE bool xa_private_extent_grow(struct xa_private_arena *arena,
    struct xa_private_extent *extent, size_t bytes) XA_REQUIRES(arena->lock);
XA_MUST_USE bool xa_private_extent_shrink(struct xa_private_arena *arena,
    struct xa_private_extent *extent, size_t bytes) XA_REQUIRES(arena->lock);

/*
 * Give back free extents: what is due, or all that is dirty or muzzy.  With XA_PRIVATE_DESTROY
 * retained ones as well, for good.
 */
enum xa_private_how { XA_PRIVATE_DECAYED, XA_PRIVATE_ALL, XA_PRIVATE_DESTROY };
void xa_private_extent_decay(struct xa_private_arena *arena, enum xa_private_how how)
    XA_REQUIRES(arena->lock);

/* True if something freed then is due now. */
bool xa_private_extent_is_due(const struct xa_private_arena *arena, uint64_t since_ms,
    enum xa_private_quality quality, enum xa_private_how how, uint64_t now_ms);

/* Put it on a list and take it off. */
void xa_private_extent_list(struct xa_private_extent **list, struct xa_private_extent *extent);
void xa_private_extent_unlist(struct xa_private_extent **list, struct xa_private_extent *extent);

/* All extents' sizes are multiples of this. */
size_t xa_private_extent_unit(void);

/* In a forked child: free the lock of the records that wait for reuse. */
void xa_private_extent_reset_in_child(void);

#endif
