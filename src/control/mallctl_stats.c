/*
 * mallctl_stats.c - figures of the snapshot, of the process and of its arenas.
 *
 * The process's are those of control/statistics.h and exact: what is cached is not allocated.
 * An arena's count what is out of its slabs, as jemalloc's do, since no arena knows what
 * becomes of its objects; so for all arenas together, in a process at rest,
 *
 *   small.allocated + large.allocated = stats.allocated + tcache_bytes
 *   pactive pages                     = stats.active
 *   resident                          = active + dirty + muzzy + metadata, at most
 *   mapped                            = the same: what is retained is not in it
 *
 * Pages of slabs that were given back are known in all only: for the process, and for index 4096,
 * they are retained; in their own arena's figures they are active.
 */
#include <errno.h>

#include "alloc/resize.h"
#include "arena/slab.h"
#include "control/controls_arena.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "os/os.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "thread/background.h"
#include "thread/huge_stock.h"

#define NANOSECONDS_A_MS UINT64_C(1000000)

static size_t
resident(const struct xa_snapshot_arena *arena)
{
    return arena->active + arena->dirty + arena->muzzy + arena->metadata;
}

/* Not below 0: the figures are of slightly different moments. */
static size_t
retained(const struct xa_snapshot_arena *arena)
{
    size_t used = resident(arena);
    return arena->mapped > used ? arena->mapped - used : 0;
}

static size_t
pages(size_t bytes)
{
    return bytes / xa_os_facts.page_bytes;
}

static xa_mallctl_value
process_figure(const struct xa_snapshot *snapshot, unsigned row)
{
    const struct xa_snapshot_arena *all = &snapshot->all;
    switch (row) {
    case XA_CONTROL_stats_allocated: return snapshot->statistics.allocated;
    case XA_CONTROL_stats_active: return all->active;
    case XA_CONTROL_stats_metadata: return all->metadata;
    case XA_CONTROL_stats_metadata_rtree: return snapshot->map_bytes;
    case XA_CONTROL_stats_resident:
    case XA_CONTROL_stats_mapped: return resident(all);
    case XA_CONTROL_stats_retained: return retained(all);
    case XA_CONTROL_stats_zero_reallocs: return snapshot->zero_reallocs;
    case XA_CONTROL_stats_background_thread_num_threads: return snapshot->has_background;
    default: return snapshot->background_runs;
    }
}

static xa_mallctl_value
class_figure(const struct xa_snapshot_class *class, unsigned row)
{
    switch (row) {
    case XA_CONTROL_stats_arenas_i_small_nmalloc:
    case XA_CONTROL_stats_arenas_i_small_nrequests:
    case XA_CONTROL_stats_arenas_i_bins_j_nmalloc:
    case XA_CONTROL_stats_arenas_i_bins_j_nrequests: return class->allocations;
    case XA_CONTROL_stats_arenas_i_small_ndalloc:
    case XA_CONTROL_stats_arenas_i_bins_j_ndalloc: return class->frees;
    case XA_CONTROL_stats_arenas_i_small_nfills:
    case XA_CONTROL_stats_arenas_i_bins_j_nfills: return class->misses;
    case XA_CONTROL_stats_arenas_i_bins_j_nslabs: return class->slabs_made;
    case XA_CONTROL_stats_arenas_i_bins_j_curregs: return class->out;
    case XA_CONTROL_stats_arenas_i_bins_j_curslabs: return class->slabs;
    default: return class->nonfull;
    }
}

static int64_t
decay_time(unsigned index, enum xa_page_purge_age age)
{
    int64_t time_ms = 0;
    if (index == XA_SNAPSHOT_DESTROYED)
        return 0;
    if (index >= XA_ARENAS_MAX && index != XA_SNAPSHOT_ALL) {
        (void)xa_controls_arena_decay_ms(index, age, &time_ms);
        return time_ms;
    }
    const struct xa_arena *arena = xa_arena_at(index);
    return xa_page_purge_time_ms(arena == NULL ? NULL : &arena->heap, age);
}

