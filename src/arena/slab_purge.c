/*
 * slab_purge.c - giving back whole unused pages in the midst of slabs that are in use.
 *
 * When a program frees most of its objects at random, few slabs become empty, but many have
 * pages in which no object is left.  Slots of these pages stay free: they are written by
 * nobody but who takes them, so their memory may go, and comes back as zeros.
 *
 * A sweep goes over chunks in the order of their addresses.  What is worth the system call,
 * and the fault when the page is used again, is a slab that rests: takes prefer the fullest
 * slabs, so that one from which nothing was taken between several sweeps will probably not
 * be needed soon.  Under a request or pressure all slabs are taken.
 *
 * How a slab is purged, while others allocate and free:
 *
 *   1. with its heap's lock, which keeps chunks and the granules of slabs what they are, and
 *      its bin's, unless that is busy: off the bin's lists ("aside"), so that nobody takes
 *      from it
 *   2. without any lock: the kernel drops the pages; objects may be freed into the slab, which
 *      only makes more slots free and writes none
 *   3. with the bin's lock: back on a list
 *
 * What is aside is noted in static memory, with the thread that is at it, before the bin's lock
 * is given up: a child that is forked between 1 and 3 finds it there, and puts back what the
 * threads had aside that it has not.  There is room for some sweeps at a time; one more has
 * nothing to do, since others are at it.
 *
 * A chunk that is to have huge pages is left alone unless it is requested.
 *
 * Locking: the bin's lock is tried while the heap's is held, which is against the order of
 * ranks but cannot wait; and at most BATCH slabs of a sweep are aside at a time.
 */
#include "arena/slab_purge.h"

#include "arena/arena.h"
#include "arena/slab.h"
#include "os/claim.h"
#include "os/os.h"
#include "page/chunk.h"
#include "page/huge_page.h"
#include "page/page_purge.h"

enum {
    BATCH = 32,
    SWEEPS_AT_A_TIME = 4,
    CHUNKS_A_SWEEP = 64,
    RESTS_MIN = 3,
    RESTS_NEVER = UINT8_MAX, /* the host refused; until something is taken from it */
};

/* The slabs that a sweep has aside. */
struct batch {
    struct xa_claim claim; /* the thread's that sweeps, and with it the rest */
    unsigned count;
    uint32_t granules[BATCH]; /* changed under the bin's lock; NONE: back on a list */
    uint8_t parts[BATCH];     /* what is to go of each */
};

struct sweep {
    bool is_forced;
    bool has_more; /* some slabs wait for their age, or for a busy lock */
    size_t purged_bytes;
    struct batch *batch;
};

static struct batch batches[SWEEPS_AT_A_TIME];

/* [a] The chunk slot where the next sweep begins. */
static _Atomic size_t next_slot;

/* A batch for the caller; NULL if enough others are at work. */
static struct batch *
take_batch(void)
{
    for (unsigned i = 0; i < SWEEPS_AT_A_TIME; i++)
        if (xa_claim_try(&batches[i].claim))
            return &batches[i];
    return NULL;
}

/* The parts of the slab that are to go now.  Full ones, and those that a fork set aside, have none. */
static unsigned
parts_due(struct sweep *sweep, const struct xa_bin *bin, uint32_t granule) XA_REQUIRES(bin->lock)
{
    struct xa_slab *slab = &xa_page_map_record(granule)->as.slab;
    unsigned parts = 0;
    if (xa_bin_has_listed(bin, granule) && slab->rests != RESTS_NEVER)
        parts = xa_slab_unused_parts(granule);
    if (parts == 0 || sweep->is_forced || slab->rests >= RESTS_MIN)
        return parts;
    slab->rests++;
    sweep->has_more = true;
    return 0;
}

