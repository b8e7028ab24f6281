/*
 * depot.h - where threads exchange magazines of one size class, without waiting.
 *
 * One cache line of eight words: seven slots that hold a magazine each, and a
 * stack for those that found no slot.  A word is a magazine's address and, in the
 * upper 16 bits, the number of objects behind it; 0 is empty.
 *
 *   put    an empty slot, by compare-and-swap; else the top of the stack, likewise
 *   take   a slot or the whole stack, by exchange with 0
 *
 * Nothing is ever popped from the middle or linked to what another thread may
 * take, so there is no ABA problem.  The stack is taken whole, by the holder of
 * the bin's lock, who keeps it as the bin's reserve (arena.c).
 *
 * Memory orders: put is a release and take an acquire, so that the taker sees the
 * pointers in the magazine and everything done to the objects before they were
 * freed.  Every state is one word: a fork cuts nothing in half.
 */
#ifndef XA_ARENA_DEPOT_H
#define XA_ARENA_DEPOT_H

#include <stdatomic.h>

#include "arena/magazine.h"

enum { XA_DEPOT_SLOTS = 7 };

struct XA_CACHE_ALIGNED xa_depot {
    _Atomic uint64_t slots[XA_DEPOT_SLOTS]; /* [a] */
    _Atomic uint64_t stack;                 /* [a] linked by `next` */
};

/*
 * Hand over a magazine with objects, into one of the first `slots` slots or on the stack.
 * The objects on the stack if it went there, else 0.
 */
size_t xa_depot_put(struct xa_depot *depot, struct xa_magazine *magazine, unsigned slots);

/* A magazine from a slot, or NULL. */
struct xa_magazine *xa_depot_take(struct xa_depot *depot);

/* The whole stack, linked by `next`, or NULL. */
struct xa_magazine *xa_depot_take_stack(struct xa_depot *depot);

/* True if something is on the stack, at this moment. */
bool xa_depot_has_stack(const struct xa_depot *depot);

/* A number that changes when magazines come or go; 0 if there are none. */
size_t xa_depot_look(const struct xa_depot *depot);

/* Objects that wait here.  Lock-free; a figure of the moment. */
size_t xa_depot_objects(const struct xa_depot *depot);

#endif
