/*
 * arena.c - the arenas, and the ways of objects between caches and slabs.
 *
 * Arenas divide the locks among the threads; memory is no thread's own.  There are
 * as many as processors up to four, and one more for each eight beyond.  The first
 * is static and costs a small program only the cache lines that it uses; the
 * others are made when a thread is given them, and stay.
 *
 *   thread cache ── full magazine ──► depot of (arena, class): seven slots
 *        ▲                              │ no slot free
 *        │                              ▼
 *        │                            its stack ──► reserve of the bin (under its lock)
 *        │                                            │ beyond the bound
 *        └── magazine, or a few objects ──            ▼
 *                              slabs of the objects' own bins ──► page heap
 *
 * Objects of any arena may be in a depot: an object finds its bin by its slab's
 * record.  Giving back never waits: where a bin's lock is busy, the magazine stays
 * in the depot.  Only when a stack holds PATIENCE_FACTOR times its bound does the
 * thread wait, so that memory stays bounded whatever the scheduler does.
 *
 * Locking: ARENAS guards the making of arenas and of bins' constants.
 */
#include "arena/arena.h"

#include "arena/slab.h"
#include "arena/slab_purge.h"
#include "base/assert.h"
#include "extent/metadata.h"
#include "os/os.h"
#include "page/page_purge.h"

enum {
    RESERVE_OBJECTS_MAX = 16 * XA_MAGAZINE_OBJECTS_MAX,
    RESERVE_BYTES_MAX = 128 * 1024,
    PATIENCE_FACTOR = 8,
    NEIGHBOURS_ASKED = 3,
};

static struct {
    struct xa_lock lock;
    _Atomic unsigned limit; /* [a] */
} arenas = {.lock.rank = XA_LOCK_RANK_ARENAS};

/* [a] Published complete.  The first apart: a small process never touches the others' page. */
static _Atomic(struct xa_arena *) first;
XA_BULKY _Atomic(struct xa_arena *) xa_arena_others[XA_ARENAS_MAX];

static _Atomic(struct xa_arena *) *
place_of(unsigned index)
{
    return index == 0 ? &first : &xa_arena_others[index];
}

static void
init(struct xa_arena *arena, unsigned index)
{
    arena->index = (uint16_t)index;
    xa_page_heap_init(&arena->heap, (uint16_t)index);
    /* Release: whoever finds the arena finds it complete. */
    atomic_store_explicit(place_of(index), arena, memory_order_release);
}

void
xa_arena_init(void)
{
    xa_arena_set_limit(1);
    /* Nobody has taken metadata before: the memory is there from the start. */
    struct xa_arena *arena = xa_metadata_take_pages(sizeof *arena);
    xa_assert(arena != NULL);
    init(arena, 0);
}

void
xa_arena_set_limit(unsigned limit)
{
    xa_assert(limit >= 1 && limit <= XA_ARENAS_MAX);
    atomic_store_explicit(&arenas.limit, limit, memory_order_relaxed);
}

unsigned
xa_arena_limit(void)
{
    return atomic_load_explicit(&arenas.limit, memory_order_relaxed);
}

struct xa_arena *
xa_arena_at(unsigned index)
{
    if (index >= XA_ARENAS_MAX)
        return NULL;
    return atomic_load_explicit(place_of(index), memory_order_acquire);
}

/* The arena of this index, made now if need be; NULL if memory ran out. */
static struct xa_arena *
make(unsigned index)
{
    xa_lock_lock(&arenas.lock);
    struct xa_arena *arena = xa_arena_at(index);
    if (arena == NULL) {
        arena = xa_metadata_take_pages(sizeof *arena);
        if (arena != NULL)
            init(arena, index);
    }
    xa_lock_unlock(&arenas.lock);
    return arena;
}

struct xa_arena *
xa_arena_obtain(unsigned index)
{
    struct xa_arena *arena = xa_arena_at(index);
    if (arena == NULL && index < xa_arena_limit())
        arena = make(index);
    return arena != NULL && arena->index == index ? arena : NULL;
}

void
xa_arena_join(struct xa_arena *arena)
{
    atomic_fetch_add_explicit(&arena->threads, 1, memory_order_relaxed);
}

struct xa_arena *
xa_arena_assign(void)
{
    unsigned best = 0;
    uint32_t fewest = UINT32_MAX;
    for (unsigned i = 0; i < xa_arena_limit() && fewest > 0; i++) {
        struct xa_arena *arena = xa_arena_at(i);
        /* A number that others change meanwhile: near enough for a choice. */
        uint32_t threads =
            arena == NULL ? 0 : atomic_load_explicit(&arena->threads, memory_order_relaxed);
        if (threads < fewest) {
            fewest = threads;
            best = i;
        }
    }
    struct xa_arena *arena = xa_arena_at(best);
    if (arena == NULL)
        arena = make(best);
    if (arena == NULL)
        arena = xa_arena_at(0);
    atomic_fetch_add_explicit(&arena->threads, 1, memory_order_relaxed);
    return arena;
}

