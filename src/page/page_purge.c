/*
 * page_purge.c - giving back the memory of free granules; see page_heap.c for their states.
 *
 * Purging goes from the highest chunk down, since taking prefers low addresses.
 * A chunk that is wholly free is unmapped, unless it is the heap's only one.  The
 * granules are taken out of the map while the kernel works, without the lock.
 *
 * A purge takes granules from some of these states to another:
 *
 *   dirty ──(lazily)──► muzzy ──► clean      with muzzy_decay_ms
 *   dirty ────────────────────► clean        without, and beyond the soft limit
 *   dirty and muzzy ──────────► clean        on request
 *
 * In a chunk that is to have huge pages (huge_page.h) a page goes as a whole.  One that
 * is nearly full stays, with its few dirty granules, which are "held": nobody waits for
 * them, but a request, the soft limit and the worst pressure take them.  One that is not
 * is broken, and then no new ones are made in this chunk: the kernel would fill it up.
 *
 * Each of the two ages has its decay; the bound by amount is for dirty granules only.
 * Where the system refuses to be offered pages they are given back for good.
 *
 * Locking: heap->lock, but not while the kernel purges.
 */
#include "page/page_purge.h"

#include "config/options.h"
#include "extent/region.h"
#include "os/os.h"
#include "page/chunk.h"
#include "page/huge.h"
#include "page/huge_page.h"
#include "page/limit.h"
#include "page/window.h"

enum {
    OVER_LIMIT_BYTES = 256 * 1024, /* what frees may leave dirty beyond the soft limit */
    TICKS_PER_LOOK = 8,
    PURGER_BEHIND = 2, /* times the bound, before others help the purger */
    /*
     * Without an option: dirty memory is bounded by this and what has been active lately, or,
     * where it has no age, by this and a quarter of what is active.
     */
    DIRTY_MAX_AUTO_BYTES = 64 * 1024 * 1024,
    DIRTY_MAX_AUTO_FRACTION = 4,
    PEAK_PART = 16,
};

_Atomic size_t xa_page_purge_dirty_max_bytes;
_Atomic bool xa_page_purge_has_thread;
_Atomic bool xa_page_purge_has_news;
_Atomic uint32_t xa_page_purge_decay_divisor = 1;

/* [a] What was set in place of the options, plus 2; 0: nothing. */
static _Atomic int64_t set_ms_and_2[XA_PAGE_PURGE_MUZZY + 1];

/* A decay time under pressure; neither 0 nor "never" changes. */
static int64_t
divide_time(int64_t time, uint32_t divisor)
{
    if (time <= 0 || divisor == 1)
        return time;
    return divisor == 0 ? 0 : time / divisor + (time < divisor);
}

int64_t
xa_page_purge_time_ms(const struct xa_page_heap *heap, enum xa_page_purge_age age)
{
    int64_t own = 0;
    if (heap != NULL)
        own = atomic_load_explicit(age == XA_PAGE_PURGE_DIRTY ? &heap->dirty_aging.own_ms_and_2
                                                              : &heap->muzzy_aging.own_ms_and_2,
            memory_order_relaxed);
    if (own == 0)
        own = atomic_load_explicit(&set_ms_and_2[age], memory_order_relaxed);
    if (own != 0)
        return own - 2;
    return age == XA_PAGE_PURGE_DIRTY ? xa_options.dirty_decay_ms : xa_options.muzzy_decay_ms;
}

void
xa_page_purge_set_time_ms(struct xa_page_heap *heap, enum xa_page_purge_age age, int64_t time_ms)
{
    _Atomic int64_t *own = &set_ms_and_2[age];
    if (heap != NULL)
        own = age == XA_PAGE_PURGE_DIRTY ? &heap->dirty_aging.own_ms_and_2
                                         : &heap->muzzy_aging.own_ms_and_2;
    /* Whoever purges next goes by it. */
    atomic_store_explicit(own, time_ms + 2, memory_order_relaxed);
}

