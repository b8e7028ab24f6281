/*
 * snapshot.c - see snapshot.h.
 *
 * One snapshot of the process, made when somebody first asks and taken anew whenever
 * "epoch" is written, as with jemalloc.  Its memory is metadata, and is kept.  An arena's
 * record stays on a list for ever, since few processes make many arenas.
 *
 * Huge objects belong to no arena; here they are counted with arena 0, and so are our own
 * structures, so that the arenas' figures add up to those of all.
 *
 * Locking: xa_snapshot_lock guards all of it.  It is taken by mallctl only; under it,
 * counters are read without locks, and metadata is taken for arenas that are new.  In a
 * forked child whose parent was in the middle of taking it, it is taken anew.
 */
#include "control/snapshot.h"

#include "alloc/explicit_cache.h"
#include "alloc/fork.h"
#include "alloc/resize.h"
#include "alloc/start.h"
#include "arena/private_map.h"
#include "control/controls_arena.h"
#include "extent/metadata.h"
#include "os/os.h"
#include "page/huge.h"
#include "thread/background.h"

struct xa_lock xa_snapshot_lock = {.rank = XA_LOCK_RANK_CONTROL};

/* [s] Under the lock. */
static struct xa_snapshot *snapshot;
static struct xa_snapshot_arena *arenas; /* the newest */
static bool is_whole;

static void
reset_in_child(void)
{
    if (xa_lock_reset_in_child(&xa_snapshot_lock))
        is_whole = false;
}

void
xa_snapshot_begin(void)
{
    xa_fork_call(reset_in_child);
}

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct xa_snapshot_arena *
find(unsigned index)
{
    struct xa_snapshot_arena *arena = arenas;
    while (arena != NULL && arena->index != index)
        arena = arena->next;
    return arena;
}

/* The arena's record with all figures 0; NULL if memory ran out. */
static struct xa_snapshot_arena *
begin_arena(unsigned index)
{
    struct xa_snapshot_arena *arena = find(index);
    if (arena == NULL) {
        arena = xa_metadata_take(sizeof *arena);
        if (arena == NULL)
            return NULL;
        arena->index = index;
        arena->next = arenas;
        arena->since_ms = xa_os_now_ms();
        arenas = arena;
    }
    *arena = (struct xa_snapshot_arena){
        .next = arena->next, .index = index, .since_ms = arena->since_ms, .exists = true};
    return arena;
}

static void
add_class(struct xa_snapshot_class *sum, const struct xa_snapshot_class *more)
{
    sum->out += more->out;
    sum->slabs += more->slabs;
    sum->nonfull += more->nonfull;
    sum->allocations += more->allocations;
    sum->frees += more->frees;
    sum->slabs_made += more->slabs_made;
    sum->misses += more->misses;
}

/* What follows from the classes' figures. */
static void
sum_up(struct xa_snapshot_arena *arena)
{
    arena->classes[0] = (struct xa_snapshot_class){0};
    arena->small = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        add_class(&arena->classes[0], &arena->classes[c]);
        arena->small += arena->classes[c].out * xa_size_class_table[c].object_bytes;
    }
}

static void
fill_class(struct xa_snapshot_class *class, const struct xa_bin *bin, unsigned size_class)
{
    const struct xa_bin_counters *counters = &bin->counters;
    class->out = xa_bin_taken_slots(counters);
    class->slabs = load(&counters->slabs);
    class->allocations = load(&counters->allocations);
    class->frees = load(&counters->frees);
    class->slabs_made = load(&counters->slabs_made);
    class->misses = load(&counters->sampled_requests);
    /* They are not counted: at most as many as there are free slots. */
    size_t slots = class->slabs * xa_size_class_table[size_class].slots;
    size_t free_slots = slots > class->out ? slots - class->out : 0;
    class->nonfull = free_slots < class->slabs ? free_slots : class->slabs;
}