void
xa_arena_leave(struct xa_arena *arena)
{
    atomic_fetch_sub_explicit(&arena->threads, 1, memory_order_relaxed);
}

static struct xa_bin *
bin_of(struct xa_arena *arena, unsigned size_class)
{
    struct xa_bin *bin = &arena->bins[size_class];
    if (XA_UNLIKELY(!atomic_load_explicit(&bin->is_ready, memory_order_acquire))) {
        xa_lock_lock(&arenas.lock);
        if (!atomic_load_explicit(&bin->is_ready, memory_order_relaxed))
            xa_bin_init(bin, arena->index, size_class);
        xa_lock_unlock(&arenas.lock);
    }
    return bin;
}

/* A new slab for the bin; XA_GRANULE_NONE if memory ran out. */
static uint32_t
make_slab(struct xa_arena *arena, const struct xa_bin *bin)
{
    unsigned granules = xa_size_class_table[bin->size_class].granules;
    bool is_zeroed;
    uint32_t granule = xa_page_heap_take(&arena->heap, XA_RUN_FOR_SLAB, granules, 1, &is_zeroed);
    if (granule == XA_GRANULE_NONE)
        return granule;
    if (xa_slab_init(granule, bin->size_class, arena->index, bin->generation))
        return granule;
    xa_page_heap_return(&arena->heap, XA_RUN_FOR_SLAB, granule, granules, 0);
    return XA_GRANULE_NONE;
}

unsigned
xa_arena_take_listed(struct xa_arena *arena, unsigned size_class, void **objects, unsigned count)
{
    struct xa_bin *bin = bin_of(arena, size_class);
    xa_lock_lock(&bin->lock);
    unsigned taken = xa_bin_take(bin, objects, count);
    xa_lock_unlock(&bin->lock);
    return taken;
}

unsigned
xa_arena_take(struct xa_arena *arena, unsigned size_class, void **objects, unsigned count)
{
    unsigned taken = xa_arena_take_listed(arena, size_class, objects, count);
    if (taken > 0)
        return taken;
    struct xa_bin *bin = bin_of(arena, size_class);
    uint32_t granule = make_slab(arena, bin);
    xa_lock_lock(&bin->lock);
    if (granule != XA_GRANULE_NONE)
        xa_bin_add_slab(bin, granule);
    /* Without a slab of our own, another thread may have freed something meanwhile. */
    taken = xa_bin_take(bin, objects, count);
    xa_lock_unlock(&bin->lock);
    return taken;
}

void
xa_arena_release(
    struct xa_arena *arena, const struct xa_bin_released *released, unsigned size_class)
{
    unsigned granules = xa_size_class_table[size_class].granules;
    for (unsigned i = 0; i < released->count; i++) {
        uint32_t granule = released->granules[i];
        unsigned touched = xa_slab_touched_granules(granule);
        xa_slab_finish(granule);
        xa_page_heap_return(&arena->heap, XA_RUN_FOR_SLAB, granule, granules, touched);
    }
    xa_page_purge_tick(&arena->heap);
}

/* The arena of an object's slab; the first one for what is no object, which its bin will say. */
static struct xa_arena *
arena_of(const void *object)
{
    unsigned size_class = xa_page_map_class((uintptr_t)object);
    if (size_class == XA_CLASS_NONE ||
        (size_class > XA_SMALL_CLASSES && size_class != XA_CLASS_CHECKED))
        return xa_arena_at(0);
    return xa_arena_at(xa_page_map_record(xa_slab_of((uintptr_t)object))->arena);
}

unsigned
xa_arena_return(
    unsigned size_class, void **objects, unsigned count, enum xa_arena_patience patience)
{
    unsigned done = 0;
    while (done < count) {
        struct xa_arena *arena = arena_of(objects[done]);
        struct xa_bin *bin = bin_of(arena, size_class);
        struct xa_bin_released released;
        released.count = 0;
        if (patience == XA_ARENA_WAIT)
            xa_lock_lock(&bin->lock);
        else if (!xa_lock_try(&bin->lock))
            break;
        done += xa_bin_return(bin, objects + done, count - done, &released);
        xa_lock_unlock(&bin->lock);
        if (released.count > 0)
            xa_arena_release(arena, &released, size_class);
    }
    return done;
}

