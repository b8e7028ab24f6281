/*
 * statistics.c - see statistics.h.
 *
 * A monitoring program may ask every second, of a process with 64 arenas and as many
 * threads: what is not in use is passed over by a look at one word, and sums are made in
 * plain variables.
 */
#include "control/statistics.h"

#include "alloc/explicit_cache.h"
#include "arena/private_arena.h"
#include "arena/slab.h"
#include "check/guard.h"
#include "extent/metadata.h"
#include "os/smaps.h"
#include "page/huge.h"
#include "thread/huge_stock.h"

static size_t
load(const _Atomic size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Sums are ours alone; the type is shared with the counters themselves. */
static void
add(_Atomic size_t *sum, const _Atomic size_t *counter)
{
    atomic_store_explicit(sum, load(sum) + load(counter), memory_order_relaxed);
}

static void
add_bin(struct xa_class_statistics *class, const struct xa_bin *bin)
{
    /* Nothing was ever in it; requests that missed may have been noted all the same. */
    if (!atomic_load_explicit(&bin->is_ready, memory_order_relaxed))
        return;
#define BIN_COUNTER(name, text) add(&class->totals.name, &bin->counters.name);
#include "config/bin_counters.def"
#undef BIN_COUNTER
    class->cached += xa_depot_objects(&bin->depot) + load(&bin->reserve_objects);
}

static void
add_heap(struct xa_heap_counters *sum, const struct xa_heap_counters *heap)
{
#define HEAP_COUNTER(name, text) add(&sum->name, &heap->name);
#include "config/heap_counters.def"
#undef HEAP_COUNTER
}

static void
gather_arenas(struct xa_statistics *s, const struct xa_statistics_visitor *visitor)
{
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        struct xa_arena *arena = xa_arena_at(i);
        if (arena == NULL)
            continue;
        s->arenas++;
        add_heap(&s->heaps, &arena->heap.counters);
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
            add_bin(&s->classes[c], &arena->bins[c]);
        if (visitor != NULL)
            visitor->arena(visitor->context, arena);
    }
}

static bool
has_cache(const struct xa_thread_state *state, unsigned size_class)
{
    return atomic_load_explicit(&state->actives[size_class], memory_order_relaxed) != NULL ||
        atomic_load_explicit(&state->spares[size_class], memory_order_relaxed) != NULL;
}

static void
gather_threads(struct xa_statistics *s, const struct xa_statistics_visitor *visitor)
{
    for (struct xa_thread_state *state = xa_thread_state_all(); state != NULL;
         state = state->next) {
        if (!atomic_load_explicit(&state->is_used, memory_order_relaxed))
            continue;
        s->threads++;
        size_t cached = 0;
        for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
            if (!has_cache(state, c))
                continue;
            size_t objects = xa_thread_state_objects(state, c);
            s->classes[c].thread_cached += objects;
            cached += objects * xa_size_class_table[c].object_bytes;
        }
        size_t bytes;
        s->stocked_objects += xa_large_stock_objects(state, &bytes);
        s->stocked += bytes;
        size_t huge = xa_huge_stock_bytes(state);
        s->stocked_huge_objects += huge != 0;
        s->stocked_huge += huge;
        if (visitor != NULL)
            visitor->thread(visitor->context, state, cached + bytes);
    }
}

/* Not below 0: the figures are of different moments. */
static size_t
subtract(size_t from, size_t what)
{
    return from > what ? from - what : 0;
}

static size_t
permille(size_t part, size_t whole)
{
    return whole == 0 ? 0 : (size_t)((double)part * 1000.0 / (double)whole + 0.5);
}

/* What rounding up costs the live objects of a class, going by the sampled requests. */
static size_t
rounding(const struct xa_class_statistics *class, size_t object_bytes)
{
    size_t requests = load(&class->totals.sampled_requests);
    size_t asked = load(&class->totals.sampled_bytes);
    size_t given = requests * object_bytes;
    return given <= asked
        ? 0
        : (size_t)((double)(given - asked) / (double)requests * (double)class->live);
}