static void
visit_arena(void *context, const struct xa_arena *from)
{
    (void)context;
    struct xa_snapshot_arena *arena = begin_arena(from->index);
    if (arena == NULL)
        return;
    const struct xa_heap_counters *heap = &from->heap.counters;
    arena->threads = atomic_load_explicit(&from->threads, memory_order_relaxed);
    arena->active = load(&heap->active_bytes);
    arena->dirty = load(&heap->dirty_bytes);
    arena->muzzy = load(&heap->muzzy_bytes);
    arena->mapped = load(&heap->mapped_bytes);
    arena->large = load(&heap->large_bytes);
    arena->large_allocations = load(&heap->large_allocations);
    arena->large_frees = arena->large_allocations - load(&heap->large_objects);
    arena->purges = arena->purge_calls = load(&heap->purges);
    arena->purged = load(&heap->purged_bytes);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_bin *bin = &from->bins[c];
        size_t waiting = xa_depot_objects(&bin->depot) + load(&bin->reserve_objects);
        fill_class(&arena->classes[c], bin, c);
        arena->cached += waiting * xa_size_class_table[c].object_bytes;
    }
    sum_up(arena);
}

static void
visit_thread(void *context, struct xa_thread_state *state, size_t cached_bytes)
{
    (void)context;
    /* It may be changing its arena, or be about to get its first. */
    const struct xa_arena *of = atomic_load_explicit(&state->arena, memory_order_acquire);
    struct xa_snapshot_arena *arena = of == NULL ? NULL : find(of->index);
    if (arena != NULL)
        arena->cached += cached_bytes;
}

/* Mappings of their own, and what is ours. */
static void
add_process(struct xa_snapshot_arena *arena, const struct xa_statistics *s)
{
    /* What a thread keeps of them is unused. */
    size_t counted = load(&xa_huge_counters.live_bytes), kept = s->stocked_huge;
    size_t huge = counted > kept ? counted - kept : 0;
    arena->active += huge;
    arena->large += huge;
    arena->large_allocations += s->huge_allocations;
    arena->large_frees += s->huge_allocations - s->huge_objects;
    arena->dirty += load(&xa_huge_counters.kept_dirty_bytes) + kept;
    arena->mapped += huge + kept + load(&xa_huge_counters.kept_bytes) + s->metadata;
    arena->metadata = s->metadata;
    /* Explicit caches may hold objects of any automatic arena. */
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        arena->cached += xa_explicit_cache_objects(c) * xa_size_class_table[c].object_bytes;
}

static void
add_arena(struct xa_snapshot_arena *sum, const struct xa_snapshot_arena *more)
{
    sum->threads += more->threads;
    sum->active += more->active;
    sum->dirty += more->dirty;
    sum->muzzy += more->muzzy;
    sum->mapped += more->mapped;
    sum->large += more->large;
    sum->cached += more->cached;
    sum->metadata += more->metadata;
    sum->large_allocations += more->large_allocations;
    sum->large_frees += more->large_frees;
    sum->purges += more->purges;
    sum->purge_calls += more->purge_calls;
    sum->purged += more->purged;
    for (unsigned c = 0; c <= XA_SMALL_CLASSES; c++)
        add_class(&sum->classes[c], &more->classes[c]);
    sum->small += more->small;
}

/*
 * Whole pages of slabs in use that were given back: mapped, but neither active nor resident, or
 * Redis would find more resident than the process has.  No arena knows which of them are its own,
 * so that this is of the sum alone.
 */
static void
take_off_purged(struct xa_snapshot_arena *all, size_t purged_bytes)
{
    all->active -= purged_bytes < all->active ? purged_bytes : all->active;
}

static void
fill_private(struct xa_snapshot_arena *arena, const struct xa_private_statistics *from)
{
    arena->threads = from->threads;
    arena->active = from->active;
    arena->dirty = from->dirty;
    arena->muzzy = from->muzzy;
    arena->mapped = from->mapped;
    arena->large = from->large;
    arena->large_allocations = from->large_allocations;
    arena->large_frees = from->large_frees;
    arena->purges = from->purges;
    arena->purge_calls = from->purge_calls;
    arena->purged = from->purged_bytes;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_private_class_statistics *class = &from->classes[c];
        arena->classes[c] = (struct xa_snapshot_class){
            .out = class->live,
            .slabs = class->slabs,
            .nonfull = class->nonfull,
            .allocations = class->allocations,
            .frees = class->frees,
            .slabs_made = class->slabs_made,
            .misses = class->allocations,
        };
    }
    sum_up(arena);
}