static uint32_t
pressure_divisor(void)
{
    return atomic_load_explicit(&xa_page_purge_decay_divisor, memory_order_relaxed);
}

static int64_t
dirty_ms(const struct xa_page_heap *heap)
{
    return divide_time(xa_page_purge_time_ms(heap, XA_PAGE_PURGE_DIRTY), pressure_divisor());
}

int64_t
xa_page_purge_decay_ms(void)
{
    return dirty_ms(NULL);
}

/* Set all three trees for a chunk from its bitmaps. */
static void
update_trees(struct xa_page_heap *heap, const struct xa_chunk *chunk)
{
    struct xa_bitmap dirty = xa_bitmap_and(&chunk->free, &chunk->dirty);
    size_t slot = chunk->region.slot;
    xa_max_tree_set(
        &heap->free_runs, slot, xa_chunk_tree_value(xa_bitmap_longest_run(&chunk->free)));
    xa_max_tree_set(&heap->dirty_runs, slot, xa_chunk_tree_value(xa_bitmap_longest_run(&dirty)));
    xa_chunk_update_room(heap, chunk);
}

/* What a purge takes, and how. */
struct stage {
    bool takes_dirty;
    bool takes_muzzy;
    bool is_lazy;   /* what it takes becomes muzzy, and else clean */
    bool is_forced; /* it takes what is held for huge pages, too */
};

static const struct stage dirty_to_muzzy = {.takes_dirty = true, .is_lazy = true};
static const struct stage dirty_to_clean = {.takes_dirty = true};
static const struct stage all_dirty_to_clean = {.takes_dirty = true, .is_forced = true};
static const struct stage muzzy_to_clean = {.takes_muzzy = true};
static const struct stage all_to_clean = {
    .takes_dirty = true, .takes_muzzy = true, .is_forced = true};

/* What a call of the system did to a chunk's granules. */
struct outcome {
    struct xa_bitmap emptied;
    struct xa_bitmap offered;
};

/* The system does not know MADV_FREE. */
static _Atomic bool cannot_offer;

static int64_t
muzzy_ms(const struct xa_page_heap *heap)
{
    int64_t time = xa_page_purge_time_ms(heap, XA_PAGE_PURGE_MUZZY);
    uint32_t divisor = pressure_divisor();
    if (time == 0 || divisor == 0 || xa_options.strict_syscalls)
        return 0;
    return divide_time(time, divisor);
}

int64_t
xa_page_purge_muzzy_ms(void)
{
    return muzzy_ms(NULL);
}

/* What becomes of dirty granules now. */
static const struct stage *
dirty_stage(const struct xa_page_heap *heap)
{
    if (xa_limit_is_over_soft() || pressure_divisor() == 0)
        return &all_dirty_to_clean;
    bool is_lazy = XA_UNLIKELY(muzzy_ms(heap) != 0) &&
        !atomic_load_explicit(&cannot_offer, memory_order_relaxed);
    return is_lazy ? &dirty_to_muzzy : &dirty_to_clean;
}

/* The bytes that a stage is about. */
static size_t
amount(const struct xa_page_heap *heap, const struct stage *stage)
{
    return (stage->takes_dirty ? xa_page_heap_counter(&heap->counters.dirty_bytes) : 0) +
        (stage->takes_muzzy ? xa_page_heap_counter(&heap->counters.muzzy_bytes) : 0);
}

/* The granules of a chunk that a stage is about. */
static struct xa_bitmap
candidates(const struct xa_chunk *chunk, const struct stage *stage)
{
    struct xa_bitmap map = xa_bitmap_and(&chunk->free, &chunk->dirty);
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++) {
        if (!stage->takes_dirty)
            map.words[i] &= chunk->muzzy.words[i];
        if (!stage->takes_muzzy)
            map.words[i] &= ~chunk->muzzy.words[i];
    }
    return map;
}

