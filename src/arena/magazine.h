/*
 * magazine.h - an array of pointers to free objects of one size class.
 *
 * Magazines carry objects between thread caches, depots and bins.  The pointers
 * fill the array from its end, which a NULL closes: a thread pops by moving up
 * until it reads that NULL, and pushes by moving down until it stands at the
 * array's beginning.  Free objects themselves are never read or written.  Bonwick
 * and Adams, "Magazines and Vmem", USENIX 2001, is the source of the idea.
 *
 * A magazine is 512 bytes at a multiple of 512, and its first slot comes first: so
 * one word, the place of the next object, says all that the fast path has to know.
 * It is full where that word's low nine bits are zero, and empty where it points
 * at a NULL.  A thread's cache can therefore be taken away from it by one exchange
 * (thread/cache_purge.c).
 *
 * How many objects it may hold is decided when it is empty: that is where the NULL
 * is put.  A magazine belongs to whoever took it off a slot by an atomic exchange;
 * there is no lock.  `count` is right while no thread has it as its active one.
 */
#ifndef XA_ARENA_MAGAZINE_H
#define XA_ARENA_MAGAZINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum {
    XA_MAGAZINE_BYTES = 512,
    XA_MAGAZINE_OBJECTS_MAX = 512 / sizeof(void *) - 1 - 16 / sizeof(void *),
};

/* One place for a pointer. */
typedef void *xa_slot;

struct xa_magazine {
    xa_slot slots[XA_MAGAZINE_OBJECTS_MAX + 1]; /* `capacity` of them, then NULL */
    struct xa_magazine *next;                   /* on a list of its holder's */
    _Atomic uint16_t capacity;                  /* changed by the holder while empty */
    _Atomic uint16_t count;                     /* objects; written by the holder */
};

_Static_assert(sizeof(struct xa_magazine) <= XA_MAGAZINE_BYTES, "a block of its own");

/* Make up to `count` empty ones, with no capacity set, for the price of one; how many. */
XA_MUST_USE unsigned xa_magazine_make_some(struct xa_magazine **magazines, unsigned count);

/* Let an empty magazine hold `capacity` objects, 1 to XA_MAGAZINE_OBJECTS_MAX. */
void xa_magazine_set_capacity(struct xa_magazine *magazine, unsigned capacity);

/* Give an empty magazine's memory back. */
void xa_magazine_discard(struct xa_magazine *magazine);
void xa_magazine_discard_some(struct xa_magazine *const *magazines, unsigned count);

/* Where the closing NULL stands; the objects are the `count` slots before it. */
static inline xa_slot *
xa_magazine_end(struct xa_magazine *magazine)
{
    return &magazine->slots[atomic_load_explicit(&magazine->capacity, memory_order_relaxed)];
}

/* True if `top` is where nothing more can be pushed: a magazine's first slot. */
static inline bool
xa_magazine_is_full_at(const xa_slot *top)
{
    return ((uintptr_t)top & (XA_MAGAZINE_BYTES - 1)) == 0;
}

#endif
