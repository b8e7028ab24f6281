/*
 * heap.h - one page heap, and its books checked against its chunks' bitmaps, bit by bit.
 *
 * For tests of src/page over the fake host.  Numbers are granules.
 */
#ifndef XA_TEST_HEAP_H
#define XA_TEST_HEAP_H

#include "page/page_heap.h"

enum { XA_HEAP_SLOTS_CHECKED = 64 };

extern struct xa_page_heap xa_heap;

/* Start the host and the heap, with this option. */
void xa_heap_begin(int64_t dirty_decay_ms);

char *xa_heap_memory(uint32_t granule);

/* Take a run for a large object; the same, and write to all of it. */
uint32_t xa_heap_take(unsigned granules);
uint32_t xa_heap_take_dirty(unsigned granules);

/* Return granules, of which the first may have been written. */
void xa_heap_give(uint32_t granule, unsigned granules, unsigned touched);

/* A counter of bytes, in granules. */
size_t xa_heap_granules(const _Atomic size_t *counter);

/* Fail the test unless `live` granules are out and all that is counted agrees with the bitmaps. */
void xa_heap_check(size_t live);

#endif
