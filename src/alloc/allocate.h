/*
 * allocate.h - getting memory, by any way but the fast one.
 *
 * All return NULL if memory ran out or the size is impossible; errno is the
 * caller's business.  A size of 0 is taken as 1.
 */
#ifndef XA_ALLOC_ALLOCATE_H
#define XA_ALLOC_ALLOCATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

/* The fast path missed, or the size is 0 or beyond the tiny ones. */
XA_MUST_USE void *xa_allocate_beyond(size_t size);

/* For what realloc has to move because it grows: it may well grow again. */
XA_MUST_USE void *xa_allocate_growing(size_t size);

/* Memory that reads as zeros. */
XA_MUST_USE void *xa_allocate_zeroed(size_t size);

/* An address that is a multiple of `alignment`, a power of two. */
XA_MUST_USE void *xa_allocate_aligned(size_t alignment, size_t size);

/*
 * All of these together, and from this automatic arena, without any cache; NULL: as the others do.
 */
struct xa_arena;
XA_MUST_USE void *xa_allocate_from(
    struct xa_arena *arena, size_t size, size_t alignment, bool wants_zeros);

/*
 * [a] Told, outside of everything, about how many bytes a slow path has handed out: with
 * those that it put into the thread's cache.  NULL, as at first: nobody wants to know.
 */
extern void (*_Atomic xa_allocate_note)(size_t bytes);

/* A limit was met: give back what can be, and tell the program's callback.  Without any lock. */
XA_COLD void xa_allocate_answer_limit(void);

#endif
