/*
 * metadata.h - memory for xalloc's own structures.
 */
#ifndef XA_EXTENT_METADATA_H
#define XA_EXTENT_METADATA_H

#include <stddef.h>

#include "base/annotate.h"

/* Blocks of up to this size can be returned; larger ones are for ever. */
enum {
    XA_METADATA_BLOCK_MAX = 65536,
    XA_METADATA_PAGE_BYTES = 4096, /* blocks from this size on are aligned to it */
};

/*
 * Zeroed memory of at least `bytes`, aligned to the power of two that it is rounded
 * up to, from 64 bytes to XA_METADATA_PAGE_BYTES.  NULL if memory ran out.
 */
XA_MUST_USE void *xa_metadata_take(size_t bytes);

/* Give a block back; `bytes` is what was asked for, at most XA_METADATA_BLOCK_MAX. */
void xa_metadata_return(void *block, size_t bytes);

/* What the blocks in use, and those taken from the host, amount to.  Lock-free. */
size_t xa_metadata_used_bytes(void);
size_t xa_metadata_mapped_bytes(void);

/* What of it is in memory, as the host tells. */
size_t xa_metadata_resident_bytes(void);

/* In a forked child: free the lock; what a thread that is gone was changing is set aside. */
void xa_metadata_reset_in_child(void);

#endif
