/*
 * huge.h - objects with a mapping of their own.
 *
 * Anything beyond half a chunk, in size or in alignment.
 */
#ifndef XA_PAGE_HUGE_H
#define XA_PAGE_HUGE_H

#include "extent/page_map.h"

/* A freed mapping may be this part longer than what it serves for. */
enum { XA_HUGE_FIT_FRACTION = 8 };

/*
 * Map an object of `bytes`, its address a multiple of `alignment` (a power of
 * two).  NULL if memory or the window ran out.  `*is_zeroed`: it reads as zeros.
 */
XA_MUST_USE void *xa_huge_take(size_t bytes, size_t alignment, bool *is_zeroed);

/* Free an object whose class the caller has taken from the page map. */
void xa_huge_return(struct xa_huge *huge);

/* True if a freed mapping of so many bytes serves for an object of `wanted`. */
static inline bool
xa_huge_serves(size_t bytes, size_t wanted)
{
    return bytes >= wanted && bytes - wanted <= wanted / XA_HUGE_FIT_FRACTION;
}

/* A mapping whose class was taken from the page map is an object of `bytes` again. */
XA_MUST_USE static inline void *
xa_huge_reuse(struct xa_huge *huge, size_t bytes)
{
    size_t granule = (size_t)huge->region.slot * XA_CHUNK_GRANULES;
    huge->asked_bytes = bytes;
    xa_page_map_set_class(granule, 1, XA_CLASS_HUGE);
    return (void *)xa_page_map_address_of(granule);
}

/*
 * May somebody else keep a freed mapping of so many bytes?  If so, they are charged to what is kept
 * here, until xa_huge_keep_no_more().
 */
XA_MUST_USE bool xa_huge_may_keep(size_t bytes);
void xa_huge_keep_no_more(size_t bytes);

/* The record of a live huge object. */
struct xa_huge *xa_huge_of(uintptr_t address);

/*
 * Change the object's size, in place or by moving its pages.  The new address, or
 * NULL if neither works; the object is as before then.
 */
XA_MUST_USE void *xa_huge_resize(struct xa_huge *huge, size_t bytes);

/* The same, in place only; false if that does not work. */
XA_MUST_USE bool xa_huge_resize_in_place(struct xa_huge *huge, size_t bytes);

/* Unmap kept mappings: those freed longer ago than the decay time, or all. */
enum xa_huge_purge { XA_HUGE_DECAYED, XA_HUGE_ALL };
size_t xa_huge_purge(enum xa_huge_purge what);

/* Figures for the report; lock-free. */
struct xa_huge_counters {
    _Atomic size_t live_bytes;
    _Atomic size_t live_objects;
    _Atomic size_t allocations;
    _Atomic size_t kept_bytes;
    _Atomic size_t kept_objects;
    _Atomic size_t kept_dirty_bytes;
    _Atomic size_t
        promised_bytes; /* that others may keep, and for the most part do; still "live" */
};
extern struct xa_huge_counters xa_huge_counters;

/* In a forked child: free the lock. */
void xa_huge_reset_in_child(void);

#endif
