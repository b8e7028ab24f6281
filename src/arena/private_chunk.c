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
 * Granules that are being purged are neither free nor in a run, so that nobody takes them; and
 * their chunk is not empty, so that nobody gives it up while its purger has given up the lock.
 *
 * Locking: the arena's lock; what unlocks says so.
 */
#include "arena/private_chunk.h"

#include "arena/large.h"
#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"
#include "page/page_purge.h"

enum {
    INLINE_SLOTS = 64 * XA_PRIVATE_INLINE_WORDS,
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

static unsigned
count_bits(const struct xa_bitmap *map)
{
    return xa_bitmap_count(map, 0, XA_BITMAP_BITS);
}

/*
 * The bitmaps have changed: bring the counters up to date.  What has been purged as well as can be
 * is retained.
 */
static void
recount(struct xa_private_arena *arena, struct xa_private_chunk *chunk)
{
    struct xa_bitmap both = xa_bitmap_and(&chunk->waiting, &chunk->muzzy);
    unsigned waiting = count_bits(&chunk->waiting), muzzy = count_bits(&chunk->muzzy);
    unsigned dirty = waiting - count_bits(&both);
    count_quality(arena, chunk, XA_PRIVATE_DIRTY, dirty);
    count_quality(arena, chunk, XA_PRIVATE_MUZZY, muzzy);
    count_quality(arena, chunk, XA_PRIVATE_RETAINED,
        count_bits(&chunk->free) - dirty - muzzy + chunk->purging);
    xa_private_extent_count(
        &arena->counters.waiting, (size_t)waiting * XA_GRANULE_BYTES - chunk->counted_waiting);
    chunk->counted_waiting = (size_t)waiting * XA_GRANULE_BYTES;
}

/* The same, and put the chunk into the bucket where it belongs now. */
static void
settle(struct xa_private_arena *arena, struct xa_private_extent *extent)
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
    settle(arena, extent);
    return true;
}

/*
 * A chunk without a run is a free extent: a dirty one, or, if all of it has been purged, one that
 * still has to be offered to dalloc, as what is muzzy has.  Unlocks.
 */
static void
unmake_chunk(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock)
{
    struct xa_private_chunk *chunk = extent->chunk;
    size_t bytes = chunk_bytes(chunk->granules);
    bool is_dirty = count_bits(&chunk->waiting) != 0;
    if (arena->empty_chunk == extent)
        arena->empty_chunk = NULL;
    extent->is_zeroed = count_bits(&chunk->dirty) == 0;
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
    return count_bits(&chunk->free) == chunk->granules;
}

/* ---- Runs ---- */

static unsigned
index_of(const struct xa_private_run *run)
{
    return (unsigned)(run - run->extent->chunk->runs);
}

static uintptr_t
address_of(const struct xa_private_run *run)
{
    return run->extent->address + (uintptr_t)index_of(run) * XA_GRANULE_BYTES;
}

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

/* A run of that many granules, of no kind yet.  Unlocks. */
static struct xa_private_run *
take_run(struct xa_private_arena *arena, unsigned granules, bool *is_zeroed)
    XA_REQUIRES(arena->lock)
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
    settle(arena, extent);
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
    settle(arena, extent);
    xa_page_purge_note_news();
}

/* A chunk without a run takes the place of the one that was kept.  Unlocks. */
static void
keep_if_empty(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *other = arena->empty_chunk;
    if (!is_empty(extent->chunk))
        return;
    arena->empty_chunk = extent;
    if (other != NULL && other != extent)
        unmake_chunk(arena, other);
}

/* Unlocks. */
static void
return_run(struct xa_private_arena *arena, struct xa_private_run *run) XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *extent = run->extent;
    free_granules(arena, extent, index_of(run), run->granules);
    keep_if_empty(arena, extent);
}

void *
xa_private_chunk_take_large(struct xa_private_arena *arena, unsigned granules, bool *is_zeroed)
{
    struct xa_private_run *run = take_run(arena, granules, is_zeroed);
    if (run == NULL)
        return NULL;
    run->kind = XA_EXTENT_LARGE;
    return (void *)address_of(run);
}

bool
xa_private_chunk_resize(
    struct xa_private_arena *arena, struct xa_private_run *run, unsigned granules)
{
    struct xa_private_extent *extent = run->extent;
    struct xa_private_chunk *chunk = extent->chunk;
    unsigned first = index_of(run), now = run->granules;
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
    settle(arena, extent);
    return true;
}

/* ---- Slabs ---- */

static unsigned
word_count(const struct xa_private_run *run)
{
    return (xa_size_class_table[run->size_class].slots + 63) / 64;
}

static uint64_t *
words_of(struct xa_private_run *run)
{
    return xa_size_class_table[run->size_class].slots > INLINE_SLOTS ? run->free.far_words
                                                                     : run->free.words;
}

