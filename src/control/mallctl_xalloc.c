/*
 * mallctl_xalloc.c - controls that jemalloc does not have.
 *
 * Those below xalloc.stats are of the snapshot, as stats.* is; the others are of the moment.
 */
#include <errno.h>

#include "alloc/start.h"
#include "arena/arena.h"
#include "config/options.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "page/huge.h"
#include "page/limit.h"
#include "thread/cache_purge.h"
#include "thread/thread_cache.h"

/* Everything that no object is in, however long it takes. */
static int
trim(void)
{
    struct xa_thread_state *state;
    bool left;
    if (!xa_start_enter(&state))
        return EAGAIN;
    if (state != NULL)
        xa_thread_cache_flush(state);
    (void)xa_cache_purge_run(XA_CACHE_PURGE_ALL, &left);
    (void)xa_arena_trim(0);
    (void)xa_huge_purge(XA_HUGE_ALL);
    xa_start_leave(state);
    return 0;
}

/* As the host says, which it may not be asked. */
static XA_NOINLINE size_t
ask_host(unsigned row)
{
    struct xa_statistics s;
    if (xa_options.strict_syscalls)
        return 0;
    xa_statistics_gather(&s, XA_STATISTICS_WITH_RESIDENT);
    return row == XA_CONTROL_xalloc_resident ? s.resident : s.huge_pages;
}

static size_t
figure(const struct xa_statistics *s, unsigned row)
{
    switch (row) {
    case XA_CONTROL_xalloc_stats_dirty: return s->dirty;
    case XA_CONTROL_xalloc_stats_muzzy: return s->muzzy;
    case XA_CONTROL_xalloc_stats_small: return s->small;
    case XA_CONTROL_xalloc_stats_large: return s->large;
    case XA_CONTROL_xalloc_stats_cached: return s->cached;
    case XA_CONTROL_xalloc_stats_thread_cached: return s->thread_cached;
    case XA_CONTROL_xalloc_stats_free_slots: return s->free_slots;
    case XA_CONTROL_xalloc_stats_slab_purged: return s->slab_purged;
    case XA_CONTROL_xalloc_stats_tails: return s->tails;
    case XA_CONTROL_xalloc_stats_lost: return s->lost;
    case XA_CONTROL_xalloc_stats_live_objects: return s->live_objects;
    case XA_CONTROL_xalloc_stats_threads: return s->threads;
    case XA_CONTROL_xalloc_stats_arenas: return s->arenas;
    case XA_CONTROL_xalloc_stats_internal_fragmentation: return s->internal_fragmentation;
    default: return s->external_fragmentation;
    }
}

int
xa_mallctl_xalloc(struct xa_mallctl_call *call)
{
    switch (call->row) {
    case XA_CONTROL_xalloc_version: call->old = xa_mallctl_pointer(XALLOC_VERSION); return 0;
    case XA_CONTROL_xalloc_trim: return trim();
    case XA_CONTROL_xalloc_used: call->old = xa_limit_used_bytes(); return 0;
    case XA_CONTROL_xalloc_resident:
    case XA_CONTROL_xalloc_huge_pages: call->old = ask_host(call->row); return 0;
    default: break;
    }
    if (!xa_mallctl_lock())
        return EAGAIN;
    const struct xa_snapshot *snapshot = xa_snapshot_get();
    if (snapshot != NULL)
        call->old = figure(&snapshot->statistics, call->row);
    xa_mallctl_unlock();
    return snapshot != NULL ? 0 : EAGAIN;
}