void
xa_arena_check(unsigned size_class, const void *object)
{
    struct xa_bin *bin = bin_of(arena_of(object), size_class);
    xa_lock_lock(&bin->lock);
    xa_bin_check(bin, object);
    xa_lock_unlock(&bin->lock);
}

/* Without a lock, and not in one step: of a sample some may be lost. */
static void
sample(_Atomic size_t *counter, size_t amount)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

void
xa_arena_note_request(struct xa_arena *arena, unsigned size_class, size_t bytes)
{
    struct xa_bin_counters *counters = &arena->bins[size_class].counters;
    /* Figures for people, without the bin's lock and ordered with nothing. */
    sample(&counters->sampled_requests, 1);
    sample(&counters->sampled_bytes, bytes);
}

/* What may pile up in a reserve: some magazines, and not too many bytes. */
static size_t
reserve_bound(unsigned size_class)
{
    size_t objects = RESERVE_BYTES_MAX / xa_size_class_table[size_class].object_bytes;
    return objects < RESERVE_OBJECTS_MAX ? objects : RESERVE_OBJECTS_MAX;
}

/* Slots of a depot that its magazines may take: as many bytes as a reserve at most, but one. */
static unsigned
slots_for(unsigned size_class, const struct xa_magazine *magazine)
{
    size_t bytes = atomic_load_explicit(&magazine->count, memory_order_relaxed) *
        (size_t)xa_size_class_table[size_class].object_bytes;
    size_t slots = RESERVE_BYTES_MAX / bytes;
    return slots == 0 ? 1 : slots < XA_DEPOT_SLOTS ? (unsigned)slots : XA_DEPOT_SLOTS;
}

/*
 * Free what is in a list of magazines.  Where a bin is busy and the caller has no
 * time, the magazine goes back to the depot.
 */
static void
drain(struct xa_depot *depot, unsigned size_class, struct xa_magazine *list,
    enum xa_arena_patience patience)
{
    while (list != NULL) {
        struct xa_magazine *magazine = list;
        list = magazine->next;
        unsigned count = atomic_load_explicit(&magazine->count, memory_order_relaxed);
        unsigned done =
            xa_arena_return(size_class, xa_magazine_end(magazine) - count, count, patience);
        atomic_store_explicit(&magazine->count, (uint16_t)(count - done), memory_order_relaxed);
        if (done == count)
            xa_magazine_discard(magazine);
        else
            (void)xa_depot_put(depot, magazine, XA_DEPOT_SLOTS);
    }
}

struct xa_magazine *
xa_arena_take_magazine(struct xa_arena *arena, unsigned size_class)
{
    struct xa_magazine *magazine = xa_depot_take(&arena->bins[size_class].depot);
    /* A few neighbours, so that a miss does not read a line of every processor's. */
    unsigned limit = xa_arena_limit();
    for (unsigned i = 1; magazine == NULL && i < limit && i <= NEIGHBOURS_ASKED; i++) {
        struct xa_arena *other = xa_arena_at((arena->index + i) % limit);
        if (other != NULL)
            magazine = xa_depot_take(&other->bins[size_class].depot);
    }
    if (magazine == NULL && xa_bin_has_magazine(&arena->bins[size_class])) {
        struct xa_bin *bin = bin_of(arena, size_class);
        xa_lock_lock(&bin->lock);
        magazine = xa_bin_take_magazine(bin);
        xa_lock_unlock(&bin->lock);
    }
    return magazine;
}

void
xa_arena_put_magazine(struct xa_arena *arena, unsigned size_class, struct xa_magazine *magazine)
{
    struct xa_bin *bin = bin_of(arena, size_class);
    size_t bound = reserve_bound(size_class);
    size_t on_stack = xa_depot_put(&bin->depot, magazine, slots_for(size_class, magazine));
    if (on_stack <= bound)
        return;
    /* A busy lock leaves everything where it is, until really much has piled up. */
    enum xa_arena_patience patience =
        on_stack > PATIENCE_FACTOR * bound ? XA_ARENA_WAIT : XA_ARENA_TRY;
    if (patience == XA_ARENA_WAIT)
        xa_lock_lock(&bin->lock);
    else if (!xa_lock_try(&bin->lock))
        return;
    struct xa_magazine *excess = xa_bin_trim_reserve(bin, bound);
    xa_lock_unlock(&bin->lock);
    drain(&bin->depot, size_class, excess, patience);
}