static unsigned
count_all(const struct xa_bitmap *map)
{
    return xa_bitmap_count(map, 0, XA_CHUNK_GRANULES);
}

/* The granules of a chunk's huge page. */
static struct xa_bitmap
unit_map(unsigned unit)
{
    struct xa_bitmap map = {{0}};
    xa_bitmap_set(&map, unit, XA_HUGE_PAGE_GRANULES);
    return map;
}

/*
 * Take the granules off `map` for whose sake a huge page would be broken that is nearly
 * full; how many that are.
 */
static unsigned
hold(const struct xa_chunk *chunk, struct xa_bitmap *map)
{
    unsigned held = 0;
    for (unsigned unit = 0; unit < XA_CHUNK_GRANULES; unit += XA_HUGE_PAGE_GRANULES) {
        if (xa_bitmap_count(&chunk->free, unit, XA_HUGE_PAGE_GRANULES) > XA_HUGE_PAGE_HELD_MAX)
            continue;
        held += xa_bitmap_count(map, unit, XA_HUGE_PAGE_GRANULES);
        xa_bitmap_clear(map, unit, XA_HUGE_PAGE_GRANULES);
    }
    return held;
}

/*
 * In a chunk with huge pages all free granules of a page are in memory if any is: let
 * them go together.  True if pages are broken by that.
 */
static bool
widen(const struct xa_chunk *chunk, struct xa_bitmap *chosen)
{
    bool breaks = false;
    for (unsigned unit = 0; unit < XA_CHUNK_GRANULES; unit += XA_HUGE_PAGE_GRANULES) {
        if (xa_bitmap_count(chosen, unit, XA_HUGE_PAGE_GRANULES) == 0)
            continue;
        struct xa_bitmap whole = unit_map(unit);
        whole = xa_bitmap_and(&whole, &chunk->free);
        breaks |= count_all(&whole) != XA_HUGE_PAGE_GRANULES;
        for (unsigned i = 0; i < XA_BITMAP_WORDS; i++)
            chosen->words[i] |= whole.words[i];
    }
    return breaks;
}

/* Let the counters know of free granules that are dirty or muzzy, or (-1) no longer are. */
static void
count_unused(struct xa_page_heap *heap, long sign, unsigned unused, unsigned muzzy)
{
    xa_chunk_count(&heap->counters.dirty_bytes, sign * (long)(unused - muzzy));
    if (muzzy != 0)
        xa_chunk_count(&heap->counters.muzzy_bytes, sign * (long)muzzy);
}

/*
 * Of the candidates of one chunk, the highest `excess`: they are taken out of the maps of
 * free and of muzzy granules.
 */
static struct xa_bitmap
set_apart(struct xa_page_heap *heap, struct xa_chunk *chunk, struct xa_bitmap chosen, size_t excess)
{
    unsigned found = count_all(&chosen);
    bool is_huge = chunk->advice == XA_HUGE_PAGE_WANT;
    unsigned unit = is_huge ? XA_HUGE_PAGE_GRANULES : xa_page_heap_unit();
    for (unsigned low = 0; found > excess && low < XA_CHUNK_GRANULES; low += unit) {
        unsigned here = xa_bitmap_count(&chosen, low, unit);
        if (here != 0 && found - here >= excess) {
            xa_bitmap_clear(&chosen, low, unit);
            found -= here;
        }
    }
    /* A broken page would be made whole again, by more memory: no more of them here. */
    if (is_huge && widen(chunk, &chosen))
        chunk->advice = XA_HUGE_PAGE_AVOID;
    struct xa_bitmap unused = xa_bitmap_and(&chosen, &chunk->dirty);
    struct xa_bitmap muzzy = xa_bitmap_and(&chosen, &chunk->muzzy);
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++) {
        chunk->free.words[i] &= ~chosen.words[i];
        chunk->muzzy.words[i] &= ~chosen.words[i];
    }
    count_unused(heap, -1, count_all(&unused), count_all(&muzzy));
    update_trees(heap, chunk);
    return chosen;
}

