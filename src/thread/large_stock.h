/*
 * large_stock.h - large objects that a thread has freed and may soon want again.
 */
#ifndef XA_THREAD_LARGE_STOCK_H
#define XA_THREAD_LARGE_STOCK_H

#include "thread/thread_state.h"

/* [c] Objects of more bytes are not kept; 0: none are. */
extern size_t xa_large_stock_max_bytes;

/* An object of at least `bytes` from the stock, or NULL.  Called by its owner; takes no lock. */
XA_MUST_USE void *xa_large_stock_take(struct xa_thread_state *state, size_t bytes);

/* Keep a freed object, whose class is out of the page map.  False if it is not to be kept. */
XA_MUST_USE bool xa_large_stock_put(struct xa_thread_state *state, uintptr_t address);

/* The same, without a lock: false also where something else would have to be given back first. */
XA_MUST_USE bool xa_large_stock_put_quickly(struct xa_thread_state *state, uintptr_t address);

/* Whose objects xa_large_stock_empty() gives back. */
enum xa_large_stock_empty {
    XA_LARGE_STOCK_IDLE, /* those that were there the last time this was asked, by anybody */
    XA_LARGE_STOCK_ALL,
};

/*
 * Give objects back to their page heaps; their bytes.  Any thread may call it, whatever the
 * owner does meanwhile.
 */
size_t xa_large_stock_empty(struct xa_thread_state *state, enum xa_large_stock_empty which);

/*
 * The owner is about to take so many bytes of pages: unless its arena has as many that are in
 * memory and unused, the stock's objects become such pages.
 */
void xa_large_stock_yield(struct xa_thread_state *state, size_t bytes);

/* Objects in the stock, and their bytes; near enough if its owner is running. */
size_t xa_large_stock_objects(const struct xa_thread_state *state, size_t *bytes);

#endif
