/*
 * metadata.h - memory for xalloc's own structures.
 */
#ifndef XA_EXTENT_METADATA_H
#define XA_EXTENT_METADATA_H

#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum {
    XA_METADATA_BLOCK_MAX = 65536, /* blocks of up to this size can be returned */
    XA_METADATA_ALIGNED_MAX = 512,
    XA_METADATA_PAGE_BYTES = 4096,
};

/*
 * Zeroed memory of at least `bytes`, aligned to 64 bytes; and where `bytes` is a power
 * of two, to as many, up to XA_METADATA_ALIGNED_MAX.  NULL if memory ran out.
 */
XA_MUST_USE void *xa_metadata_take(size_t bytes);

/*
 * Zeroed pages of XA_METADATA_PAGE_BYTES, enough for `bytes`, where nothing else is; for
 * ever.  NULL if memory ran out.
 */
XA_MUST_USE void *xa_metadata_take_pages(size_t bytes);

/*
 * The same, but they may hold anything, and several for the price of one: as many as were
 * returned before, up to `count`, or a single new one.  How many; 0 if memory ran out.
 */
XA_MUST_USE unsigned xa_metadata_take_some(void **blocks, unsigned count, size_t bytes);

/* Give a block back; `bytes` is what was asked for, at most XA_METADATA_BLOCK_MAX. */
void xa_metadata_return(void *block, size_t bytes);

/* The same for many of one size. */
void xa_metadata_return_some(void *const *blocks, unsigned count, size_t bytes);

/* What the blocks in use, and those taken from the host, amount to.  Lock-free. */
size_t xa_metadata_used_bytes(void);
size_t xa_metadata_mapped_bytes(void);

/* What of it is in memory, as the host tells. */
size_t xa_metadata_resident_bytes(void);

/* Where the part of it begins that is static, so in the library's file; its bytes, 0 if not in use. */
size_t xa_metadata_static_range(uintptr_t *start);

/* In a forked child: free the lock; what a thread that is gone was changing is set aside. */
void xa_metadata_reset_in_child(void);

#endif
