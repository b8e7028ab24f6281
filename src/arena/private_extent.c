/*
 * private_extent.c - see private_extent.h.
 *
 * Memory that is given back goes through what jemalloc's hooks are used to: dalloc; if that
 * refuses, decommit; then the forced purge; then the lazy one; and then it is retained for later
 * use.  With a muzzy decay time, dirty memory is purged lazily first, and goes that way later.
 *
 * Free neighbours of the same kind become one extent, if the hooks can merge, and split again:
 * else large ones could only be used as a whole.  A free extent that is too long is split; if
 * the hooks refuse, it serves as it is, when at most a quarter of it is wasted.
 *
 * A range is taken out of the map before dalloc gets it: the moment that the host has it back, it
 * may come to another arena.
 *
 * Locking: the arena's lock, which every call of a hook gives up and takes again (private_hooks.h).
 * Functions that do so say "unlocks".  PRIVATE_EXTENTS guards the records that wait for reuse.
 */
#include "arena/private_extent.h"

#include "arena/private_hooks.h"
#include "arena/private_map.h"
#include "base/assert.h"
#include "extent/metadata.h"
#include "os/message.h"
#include "os/os.h"
#include "page/page_purge.h"

enum {
    LOOKED_AT_MAX = 1024, /* free extents, for one that fits */
    WASTE_FRACTION = 4,   /* of what is asked for, where the hooks do not split */
};

static struct {
    struct xa_lock lock;
    struct xa_private_extent *unused; /* [l] */
} records = {.lock.rank = XA_LOCK_RANK_PRIVATE_EXTENTS};

size_t
xa_private_extent_unit(void)
{
    return xa_os_facts.page_bytes > XA_GRANULE_BYTES ? xa_os_facts.page_bytes : XA_GRANULE_BYTES;
}

/* ---- Records and lists ---- */

static struct xa_private_extent *
take_record(struct xa_private_arena *arena)
{
    xa_lock_lock(&records.lock);
    struct xa_private_extent *extent = records.unused;
    if (extent != NULL)
        records.unused = extent->next;
    xa_lock_unlock(&records.lock);
    if (extent == NULL && (extent = xa_metadata_take(sizeof *extent)) == NULL)
        return NULL;
    extent->state = XA_PRIVATE_STATE_BUSY;
    extent->chunk = NULL;
    extent->next = extent->previous = NULL;
    extent->life = arena->life;
    atomic_store_explicit(&extent->arena, arena, memory_order_relaxed);
    xa_private_extent_count(&arena->counters.metadata, sizeof *extent);
    return extent;
}

static void
return_record(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_count(&arena->counters.metadata, -sizeof *extent);
    extent->state = XA_PRIVATE_STATE_BUSY;
    xa_lock_lock(&records.lock);
    extent->next = records.unused;
    records.unused = extent;
    xa_lock_unlock(&records.lock);
}

void
xa_private_extent_list(struct xa_private_extent **list, struct xa_private_extent *extent)
{
    extent->previous = NULL;
    extent->next = *list;
    if (*list != NULL)
        (*list)->previous = extent;
    *list = extent;
}

void
xa_private_extent_unlist(struct xa_private_extent **list, struct xa_private_extent *extent)
{
    if (extent->previous == NULL)
        *list = extent->next;
    else
        extent->previous->next = extent->next;
    if (extent->next != NULL)
        extent->next->previous = extent->previous;
    extent->next = extent->previous = NULL;
}

static void
count_free(struct xa_private_arena *arena, const struct xa_private_extent *extent, size_t bytes)
{
    xa_private_extent_count(&arena->counters.free_bytes[extent->quality], bytes);
    if (extent->quality != XA_PRIVATE_RETAINED)
        xa_private_extent_count(&arena->counters.waiting, bytes);
}

/* A free extent becomes busy. */
static void
take_from_free(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_unlist(&arena->free[extent->quality], extent);
    count_free(arena, extent, -extent->bytes);
    extent->state = XA_PRIVATE_STATE_BUSY;
}

static void
put_to_free(struct xa_private_arena *arena, struct xa_private_extent *extent)
{
    xa_private_extent_list(&arena->free[extent->quality], extent);
    count_free(arena, extent, extent->bytes);
    extent->state = XA_PRIVATE_STATE_FREE;
}

/* ---- Splitting and merging; these unlock ---- */

