/*
 * private_chunk.c - see private_chunk.h.
 *
 * A chunk is an extent with four bitmaps and a record a granule, all of it in metadata memory.
 * Chunks stand in buckets by the length of their longest free run, so that one with room is
 * found without looking at full ones.  The next chunk is twice as long as the last one, up to
 * 2 MiB, or what "retain_grow_limit" allows.
 *
 * A chunk without a run becomes a free extent; but one such chunk stays as it is for as long as
 * the decay time, lest a program that allocates and frees the same thing pays for it each time.
 *
 * What is in the runs is private_run.c's, and the purging of free granules private_chunk_decay.c's.
 *
 * Locking: the arena's lock; what unlocks says so.
 */
#include "arena/private_chunk.h"

#include "extent/metadata.h"
#include "os/os.h"
#include "page/page_purge.h"

enum {
    LOOKED_AT_MAX = 32, /* chunks of a bucket, whose longest run is only known to a factor of 2 */
};

/* ---- Chunks ---- */

static size_t
chunk_bytes(size_t granules)
{
    return offsetof(struct xa_private_chunk, runs) + granules * sizeof(struct xa_private_run);
}

/* 0 for a full chunk; else one more than the logarithm of the longest free run. */
static unsigned
bucket_of(unsigned longest)
{
    return longest == 0 ? 0 : 1 + xa_bits_highest(longest);
}

static void
count_quality(struct xa_private_arena *arena, struct xa_private_chunk *chunk,
    enum xa_private_quality quality, unsigned granules)
{
    size_t bytes = (size_t)granules * XA_GRANULE_BYTES;
    xa_private_extent_count(&arena->counters.free_bytes[quality], bytes - chunk->counted[quality]);
    chunk->counted[quality] = bytes;
}

/*
 * The bitmaps have changed: bring the counters up to date.  What has been purged as well as can be
 * is retained.
 */
static void
recount(struct xa_private_arena *arena, struct xa_private_chunk *chunk)
{
    struct xa_bitmap both = xa_bitmap_and(&chunk->waiting, &chunk->muzzy);
    unsigned waiting = xa_private_chunk_count(&chunk->waiting),
             muzzy = xa_private_chunk_count(&chunk->muzzy);
    unsigned dirty = waiting - xa_private_chunk_count(&both);
    count_quality(arena, chunk, XA_PRIVATE_DIRTY, dirty);
    count_quality(arena, chunk, XA_PRIVATE_MUZZY, muzzy);
    count_quality(arena, chunk, XA_PRIVATE_RETAINED,
        xa_private_chunk_count(&chunk->free) - dirty - muzzy + chunk->purging);
    xa_private_extent_count(
        &arena->counters.waiting, (size_t)waiting * XA_GRANULE_BYTES - chunk->counted_waiting);
    chunk->counted_waiting = (size_t)waiting * XA_GRANULE_BYTES;
}

void
xa_private_chunk_settle(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_chunk *chunk = extent->chunk;
    unsigned bucket = bucket_of(xa_bitmap_longest_run(&chunk->free));
    recount(arena, chunk);
    if (bucket == chunk->bucket)
        return;
    xa_private_extent_unlist(&arena->chunks[chunk->bucket], extent);
    chunk->bucket = (uint8_t)bucket;
    xa_private_extent_list(&arena->chunks[bucket], extent);
}

/* A busy extent becomes a chunk; or, without memory for its records, is free again.  Unlocks. */
static bool
make_chunk(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock)
{
    unsigned granules = (unsigned)(extent->bytes / XA_GRANULE_BYTES);
    struct xa_private_chunk *chunk = NULL;
    if (granules <= XA_BITMAP_BITS)
        chunk = xa_metadata_take(chunk_bytes(granules));
    if (chunk == NULL) {
        xa_private_extent_give(arena, extent, XA_PRIVATE_DIRTY);
        return false;
    }
    xa_private_extent_count(&arena->counters.metadata, chunk_bytes(granules));
    chunk->granules = (uint16_t)granules;
    xa_bitmap_set(&chunk->free, 0, granules);
    if (!extent->is_zeroed)
        xa_bitmap_set(&chunk->dirty, 0, granules);
    /* What was retained has been purged as well as can be. */
    if (!extent->is_zeroed && extent->quality != XA_PRIVATE_RETAINED)
        xa_bitmap_set(&chunk->waiting, 0, granules);
    chunk->since_ms[XA_PRIVATE_DIRTY] = chunk->since_ms[XA_PRIVATE_MUZZY] = extent->since_ms;
    for (unsigned i = 0; i < granules; i++)
        chunk->runs[i].extent = extent;
    extent->chunk = chunk;
    extent->state = XA_PRIVATE_STATE_CHUNK;
    chunk->bucket = 0;
    xa_private_extent_list(&arena->chunks[0], extent);
    xa_private_chunk_settle(arena, extent);
    return true;
}