static void
list_partial(struct xa_private_arena *arena, struct xa_private_run *run)
{
    struct xa_private_run **list = &arena->partial[run->size_class];
    run->previous = NULL;
    run->next = *list;
    if (*list != NULL)
        (*list)->previous = run;
    *list = run;
    xa_private_extent_count(&arena->counters.classes[run->size_class].nonfull, 1);
}

static void
unlist_partial(struct xa_private_arena *arena, struct xa_private_run *run)
{
    if (run->previous == NULL)
        arena->partial[run->size_class] = run->next;
    else
        run->previous->next = run->next;
    if (run->next != NULL)
        run->next->previous = run->previous;
    xa_private_extent_count(&arena->counters.classes[run->size_class].nonfull, (size_t)-1);
}

static void
return_words(struct xa_private_arena *arena, struct xa_private_run *run)
{
    size_t bytes = word_count(run) * sizeof(uint64_t);
    if (words_of(run) == run->free.words)
        return;
    xa_metadata_return(run->free.far_words, bytes);
    xa_private_extent_count(&arena->counters.metadata, -bytes);
}

/* Make a slab of a run; false if memory ran out. */
static bool
make_slab(struct xa_private_arena *arena, struct xa_private_run *run, unsigned size_class)
{
    const struct xa_size_class *class = &xa_size_class_table[size_class];
    run->size_class = (uint8_t)size_class;
    if (class->slots > INLINE_SLOTS) {
        size_t bytes = word_count(run) * sizeof(uint64_t);
        run->free.far_words = xa_metadata_take(bytes);
        if (run->free.far_words == NULL)
            return false;
        xa_private_extent_count(&arena->counters.metadata, bytes);
    }
    run->kind = XA_EXTENT_SLAB;
    run->free_slots = (uint16_t) class->slots;
    uint64_t *words = words_of(run);
    for (unsigned i = 0; i < word_count(run); i++)
        words[i] = xa_bits_range(0, class->slots - 64 * i < 64 ? class->slots - 64 * i : 64);
    xa_private_extent_count(&arena->counters.classes[size_class].slabs, 1);
    xa_private_extent_count_events(&arena->counters.classes[size_class].slabs_made, 1);
    list_partial(arena, run);
    return true;
}

/* A slab of the class with a free slot.  Unlocks. */
static struct xa_private_run *
slab_for(struct xa_private_arena *arena, unsigned size_class) XA_REQUIRES(arena->lock)
{
    bool is_zeroed;
    if (arena->partial[size_class] != NULL)
        return arena->partial[size_class];
    struct xa_private_run *run =
        take_run(arena, xa_size_class_table[size_class].granules, &is_zeroed);
    if (run == NULL)
        return NULL;
    if (make_slab(arena, run, size_class))
        return run;
    return_run(arena, run);
    return NULL;
}

void *
xa_private_chunk_take_small(struct xa_private_arena *arena, unsigned size_class)
{
    struct xa_private_run *run = slab_for(arena, size_class);
    if (run == NULL)
        return NULL;
    uint64_t *words = words_of(run);
    unsigned i = 0;
    while (words[i] == 0)
        i++;
    unsigned slot = 64 * i + xa_bits_lowest(words[i]);
    words[i] &= words[i] - 1;
    if (--run->free_slots == 0)
        unlist_partial(arena, run);
    struct xa_private_class_counters *counters = &arena->counters.classes[size_class];
    size_t bytes = xa_size_class_table[size_class].object_bytes;
    xa_private_extent_count(&counters->live, 1);
    xa_private_extent_count_events(&counters->allocations, 1);
    xa_private_extent_count(&arena->counters.small, bytes);
    xa_private_extent_count(&arena->counters.small_objects, 1);
    return (void *)(address_of(run) + slot * bytes);
}

/* The slot that begins at the address, or one beyond the last. */
static size_t
slot_of(const struct xa_private_run *run, uintptr_t address)
{
    const struct xa_size_class *class = &xa_size_class_table[run->size_class];
    size_t offset = address - address_of(run);
    return offset % class->object_bytes == 0 ? offset / class->object_bytes : class->slots;
}

static enum xa_private_verdict
look_at_slot(struct xa_private_run *run, uintptr_t address)
{
    size_t slot = slot_of(run, address);
    if (slot >= xa_size_class_table[run->size_class].slots)
        return XA_PRIVATE_INSIDE;
    return (words_of(run)[slot / 64] >> (slot % 64)) & 1 ? XA_PRIVATE_FREE : XA_PRIVATE_LIVE;
}

enum xa_private_verdict
xa_private_chunk_look(
    struct xa_private_extent *extent, uintptr_t address, struct xa_private_run **run)
{
    struct xa_private_run *found =
        &extent->chunk->runs[(address - extent->address) / XA_GRANULE_BYTES];
    *run = NULL;
    if (found->kind == XA_EXTENT_TAIL)
        found -= found->granules;
    switch (found->kind) {
    case XA_EXTENT_SLAB: *run = found; return look_at_slot(found, address);
    case XA_EXTENT_LARGE:
        *run = found;
        return address == address_of(found) ? XA_PRIVATE_LIVE : XA_PRIVATE_INSIDE;
    default: return XA_PRIVATE_FREE;
    }
}