/* Split a busy extent; what lies behind `front` bytes, busy, or NULL. */
static struct xa_private_extent *
split(struct xa_private_arena *arena, struct xa_private_extent *extent, size_t front)
    XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *back = take_record(arena);
    if (back == NULL)
        return NULL;
    if (!xa_private_hooks_split(arena, extent, front)) {
        return_record(arena, back);
        return NULL;
    }
    back->address = extent->address + front;
    back->bytes = extent->bytes - front;
    back->quality = extent->quality;
    back->since_ms = extent->since_ms;
    back->is_committed = extent->is_committed;
    back->is_zeroed = extent->is_zeroed;
    extent->bytes = front;
    xa_private_map_set(back->address, back->bytes, back);
    return back;
}

/* The first of two busy neighbours has swallowed the second. */
static void
join(
    struct xa_private_arena *arena, struct xa_private_extent *front, struct xa_private_extent *back)
{
    xa_private_map_set(back->address, back->bytes, front);
    front->bytes += back->bytes;
    front->is_zeroed = front->is_zeroed && back->is_zeroed;
    /* The older: else what is freed in small pieces would never be old. */
    if (back->since_ms < front->since_ms)
        front->since_ms = back->since_ms;
    return_record(arena, back);
}

/* The arena's free extent at this address, or NULL. */
static struct xa_private_extent *
free_at(const struct xa_private_arena *arena, uintptr_t address)
{
    struct xa_private_extent *extent = xa_private_map_find(address);
    /* Another arena's may become anything while we look; but not ours. */
    if (extent == NULL || atomic_load_explicit(&extent->arena, memory_order_relaxed) != arena ||
        extent->life != arena->life || extent->state != XA_PRIVATE_STATE_FREE)
        return NULL;
    return extent;
}

static bool
is_alike(const struct xa_private_extent *a, const struct xa_private_extent *b)
{
    return a->quality == b->quality && a->is_committed == b->is_committed;
}

/* Merge a busy extent with its free neighbours; the one that is left, busy. */
static struct xa_private_extent *
merge(struct xa_private_arena *arena, struct xa_private_extent *extent) XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *other = free_at(arena, extent->address - 1);
    if (other != NULL && is_alike(other, extent)) {
        take_from_free(arena, other);
        if (xa_private_hooks_merge(arena, other, extent)) {
            join(arena, other, extent);
            extent = other;
        } else {
            put_to_free(arena, other);
        }
    }
    other = free_at(arena, extent->address + extent->bytes);
    if (other != NULL && is_alike(other, extent)) {
        take_from_free(arena, other);
        if (xa_private_hooks_merge(arena, extent, other))
            join(arena, extent, other);
        else
            put_to_free(arena, other);
    }
    return extent;
}

void
xa_private_extent_give(struct xa_private_arena *arena, struct xa_private_extent *extent,
    enum xa_private_quality quality)
{
    xa_assert(extent->state == XA_PRIVATE_STATE_BUSY);
    extent->life = arena->life;
    extent->quality = (uint8_t)quality;
    extent->since_ms = xa_os_now_ms();
    if (quality == XA_PRIVATE_DIRTY) {
        extent->is_zeroed = false;
        xa_page_purge_note_news();
    }
    put_to_free(arena, merge(arena, extent));
}

/* ---- Taking ---- */

/* Publish new memory.  What cannot be used is told of once. */
static enum xa_private_map_result
publish(struct xa_private_extent *extent, size_t alignment)
{
    static _Atomic bool has_complained;
    enum xa_private_map_result result = XA_PRIVATE_MAP_NO_MEMORY;
    bool is_aligned = extent->address % alignment == 0;
    if (is_aligned)
        result = xa_private_map_insert(extent->address, extent->bytes, extent);
    if ((!is_aligned || result == XA_PRIVATE_MAP_TAKEN) &&
        !atomic_exchange_explicit(&has_complained, true, memory_order_relaxed))
        xa_message_pointer("extent_hooks_t.alloc", (void *)extent->address,
            is_aligned ? "has been an extent before and was not given back. "
                         "Look for a hook that returns the same memory twice."
                       : "less aligned than it was asked for, not used. "
                         "Let the hook return a multiple of \"alignment\".");
    return result;
}

