/*
 * mallctl_prof.c - the profile, which there is not: it reads as switched off, may be switched off,
 * and cannot be switched on.
 *
 * That is how jemalloc answers that was built for profiles and has "opt.prof" off.
 */
#include <errno.h>

#include "control/mallctl.h"

int
xa_mallctl_prof(struct xa_mallctl_call *call)
{
    if (call->row == XA_CONTROL_thread_prof_name) {
        /* What it writes could not be read again. */
        if (call->has_new)
            return ENOENT;
        call->old = xa_mallctl_pointer("");
        return 0;
    }
    call->old = 0;
    return call->has_new && call->new != 0 ? ENOENT : 0;
}
