/*
 * arena.h - a set of bins and a page heap, serving some of the threads.
 */
#ifndef XA_ARENA_ARENA_H
#define XA_ARENA_ARENA_H

#include "arena/bin.h"
#include "page/page_heap.h"

enum { XA_ARENAS_MAX = 256 };

struct xa_arena {
    uint16_t index;           /* [c] */
    _Atomic uint32_t threads; /* [a] that use it now */
    struct xa_page_heap heap;
    struct xa_bin bins[XA_SMALL_CLASSES + 1]; /* by code; row 0 is not used */
};

enum xa_arena_patience { XA_ARENA_TRY, XA_ARENA_WAIT };

/* Make the first arena.  Called once, before any other. */
void xa_arena_init(void);

/* Over how many arenas new threads are spread; 1 at first. */
void xa_arena_set_limit(unsigned limit);

/* The arena that the next thread should use: the one with the fewest. */
struct xa_arena *xa_arena_assign(void);

/* The arena of this index, made now if need be; NULL if there is to be none, or memory ran out. */
struct xa_arena *xa_arena_obtain(unsigned index);

/* A thread uses the arena that was not given it by xa_arena_assign(). */
void xa_arena_join(struct xa_arena *arena);

/* A thread that xa_arena_assign() counted is gone. */
void xa_arena_leave(struct xa_arena *arena);

/* The arena of this index, or NULL if it does not exist (yet). */
struct xa_arena *xa_arena_at(unsigned index);

/* Arenas are numbered from 0 to below this; there may be gaps. */
unsigned xa_arena_limit(void);

/* Take up to `count` objects of a class from the slabs that there are; 0 if all are full. */
XA_MUST_USE unsigned xa_arena_take_listed(
    struct xa_arena *arena, unsigned size_class, void **objects, unsigned count);

/* The same, and from a new slab if need be; 0 only if memory ran out. */
XA_MUST_USE unsigned xa_arena_take(
    struct xa_arena *arena, unsigned size_class, void **objects, unsigned count);

/*
 * Free objects into their slabs, whichever arenas these belong to.  With TRY it
 * stops at the first bin that is busy.  How many were freed, from the front.
 */
unsigned xa_arena_return(
    unsigned size_class, void **objects, unsigned count, enum xa_arena_patience patience);

/* Give empty slabs of a class back to the page heap. */
void xa_arena_release(
    struct xa_arena *arena, const struct xa_bin_released *released, unsigned size_class);

/* End the process with a message if `object` cannot be a live one of the class. */
void xa_arena_check(unsigned size_class, const void *object);

/* A request of `bytes` missed the caches: a sample of what programs ask of the class. */
void xa_arena_note_request(struct xa_arena *arena, unsigned size_class, size_t bytes);

/* A magazine with objects from a depot, first this arena's; NULL if all are empty. */
struct xa_magazine *xa_arena_take_magazine(struct xa_arena *arena, unsigned size_class);

/* Hand over a magazine with objects; never waits unless far too many have piled up. */
void xa_arena_put_magazine(
    struct xa_arena *arena, unsigned size_class, struct xa_magazine *magazine);

/*
 * Empty the depots that nobody has used since the last call, and unmap what is free
 * for good.  True if no depot holds anything.
 */
bool xa_arena_empty_idle(void);

/* Empty the depots into slabs and purge; `keep_bytes` a heap stay dirty.  Bytes given back. */
size_t xa_arena_trim(size_t keep_bytes);

/* The same, as far as it goes until a time. */
size_t xa_arena_trim_until(size_t keep_bytes, uint64_t deadline_ms);

/* In a forked child, whose one thread uses `arena` (or none, if NULL). */
void xa_arena_reset_in_child(struct xa_arena *arena);

#endif