/* A busy extent from the alloc hook, or NULL.  `address` is where it has to be, or 0.  Unlocks. */
static struct xa_private_extent *
call_alloc(struct xa_private_arena *arena, uintptr_t address, size_t bytes, size_t alignment,
    bool wants_zeros) XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *extent = take_record(arena);
    if (extent == NULL)
        return NULL;
    bool is_zeroed = wants_zeros, is_committed = true;
    struct extent_hooks_s *hooks = xa_private_section_begin_hook(arena);
    void *start = hooks->alloc(hooks, (void *)address, bytes, alignment, &is_zeroed, &is_committed,
        xa_private_hooks_index(arena));
    extent->address = (uintptr_t)start;
    extent->bytes = bytes;
    extent->quality = XA_PRIVATE_RETAINED;
    extent->is_zeroed = is_zeroed;
    extent->is_committed = is_committed;
    /* Hooks that do not heed new_addr, or the alignment, get it back; but not what is in use. */
    enum xa_private_map_result result = XA_PRIVATE_MAP_NO_MEMORY;
    if (start != NULL && (address == 0 || start == (void *)address))
        result = publish(extent, alignment);
    bool is_fine = result == XA_PRIVATE_MAP_DONE;
    if (start != NULL && result == XA_PRIVATE_MAP_NO_MEMORY && hooks->dalloc != NULL)
        (void)hooks->dalloc(hooks, start, bytes, is_committed, xa_private_hooks_index(arena));
    xa_private_section_end_hook(arena);
    if (!is_fine) {
        return_record(arena, extent);
        return NULL;
    }
    xa_private_extent_count(&arena->counters.mapped, bytes);
    if (extent->is_committed || xa_private_hooks_commit(arena, extent))
        return extent;
    xa_private_extent_give(arena, extent, XA_PRIVATE_RETAINED);
    return NULL;
}

/* How well a free extent serves: 0 not at all. */
static size_t
fitness(const struct xa_private_extent *extent, size_t least, size_t alignment)
{
    if (extent->bytes < least || extent->address % alignment != 0)
        return 0;
    /* The shortest; among equals, what is in memory. */
    return SIZE_MAX - extent->bytes - extent->quality;
}

static struct xa_private_extent *
find_free(struct xa_private_arena *arena, size_t least, size_t alignment)
{
    struct xa_private_extent *best = NULL;
    size_t best_fitness = 0;
    unsigned looked_at = 0;
    for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
        for (struct xa_private_extent *extent = arena->free[quality];
             extent != NULL && looked_at < LOOKED_AT_MAX; extent = extent->next, looked_at++) {
            size_t fits = fitness(extent, least, alignment);
            if (fits > best_fitness) {
                best = extent;
                best_fitness = fits;
            }
        }
    return best;
}

/* A free extent that fits, cut to at most `most` bytes if that can be; busy.  Unlocks. */
static struct xa_private_extent *
reuse(struct xa_private_arena *arena, size_t least, size_t most, size_t alignment)
    XA_REQUIRES(arena->lock)
{
    struct xa_private_extent *extent = find_free(arena, least, alignment);
    if (extent == NULL)
        return NULL;
    take_from_free(arena, extent);
    if (extent->bytes >= most + XA_PRIVATE_EXTENT_MIN_BYTES) {
        struct xa_private_extent *back = split(arena, extent, most);
        if (back != NULL)
            put_to_free(arena, back);
    }
    bool is_usable = extent->bytes <= most + most / WASTE_FRACTION ||
        extent->bytes < most + XA_PRIVATE_EXTENT_MIN_BYTES;
    if (is_usable && (extent->is_committed || xa_private_hooks_commit(arena, extent)))
        return extent;
    put_to_free(arena, extent);
    return NULL;
}

struct xa_private_extent *
xa_private_extent_take(
    struct xa_private_arena *arena, size_t least, size_t most, size_t alignment, bool wants_zeros)
{
    if (alignment < xa_private_extent_unit())
        alignment = xa_private_extent_unit();
    struct xa_private_extent *extent = reuse(arena, least, most, alignment);
    if (extent == NULL)
        extent = call_alloc(arena, 0, most, alignment, wants_zeros);
    if (extent == NULL && most > least)
        extent = call_alloc(arena, 0, least, alignment, wants_zeros);
    return extent;
}

bool
xa_private_extent_grow(
    struct xa_private_arena *arena, struct xa_private_extent *extent, size_t bytes)
{
    uintptr_t end = extent->address + extent->bytes;
    size_t more = bytes - extent->bytes;
    struct xa_private_extent *other = free_at(arena, end);
    if (other != NULL) {
        take_from_free(arena, other);
        struct xa_private_extent *rest = NULL;
        if (other->bytes > more)
            rest = split(arena, other, more);
        bool fits =
            other->bytes == more && (other->is_committed || xa_private_hooks_commit(arena, other));
        if (rest != NULL)
            put_to_free(arena, rest);
        if (!fits) {
            put_to_free(arena, other);
            return false;
        }
    } else if (xa_private_map_find(end) == NULL) {
        other = call_alloc(arena, end, more, xa_private_extent_unit(), false);
    }
    if (other == NULL)
        return false;
    if (xa_private_hooks_merge(arena, extent, other)) {
        join(arena, extent, other);
        return true;
    }
    xa_private_extent_give(arena, other, XA_PRIVATE_DIRTY);
    return false;
}

