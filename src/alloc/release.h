/*
 * release.h - freeing, by any way but the fast one, and looking at pointers.
 */
#ifndef XA_ALLOC_RELEASE_H
#define XA_ALLOC_RELEASE_H

#include <stddef.h>

#include "base/annotate.h"

/* Free any pointer: NULL, small with a full or no cache, large, huge, or not ours at all. */
void xa_release_beyond(void *pointer);

/*
 * Bytes that the program may use behind its pointer; 0 for NULL and, after a
 * message that names `call`, for a pointer that is not a live object's.
 */
size_t xa_release_usable_bytes(const void *pointer, const char *call);

#endif