uintptr_t
xa_private_chunk_object(struct xa_private_run *run, uintptr_t address, bool *is_free)
{
    uintptr_t start = address_of(run);
    *is_free = false;
    if (run->kind != XA_EXTENT_SLAB)
        return start;
    size_t bytes = xa_size_class_table[run->size_class].object_bytes;
    start += (address - start) / bytes * bytes;
    *is_free = look_at_slot(run, start) != XA_PRIVATE_LIVE;
    return start;
}

static void
return_small(struct xa_private_arena *arena, struct xa_private_run *run, uintptr_t address)
    XA_REQUIRES(arena->lock)
{
    const struct xa_size_class *class = &xa_size_class_table[run->size_class];
    struct xa_private_class_counters *counters = &arena->counters.classes[run->size_class];
    size_t slot = slot_of(run, address);
    words_of(run)[slot / 64] |= UINT64_C(1) << (slot % 64);
    xa_private_extent_count(&counters->live, (size_t)-1);
    xa_private_extent_count_events(&counters->frees, 1);
    xa_private_extent_count(&arena->counters.small, -(size_t) class->object_bytes);
    xa_private_extent_count(&arena->counters.small_objects, (size_t)-1);
    if (run->free_slots++ == 0)
        list_partial(arena, run);
    /* The last slab with free slots stays: the next object would only ask for it again. */
    if (run->free_slots < class->slots ||
        (arena->partial[run->size_class] == run && run->next == NULL))
        return;
    unlist_partial(arena, run);
    return_words(arena, run);
    xa_private_extent_count(&counters->slabs, (size_t)-1);
    return_run(arena, run);
}

void
xa_private_chunk_return(
    struct xa_private_arena *arena, struct xa_private_run *run, uintptr_t address)
{
    if (run->kind == XA_EXTENT_SLAB)
        return_small(arena, run, address);
    else
        return_run(arena, run);
}

/* ---- All of them ---- */

static void
drop_runs(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    struct xa_private_chunk *chunk = extent->chunk;
    for (unsigned i = 0; i < chunk->granules; i++) {
        struct xa_private_run *run = &chunk->runs[i];
        if (run->kind != XA_EXTENT_SLAB && run->kind != XA_EXTENT_LARGE)
            continue;
        if (run->kind == XA_EXTENT_SLAB)
            return_words(arena, run);
        free_granules(arena, extent, i, run->granules);
    }
}

static struct xa_private_extent *
any_chunk(const struct xa_private_arena *arena)
{
    for (unsigned bucket = 0; bucket < XA_PRIVATE_BUCKETS; bucket++)
        if (arena->chunks[bucket] != NULL)
            return arena->chunks[bucket];
    return NULL;
}

void
xa_private_chunk_drop_all(struct xa_private_arena *arena)
{
    for (unsigned c = 0; c <= XA_SMALL_CLASSES; c++)
        arena->partial[c] = NULL;
    struct xa_private_extent *extent;
    while ((extent = any_chunk(arena)) != NULL) {
        if (extent->chunk->purging != 0) {
            xa_private_extent_wait_for_hooks(arena);
            continue;
        }
        drop_runs(arena, extent);
        unmake_chunk(arena, extent);
    }
}

/* What of the chunk is due for a purge: bits of one quality, or none. */
static struct xa_bitmap
due_bits(const struct xa_private_arena *arena, const struct xa_private_chunk *chunk,
    enum xa_private_how how, uint64_t now_ms, enum xa_private_quality *quality)
{
    struct xa_bitmap muzzy = xa_bitmap_and(&chunk->waiting, &chunk->muzzy), bits = chunk->waiting;
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
        bits.words[i] &= ~muzzy.words[i];
    *quality = XA_PRIVATE_DIRTY;
    if (count_bits(&bits) != 0 &&
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
    settle(arena, extent);
    size_t offset = (size_t)first * XA_GRANULE_BYTES, bytes = (size_t)count * XA_GRANULE_BYTES;
    enum xa_private_purge done = XA_PRIVATE_PURGE_NONE;
    if (is_lazy)
        done = xa_private_extent_purge(arena, extent, offset, bytes, true);
    bool is_muzzy = done == XA_PRIVATE_PURGE_LAZY;
    if (!is_muzzy)
        done = xa_private_extent_purge(arena, extent, offset, bytes, false);
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
    settle(arena, extent);
    keep_if_empty(arena, extent);
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
            if (count_bits(&bits) != 0)
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
        unmake_chunk(arena, extent);
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
    settle(arena, extent);
}

void
xa_private_chunk_reset_in_child(struct xa_private_arena *arena)
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