/* Figures of private arenas have a place of their own, since they are too many for a stack. */
static bool
take_private(struct xa_private_statistics *room)
{
    unsigned end = xa_private_arena_end();
    for (unsigned i = XA_PRIVATE_ARENA_FIRST; i < end; i++) {
        if (!xa_private_arena_statistics(i, room))
            continue;
        struct xa_snapshot_arena *arena = begin_arena(i);
        if (arena == NULL)
            return false;
        /* The number may be another arena's since. */
        arena->since_ms = room->created_ms;
        fill_private(arena, room);
    }
    snapshot->destroyed = (struct xa_snapshot_arena){.exists = true};
    xa_private_arena_destroyed(room);
    fill_private(&snapshot->destroyed, room);
    return true;
}

static bool
take_all_private(void)
{
    /* Never has one been made. */
    if (xa_private_arena_end() == 0 && !xa_private_map_is_used())
        return true;
    struct xa_private_statistics *room = xa_metadata_take(sizeof *room);
    if (room == NULL)
        return false;
    bool is_done = take_private(room);
    xa_metadata_return(room, sizeof *room);
    return is_done;
}

static bool
make(void)
{
    if (snapshot != NULL)
        return true;
    struct xa_snapshot *made = xa_metadata_take(sizeof *made);
    if (made == NULL)
        return false;
    made->all.since_ms = xa_os_now_ms();
    snapshot = made;
    return true;
}

bool
xa_snapshot_refresh(void)
{
    if (!make())
        return false;
    is_whole = false;
    for (struct xa_snapshot_arena *arena = arenas; arena != NULL; arena = arena->next)
        arena->exists = false;
    snapshot->arena_end = xa_snapshot_arena_end();
    snapshot->taken_ms = xa_os_now_ms();
    snapshot->has_background = xa_background_is_there();
    snapshot->background_runs = atomic_load_explicit(&xa_background_runs, memory_order_relaxed);
    snapshot->zero_reallocs = load(&xa_resize_to_zero);
    snapshot->map_bytes = load(&xa_page_map_limit);
    xa_statistics_gather_each(&snapshot->statistics, XA_STATISTICS_QUICK,
        &(struct xa_statistics_visitor){visit_arena, visit_thread, NULL});
    struct xa_snapshot_arena *first = find(0);
    if (first == NULL || !take_all_private())
        return false;
    add_process(first, &snapshot->statistics);
    snapshot->all = (struct xa_snapshot_arena){.since_ms = snapshot->all.since_ms, .exists = true};
    for (struct xa_snapshot_arena *arena = arenas; arena != NULL; arena = arena->next)
        if (arena->exists)
            add_arena(&snapshot->all, arena);
    take_off_purged(&snapshot->all, snapshot->statistics.slab_purged);
    snapshot->epoch++;
    is_whole = true;
    return true;
}

const struct xa_snapshot *
xa_snapshot_get(void)
{
    return is_whole || xa_snapshot_refresh() ? snapshot : NULL;
}

const struct xa_snapshot_arena *
xa_snapshot_arena(unsigned index)
{
    if (index == XA_SNAPSHOT_ALL)
        return &snapshot->all;
    const struct xa_snapshot_arena *arena =
        index == XA_SNAPSHOT_DESTROYED ? &snapshot->destroyed : find(index);
    return arena != NULL && arena->exists ? arena : NULL;
}

unsigned
xa_snapshot_arena_end(void)
{
    /* Asking the host for its processors takes a while, and the answer does not change much. */
    static _Atomic unsigned counted;
    unsigned end = xa_private_arena_end();
    unsigned automatic = atomic_load_explicit(&counted, memory_order_relaxed);
    if (automatic == 0) {
        automatic = xa_start_arena_count();
        atomic_store_explicit(&counted, automatic, memory_order_relaxed);
    }
    /* What is told here can be used, also before there is a second thread. */
    if (automatic < xa_arena_limit())
        automatic = xa_arena_limit();
    else if (automatic > xa_arena_limit())
        xa_arena_set_limit(automatic);
    return end > automatic ? end : automatic;
}

bool
xa_snapshot_has_arena(unsigned index)
{
    return index < XA_ARENAS_MAX ? xa_arena_at(index) != NULL : xa_private_arena_exists(index);
}
