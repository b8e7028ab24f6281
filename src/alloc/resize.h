/*
 * resize.h - realloc's rules.
 */
#ifndef XA_ALLOC_RESIZE_H
#define XA_ALLOC_RESIZE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

/* True if an object of `usable` bytes is a good place for `size`: at most half is wasted. */
static inline bool
xa_resize_fits(size_t usable, size_t size)
{
    return size <= usable && size >= usable / 2;
}

/*
 * Change the size of a live object, by moving it if need be.  Neither is NULL or 0.
 * NULL if memory ran out or the pointer is not ours (then with a message); the
 * object is as before.
 */
XA_MUST_USE void *xa_resize(void *pointer, size_t size);

/*
 * Give a live object at least `least` and at best `most` bytes, where it stands.  The bytes that
 * it has then; fewer than `least` if that is not possible.
 */
size_t xa_resize_in_place(void *pointer, size_t least, size_t most);

/* The same for a small object of `usable` bytes, whose class alone says whether it stays. */
XA_MUST_USE void *xa_resize_small(void *pointer, size_t usable, size_t size);

/* [a] Calls of realloc(ptr, 0) so far. */
extern _Atomic size_t xa_resize_to_zero;

#endif
