/*
 * slab_purge.h - giving back whole unused pages in the midst of slabs that are in use.
 */
#ifndef XA_ARENA_SLAB_PURGE_H
#define XA_ARENA_SLAB_PURGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One sweep, over a part of a large heap: purge the slabs that nobody has taken from for
 * some sweeps.  True if it should be called again, since some have to wait, or the sweep has
 * not been everywhere yet.
 */
bool xa_slab_purge_sweep(void);

/* Purge all slabs, however fresh, as far as it goes until a time.  Bytes given back. */
size_t xa_slab_purge_all(uint64_t deadline_ms);

/* In a forked child, after its bins' locks: put back what other threads' sweeps had in hand. */
void xa_slab_purge_reset_in_child(void);

#endif