/* Offer a run to the system, or where it does not know that, empty it.  False if it refuses both. */
static bool
offer(uintptr_t address, size_t bytes, bool *is_offered)
{
    *is_offered = xa_os_purge_lazily(address, bytes);
    if (*is_offered)
        return true;
    if (!xa_os_purge(address, bytes))
        return false;
    /* It does one and not the other: do not ask again. */
    atomic_store_explicit(&cannot_offer, true, memory_order_relaxed);
    return true;
}

/* Purge every run of ones in `chosen`. */
static struct outcome
give_back(size_t slot, const struct xa_bitmap *chosen, bool is_lazy)
{
    struct outcome outcome = {.emptied = {{0}}};
    for (unsigned first = xa_bitmap_find(chosen, 0); first < XA_CHUNK_GRANULES;) {
        unsigned end = xa_bitmap_find_clear(chosen, first);
        uintptr_t address = xa_window_address(slot) + (uintptr_t)first * XA_GRANULE_BYTES;
        size_t bytes = (size_t)(end - first) * XA_GRANULE_BYTES;
        bool is_offered = false;
        if (is_lazy ? offer(address, bytes, &is_offered) : xa_os_purge(address, bytes))
            xa_bitmap_set(is_offered ? &outcome.offered : &outcome.emptied, first, end - first);
        first = xa_bitmap_find(chosen, end);
    }
    return outcome;
}

/* Nothing of the chunk is in use: unmap it whole.  False if the host cannot. */
static bool
try_close_chunk(struct xa_page_heap *heap, struct xa_chunk *chunk, size_t *bytes)
{
    unsigned mapped = chunk->mapped_granules;
    if (count_all(&chunk->free) != mapped || xa_page_heap_counter(&heap->counters.chunks) == 1)
        return false;
    size_t slot = chunk->region.slot;
    unsigned unused = xa_bitmap_count(&chunk->dirty, 0, mapped);
    if (!xa_os_unmap(xa_window_address(slot), (size_t)mapped * XA_GRANULE_BYTES))
        return false;
    xa_max_tree_set(&heap->dirty_runs, slot, 0);
    xa_max_tree_set(&heap->free_runs, slot, 0);
    xa_max_tree_set(&heap->rooms, slot, 0);
    count_unused(heap, -1, unused, count_all(&chunk->muzzy));
    xa_chunk_count(&heap->counters.mapped_bytes, -(long)mapped);
    xa_page_heap_count(&heap->counters.chunks, (size_t)-1);
    xa_page_heap_count(&heap->counters.purges, 1);
    xa_chunk_count(&heap->counters.purged_bytes, (long)unused);
    xa_limit_give((size_t)unused * XA_GRANULE_BYTES);
    *bytes += (size_t)unused * XA_GRANULE_BYTES;
    xa_page_map_set_region(slot, NULL);
    xa_window_return(slot, 1);
    xa_region_return(&chunk->region);
    return true;
}

/* True if a stage may unmap the chunk, once it is free, with what there is left in it. */
static bool
may_close(const struct xa_chunk *chunk, const struct stage *stage)
{
    if (stage->takes_dirty && !stage->is_lazy)
        return true;
    /* What has not reached the age that this stage is about has time left. */
    return count_all(&chunk->dirty) == 0;
}

/*
 * The granules are free again, after the system has done what it would.  What it did to
 * clean ones, in huge pages, does not count.
 */