static void
sum_up_classes(struct xa_statistics *s)
{
    size_t rounded = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        struct xa_class_statistics *class = &s->classes[c];
        const struct xa_size_class *row = &xa_size_class_table[c];
        size_t taken = xa_bin_taken_slots(&class->totals);
        class->cached += class->thread_cached;
        class->slabs = load(&class->totals.slabs);
        class->live = subtract(taken, class->cached);
        class->free_bytes = subtract(class->slabs * row->slots, taken) * row->object_bytes;
        class->rounding = rounding(class, row->object_bytes);
        s->live_objects += class->live;
        s->small += class->live * row->object_bytes;
        s->cached += class->cached * row->object_bytes;
        s->thread_cached += class->thread_cached * row->object_bytes;
        s->free_slots += class->free_bytes;
        s->tails += class->slabs *
            ((size_t)row->granules * XA_GRANULE_BYTES - (size_t)row->slots * row->object_bytes);
        s->lost += load(&class->totals.lost_objects) * row->object_bytes;
        rounded += class->rounding;
    }
    s->slab_purged = load(&xa_slab_purged_bytes);
    s->places[XA_PLACE_ROUNDING].bytes = rounded;
    s->internal_fragmentation = permille(rounded, s->small);
}

/* What of private arenas' memory is used for what; their classes are added last. */
struct private_sums {
    size_t live;
    size_t free_slots;
    size_t tails;
    size_t dirty;
    size_t muzzy;
    size_t large;
    size_t class_live[XA_SMALL_CLASSES + 1];
    size_t class_slabs[XA_SMALL_CLASSES + 1];
};

static void
add_private_classes(struct private_sums *sums, const struct xa_private_statistics *private)
{
    size_t slab_bytes = 0;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        const struct xa_private_class_statistics *class = &private->classes[c];
        const struct xa_size_class *row = &xa_size_class_table[c];
        size_t slab = (size_t)row->granules * XA_GRANULE_BYTES;
        sums->class_live[c] += class->live;
        sums->class_slabs[c] += class->slabs;
        sums->free_slots += subtract(class->slabs * row->slots, class->live) * row->object_bytes;
        sums->tails += class->slabs * (slab - (size_t)row->slots * row->object_bytes);
        slab_bytes += class->slabs * slab;
    }
    /* Ends of their extents are tails, too. */
    sums->tails += subtract(private->active, slab_bytes + private->large);
}

/* Memory of private arenas counts like the others'. */
static void
add_private(
    struct xa_statistics *s, struct private_sums *sums, const struct xa_private_statistics *private)
{
    add_private_classes(sums, private);
    sums->live += private->small + private->large;
    sums->dirty += private->dirty;
    sums->muzzy += private->muzzy;
    sums->large += private->large;
    s->arenas++;
    s->small += private->small;
    s->large += private->large;
    s->allocated += private->small + private->large;
    s->active += private->active;
    s->dirty += private->dirty;
    s->muzzy += private->muzzy;
    s->mapped += private->mapped;
    s->large_objects += private->large_objects;
    s->large_allocations += private->large_allocations;
    s->live_objects += private->small_objects + private->large_objects;
    s->purged += private->purged_bytes;
}

static void
gather_private(struct xa_statistics *s, struct private_sums *sums)
{
    struct xa_private_statistics private;
    *sums = (struct private_sums){0};
    for (unsigned index = XA_PRIVATE_ARENA_FIRST; index < xa_private_arena_end(); index++)
        if (xa_private_arena_statistics(index, &private))
            add_private(s, sums, &private);
    s->free_slots += sums->free_slots;
    s->tails += sums->tails;
}

/* The classes' own figures, once what is in memory has been divided among the places. */
static void
finish_private(struct xa_statistics *s, const struct private_sums *sums)
{
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        s->classes[c].live += sums->class_live[c];
        s->classes[c].slabs += sums->class_slabs[c];
    }
}

