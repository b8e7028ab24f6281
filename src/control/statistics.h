/*
 * statistics.h - where every byte is, at one moment.
 *
 * Gathered from counters that are read without any lock, so it may be done in a
 * signal handler, and while other threads allocate: the figures are then those of
 * slightly different moments.  In a process at rest they are exact, and add up:
 *
 *   allocated = bytes of live objects, in their size classes
 *   active    = allocated + cached + free slots + slabs' tails
 *   mapped    = active + dirty + muzzy + retained + metadata
 *
 * The places divide the same memory once more, each byte in one of them; their bytes are
 * `mapped` and the library's file, and what of them is resident is all that the process has
 * in memory because of xalloc.  Within slabs the host knows pages, not objects: what is not
 * in memory there is taken for tails first, then for free slots, for objects in caches,
 * and at last for live ones, since slots go out lowest first.
 */
#ifndef XA_CONTROL_STATISTICS_H
#define XA_CONTROL_STATISTICS_H

#include "arena/arena.h"
#include "control/residency.h"
#include "thread/thread_state.h"

/* Where the memory is. */
enum xa_place {
#define PLACE(constant, name, label, text) XA_PLACE_##constant,
#include "config/place_figures.def"
#undef PLACE
    XA_PLACES,
};

struct xa_place_statistics {
    size_t bytes;
    size_t resident; /* of them in memory */
};

struct xa_class_statistics {
    size_t slabs;
    size_t live;                   /* objects that the program has */
    size_t cached;                 /* in thread caches, depots and reserves */
    size_t thread_cached;          /* of these, in thread caches */
    size_t free_bytes;             /* in slots that are in no cache */
    size_t free_resident;          /* of them in memory */
    size_t rounding;               /* bytes of live objects beyond the requests; sampled */
    size_t resident;               /* bytes of slabs in memory */
    struct xa_bin_counters totals; /* summed over the arenas */
};

struct xa_statistics {
    /* Bytes. */
    size_t allocated;
    size_t active;
    size_t metadata;   /* mapped for xalloc's own structures, the page map included */
    size_t resident;   /* of all below in memory, as the host says */
    size_t huge_pages; /* of that in huge pages: in heaps and huge objects */
    size_t mapped;
    size_t retained; /* mapped, nothing of the above */
    size_t dirty;
    size_t muzzy;         /* unused and offered to the system */
    size_t small;         /* allocated in slabs */
    size_t large;         /* allocated in runs and mappings */
    size_t cached;        /* free objects in thread caches, depots and reserves */
    size_t thread_cached; /* those in thread caches */
    size_t stocked;       /* of these, large objects */
    size_t stocked_huge;  /* huge objects that threads keep: not of these, but unused mappings */
    size_t free_slots;    /* in slabs, in no cache */
    size_t slab_purged;   /* of them, in pages that were given back */
    size_t tails;         /* ends of slabs that are no slot */
    size_t lost;          /* objects set aside by forks */
    size_t purged;        /* given back to the system so far */
    /* Permille. */
    size_t internal_fragmentation; /* rounding up to size classes, of allocated; sampled */
    size_t external_fragmentation; /* of active: what is not allocated */
    /* Numbers. */
    size_t live_objects;
    size_t large_objects; /* live runs */
    size_t huge_objects;  /* live mappings */
    size_t stocked_objects;
    size_t stocked_huge_objects;
    size_t large_allocations;
    size_t huge_allocations;
    size_t threads;
    size_t arenas;
    struct xa_heap_counters heaps;                            /* summed over the arenas */
    struct xa_class_statistics classes[XA_SMALL_CLASSES + 1]; /* by code */
    struct xa_place_statistics places[XA_PLACES];
    struct xa_residency_runs runs[XA_RESIDENCY_RUN_LENGTHS]; /* free ones */
};

/*
 * How much to ask the host.  Nothing: `huge_pages`, and all that is resident, stay 0, and it
 * takes microseconds.  About every page.  And where huge pages are, which takes longest.
 */
enum xa_statistics_depth {
    XA_STATISTICS_QUICK,
    XA_STATISTICS_WITH_RESIDENT,
    XA_STATISTICS_WITH_HUGE_PAGES,
};

/* Fill in the whole of `statistics`. */
void xa_statistics_gather(struct xa_statistics *statistics, enum xa_statistics_depth depth);

/* The same, and have `visit` look at each arena and thread state that is counted, on the way. */
struct xa_statistics_visitor {
    void (*arena)(void *context, const struct xa_arena *arena);
    void (*thread)(void *context, struct xa_thread_state *state, size_t cached_bytes);
    void *context;
};
void xa_statistics_gather_each(struct xa_statistics *statistics, enum xa_statistics_depth depth,
    const struct xa_statistics_visitor *visitor);

#endif
