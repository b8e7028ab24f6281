/*
 * private_chunk_decay.c - see private_chunk_decay.h.
 *
 * Unused granules are purged run by run, each by a call of a hook, for which the lock is given up.
 * Meanwhile they are neither free nor in a run, so that nobody takes them; and their chunk is not
 * empty, so that nobody gives it up.
 *
 * Locking: the arena's lock; what unlocks says so.
 */
#include "arena/private_chunk_decay.h"

#include "arena/private_hooks.h"
#include "os/os.h"

/* What of the chunk is due for a purge: bits of one quality, or none. */
static struct xa_bitmap
due_bits(const struct xa_private_arena *arena, const struct xa_private_chunk *chunk,
    enum xa_private_how how, uint64_t now_ms, enum xa_private_quality *quality)
{
    struct xa_bitmap muzzy = xa_bitmap_and(&chunk->waiting, &chunk->muzzy), bits = chunk->waiting;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        bits.words[i] &= ~muzzy.words[i];
    *quality = XA_PRIVATE_DIRTY;
    if (xa_private_chunk_count(&bits) != 0 &&
        xa_private_extent_is_due(
            arena, chunk->since_ms[XA_PRIVATE_DIRTY], XA_PRIVATE_DIRTY, how, now_ms))
        return bits;
    *quality = XA_PRIVATE_MUZZY;
    if (xa_private_extent_is_due(
            arena, chunk->since_ms[XA_PRIVATE_MUZZY], XA_PRIVATE_MUZZY, how, now_ms))
        return muzzy;
    return (struct xa_bitmap){{0}};
}

/* Purge a run of unused granules, which are taken out meanwhile.  Unlocks. */
static void
purge_granules(struct xa_private_arena *arena, struct xa_private_extent *extent, unsigned first,
    unsigned count, bool is_lazy) XA_REQUIRES(arena->lock)
{
    struct xa_private_chunk *chunk = extent->chunk;
    xa_bitmap_clear(&chunk->free, first, count);
    xa_bitmap_clear(&chunk->muzzy, first, count);
    xa_bitmap_clear(&chunk->waiting, first, count);
    if (arena->empty_chunk == extent)
        arena->empty_chunk = NULL;
    chunk->purging = (uint16_t)(chunk->purging + count);
    xa_private_chunk_settle(arena, extent);
    size_t offset = (size_t)first * XA_GRANULE_BYTES, bytes = (size_t)count * XA_GRANULE_BYTES;
    enum xa_private_purge done = XA_PRIVATE_PURGE_NONE;
    if (is_lazy)
        done = xa_private_hooks_purge(arena, extent, offset, bytes, true);
    bool is_muzzy = done == XA_PRIVATE_PURGE_LAZY;
    if (!is_muzzy)
        done = xa_private_hooks_purge(arena, extent, offset, bytes, false);
    chunk->purging = (uint16_t)(chunk->purging - count);
    xa_bitmap_set(&chunk->free, first, count);
    if (done == XA_PRIVATE_PURGE_ZEROED)
        xa_bitmap_clear(&chunk->dirty, first, count);
    if (done == XA_PRIVATE_PURGE_LAZY)
        xa_bitmap_set(&chunk->muzzy, first, count);
    if (is_muzzy) {
        xa_bitmap_set(&chunk->waiting, first, count);
        chunk->since_ms[XA_PRIVATE_MUZZY] = xa_os_now_ms();
    }
    xa_private_chunk_settle(arena, extent);
    xa_private_chunk_keep_if_empty(arena, extent);
}

/* Purge what is due of one chunk; false if nothing was.  Unlocks. */
static bool
purge_chunk(struct xa_private_arena *arena, struct xa_private_extent *extent,
    enum xa_private_how how, uint64_t now_ms) XA_REQUIRES(arena->lock)
{
    enum xa_private_quality quality;
    struct xa_bitmap bits = due_bits(arena, extent->chunk, how, now_ms, &quality);
    unsigned first = xa_bitmap_find(&bits, 0);
    if (first == XA_BITMAP_NOT_FOUND)
        return false;
    unsigned end = xa_bitmap_find_clear(&bits, first);
    bool is_lazy = quality == XA_PRIVATE_DIRTY && how == XA_PRIVATE_DECAYED &&
        atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_MUZZY], memory_order_relaxed) != 0;
    purge_granules(arena, extent, first, end - first, is_lazy);
    return true;
}

/* The first chunk of which something is due. */
static struct xa_private_extent *
find_due(struct xa_private_arena *arena, enum xa_private_how how, uint64_t now_ms)
{
    enum xa_private_quality quality;
    for (unsigned bucket = 1; bucket < XA_PRIVATE_BUCKETS; bucket++)
        for (struct xa_private_extent *extent = arena->chunks[bucket]; extent != NULL;
             extent = extent->next) {
            struct xa_bitmap bits = due_bits(arena, extent->chunk, how, now_ms, &quality);
            if (xa_private_chunk_count(&bits) != 0)
                return extent;
        }
    return NULL;
}

static size_t
count_chunks(const struct xa_private_arena *arena)
{
    size_t count = 0;
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        for (struct xa_private_extent *extent = arena->chunks[bucket]; extent != NULL;
             extent = extent->next)
            count++;
    return count;
}

/* Unlocks. */
static void
give_up_empty_chunk(struct xa_private_arena *arena, enum xa_private_how how, uint64_t now_ms)
    XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *extent = arena->empty_chunk;
    if (extent != NULL &&
        xa_private_extent_is_due(
            arena, extent->chunk->since_ms[XA_PRIVATE_DIRTY], XA_PRIVATE_DIRTY, how, now_ms))
        xa_private_chunk_unmake(arena, extent);
}

void
xa_private_chunk_decay(struct xa_private_arena *arena, enum xa_private_how how)
{
    uint64_t now_ms = xa_os_now_ms();
    give_up_empty_chunk(arena, how, now_ms);
    /* A chunk has at most so many runs of free granules. */
    for (size_t bound = count_chunks(arena) * XA_PRIVATE_CHUNK_MAX_GRANULES / 2; bound > 0;
         bound--) {
        struct xa_private_extent *extent = find_due(arena, how, now_ms);
        if (extent == NULL || !purge_chunk(arena, extent, how, now_ms))
            break;
        xa_private_extent_count_events(&arena->counters.purges, 1);
    }
    /* A chunk whose last run was freed while it was being purged. */
    give_up_empty_chunk(arena, how, now_ms);
}

/* Whether the purge had been done nobody knows: it is to be done again. */
static void
free_what_was_being_purged(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_chunk *chunk = extent->chunk;
    for (unsigned i = 0; i < chunk->granules; i++) {
        if (chunk->runs[i].kind != XA_EXTENT_NONE || xa_bitmap_count(&chunk->free, i, 1) != 0)
            continue;
        xa_bitmap_set(&chunk->free, i, 1);
        xa_bitmap_set(&chunk->waiting, i, 1);
    }
    chunk->purging = 0;
    xa_private_chunk_settle(arena, extent);
}

void
xa_private_chunk_decay_reset_in_child(struct xa_private_arena *arena)
{
    /* Settling moves a chunk to a bucket of its own length, maybe one that is still to come. */
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++) {
        struct xa_private_extent *extent = arena->chunks[bucket], *next;
        for (; extent != NULL; extent = next) {
            next = extent->next;
            if (extent->chunk->purging != 0)
                free_what_was_being_purged(arena, extent);
        }
    }
}
