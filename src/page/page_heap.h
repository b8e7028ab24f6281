/*
 * page_heap.h - runs of granules: get, keep and give back.
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
    struct xa_decay decay;         /* [p] */
    _Atomic int64_t decay_ms;      /* [a] the time that `decay` goes by */
    _Atomic uint64_t deadline_ms;  /* [a] when to look at the decay again */
    _Atomic uint32_t ticks;        /* [a] calls of xa_page_heap_tick(), near enough */
    struct xa_heap_counters counters;
    uint8_t first_nodes[XA_PAGE_HEAP_TREES][XA_PAGE_HEAP_NODES_MIN]; /* [p] the trees' at first */
};

/* [a] Bound on the dirty bytes of a heap; 0: chosen from the size of the live heap. */
extern _Atomic size_t xa_page_heap_dirty_max_bytes;

/* [a] A thread of our own calls xa_page_heap_decay(). */
extern _Atomic bool xa_page_heap_has_purger;

/* [a] Something was freed or cached since the purger was last thought of: it may be wanted now. */
extern _Atomic bool xa_page_heap_has_news;

static inline void
xa_page_heap_note_news(void)
{
    /* A hint, ordered with nothing.  Written only when it changes, since all threads read it. */
    if (!atomic_load_explicit(&xa_page_heap_has_news, memory_order_relaxed))
        atomic_store_explicit(&xa_page_heap_has_news, true, memory_order_relaxed);
}

/* [a] What divides the decay time under memory pressure; 0: everything goes at once. */
extern _Atomic uint32_t xa_page_heap_decay_divisor;

/* The decay time as it is now: the option's, divided. */
int64_t xa_page_heap_decay_ms(void);

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

/* Give dirty granules back until at most `keep_bytes` of them remain.  The bytes given back. */
size_t xa_page_heap_purge(struct xa_page_heap *heap, size_t keep_bytes) XA_EXCLUDES(heap->lock);

/* The same, but stop at a time: one more chunk is purged at most. */
size_t xa_page_heap_purge_until(struct xa_page_heap *heap, size_t keep_bytes, uint64_t deadline_ms)
    XA_EXCLUDES(heap->lock);

/* Give back what decay and the bound on dirty bytes ask for at this time. */
void xa_page_heap_decay(struct xa_page_heap *heap, uint64_t now_ms) XA_EXCLUDES(heap->lock);

/* Unmap chunks that are free and hold no memory, but for the heap's last one. */
void xa_page_heap_close_empty(struct xa_page_heap *heap) XA_EXCLUDES(heap->lock);

/* Something was freed: see to it that it is given back some time, unless a purger does. */
void xa_page_heap_tick(struct xa_page_heap *heap) XA_EXCLUDES(heap->lock);

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