static void
put_back(struct xa_page_heap *heap, struct xa_chunk *chunk, const struct xa_bitmap *chosen,
    const struct xa_bitmap *muzzy, struct outcome *outcome)
{
    unsigned unused = 0, still_muzzy = 0;
    outcome->emptied = xa_bitmap_and(&outcome->emptied, &chunk->dirty);
    outcome->offered = xa_bitmap_and(&outcome->offered, &chunk->dirty);
    for (unsigned i = 0; i < XA_BITMAP_WORDS; i++) {
        uint64_t kept = chosen->words[i] & chunk->dirty.words[i] & ~outcome->emptied.words[i];
        uint64_t offered = kept & (muzzy->words[i] | outcome->offered.words[i]);
        chunk->free.words[i] |= chosen->words[i];
        chunk->dirty.words[i] &= ~outcome->emptied.words[i];
        chunk->muzzy.words[i] |= offered;
        unused += xa_bits_count(kept);
        still_muzzy += xa_bits_count(offered);
    }
    count_unused(heap, 1, unused, still_muzzy);
    update_trees(heap, chunk);
}

/*
 * Purge one chunk's share of `excess` granules; the lock is given up meanwhile.  The bytes
 * that have left their state.
 */
static size_t
purge_chunk(struct xa_page_heap *heap, struct xa_chunk *chunk, const struct stage *stage,
    struct xa_bitmap map, size_t excess) XA_REQUIRES(heap->lock)
{
    size_t bytes = 0;
    if (may_close(chunk, stage) && try_close_chunk(heap, chunk, &bytes))
        return bytes;
    size_t slot = chunk->region.slot;
    struct xa_bitmap before = chunk->muzzy;
    uint8_t advice = chunk->advice;
    struct xa_bitmap chosen = set_apart(heap, chunk, map, excess);
    struct xa_bitmap muzzy = xa_bitmap_and(&chosen, &before);
    bool is_broken = chunk->advice != advice;
    xa_lock_unlock(&heap->lock);
    if (is_broken)
        (void)xa_huge_page_advise(xa_window_address(slot), XA_CHUNK_BYTES, XA_HUGE_PAGE_AVOID);
    struct outcome outcome = give_back(slot, &chosen, stage->is_lazy);
    xa_lock_lock(&heap->lock);
    /* A signal handler forked meanwhile, and the child has set this heap's chunks aside. */
    if (chunk->heap_generation != heap->generation)
        return 0;
    put_back(heap, chunk, &chosen, &muzzy, &outcome);
    size_t emptied = (size_t)count_all(&outcome.emptied) * XA_GRANULE_BYTES;
    bytes = emptied + (size_t)count_all(&outcome.offered) * XA_GRANULE_BYTES;
    xa_page_heap_count(&heap->counters.purges, 1);
    xa_page_heap_count(&heap->counters.purged_bytes, emptied);
    xa_limit_give(emptied);
    if (may_close(chunk, stage))
        (void)try_close_chunk(heap, chunk, &bytes);
    return bytes;
}

/* Purge until at most `keep_bytes` of what the stage is about remain, from the highest chunk down. */
static size_t
sweep(struct xa_page_heap *heap, const struct stage *stage, size_t keep_bytes, uint64_t deadline_ms)
{
    size_t total = 0, end = SIZE_MAX, held_bytes = 0;
    xa_lock_lock(&heap->lock);
    while (deadline_ms == UINT64_MAX || xa_os_now_ms() < deadline_ms) {
        size_t unused = amount(heap, stage);
        /* Others may have used some of it again. */
        unused = unused > held_bytes ? unused - held_bytes : 0;
        size_t slot = xa_max_tree_find_last(&heap->dirty_runs, end, 1);
        if (unused <= keep_bytes || slot == XA_MAX_TREE_NOT_FOUND)
            break;
        struct xa_chunk *chunk = xa_chunk_at(slot);
        struct xa_bitmap map = candidates(chunk, stage), any = candidates(chunk, &all_to_clean);
        if (count_all(&any) == 0) {
            xa_max_tree_set(&heap->dirty_runs, slot, 0);
            continue;
        }
        unsigned held = 0;
        if (chunk->advice == XA_HUGE_PAGE_WANT && stage->takes_dirty && !stage->is_forced)
            held = hold(chunk, &map);
        /* Nothing of this stage: pass it over. */
        if (count_all(&map) == 0) {
            held_bytes += (size_t)held * XA_GRANULE_BYTES;
            end = slot;
            continue;
        }
        size_t bytes = purge_chunk(
            heap, chunk, stage, map, xa_bits_divide_up(unused - keep_bytes, XA_GRANULE_BYTES));
        /* The host refuses (locked memory, a sandbox): keep what there is. */
        if (bytes == 0)
            break;
        total += bytes;
    }
    if (stage->takes_dirty)
        atomic_store_explicit(&heap->counters.held_bytes, held_bytes, memory_order_relaxed);
    xa_lock_unlock(&heap->lock);
    return total;
}

