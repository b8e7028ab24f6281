/*
 * mallctl_root.c - the version, the epoch, the background thread; and where settings came from.
 */
#include <errno.h>

#include "alloc/start.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "thread/background.h"
#include "xalloc/jemalloc.h"

/* The newest number: one more with each snapshot. */
static int
epoch(struct xa_mallctl_call *call)
{
    if (!xa_mallctl_lock())
        return EAGAIN;
    bool is_done = !call->has_new || xa_snapshot_refresh();
    const struct xa_snapshot *snapshot = is_done ? xa_snapshot_get() : NULL;
    if (snapshot != NULL)
        call->old = snapshot->epoch;
    xa_mallctl_unlock();
    return snapshot != NULL ? 0 : EAGAIN;
}

static int
background(struct xa_mallctl_call *call)
{
    call->old = xa_background_is_allowed();
    if (call->has_new && (call->new != 0) != xa_background_is_allowed())
        xa_background_allow(call->new != 0);
    return 0;
}

/* There is never more than one, however many a program would let be. */
static int
background_max(struct xa_mallctl_call *call)
{
    call->old = 1;
    return call->has_new && call->new == 0 ? EINVAL : 0;
}

int
xa_mallctl_root(struct xa_mallctl_call *call)
{
    switch (call->row) {
    case XA_CONTROL_version:
        call->old = xa_mallctl_pointer(JEMALLOC_VERSION "-xalloc-" XALLOC_VERSION);
        return 0;
    case XA_CONTROL_epoch: return epoch(call);
    case XA_CONTROL_background_thread: return background(call);
    case XA_CONTROL_max_background_threads: return background_max(call);
    case XA_CONTROL_opt_malloc_conf_env_var:
        call->old = xa_mallctl_pointer(xa_start_malloc_conf);
        return 0;
    case XA_CONTROL_opt_malloc_conf_global_var:
        call->old = xa_mallctl_pointer(malloc_conf);
        return 0;
    case XA_CONTROL_opt_malloc_conf_global_var_2_conf_harder:
        call->old = xa_mallctl_pointer(malloc_conf_2_conf_harder);
        return 0;
    default: return ENOENT;
    }
}
