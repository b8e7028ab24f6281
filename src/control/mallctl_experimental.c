/*
 * mallctl_experimental.c - two controls that jemalloc calls experimental, and that programs use.
 */
#include <errno.h>
#include <string.h>

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "control/mallctl.h"

/* An arena with hooks; what else jemalloc's structure says is about its own metadata. */
static int
create_arena(struct xa_mallctl_call *call)
{
    struct xa_mallctl_arena_config config = {NULL, false};
    if (call->has_new)
        memcpy(&config, call->given, sizeof config);
    unsigned arena = xa_extended_create_arena(config.extent_hooks);
    call->old = arena;
    return arena != XA_EXTENDED_NONE ? 0 : EAGAIN;
}

/* As many objects as there is memory for. */
static int
allocate_batch(struct xa_mallctl_call *call)
{
    struct xa_mallctl_batch batch;
    size_t filled = 0;
    memcpy(&batch, call->given, sizeof batch);
    for (; filled < batch.num; filled++) {
        void *object = batch.flags == 0 ? xa_fast_malloc(batch.size)
                                        : xa_extended_allocate(batch.size, batch.flags);
        if (object == NULL)
            break;
        batch.ptrs[filled] = object;
    }
    call->old = filled;
    return 0;
}

int
xa_mallctl_experimental(struct xa_mallctl_call *call)
{
    if (call->row == XA_CONTROL_experimental_arenas_create_ext)
        return create_arena(call);
    /* Without room for the number, nothing is taken. */
    return call->wants_old && call->is_right ? allocate_batch(call) : EINVAL;
}
