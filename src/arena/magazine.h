/*
 * magazine.h - an array of pointers to free objects of one size class.
 *
 * Magazines carry objects between thread caches, depots and bins.  The pointers
 * fill the array from its end, which a NULL closes: a thread pops by moving up
 * until it reads that NULL, and pushes by moving down until it meets the first
 * slot.  Free objects themselves are never read or written.  Bonwick and Adams,
 * "Magazines and Vmem", USENIX 2001, is the source of the idea.
 *
 * A magazine belongs to whoever took it off a slot by an atomic exchange; there
 * is no lock.  `count` is right while no thread has it as its active magazine.
 */
#ifndef XA_ARENA_MAGAZINE_H
#define XA_ARENA_MAGAZINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum {
    XA_MAGAZINE_KINDS = 3, /* 16, 32 and 64 words: 13, 29 and 61 objects */
    XA_MAGAZINE_HEADER_WORDS = 2,
    XA_MAGAZINE_OBJECTS_MAX = 61,
};

struct xa_magazine {
    struct xa_magazine *next; /* on a list of its holder's */
    uint16_t capacity;        /* [c] */
    _Atomic uint16_t count;   /* objects; written by the holder */
    uint8_t kind;             /* [c] */
    void *slots[];            /* `capacity` of them, then NULL */
};

/* How many objects a magazine of this kind holds. */
static inline unsigned
xa_magazine_capacity(unsigned kind)
{
    return (16u << kind) - XA_MAGAZINE_HEADER_WORDS - 1;
}

/* An empty magazine; NULL if memory ran out. */
XA_MUST_USE struct xa_magazine *xa_magazine_make(unsigned kind);

/* Give an empty magazine's memory back. */
void xa_magazine_discard(struct xa_magazine *magazine);

/* Where the closing NULL stands; the objects are the `count` slots before it. */
static inline void **
xa_magazine_end(struct xa_magazine *magazine)
{
    return &magazine->slots[magazine->capacity];
}

#endif
