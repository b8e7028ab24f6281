/*
 * release.h - freeing, by any way but the fast one, and looking at pointers.
 */
#ifndef XA_ALLOC_RELEASE_H
#define XA_ALLOC_RELEASE_H

#include <limits.h>
#include <stddef.h>

#include "base/annotate.h"

/* Free any pointer: NULL, small with a full or no cache, large, huge, or not ours at all. */
void xa_release_beyond(void *pointer);

/* The same, and a small object goes to its slab and into no cache. */
void xa_release_uncached(void *pointer);

/*
 * The class of a live small object, and whose it is: a private arena's number, or this.
 * XA_CLASS_NONE for other objects and pointers.  Misuse ends the process.
 */
#define XA_RELEASE_AUTOMATIC UINT_MAX
XA_MUST_USE unsigned xa_release_small_class(const void *pointer, unsigned *arena);

/*
 * The same, and the caller says what it has asked for: a size, and an alignment or 1.  What cannot
 * be is reported, and the object freed all the same.
 */
void xa_release_sized_beyond(void *pointer, size_t size, size_t alignment);

/*
 * Bytes that the program may use behind its pointer; 0 for NULL and, after a
 * message that names `call`, for a pointer that is not a live object's.
 */
size_t xa_release_usable_bytes(const void *pointer, const char *call);

#endif
