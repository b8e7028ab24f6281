/*
 * cache_purge.h - taking the caches of idle threads back, without stopping them.
 */
#ifndef XA_THREAD_CACHE_PURGE_H
#define XA_THREAD_CACHE_PURGE_H

#include "thread/thread_state.h"

enum xa_cache_purge {
    XA_CACHE_PURGE_IDLE, /* of threads that have not used them since the last call */
    XA_CACHE_PURGE_ALL,  /* of every thread that sleeps */
};

/*
 * Take caches of other threads back into slabs.  Returns the bytes of their objects;
 * sets `*left` to whether some thread still has something cached.
 */
size_t xa_cache_purge_run(enum xa_cache_purge which, bool *left);

/* In a forked child. */
void xa_cache_purge_reset_in_child(void);

/*
 * The owner begins a slow path (it has set is_inside): settle with a purger that is at
 * its caches.  False if these are the purger's for the moment, and to be left alone.
 */
XA_MUST_USE bool xa_cache_purge_settle(struct xa_thread_state *state);

#endif