void
xa_private_chunk_unmake(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_chunk *chunk = extent->chunk;
    size_t bytes = chunk_bytes(chunk->granules);
    bool is_dirty = xa_private_chunk_count(&chunk->waiting) != 0;
    if (arena->empty_chunk == extent)
        arena->empty_chunk = NULL;
    extent->is_zeroed = xa_private_chunk_count(&chunk->dirty) == 0;
    xa_private_extent_unlist(&arena->chunks[chunk->bucket], extent);
    chunk->free = chunk->dirty = chunk->muzzy = chunk->waiting = (struct xa_bitmap){{0}};
    recount(arena, chunk);
    extent->chunk = NULL;
    extent->state = XA_PRIVATE_STATE_BUSY;
    xa_metadata_return(chunk, bytes);
    xa_private_extent_count(&arena->counters.metadata, -bytes);
    xa_private_extent_give(arena, extent, is_dirty ? XA_PRIVATE_DIRTY : XA_PRIVATE_MUZZY);
}

static bool
is_empty(const struct xa_private_chunk *chunk)
{
    return xa_private_chunk_count(&chunk->free) == chunk->granules;
}

/* ---- Runs ---- */

/* Runs begin at a page where pages are longer than granules. */
static unsigned
step(void)
{
    return (unsigned)(xa_private_extent_unit() / XA_GRANULE_BYTES);
}

static struct xa_private_extent *
find_chunk(struct xa_private_arena *arena, unsigned granules)
{
    for (unsigned bucket = bucket_of(granules); bucket < XA_PRIVATE_BUCKETS; bucket++) {
        struct xa_private_extent *extent = arena->chunks[bucket];
        for (unsigned i = 0; extent != NULL && i < LOOKED_AT_MAX; i++, extent = extent->next)
            if (xa_bitmap_find_run(&extent->chunk->free, granules, step()) != XA_BITMAP_NOT_FOUND)
                return extent;
    }
    return NULL;
}

/* What to ask the hooks for when `least` bytes are wanted. */
static size_t
bytes_to_ask(const struct xa_private_arena *arena, size_t least)
{
    size_t bytes = arena->grow_bytes;
    if (bytes > arena->grow_limit)
        bytes = arena->grow_limit / XA_PRIVATE_EXTENT_MIN_BYTES * XA_PRIVATE_EXTENT_MIN_BYTES;
    return bytes > least ? bytes : least;
}

/* A new chunk with room for that many granules.  Unlocks. */
static struct xa_private_extent *
add_chunk(struct xa_private_arena *arena, unsigned granules) XA_REQUIRES(arena->lock)
{
    size_t least =
        xa_bits_align_up((size_t)granules * XA_GRANULE_BYTES, XA_PRIVATE_EXTENT_MIN_BYTES);
    size_t most = bytes_to_ask(arena, least);
    struct xa_private_extent *extent = xa_private_extent_take(arena, least, most, 1, false);
    if (extent == NULL || !make_chunk(arena, extent))
        return NULL;
    if (arena->grow_bytes < XA_PRIVATE_CHUNK_MAX_BYTES && extent->bytes >= most)
        arena->grow_bytes *= 2;
    return extent;
}

