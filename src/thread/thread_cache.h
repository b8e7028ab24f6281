/*
 * thread_cache.h - a thread's free objects: what happens when they run out or overflow.
 *
 * The fast path (alloc/fast_path.h) pops and pushes; these are its misses.
 */
#ifndef XA_THREAD_THREAD_CACHE_H
#define XA_THREAD_THREAD_CACHE_H

#include "arena/arena.h"
#include "thread/thread_state.h"

/* The cache of the class is empty: fill it and hand one object out.  NULL: memory ran out. */
XA_MUST_USE void *xa_thread_cache_refill(struct xa_thread_state *state, unsigned size_class);

/* The cache of the class is full: make room and put `object` in. */
void xa_thread_cache_overflow(struct xa_thread_state *state, unsigned size_class, void *object);

/*
 * The commonest misses: the cache is empty and has a spare magazine, or it is full and has none.
 * They take no lock and touch nothing but the thread's own.  NULL and false if this is no such
 * case: then the two functions above are to be called.
 */
XA_MUST_USE void *xa_thread_cache_take_spare(struct xa_thread_state *state, unsigned size_class);
XA_MUST_USE bool xa_thread_cache_make_spare(
    struct xa_thread_state *state, unsigned size_class, void *object);

/* Empty every cache of the state, into depots. */
void xa_thread_cache_flush(struct xa_thread_state *state);

/*
 * The purger has emptied the caches: their bytes are the budget's again, and they will
 * grow faster than those of a new thread.
 */
void xa_thread_cache_rest(struct xa_thread_state *state);

/*
 * Put the tops back that a purger had set aside and not taken.  The caller is the
 * state's owner, or it has none any more.
 */
void xa_thread_cache_restore(struct xa_thread_state *state);

/*
 * What all caches of the process together may grow by.  Threads that begin write it all the time,
 * so it has a cache line of its own: those that only miss do not wait for it.
 */
extern struct XA_CACHE_ALIGNED xa_thread_cache_budget {
    _Atomic size_t bytes;
    _Atomic size_t used_bytes;
} xa_thread_cache_budget;

#endif