/* Of one arena, whatever is not a size class's. */
static xa_mallctl_value
arena_figure(const struct xa_snapshot *snapshot, const struct xa_snapshot_arena *arena,
    unsigned index, unsigned row)
{
    switch (row) {
    case XA_CONTROL_stats_arenas_i_nthreads: return arena->threads;
    case XA_CONTROL_stats_arenas_i_uptime:
        return (snapshot->taken_ms - arena->since_ms) * NANOSECONDS_A_MS;
    case XA_CONTROL_stats_arenas_i_dirty_decay_ms:
        return (xa_mallctl_value)decay_time(index, XA_PAGE_PURGE_DIRTY);
    case XA_CONTROL_stats_arenas_i_muzzy_decay_ms:
        return (xa_mallctl_value)decay_time(index, XA_PAGE_PURGE_MUZZY);
    case XA_CONTROL_stats_arenas_i_dirty_npurge: return arena->purges;
    case XA_CONTROL_stats_arenas_i_dirty_nmadvise: return arena->purge_calls;
    case XA_CONTROL_stats_arenas_i_dirty_purged: return pages(arena->purged);
    case XA_CONTROL_stats_arenas_i_pactive: return pages(arena->active);
    case XA_CONTROL_stats_arenas_i_pdirty: return pages(arena->dirty);
    case XA_CONTROL_stats_arenas_i_pmuzzy: return pages(arena->muzzy);
    case XA_CONTROL_stats_arenas_i_mapped:
    case XA_CONTROL_stats_arenas_i_resident: return resident(arena);
    case XA_CONTROL_stats_arenas_i_retained: return retained(arena);
    case XA_CONTROL_stats_arenas_i_base: return arena->metadata;
    case XA_CONTROL_stats_arenas_i_metadata_rtree:
        return arena->metadata != 0 ? snapshot->map_bytes : 0;
    case XA_CONTROL_stats_arenas_i_tcache_bytes: return arena->cached;
    case XA_CONTROL_stats_arenas_i_small_allocated: return arena->small;
    case XA_CONTROL_stats_arenas_i_large_allocated: return arena->large;
    case XA_CONTROL_stats_arenas_i_large_nmalloc:
    case XA_CONTROL_stats_arenas_i_large_nrequests: return arena->large_allocations;
    case XA_CONTROL_stats_arenas_i_large_ndalloc: return arena->large_frees;
    default: return class_figure(&arena->classes[0], row);
    }
}

static bool
is_of_bin(unsigned row)
{
    return row >= XA_CONTROL_stats_arenas_i_bins_j_nmalloc &&
        row <= XA_CONTROL_stats_arenas_i_bins_j_nonfull_slabs;
}

static bool
is_of_arena(unsigned row)
{
    return row >= XA_CONTROL_stats_arenas_i_nthreads;
}

/* Without a snapshot, and without any lock. */
static size_t
active_now(void)
{
    size_t sum = atomic_load_explicit(&xa_huge_counters.live_bytes, memory_order_relaxed);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        const struct xa_arena *arena = xa_arena_at(i);
        if (arena != NULL)
            sum += xa_page_heap_counter(&arena->heap.counters.active_bytes);
    }
    /* Figures of different moments: never below 0. */
    size_t unused = atomic_load_explicit(&xa_slab_purged_bytes, memory_order_relaxed);
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        unused += xa_huge_stock_bytes(at);
    return sum > unused ? sum - unused : 0;
}

static int
look(struct xa_mallctl_call *call) XA_REQUIRES(xa_snapshot_lock)
{
    const struct xa_snapshot *snapshot = xa_snapshot_get();
    if (snapshot == NULL)
        return EAGAIN;
    if (!is_of_arena(call->row)) {
        call->old = process_figure(snapshot, call->row);
        return 0;
    }
    unsigned index = (unsigned)call->indices[0];
    if (index == snapshot->arena_end)
        index = XA_SNAPSHOT_ALL;
    const struct xa_snapshot_arena *arena = xa_snapshot_arena(index);
    if (arena == NULL)
        return ENOENT;
    call->old = is_of_bin(call->row)
        ? class_figure(&arena->classes[call->indices[1] + 1], call->row)
        : arena_figure(snapshot, arena, index, call->row);
    return 0;
}

int
xa_mallctl_stats(struct xa_mallctl_call *call)
{
    if (call->row == XA_CONTROL_approximate_stats_active) {
        call->old = active_now();
        return 0;
    }
    if (!xa_mallctl_lock())
        return EAGAIN;
    int error = look(call);
    xa_mallctl_unlock();
    return error;
}