struct xa_private_run *
xa_private_chunk_take_run(struct xa_private_arena *arena, unsigned granules, bool *is_zeroed)
{
    struct xa_private_extent *extent = find_chunk(arena, granules);
    if (extent == NULL && (extent = add_chunk(arena, granules)) == NULL)
        return NULL;
    struct xa_private_chunk *chunk = extent->chunk;
    unsigned first = xa_bitmap_find_run(&chunk->free, granules, step());
    if (first == XA_BITMAP_NOT_FOUND)
        return NULL;
    *is_zeroed = xa_bitmap_count(&chunk->dirty, first, granules) == 0;
    xa_bitmap_clear(&chunk->free, first, granules);
    xa_bitmap_clear(&chunk->muzzy, first, granules);
    xa_bitmap_clear(&chunk->waiting, first, granules);
    if (arena->empty_chunk == extent)
        arena->empty_chunk = NULL;
    xa_private_chunk_settle(arena, extent);
    xa_private_extent_count(&arena->counters.active, (size_t)granules * XA_GRANULE_BYTES);
    struct xa_private_run *run = &chunk->runs[first];
    run->granules = (uint16_t)granules;
    for (unsigned i = 1; i < granules; i++) {
        run[i].kind = XA_EXTENT_TAIL;
        run[i].granules = (uint16_t)i;
    }
    return run;
}

/* Granules of a run are free from now on. */
static void
free_granules(struct xa_private_arena *arena, struct xa_private_extent *extent, unsigned first,
    unsigned granules)
{
    struct xa_private_chunk *chunk = extent->chunk;
    for (unsigned i = 0; i < granules; i++)
        chunk->runs[first + i].kind = XA_EXTENT_NONE;
    xa_bitmap_set(&chunk->free, first, granules);
    xa_bitmap_set(&chunk->dirty, first, granules);
    xa_bitmap_set(&chunk->waiting, first, granules);
    chunk->since_ms[XA_PRIVATE_DIRTY] = xa_os_now_ms();
    xa_private_extent_count(&arena->counters.active, -((size_t)granules * XA_GRANULE_BYTES));
    xa_private_chunk_settle(arena, extent);
    xa_page_purge_note_news();
}

void
xa_private_chunk_keep_if_empty(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_extent *other = arena->empty_chunk;
    if (!is_empty(extent->chunk))
        return;
    arena->empty_chunk = extent;
    if (other != NULL && other != extent)
        xa_private_chunk_unmake(arena, other);
}

void
xa_private_chunk_return_run(struct xa_private_arena *arena, struct xa_private_run *run)
{
    struct xa_private_extent *extent = run->extent;
    free_granules(arena, extent, xa_private_chunk_index(run), run->granules);
    xa_private_chunk_keep_if_empty(arena, extent);
}

bool
xa_private_chunk_resize(
    struct xa_private_arena *arena, struct xa_private_run *run, unsigned granules)
{
    struct xa_private_extent *extent = run->extent;
    struct xa_private_chunk *chunk = extent->chunk;
    unsigned first = xa_private_chunk_index(run), now = run->granules;
    if (granules < now) {
        run->granules = (uint16_t)granules;
        free_granules(arena, extent, first + granules, now - granules);
        return true;
    }
    if (first + granules > chunk->granules ||
        xa_bitmap_count(&chunk->free, first + now, granules - now) != granules - now)
        return false;
    xa_bitmap_clear(&chunk->free, first + now, granules - now);
    xa_bitmap_clear(&chunk->muzzy, first + now, granules - now);
    xa_bitmap_clear(&chunk->waiting, first + now, granules - now);
    for (unsigned i = now; i < granules; i++) {
        run[i].kind = XA_EXTENT_TAIL;
        run[i].granules = (uint16_t)i;
    }
    run->granules = (uint16_t)granules;
    xa_private_extent_count(&arena->counters.active, (size_t)(granules - now) * XA_GRANULE_BYTES);
    xa_private_chunk_settle(arena, extent);
    return true;
}

struct xa_private_extent *
xa_private_chunk_any(const struct xa_private_arena *arena)
{
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        if (arena->chunks[bucket] != NULL)
            return arena->chunks[bucket];
    return NULL;
}

void
xa_private_chunk_drop(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_chunk *chunk = extent->chunk;
    for (unsigned i = 0; i < chunk->granules; i++)
        if (chunk->runs[i].kind == XA_EXTENT_SLAB || chunk->runs[i].kind == XA_EXTENT_LARGE)
            free_granules(arena, extent, i, chunk->runs[i].granules);
    xa_private_chunk_unmake(arena, extent);
}
