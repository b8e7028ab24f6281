/*
 * region.h - descriptors of chunks and of huge mappings.
 *
 * They are recycled among themselves and never become anything else, so a look-up
 * with a wild pointer that races with the end of its region reads an old or a new
 * descriptor, but always a descriptor.
 */
#ifndef XA_EXTENT_REGION_H
#define XA_EXTENT_REGION_H

#include "extent/extent.h"

/* A chunk's descriptor, with records; its fields are as the last user left them. */
XA_MUST_USE struct xa_chunk *xa_region_take_chunk(void);

/* A huge mapping's descriptor. */
XA_MUST_USE struct xa_huge *xa_region_take_huge(void);

/* Give a descriptor back.  Nothing is published under its slot any more. */
void xa_region_return(struct xa_region *region);

/* In a forked child: free the lock; if a thread that is gone held it, begin with empty lists. */
void xa_region_reset_in_child(void);

#endif
