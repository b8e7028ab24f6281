/*
 * mallctl_thread.c - the calling thread: its arena, its cache, what it has taken and freed.
 *
 * A thread that asks for its sums is counted from then on (thread/thread_count.h).  Its cache
 * is emptied when it asks where they are, so that its next call of malloc, which would else be
 * answered by the cache, is seen there: programs tell by that whether the allocator counts.
 */
#include <errno.h>

#include "alloc/start.h"
#include "control/controls_arena.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "os/os.h"
#include "page/page_purge.h"
#include "thread/large_stock.h"
#include "thread/thread_cache.h"
#include "thread/thread_count.h"

/* The largest object that threads keep, by the options. */
static size_t
process_max(void)
{
    return xa_large_stock_max_bytes != 0 ? xa_large_stock_max_bytes
                                         : xa_size_class_bytes[xa_start_cached_class_max];
}

static size_t
own_max(const struct xa_thread_state *state)
{
    unsigned end = state->class_end;
    if (end == 0 || end > xa_start_cached_class_max)
        return process_max();
    return xa_size_class_bytes[end - 1];
}

/* Keep no objects of more than so many bytes from now on, rounded up to a class. */
static void
set_max(struct xa_thread_state *state, size_t bytes)
{
    if (bytes == 0)
        state->class_end = 1;
    else if (bytes > xa_size_class_bytes[XA_SMALL_CLASSES - 1])
        state->class_end = 0;
    else
        state->class_end = (uint8_t)(xa_size_class_of(bytes) + 1);
    xa_thread_cache_flush(state);
}

static int
cache_max(struct xa_mallctl_call *call, struct xa_thread_state *state)
{
    call->old = own_max(state);
    if (call->has_new)
        set_max(state, (size_t)call->new);
    return 0;
}

static int
cache_enabled(struct xa_mallctl_call *call, struct xa_thread_state *state)
{
    bool is_on = own_max(state) != 0;
    call->old = is_on;
    if (call->has_new && (call->new != 0) != is_on)
        set_max(state, call->new != 0 ? SIZE_MAX : 0);
    return 0;
}

static int
arena(struct xa_mallctl_call *call)
{
    call->old = xa_extended_thread_arena();
    if (!call->has_new || call->new == call->old)
        return 0;
    bool is_possible = call->new < xa_snapshot_arena_end() && call->new <= UINT32_MAX;
    return is_possible && xa_extended_bind_thread((unsigned)call->new) ? 0 : EFAULT;
}

static int
sums(struct xa_mallctl_call *call, struct xa_thread_state *state)
{
    struct xa_thread_count *count = xa_thread_count_begin(state);
    if (count == NULL)
        return EAGAIN;
    xa_thread_count_settle(state);
    switch (call->row) {
    case XA_CONTROL_thread_allocated:
        call->old = atomic_load_explicit(&count->allocated, memory_order_relaxed);
        return 0;
    case XA_CONTROL_thread_deallocated:
        call->old = atomic_load_explicit(&count->deallocated, memory_order_relaxed);
        return 0;
    case XA_CONTROL_thread_peak_read: call->old = (xa_mallctl_value)count->peak; return 0;
    case XA_CONTROL_thread_peak_reset: xa_thread_count_reset_peak(state); return 0;
    default: break;
    }
    xa_thread_cache_flush(state);
    call->old = xa_mallctl_pointer(
        call->row == XA_CONTROL_thread_allocatedp ? &count->allocated : &count->deallocated);
    return 0;
}

static int
idle(struct xa_thread_state *state)
{
    xa_thread_cache_flush(state);
    xa_page_purge_decay(&state->arena->heap, xa_os_now_ms());
    return 0;
}

static int
with_state(struct xa_mallctl_call *call, struct xa_thread_state *state)
{
    switch (call->row) {
    case XA_CONTROL_thread_idle: return idle(state);
    case XA_CONTROL_thread_tcache_enabled: return cache_enabled(call, state);
    case XA_CONTROL_thread_tcache_max: return cache_max(call, state);
    case XA_CONTROL_thread_tcache_flush: xa_thread_cache_flush(state); return 0;
    default: return sums(call, state);
    }
}

int
xa_mallctl_thread(struct xa_mallctl_call *call)
{
    struct xa_thread_state *state;
    if (call->row == XA_CONTROL_thread_arena)
        return arena(call);
    /* A signal handler in the middle of an allocation of the same thread. */
    if (!xa_start_enter(&state))
        return EAGAIN;
    /* At the thread's end, or while its cache is being emptied: it keeps nothing. */
    int error = EAGAIN;
    if (state != NULL)
        error = with_state(call, state);
    xa_start_leave(state);
    return error;
}
