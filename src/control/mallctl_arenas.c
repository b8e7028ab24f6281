/*
 * mallctl_arenas.c - how many arenas and sizes there are, and which.
 *
 * Bins are our small size classes; "large extents" are the sizes of large objects up to 2 MiB.
 * Objects beyond have as many bytes as their pages, so their sizes have no end.
 */
#include <errno.h>
#include <string.h>

#include "alloc/start.h"
#include "arena/magazine.h"
#include "config/options.h"
#include "control/controls_arena.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "page/huge_page.h"
#include "page/page_purge.h"
#include "thread/large_stock.h"

enum { QUANTUM = 16 };

static int
decay_time(struct xa_mallctl_call *call, enum xa_page_purge_age age)
{
    call->old = (xa_mallctl_value)xa_page_purge_time_ms(NULL, age);
    if (!call->has_new)
        return 0;
    if (!xa_mallctl_is_time(call->new, XA_OPTION_MS_MAX))
        return EFAULT;
    xa_page_purge_set_time_ms(NULL, age, (int64_t)call->new);
    return 0;
}

/* Sizes of large objects that threads keep. */
static unsigned
stocked_sizes(void)
{
    size_t least = xa_mallctl_large_bytes(0), most = xa_large_stock_max_bytes;
    if (most < least)
        return 0;
    return (unsigned)((most - least) / (xa_mallctl_large_bytes(1) - least) + 1);
}

static int
lookup(struct xa_mallctl_call *call)
{
    const void *pointer;
    memcpy(&pointer, call->given, sizeof pointer);
    unsigned arena = xa_extended_arena_of(pointer);
    call->old = arena;
    return arena != XA_EXTENDED_NONE ? 0 : EINVAL;
}

static int
create(struct xa_mallctl_call *call)
{
    struct extent_hooks_s *hooks = NULL;
    if (call->has_new)
        memcpy(&hooks, call->given, sizeof(void *));
    unsigned arena = xa_extended_create_arena(hooks);
    call->old = arena;
    return arena != XA_EXTENDED_NONE ? 0 : EAGAIN;
}

/* Rows without an index whose answer is one number. */
static bool
count(struct xa_mallctl_call *call)
{
    switch (call->row) {
    case XA_CONTROL_opt_narenas: call->old = xa_start_arena_count(); return true;
    case XA_CONTROL_arenas_narenas: call->old = xa_snapshot_arena_end(); return true;
    case XA_CONTROL_arenas_quantum: call->old = QUANTUM; return true;
    case XA_CONTROL_arenas_page: call->old = xa_os_facts.page_bytes; return true;
    case XA_CONTROL_arenas_hugepage: call->old = XA_HUGE_PAGE_BYTES; return true;
    case XA_CONTROL_arenas_tcache_max:
        call->old = stocked_sizes() != 0 ? xa_large_stock_max_bytes
                                         : xa_size_class_bytes[xa_start_cached_class_max];
        return true;
    case XA_CONTROL_arenas_nbins: call->old = XA_SMALL_CLASSES; return true;
    case XA_CONTROL_arenas_nhbins:
        call->old = xa_start_cached_class_max + stocked_sizes();
        return true;
    case XA_CONTROL_arenas_nlextents: call->old = xa_mallctl_large_count(); return true;
    default: return false;
    }
}

static int
size(struct xa_mallctl_call *call)
{
    size_t index = call->indices[0];
    if (call->row == XA_CONTROL_arenas_lextent_i_size) {
        call->old = xa_mallctl_large_bytes(index);
        return 0;
    }
    const struct xa_size_class *class = &xa_size_class_table[index + 1];
    switch (call->row) {
    case XA_CONTROL_arenas_bin_i_size: call->old = class->object_bytes; return 0;
    case XA_CONTROL_arenas_bin_i_nregs: call->old = class->slots; return 0;
    case XA_CONTROL_arenas_bin_i_slab_size:
        call->old = (size_t) class->granules * XA_GRANULE_BYTES;
        return 0;
    case XA_CONTROL_arenas_bin_i_nshards: call->old = 1; return 0;
    default: return ENOENT;
    }
}

int
xa_mallctl_arenas(struct xa_mallctl_call *call)
{
    if (count(call))
        return 0;
    switch (call->row) {
    case XA_CONTROL_arenas_dirty_decay_ms: return decay_time(call, XA_PAGE_PURGE_DIRTY);
    case XA_CONTROL_arenas_muzzy_decay_ms: return decay_time(call, XA_PAGE_PURGE_MUZZY);
    case XA_CONTROL_arenas_create: return create(call);
    case XA_CONTROL_arenas_lookup: return lookup(call);
    default: return size(call);
    }
}