size_t
xa_page_purge_run(struct xa_page_heap *heap, size_t keep_bytes)
{
    return sweep(heap, &all_to_clean, keep_bytes, UINT64_MAX);
}

size_t
xa_page_purge_run_until(struct xa_page_heap *heap, size_t keep_bytes, uint64_t deadline_ms)
{
    return sweep(heap, &all_to_clean, keep_bytes, deadline_ms);
}

static size_t
dirty_bound(const struct xa_page_heap *heap)
{
    if (XA_UNLIKELY(xa_limit_is_over_soft()))
        return OVER_LIMIT_BYTES;
    size_t wanted = atomic_load_explicit(&xa_page_purge_dirty_max_bytes, memory_order_relaxed);
    if (wanted != 0)
        return wanted;
    /* What is freed in the midst of a burst is wanted again in it; age sees to the rest. */
    if (xa_page_purge_time_ms(heap, XA_PAGE_PURGE_DIRTY) >= 0)
        return DIRTY_MAX_AUTO_BYTES + xa_page_heap_counter(&heap->peak_bytes);
    return DIRTY_MAX_AUTO_BYTES +
        xa_page_heap_counter(&heap->counters.active_bytes) / DIRTY_MAX_AUTO_FRACTION;
}

/* What was active lately counts less with every epoch: an eighth is left after a decay time. */
static void
lower_peak(struct xa_page_heap *heap, uint64_t epochs) XA_REQUIRES(heap->lock)
{
    size_t active = xa_page_heap_counter(&heap->counters.active_bytes);
    size_t excess = xa_page_heap_counter(&heap->peak_bytes) - active;
    for (uint64_t i = 0; i < epochs && excess > 0; i++)
        excess -= excess / PEAK_PART + 1;
    atomic_store_explicit(&heap->peak_bytes, active + excess, memory_order_relaxed);
}

/* Epochs of the decay that began since a time. */
static uint64_t
epochs_since(const struct xa_decay *decay, uint64_t start_ms)
{
    uint64_t epoch_ms = decay->time_ms > 0 ? (uint64_t)decay->time_ms / XA_DECAY_EPOCHS : 0;
    return (decay->epoch_start_ms - start_ms) / (epoch_ms != 0 ? epoch_ms : 1);
}

/* How many of `bytes` may be kept, going by their age; all of them if it is too early to look. */
static size_t
limit_by_age(struct xa_page_heap *heap, struct xa_page_heap_aging *aging, int64_t time_ms,
    uint64_t now_ms, size_t bytes)
{
    bool is_changed = atomic_load_explicit(&aging->time_ms, memory_order_relaxed) != time_ms;
    if (!is_changed && now_ms < atomic_load_explicit(&aging->deadline_ms, memory_order_relaxed))
        return SIZE_MAX;
    xa_lock_lock(&heap->lock);
    /* By pressure, or since the environment was read after the first heap was made. */
    if (aging->decay.time_ms != time_ms)
        xa_decay_init(&aging->decay, time_ms, now_ms);
    atomic_store_explicit(&aging->time_ms, time_ms, memory_order_relaxed);
    uint64_t start_ms = aging->decay.epoch_start_ms;
    size_t limit = xa_decay_limit(&aging->decay, now_ms, bytes);
    if (aging == &heap->dirty_aging)
        lower_peak(heap, epochs_since(&aging->decay, start_ms));
    atomic_store_explicit(
        &aging->deadline_ms, xa_decay_deadline_ms(&aging->decay), memory_order_relaxed);
    xa_lock_unlock(&heap->lock);
    return limit;
}