bool
xa_private_extent_shrink(
    struct xa_private_arena *arena, struct xa_private_extent *extent, size_t bytes)
{
    struct xa_private_extent *back = split(arena, extent, bytes);
    if (back == NULL)
        return false;
    xa_private_extent_give(arena, back, XA_PRIVATE_DIRTY);
    return true;
}

/* ---- Giving back ---- */

bool
xa_private_extent_is_due(const struct xa_private_arena *arena, uint64_t since_ms,
    enum xa_private_quality quality, enum xa_private_how how, uint64_t now_ms)
{
    if (how == XA_PRIVATE_DESTROY)
        return true;
    if (quality == XA_PRIVATE_RETAINED)
        return false;
    if (how == XA_PRIVATE_ALL)
        return true;
    int64_t decay_ms = atomic_load_explicit(&arena->decay_ms[quality], memory_order_relaxed);
    /* It may have been freed after the caller looked at the clock. */
    uint64_t age_ms = now_ms > since_ms ? now_ms - since_ms : 0;
    return decay_ms >= 0 && age_ms >= (uint64_t)decay_ms;
}

/* Offer a busy extent to the host, for as long as the muzzy decay time.  Unlocks. */
static bool
make_muzzy(struct xa_private_arena *arena, struct xa_private_extent *extent)
    XA_REQUIRES(arena->lock)
{
    if (atomic_load_explicit(&arena->decay_ms[XA_PRIVATE_MUZZY], memory_order_relaxed) == 0 ||
        xa_private_hooks_purge(arena, extent, 0, extent->bytes, true) == XA_PRIVATE_PURGE_NONE)
        return false;
    xa_private_extent_give(arena, extent, XA_PRIVATE_MUZZY);
    return true;
}

/* Give a busy extent back, as far as the hooks let us.  Unlocks. */
static void
give_back(struct xa_private_arena *arena, struct xa_private_extent *extent, enum xa_private_how how)
    XA_REQUIRES(arena->lock)
{
    xa_private_map_set(extent->address, extent->bytes, NULL);
    bool is_gone = xa_private_hooks_dalloc(arena, extent);
    if (!is_gone && how == XA_PRIVATE_DESTROY) {
        xa_private_hooks_destroy(arena, extent);
        is_gone = true;
    }
    if (is_gone) {
        xa_private_extent_count(&arena->counters.mapped, -extent->bytes);
        xa_private_extent_count_events(&arena->counters.purged_bytes, extent->bytes);
        return_record(arena, extent);
        return;
    }
    xa_private_map_set(extent->address, extent->bytes, extent);
    if (extent->is_committed && !xa_private_hooks_decommit(arena, extent))
        extent->is_zeroed = xa_private_hooks_purge(arena, extent, 0, extent->bytes, false) ==
            XA_PRIVATE_PURGE_ZEROED;
    xa_private_extent_give(arena, extent, XA_PRIVATE_RETAINED);
}

static struct xa_private_extent *
find_due(struct xa_private_arena *arena, enum xa_private_how how, uint64_t now_ms)
{
    unsigned qualities = how == XA_PRIVATE_DESTROY ? XA_PRIVATE_RETAINED + 1 : XA_PRIVATE_RETAINED;
    for (unsigned quality = 0; quality < qualities; quality++)
        for (struct xa_private_extent *extent = arena->free[quality]; extent != NULL;
             extent = extent->next)
            if (xa_private_extent_is_due(arena, extent->since_ms, quality, how, now_ms))
                return extent;
    return NULL;
}

static size_t
count_all(const struct xa_private_arena *arena)
{
    size_t count = 0;
    for (unsigned quality = 0; quality <= XA_PRIVATE_RETAINED; quality++)
        for (struct xa_private_extent *extent = arena->free[quality]; extent != NULL;
             extent = extent->next)
            count++;
    return count;
}

void
xa_private_extent_decay(struct xa_private_arena *arena, enum xa_private_how how)
{
    uint64_t now_ms = xa_os_now_ms();
    struct xa_private_extent *extent;
    /* Each leaves its list, or comes back as something that is not due. */
    for (size_t bound = count_all(arena); bound > 0; bound--) {
        if ((extent = find_due(arena, how, now_ms)) == NULL)
            break;
        take_from_free(arena, extent);
        if (how != XA_PRIVATE_DECAYED || extent->quality != XA_PRIVATE_DIRTY ||
            !make_muzzy(arena, extent))
            give_back(arena, extent, how);
        xa_private_extent_count_events(&arena->counters.purges, 1);
    }
}

void
xa_private_extent_reset_in_child(void)
{
    if (xa_lock_reset_in_child(&records.lock))
        records.unused = NULL;
}
