/*
 * mallctl_tcache.c - caches that a program makes, for MALLOCX_TCACHE.
 */
#include <errno.h>

#include "control/controls_arena.h"
#include "control/mallctl.h"

int
xa_mallctl_tcache(struct xa_mallctl_call *call)
{
    unsigned cache = (unsigned)call->new;
    switch (call->row) {
    case XA_CONTROL_tcache_create:
        if (call->has_new)
            return EPERM;
        cache = xa_extended_create_cache();
        call->old = cache;
        return cache != XA_EXTENDED_NONE ? 0 : EAGAIN;
    case XA_CONTROL_tcache_flush: return xa_extended_flush_cache(cache) ? 0 : EFAULT;
    case XA_CONTROL_tcache_destroy: return xa_extended_destroy_cache(cache) ? 0 : EFAULT;
    default: return ENOENT;
    }
}