/* Add the slabs of a chunk that are due, from granule `from` on; the granule to go on from. */
static unsigned
choose(struct sweep *sweep, struct xa_arena *arena, const struct xa_chunk *chunk, unsigned from)
    XA_REQUIRES(arena->heap.lock)
{
    struct batch *batch = sweep->batch;
    uint32_t first = (uint32_t)(chunk->region.slot * XA_CHUNK_GRANULES);
    while (from < chunk->mapped_granules && batch->count < BATCH) {
        /* Acquire: with the class comes the slab's record. */
        unsigned size_class =
            atomic_load_explicit(&xa_page_map_classes()[first + from], memory_order_acquire);
        /* A tail is met when the head had no class yet, a moment ago. */
        bool is_slab = size_class != XA_CLASS_NONE && size_class <= XA_SMALL_CLASSES &&
            chunk->records[from].kind != XA_EXTENT_TAIL;
        if (!is_slab) {
            from++;
            continue;
        }
        struct xa_bin *bin = &arena->bins[size_class];
        if (xa_lock_try(&bin->lock)) {
            unsigned parts = parts_due(sweep, bin, first + from);
            if (parts != 0) {
                xa_bin_set_aside(bin, first + from);
                batch->granules[batch->count] = first + from;
                batch->parts[batch->count++] = (uint8_t)parts;
            }
            xa_lock_unlock(&bin->lock);
        } else {
            sweep->has_more = true;
        }
        from += xa_size_class_table[size_class].granules;
    }
    return from;
}

/* Drop the parts; those that the host has dropped. */
static unsigned
drop(uint32_t granule, unsigned parts)
{
    size_t part = xa_slab_part_bytes(xa_page_map_record(granule));
    unsigned dropped = 0;
    while (parts != 0) {
        unsigned first = xa_bits_lowest(parts);
        unsigned length = xa_bits_lowest(~(parts >> first));
        unsigned run = (unsigned)xa_bits_range(first, first + length);
        if (xa_os_purge(xa_page_map_address_of(granule) + first * part, length * part))
            dropped |= run;
        parts &= ~run;
    }
    return dropped;
}

/*
 * The slab is on a list again, unless its bin was set aside with all its slabs: by the child
 * that a signal handler forked in the middle of the sweep.
 */
static void
put_back(struct xa_bin *bin, struct batch *batch, unsigned index, struct xa_bin_released *released)
    XA_REQUIRES(bin->lock)
{
    uint32_t granule = batch->granules[index];
    if (xa_page_map_record(granule)->as.slab.generation == bin->generation)
        xa_bin_put_back(bin, granule, released);
    batch->granules[index] = XA_GRANULE_NONE;
}

/* What is aside loses its parts and comes back. */
static void
purge(struct sweep *sweep, struct xa_arena *arena)
{
    struct batch *batch = sweep->batch;
    for (unsigned i = 0; i < batch->count; i++) {
        uint32_t granule = batch->granules[i];
        struct xa_extent *record = xa_page_map_record(granule);
        unsigned size_class = record->size_class;
        struct xa_bin *bin = &arena->bins[size_class];
        struct xa_bin_released released;
        released.count = 0;
        unsigned dropped = drop(granule, batch->parts[i]);
        sweep->purged_bytes += xa_bits_count(dropped) * xa_slab_part_bytes(record);
        xa_lock_lock(&bin->lock);
        xa_slab_note_purged(granule, dropped);
        if (dropped != batch->parts[i])
            record->as.slab.rests = RESTS_NEVER;
        put_back(bin, batch, i, &released);
        xa_lock_unlock(&bin->lock);
        if (released.count > 0)
            xa_arena_release(arena, &released, size_class);
    }
}

