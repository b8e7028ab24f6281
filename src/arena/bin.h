/*
 * bin.h - all slabs of one size class in one arena.
 */
#ifndef XA_ARENA_BIN_H
#define XA_ARENA_BIN_H

#include "arena/depot.h"
#include "extent/extent.h"
#include "os/lock.h"

enum {
    XA_BIN_LISTS = 8,
    XA_BIN_RELEASED_MAX = XA_MAGAZINE_OBJECTS_MAX,
};

struct xa_bin_counters {
#define BIN_COUNTER(name, text) _Atomic size_t name;
#include "config/bin_counters.def"
#undef BIN_COUNTER
};

struct xa_bin {
    struct xa_depot depot; /* [a] a cache line of its own */
    struct xa_lock lock;
    uint8_t arena;                       /* [c] index */
    uint8_t size_class;                  /* [c] */
    uint8_t generation;                  /* [b] changes when a fork sets the slabs aside */
    _Atomic bool is_ready;               /* [a] the constants above are set */
    uint32_t seen;                       /* [p] of depot and reserve, when last looked at */
    uint32_t lists[XA_BIN_LISTS];        /* [b] slabs with free slots, the fullest on list 0 */
    struct xa_magazine *_Atomic reserve; /* [b] magazines off the depot's stack; read by anybody */
    _Atomic size_t reserve_objects;      /* [b] in them */
    struct xa_bin_counters counters;
};
_Static_assert(sizeof(struct xa_bin) == 192 || sizeof(void *) != 8, "three cache lines");

/* Slots that are not free in their slab: live objects and cached ones.  Lock-free. */
static inline size_t
xa_bin_taken_slots(const struct xa_bin_counters *counters)
{
    /* Frees first: there are never more of them than there have been allocations since. */
    size_t frees = atomic_load_explicit(&counters->frees, memory_order_acquire);
    size_t lost = atomic_load_explicit(&counters->lost_objects, memory_order_relaxed);
    return atomic_load_explicit(&counters->allocations, memory_order_relaxed) - frees + lost;
}

/* Slabs that became empty: granules, for the caller to give back to the page heap. */
struct xa_bin_released {
    unsigned count;
    uint32_t granules[XA_BIN_RELEASED_MAX];
};

/* An empty bin over zeroed memory, which is one already but for its constants. */
void xa_bin_init(struct xa_bin *bin, uint16_t arena, unsigned size_class);

/* Take up to `count` free slots of existing slabs into `objects`; how many there were. */
unsigned xa_bin_take(struct xa_bin *bin, void **objects, unsigned count) XA_REQUIRES(bin->lock);

/* A slab that xa_slab_init() has made joins the bin. */
void xa_bin_add_slab(struct xa_bin *bin, uint32_t granule) XA_REQUIRES(bin->lock);

/* End the process with a message if `object` is none that is out: the slot is free, or no slot. */
void xa_bin_check(const struct xa_bin *bin, const void *object) XA_REQUIRES(bin->lock);

/*
 * Free the objects at `objects`, up to the first that belongs to another bin; how
 * many these were.  What cannot be a live object ends the process with a message.
 * Slabs that became empty are added to `released`, which has room for `count`.
 */
unsigned xa_bin_return(struct xa_bin *bin, void **objects, unsigned count,
    struct xa_bin_released *released) XA_REQUIRES(bin->lock);

/* Let go of the slab that is kept although it is empty, into `released`; idle bins need none. */
void xa_bin_release_kept(struct xa_bin *bin, struct xa_bin_released *released)
    XA_REQUIRES(bin->lock);

/* True if some of the slab's slots are free, and not all: then it is on a list, unless aside. */
bool xa_bin_has_listed(const struct xa_bin *bin, uint32_t granule) XA_REQUIRES(bin->lock);

/* Put a listed slab aside, so that nobody takes from it.  Its objects may be freed meanwhile. */
void xa_bin_set_aside(struct xa_bin *bin, uint32_t granule) XA_REQUIRES(bin->lock);

/*
 * The slab is as it was again; one that has become empty may be added to `released`, unless that
 * is NULL.
 */
void xa_bin_put_back(struct xa_bin *bin, uint32_t granule, struct xa_bin_released *released)
    XA_REQUIRES(bin->lock);

/* A magazine from the reserve, which takes the depot's stack over when empty; or NULL. */
struct xa_magazine *xa_bin_take_magazine(struct xa_bin *bin) XA_REQUIRES(bin->lock);

/*
 * Take the depot's stack over into the reserve, and off the reserve what goes beyond
 * `objects_max`: a list linked by `next`, or NULL.
 */
struct xa_magazine *xa_bin_trim_reserve(struct xa_bin *bin, size_t objects_max)
    XA_REQUIRES(bin->lock);

/* True if xa_bin_take_magazine() would probably find one. */
bool xa_bin_has_magazine(const struct xa_bin *bin);

/* In a forked child: free the lock; if a thread that is gone held it, set the slabs aside. */
void xa_bin_reset_in_child(struct xa_bin *bin);

#endif
