/*
 * huge.h - objects with a mapping of their own.
 *
 * Anything beyond half a chunk, in size or in alignment.
 */
#ifndef XA_PAGE_HUGE_H
#define XA_PAGE_HUGE_H

#include "extent/page_map.h"

/*
 * Map an object of `bytes`, its address a multiple of `alignment` (a power of
 * two).  NULL if memory or the window ran out.  `*is_zeroed`: it reads as zeros.
 */
XA_MUST_USE void *xa_huge_take(size_t bytes, size_t alignment, bool *is_zeroed);

/* Free an object whose class the caller has taken from the page map. */
void xa_huge_return(struct xa_huge *huge);

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
};
extern struct xa_huge_counters xa_huge_counters;

/* In a forked child: free the lock. */
void xa_huge_reset_in_child(void);

#endif
