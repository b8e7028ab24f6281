/*
 * chunk.h - what page_heap.c and page_purge.c both do with a chunk: its leaves in the trees.
 *
 * For these two files alone; everything here is under the heap's lock.
 */
#ifndef XA_PAGE_CHUNK_H
#define XA_PAGE_CHUNK_H

#include "page/page_heap.h"

enum { XA_CHUNK_TREE_VALUE_MAX = 255 };

static inline struct xa_chunk *
xa_chunk_at(size_t slot)
{
    return (struct xa_chunk *)(void *)xa_page_map_region(slot);
}

static inline uint8_t
xa_chunk_tree_value(unsigned length)
{
    return (uint8_t)(length < XA_CHUNK_TREE_VALUE_MAX ? length : XA_CHUNK_TREE_VALUE_MAX);
}

/* Free granules at the end of the mapped prefix. */
static inline unsigned
xa_chunk_free_at_end(const struct xa_chunk *chunk)
{
    return chunk->mapped_granules == 0
        ? 0
        : xa_bitmap_run_around(&chunk->free, chunk->mapped_granules - 1);
}

/* Set the chunk's leaf in the tree of rooms. */
static inline void
xa_chunk_update_room(struct xa_page_heap *heap, const struct xa_chunk *chunk)
{
    unsigned unmapped = XA_CHUNK_GRANULES - chunk->mapped_granules;
    unsigned room = unmapped == 0 ? 0 : xa_chunk_free_at_end(chunk) + unmapped;
    xa_max_tree_set(&heap->rooms, chunk->region.slot, xa_chunk_tree_value(room));
}

/* Add granules, or take them off, in a counter of bytes. */
static inline void
xa_chunk_count(_Atomic size_t *counter, long granules)
{
    xa_page_heap_count(counter, (size_t)(granules * XA_GRANULE_BYTES));
}

#endif