/* Every byte of `mapped` has its place. */
static void
find_places(struct xa_statistics *s, const struct private_sums *private)
{
    size_t rest = s->mapped, kept = load(&xa_huge_counters.kept_bytes) + s->stocked_huge;
    const size_t bytes[XA_PLACES] = {
        [XA_PLACE_ROUNDING] = s->places[XA_PLACE_ROUNDING].bytes,
        [XA_PLACE_LIVE] = subtract(s->allocated, s->places[XA_PLACE_ROUNDING].bytes),
        [XA_PLACE_FREE_SLOTS] = s->free_slots,
        [XA_PLACE_TAILS] = s->tails,
        [XA_PLACE_THREAD_CACHES] = s->thread_cached - s->stocked,
        [XA_PLACE_DEPOTS] = subtract(s->cached, s->thread_cached),
        [XA_PLACE_STOCK] = s->stocked,
        [XA_PLACE_DIRTY] = load(&s->heaps.dirty_bytes) + private->dirty,
        [XA_PLACE_MUZZY] = s->muzzy,
        [XA_PLACE_HUGE_KEPT] = kept,
        [XA_PLACE_METADATA] = s->metadata,
    };
    for (unsigned i = 0; i < XA_PLACES; i++) {
        s->places[i].bytes = bytes[i];
        rest = subtract(rest, bytes[i]);
    }
    s->places[XA_PLACE_RETAINED].bytes = rest;
    s->places[XA_PLACE_LIBRARY].bytes = xa_residency_library_bytes();
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A share of `whole`, in the proportion of two other numbers. */
static size_t
share(size_t whole, size_t part, size_t all)
{
    return all == 0 ? 0 : (size_t)((double)whole * (double)part / (double)all);
}

/* Take up to `bytes` off what is left, for a place; how many were. */
static size_t
settle(struct xa_place_statistics *place, size_t *left, size_t bytes)
{
    size_t taken = least(*left, bytes);
    *left -= taken;
    place->resident += taken;
    return taken;
}

/* Divide what of a class's slabs is in memory; see statistics.h for the order. */
static void
divide_class(struct xa_statistics *s, unsigned c)
{
    struct xa_class_statistics *class = &s->classes[c];
    size_t object = xa_size_class_table[c].object_bytes, left = class->resident;
    size_t live = settle(&s->places[XA_PLACE_LIVE], &left, class->live * object);
    size_t rounded = least(live, share(live, class->rounding, class->live * object));
    s->places[XA_PLACE_LIVE].resident -= rounded;
    s->places[XA_PLACE_ROUNDING].resident += rounded;
    size_t cached = least(left, class->cached * object);
    size_t in_threads = share(cached, class->thread_cached, class->cached);
    (void)settle(&s->places[XA_PLACE_THREAD_CACHES], &left, in_threads);
    (void)settle(&s->places[XA_PLACE_DEPOTS], &left, cached - in_threads);
    class->free_resident = settle(&s->places[XA_PLACE_FREE_SLOTS], &left, class->free_bytes);
    /* Bounded by the tails in a process at rest; else what has come since goes here. */
    s->places[XA_PLACE_TAILS].resident += left;
}

/* Of private arenas it is only known how much there is in all: first what is used has it. */
static void
divide_private(struct xa_statistics *s, const struct private_sums *private)
{
    size_t left = xa_private_arena_resident_bytes();
    (void)settle(&s->places[XA_PLACE_LIVE], &left, private->live);
    (void)settle(&s->places[XA_PLACE_FREE_SLOTS], &left, private->free_slots);
    (void)settle(&s->places[XA_PLACE_TAILS], &left, private->tails);
    (void)settle(&s->places[XA_PLACE_DIRTY], &left, private->dirty);
    (void)settle(&s->places[XA_PLACE_MUZZY], &left, private->muzzy);
    /* What the hooks could not give back. */
    s->places[XA_PLACE_RETAINED].resident += left;
}

/* What the host says of the pages goes to the places. */
static void
divide_resident(
    struct xa_statistics *s, const struct xa_residency *r, const struct private_sums *private)
{
    struct xa_place_statistics *places = s->places;
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++) {
        s->classes[c].resident = r->bytes[c];
        divide_class(s, c);
    }
    /* What was not asked for lies at an object's end, and is not touched as a rule. */
    size_t left = r->bytes[XA_RESIDENCY_LARGE] + r->bytes[XA_RESIDENCY_HUGE];
    size_t large = subtract(s->large, private->large);
    size_t rounded = least(r->large_rounding, large);
    places[XA_PLACE_LIVE].bytes = subtract(places[XA_PLACE_LIVE].bytes, rounded);
    places[XA_PLACE_ROUNDING].bytes += rounded;
    (void)settle(&places[XA_PLACE_LIVE], &left, large - rounded);
    (void)settle(&places[XA_PLACE_ROUNDING], &left, left);
    places[XA_PLACE_STOCK].resident = r->bytes[XA_RESIDENCY_STOCK];
    places[XA_PLACE_DIRTY].resident = r->bytes[XA_RESIDENCY_DIRTY];
    places[XA_PLACE_MUZZY].resident = r->bytes[XA_RESIDENCY_MUZZY];
    places[XA_PLACE_HUGE_KEPT].resident = r->bytes[XA_RESIDENCY_KEPT];
    places[XA_PLACE_RETAINED].resident = r->bytes[XA_RESIDENCY_CLEAN];
    places[XA_PLACE_METADATA].resident = r->bytes[XA_RESIDENCY_METADATA];
    places[XA_PLACE_LIBRARY].resident = r->bytes[XA_RESIDENCY_LIBRARY];
    divide_private(s, private);
    for (unsigned i = 0; i < XA_PLACES; i++)
        s->resident += i == XA_PLACE_LIBRARY ? 0 : places[i].resident;
    for (unsigned i = 0; i < XA_RESIDENCY_RUN_LENGTHS; i++)
        s->runs[i] = r->runs[i];
}