/* The chunk in this slot, if it is one of the heap's and may be broken into pages. */
static const struct xa_chunk *
chunk_of(const struct sweep *sweep, struct xa_page_heap *heap, size_t slot) XA_REQUIRES(heap->lock)
{
    const struct xa_region *region = xa_page_map_region(slot);
    if (region == NULL || region->kind != XA_REGION_CHUNK ||
        /* Relaxed: no more than a hint if the chunk is another heap's; it is ours for good if it says so. */
        atomic_load_explicit(&region->arena, memory_order_relaxed) != heap->arena)
        return NULL;
    const struct xa_chunk *chunk = (const struct xa_chunk *)(const void *)region;
    bool is_huge = chunk->advice == XA_HUGE_PAGE_WANT && !sweep->is_forced;
    return chunk->heap_generation != heap->generation || is_huge ? NULL : chunk;
}

static void
sweep_slot(struct sweep *sweep, size_t slot)
{
    const struct xa_region *region = xa_page_map_region(slot);
    if (region == NULL || region->kind != XA_REGION_CHUNK)
        return;
    /* Read without the heap's lock, and looked at again with it. */
    struct xa_arena *arena =
        xa_arena_at(atomic_load_explicit(&region->arena, memory_order_relaxed));
    if (arena == NULL)
        return;
    for (unsigned granule = 0; granule < XA_CHUNK_GRANULES;) {
        sweep->batch->count = 0;
        xa_lock_lock(&arena->heap.lock);
        const struct xa_chunk *chunk = chunk_of(sweep, &arena->heap, slot);
        granule = chunk == NULL ? XA_CHUNK_GRANULES : choose(sweep, arena, chunk, granule);
        bool is_end = chunk == NULL || granule >= chunk->mapped_granules;
        xa_lock_unlock(&arena->heap.lock);
        purge(sweep, arena);
        if (is_end)
            return;
    }
}

static size_t
slot_limit(void)
{
    return atomic_load_explicit(&xa_page_map_limit, memory_order_acquire) / XA_CHUNK_GRANULES;
}

bool
xa_slab_purge_sweep(void)
{
    struct sweep sweep = {.is_forced = false, .batch = take_batch()};
    if (sweep.batch == NULL)
        return true;
    size_t limit = slot_limit();
    size_t slot = atomic_load_explicit(&next_slot, memory_order_relaxed);
    unsigned chunks = 0;
    for (; slot < limit && chunks < CHUNKS_A_SWEEP; slot++) {
        chunks += xa_page_map_region(slot) != NULL;
        sweep_slot(&sweep, slot);
    }
    xa_claim_give_up(&sweep.batch->claim);
    atomic_store_explicit(&next_slot, slot < limit ? slot : 0, memory_order_relaxed);
    return sweep.has_more || slot < limit;
}

size_t
xa_slab_purge_all(uint64_t deadline_ms)
{
    struct sweep sweep = {.is_forced = true, .batch = take_batch()};
    if (sweep.batch == NULL)
        return 0;
    for (size_t slot = 0; slot < slot_limit(); slot++) {
        if (deadline_ms != UINT64_MAX && xa_os_now_ms() >= deadline_ms)
            break;
        if (xa_page_map_region(slot) != NULL)
            sweep_slot(&sweep, slot);
    }
    xa_claim_give_up(&sweep.batch->claim);
    return sweep.purged_bytes;
}

/* The thread that had these aside did not come along. */
static void
put_all_back(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        if (batch->granules[i] == XA_GRANULE_NONE)
            continue;
        const struct xa_extent *record = xa_page_map_record(batch->granules[i]);
        struct xa_bin *bin = &xa_arena_at(record->arena)->bins[record->size_class];
        /* It is free, or a signal handler forks in the middle of what is done under it: let it be. */
        if (!xa_lock_try(&bin->lock))
            continue;
        put_back(bin, batch, i, NULL);
        xa_lock_unlock(&bin->lock);
    }
    batch->count = 0;
}

void
xa_slab_purge_reset_in_child(void)
{
    for (unsigned i = 0; i < SWEEPS_AT_A_TIME; i++) {
        if (!xa_claim_is_orphan(&batches[i].claim))
            continue;
        put_all_back(&batches[i]);
        xa_claim_give_up(&batches[i].claim);
    }
}