/* Free everything that waits in a bin's depot and reserve. */
static void
empty_depot(struct xa_arena *arena, unsigned size_class)
{
    struct xa_bin *bin = &arena->bins[size_class];
    if (xa_depot_objects(&bin->depot) == 0 && !xa_bin_has_magazine(bin))
        return;
    /* It has been used, but by another thread: this one has not seen yet that it is ready. */
    bin = bin_of(arena, size_class);
    xa_lock_lock(&bin->lock);
    struct xa_magazine *list = xa_bin_trim_reserve(bin, 0);
    xa_lock_unlock(&bin->lock);
    for (unsigned i = 0; i < XA_DEPOT_SLOTS; i++) {
        struct xa_magazine *magazine = xa_depot_take(&bin->depot);
        if (magazine == NULL)
            break;
        magazine->next = list;
        list = magazine;
    }
    drain(&bin->depot, size_class, list, XA_ARENA_WAIT);
}

/* Nobody needs the bin at the moment: it keeps no empty slab either. */
static void
release_kept(struct xa_arena *arena, unsigned size_class)
{
    struct xa_bin *bin = &arena->bins[size_class];
    struct xa_bin_released released;
    if (!atomic_load_explicit(&bin->is_ready, memory_order_acquire) ||
        atomic_load_explicit(&bin->counters.slabs, memory_order_relaxed) == 0)
        return;
    released.count = 0;
    xa_lock_lock(&bin->lock);
    xa_bin_release_kept(bin, &released);
    xa_lock_unlock(&bin->lock);
    if (released.count > 0)
        xa_arena_release(arena, &released, size_class);
}

/* True if the bin's depot and reserve are empty. */
static bool
empty_if_idle(struct xa_arena *arena, unsigned size_class)
{
    struct xa_bin *bin = &arena->bins[size_class];
    size_t magazines = xa_depot_look(&bin->depot) +
        (size_t)(uintptr_t)atomic_load_explicit(&bin->reserve, memory_order_relaxed);
    uint32_t seen = (uint32_t)(magazines +
        atomic_load_explicit(&bin->counters.allocations, memory_order_relaxed) * 3 +
        atomic_load_explicit(&bin->counters.frees, memory_order_relaxed) * 5);
    bool is_idle = seen == bin->seen;
    /* Only if it changes: a bin that nobody uses should not cost a page. */
    if (!is_idle)
        bin->seen = seen;
    if (is_idle && magazines != 0)
        empty_depot(arena, size_class);
    if (is_idle)
        release_kept(arena, size_class);
    return magazines == 0 || is_idle;
}

bool
xa_arena_empty_idle(void)
{
    bool all_empty = true;
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        struct xa_arena *arena = xa_arena_at(i);
        if (arena == NULL)
            continue;
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            all_empty &= empty_if_idle(arena, c);
        xa_page_purge_close_empty(&arena->heap);
    }
    return all_empty;
}

size_t
xa_arena_trim(size_t keep_bytes)
{
    return xa_arena_trim_until(keep_bytes, UINT64_MAX);
}

static bool
is_past(uint64_t deadline_ms)
{
    return deadline_ms != UINT64_MAX && xa_os_now_ms() >= deadline_ms;
}

size_t
xa_arena_trim_until(size_t keep_bytes, uint64_t deadline_ms)
{
    size_t total = 0;
    /* All depots first: what comes out of one may belong into any arena's slabs. */
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++)
        for (unsigned c = 1; xa_arena_at(i) != NULL && c <= XA_SMALL_CLASSES; c++)
            if (!is_past(deadline_ms))
                empty_depot(xa_arena_at(i), c);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++)
        for (unsigned c = 1; xa_arena_at(i) != NULL && c <= XA_SMALL_CLASSES; c++)
            release_kept(xa_arena_at(i), c);
    for (unsigned i = 0; i < XA_ARENAS_MAX && !is_past(deadline_ms); i++) {
        struct xa_arena *arena = xa_arena_at(i);
        if (arena == NULL)
            continue;
        total += xa_page_purge_run_until(&arena->heap, keep_bytes, deadline_ms);
        if (keep_bytes == 0)
            xa_page_purge_close_empty(&arena->heap);
    }
    if (keep_bytes == 0)
        total += xa_slab_purge_all(deadline_ms);
    return total;
}

void
xa_arena_reset_in_child(struct xa_arena *own)
{
    xa_lock_reset_in_child(&arenas.lock);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        struct xa_arena *arena = xa_arena_at(i);
        if (arena == NULL)
            continue;
        xa_page_heap_reset_in_child(&arena->heap);
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            xa_bin_reset_in_child(&arena->bins[c]);
        atomic_store_explicit(&arena->threads, arena == own, memory_order_relaxed);
    }
}