static void
ask_host(struct xa_statistics *s, const struct private_sums *private)
{
    struct xa_residency residency;
    xa_residency_measure(&residency);
    divide_resident(s, &residency, private);
}

void
xa_statistics_gather(struct xa_statistics *s, enum xa_statistics_depth depth)
{
    xa_statistics_gather_each(s, depth, NULL);
}

void
xa_statistics_gather_each(struct xa_statistics *s, enum xa_statistics_depth depth,
    const struct xa_statistics_visitor *visitor)
{
    *s = (struct xa_statistics){0};
    gather_arenas(s, visitor);
    gather_threads(s, visitor);
    for (unsigned c = 1; c <= XA_SMALL_CLASSES; c++)
        s->classes[c].cached += xa_explicit_cache_objects(c);
    sum_up_classes(s);
    /* What threads have stocked is not live, though it is counted as if it were. */
    size_t huge = subtract(load(&xa_huge_counters.live_bytes), s->stocked_huge);
    size_t kept = load(&xa_huge_counters.kept_bytes) + s->stocked_huge;
    size_t kept_dirty = load(&xa_huge_counters.kept_dirty_bytes) + s->stocked_huge;
    s->large = subtract(load(&s->heaps.large_bytes), s->stocked) + huge;
    s->large_objects = subtract(load(&s->heaps.large_objects), s->stocked_objects);
    /* Of the option "check"; they have no class. */
    s->small += xa_guard_live_bytes();
    s->live_objects += xa_guard_live_objects();
    s->huge_objects = subtract(load(&xa_huge_counters.live_objects), s->stocked_huge_objects);
    s->large_allocations = load(&s->heaps.large_allocations);
    s->huge_allocations = load(&xa_huge_counters.allocations);
    s->live_objects += s->large_objects + s->huge_objects;
    s->cached += s->stocked;
    s->thread_cached += s->stocked;
    s->purged = load(&s->heaps.purged_bytes);
    s->allocated = s->small + s->large;
    s->active = load(&s->heaps.active_bytes) + huge + xa_guard_active_bytes();
    s->dirty = load(&s->heaps.dirty_bytes) + kept_dirty;
    s->muzzy = load(&s->heaps.muzzy_bytes);
    s->metadata = xa_metadata_mapped_bytes() + load(&xa_page_map_limit);
    s->mapped = load(&s->heaps.mapped_bytes) + huge + kept + xa_guard_mapped_bytes() + s->metadata;
    struct private_sums private;
    gather_private(s, &private);
    size_t used = s->active + s->dirty + s->muzzy + s->metadata;
    s->retained = subtract(s->mapped, used);
    s->external_fragmentation = permille(subtract(s->active, s->allocated), s->active);
    find_places(s, &private);
    if (depth >= XA_STATISTICS_WITH_RESIDENT)
        ask_host(s, &private);
    finish_private(s, &private);
    if (depth >= XA_STATISTICS_WITH_HUGE_PAGES)
        s->huge_pages = xa_smaps_huge_page_bytes(
            xa_page_map_base(), xa_page_map_address_of(load(&xa_page_map_limit)));
}
