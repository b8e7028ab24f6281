/*
 * page_heap.h - runs of granules: get and keep.
 */
#ifndef XA_PAGE_PAGE_HEAP_H
#define XA_PAGE_PAGE_HEAP_H

#include "base/max_tree.h"
#include "extent/page_map.h"
#include "os/lock.h"
#include "os/os.h"
#include "page/decay.h"

struct xa_heap_counters {
#define HEAP_COUNTER(name, text) _Atomic size_t name;
#include "config/heap_counters.def"
#undef HEAP_COUNTER
};

/* How unused granules of one kind grow old. */
struct xa_page_heap_aging {
    struct xa_decay decay;        /* [p] */
    _Atomic int64_t time_ms;      /* [a] that `decay` goes by */
    _Atomic uint64_t deadline_ms; /* [a] when to look at the decay again */
    _Atomic int64_t own_ms_and_2; /* [a] this heap's own time, plus 2; 0: the process's */
};

enum {
    XA_PAGE_HEAP_TREES = 3,
    XA_PAGE_HEAP_NODES_MIN = 128, /* for 64 chunk slots, 256 MiB */
};

struct xa_page_heap {
    struct xa_lock lock;
    uint16_t arena;      /* [c] index of the arena it serves */
    uint32_t generation; /* [c] changes when a forked child sets the heap aside */
    /* [p] By chunk slot; 0 where the slot is not a chunk of this heap. */
    struct xa_max_tree dirty_runs; /* at least the longest run of dirty free granules */
    struct xa_max_tree free_runs;  /* at least the longest run of free granules */
    struct xa_max_tree rooms;      /* free granules at the mapped end, and unmapped ones behind */
    struct xa_page_heap_aging dirty_aging;
    _Atomic uint32_t ticks;    /* [a] calls of xa_page_purge_tick(), near enough */
    _Atomic size_t peak_bytes; /* [p] the most that was active lately; read by anybody */
    struct xa_heap_counters counters;
    uint8_t first_nodes[XA_PAGE_HEAP_TREES][XA_PAGE_HEAP_NODES_MIN]; /* [p] the trees' at first */
    struct xa_page_heap_aging muzzy_aging; /* last: most processes never touch it */
};

enum xa_run_use { XA_RUN_FOR_SLAB, XA_RUN_FOR_LARGE };

/* An empty page heap over zeroed memory; decays as the options say. */
void xa_page_heap_init(struct xa_page_heap *heap, uint16_t arena);

/*
 * Take `granules` (1 to XA_RUN_MAX_GRANULES) neighbouring granules, the first a
 * multiple of `alignment` (a power of two up to XA_CHUNK_GRANULES).
 * Returns the first granule, or XA_GRANULE_NONE if memory ran out.  `*is_zeroed`
 * says whether all of it reads as zeros.
 */
XA_MUST_USE uint32_t xa_page_heap_take(struct xa_page_heap *heap, enum xa_run_use use,
    unsigned granules, unsigned alignment, bool *is_zeroed) XA_EXCLUDES(heap->lock);

/*
 * The same, where possible at a place behind which as much is free as a run can be long: for what
 * will have to grow.
 */
XA_MUST_USE uint32_t xa_page_heap_take_with_room(struct xa_page_heap *heap, enum xa_run_use use,
    unsigned granules, bool *is_zeroed) XA_EXCLUDES(heap->lock);

/*
 * Give granules back: a whole run, or the end of one.  The first `touched` of them
 * may have been written.  Nothing refers to them any more.
 */
void xa_page_heap_return(struct xa_page_heap *heap, enum xa_run_use use, uint32_t granule,
    unsigned granules, unsigned touched) XA_EXCLUDES(heap->lock);

/*
 * Make a run of `granules` longer in place, to `wanted`.  False if what follows is
 * in use or the chunk ends; nothing has changed then.
 */
XA_MUST_USE bool xa_page_heap_extend(struct xa_page_heap *heap, uint32_t granule, unsigned granules,
    unsigned wanted) XA_EXCLUDES(heap->lock);

/* Granules in a page, at least 1: runs begin and end on multiples of it. */
static inline unsigned
xa_page_heap_unit(void)
{
    size_t page = xa_os_facts.page_bytes;
    return page <= XA_GRANULE_BYTES ? 1 : (unsigned)(page / XA_GRANULE_BYTES);
}

/*
 * In a forked child: free the lock.  If a thread that is gone held it, the chunks
 * are set aside: what lives in them stays valid, nothing new is put there.
 */
void xa_page_heap_reset_in_child(struct xa_page_heap *heap);

static inline size_t
xa_page_heap_counter(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Add to a counter; the heap's lock is held. */
static inline void
xa_page_heap_count(_Atomic size_t *counter, size_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

#endif
