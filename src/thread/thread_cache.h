/*
 * thread_cache.h - a thread's free objects: what happens when they run out or overflow.
 *
 * The fast path (alloc/fast_path.h) pops and pushes; these are its misses.
 */
#ifndef XA_THREAD_THREAD_CACHE_H
#define XA_THREAD_THREAD_CACHE_H

#include "arena/arena.h"
#include "thread/thread_state.h"

/* Objects that a magazine of the class may hold: a bound by number and by bytes. */
static inline unsigned
xa_thread_cache_capacity(unsigned size_class)
{
    enum { BYTES_MAX = 32768, OBJECTS_MIN = 2 };
    unsigned objects = BYTES_MAX / xa_size_class_table[size_class].object_bytes;
    if (objects > XA_MAGAZINE_OBJECTS_MAX)
        return XA_MAGAZINE_OBJECTS_MAX;
    return objects < OBJECTS_MIN ? OBJECTS_MIN : objects;
}

/* The cache of the class is empty: fill it and hand one object out.  NULL: memory ran out. */
XA_MUST_USE void *xa_thread_cache_refill(struct xa_thread_state *state, unsigned size_class);

/* The cache of the class is full: make room and put `object` in. */
void xa_thread_cache_overflow(struct xa_thread_state *state, unsigned size_class, void *object);

/* Empty every cache of the state, into depots. */
void xa_thread_cache_flush(struct xa_thread_state *state);

#endif