static void
decay_muzzy(struct xa_page_heap *heap, uint64_t now_ms)
{
    size_t muzzy = xa_page_heap_counter(&heap->counters.muzzy_bytes), keep = 0;
    if (muzzy == 0)
        return;
    if (!xa_limit_is_over_soft())
        keep = limit_by_age(heap, &heap->muzzy_aging, muzzy_ms(heap), now_ms, muzzy);
    if (muzzy > keep)
        (void)sweep(heap, &muzzy_to_clean, keep, UINT64_MAX);
}

void
xa_page_purge_decay(struct xa_page_heap *heap, uint64_t now_ms)
{
    const struct stage *stage = dirty_stage(heap);
    size_t dirty = stage->is_forced ? xa_page_heap_counter(&heap->counters.dirty_bytes)
                                    : xa_page_purge_waiting_bytes(heap);
    size_t keep = xa_limit_is_over_soft() ? 0 : dirty_bound(heap);
    size_t limit = limit_by_age(heap, &heap->dirty_aging, dirty_ms(heap), now_ms, dirty);
    keep = limit < keep ? limit : keep;
    if (dirty > keep)
        (void)sweep(heap, stage, keep, UINT64_MAX);
    decay_muzzy(heap, now_ms);
}

void
xa_page_purge_tick(struct xa_page_heap *heap)
{
    size_t dirty = xa_page_purge_waiting_bytes(heap);
    if (dirty == 0 && xa_page_heap_counter(&heap->counters.muzzy_bytes) == 0)
        return;
    if (atomic_load_explicit(&xa_page_purge_has_thread, memory_order_relaxed)) {
        /* It has its own clock; help only if it falls far behind. */
        size_t bound = dirty_bound(heap);
        if (dirty / PURGER_BEHIND > bound)
            (void)sweep(heap, dirty_stage(heap), bound, UINT64_MAX);
        return;
    }
    if (dirty_ms(heap) == 0) {
        (void)sweep(heap, dirty_stage(heap), 0, UINT64_MAX);
        if (xa_page_heap_counter(&heap->counters.muzzy_bytes) == 0)
            return;
    }
    /* The clock is a system call: look at it now and then.  A lost tick does not matter. */
    uint32_t ticks = atomic_load_explicit(&heap->ticks, memory_order_relaxed);
    atomic_store_explicit(&heap->ticks, ticks + 1, memory_order_relaxed);
    if (ticks % TICKS_PER_LOOK == 0) {
        xa_page_purge_decay(heap, xa_os_now_ms());
        (void)xa_huge_purge(XA_HUGE_DECAYED);
    } else if (dirty > dirty_bound(heap)) {
        (void)sweep(heap, dirty_stage(heap), dirty_bound(heap), UINT64_MAX);
    }
}

void
xa_page_purge_close_empty(struct xa_page_heap *heap)
{
    size_t bytes = 0;
    xa_lock_lock(&heap->lock);
    for (size_t slot = xa_max_tree_find(&heap->free_runs, 0, 1); slot != XA_MAX_TREE_NOT_FOUND;
         slot = xa_max_tree_find(&heap->free_runs, slot + 1, 1)) {
        struct xa_chunk *chunk = xa_chunk_at(slot);
        /* What is dirty is left to decay. */
        if (xa_bitmap_count(&chunk->dirty, 0, chunk->mapped_granules) == 0)
            (void)try_close_chunk(heap, chunk, &bytes);
    }
    xa_lock_unlock(&heap->lock);
}
