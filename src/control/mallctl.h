/*
 * mallctl.h - reading, writing and doing what the control tree offers.
 */
#ifndef XA_CONTROL_MALLCTL_H
#define XA_CONTROL_MALLCTL_H

#include "control/controls.h"
#include "control/snapshot.h"

/*
 * jemalloc's three functions: see <xalloc/jemalloc.h> for their contracts.  They take no lock
 * that allocation waits for, and allocate nothing but metadata.
 */
XA_MUST_USE int xa_mallctl(
    const char *name, void *old, size_t *old_bytes, const void *new, size_t new_bytes);
XA_MUST_USE int xa_mallctl_to_mib(const char *name, size_t *mib, size_t *length);
XA_MUST_USE int xa_mallctl_by_mib(const size_t *mib, size_t length, void *old, size_t *old_bytes,
    const void *new, size_t new_bytes);

/* ---- Between mallctl.c and the files that know the values, mallctl_SOURCE.c ---- */

/* A value of any type: signed ones by their bits, pointers and texts by their address. */
typedef uint64_t xa_mallctl_value;

struct xa_mallctl_call {
    unsigned row;          /* enum xa_controls_key */
    const size_t *indices; /* those in the name */
    bool wants_old;        /* `old` is to be set */
    bool has_new;          /* `new` is to be taken over */
    bool is_right;         /* the room for `old` is as large as its type, or there is none */
    xa_mallctl_value old;
    xa_mallctl_value new;
    void *buffer;      /* where the program wants `old`, for what is more than a value */
    const void *given; /* what it has written, likewise */
};

/* What jemalloc's experimental controls are given; the names are theirs. */
struct xa_mallctl_arena_config {
    void *extent_hooks;
    bool metadata_use_hooks;
};

struct xa_mallctl_batch {
    void **ptrs;
    size_t num;
    size_t size;
    int flags;
};

/* Each: 0, or an error number, and then nothing has changed. */
int xa_mallctl_constant(struct xa_mallctl_call *call);
int xa_mallctl_option(struct xa_mallctl_call *call);
int xa_mallctl_root(struct xa_mallctl_call *call);
int xa_mallctl_thread(struct xa_mallctl_call *call);
int xa_mallctl_tcache(struct xa_mallctl_call *call);
int xa_mallctl_arena(struct xa_mallctl_call *call);
int xa_mallctl_arenas(struct xa_mallctl_call *call);
int xa_mallctl_stats(struct xa_mallctl_call *call);
int xa_mallctl_prof(struct xa_mallctl_call *call);
int xa_mallctl_experimental(struct xa_mallctl_call *call);
int xa_mallctl_xalloc(struct xa_mallctl_call *call);

static inline xa_mallctl_value
xa_mallctl_pointer(const volatile void *pointer)
{
    return (xa_mallctl_value)(uintptr_t)pointer;
}

/* Sizes of large objects that have a number: those up to 2 MiB, and how many these are. */
size_t xa_mallctl_large_bytes(size_t index);
unsigned xa_mallctl_large_count(void);

/* Lengths of runs of pages that jemalloc tells apart. */
enum { XA_MALLCTL_PAGE_SIZES = 199 };

/*
 * Take or give up xa_snapshot_lock.  False in a signal handler that interrupted its holder, or
 * an allocation, and answers EAGAIN then.
 */
XA_MUST_USE bool xa_mallctl_lock(void) XA_TRY_ACQUIRES(true, xa_snapshot_lock);
void xa_mallctl_unlock(void) XA_RELEASES(xa_snapshot_lock);

/* A time that may be set as a decay time. */
static inline bool
xa_mallctl_is_time(xa_mallctl_value value, int64_t max)
{
    int64_t time = (int64_t)value;
    return time >= -1 && time <= max;
}

#endif
