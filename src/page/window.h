/*
 * window.h - which 4 MiB slots of the window are taken.
 */
#ifndef XA_PAGE_WINDOW_H
#define XA_PAGE_WINDOW_H

#include "extent/page_map.h"

#define XA_WINDOW_NONE SIZE_MAX

/*
 * Take the lowest `count` neighbouring slots whose address is a multiple of
 * `alignment` (a power of two) slots.  The page map covers them; nothing is mapped.
 * XA_WINDOW_NONE if the window is full or memory for the map ran out.
 */
XA_MUST_USE size_t xa_window_take(size_t count, size_t alignment);

/* Give slots back.  Nothing is mapped in them any more. */
void xa_window_return(size_t slot, size_t count);

/* Where a slot begins. */
static inline uintptr_t
xa_window_address(size_t slot)
{
    return xa_page_map_address_of(slot * XA_CHUNK_GRANULES);
}

/* In a forked child: free the lock.  A cut change can only have lost slots. */
void xa_window_reset_in_child(void);

#endif
