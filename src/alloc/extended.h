/*
 * extended.h - jemalloc's mallocx() and its like, thread caches with a number, threads bound to
 * an arena.
 *
 * Flags are as in <xalloc/jemalloc.h>.  Below, "impossible" is a size beyond PTRDIFF_MAX.  What
 * jemalloc leaves undefined has a meaning here: a size of 0 is taken as 1; an arena that does not
 * exist has no memory; a cache that does not exist is none.
 */
#ifndef XA_ALLOC_EXTENDED_H
#define XA_ALLOC_EXTENDED_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

/* `size` bytes; NULL if memory ran out or it is impossible.  `flags` is not 0, or the cache missed. */
XA_MUST_USE void *xa_extended_allocate(size_t size, int flags);

/* realloc with flags: the result, or NULL, and the object is as before. */
XA_MUST_USE void *xa_extended_reallocate(void *pointer, size_t size, int flags);

/* Resize in place to at least `size`, at best `size` + `extra`; the usable bytes afterwards. */
size_t xa_extended_resize(void *pointer, size_t size, size_t extra, int flags);

/* Free with flags. */
void xa_extended_release(void *pointer, int flags);

/* The usable bytes that xa_extended_allocate() would give; 0 if it is impossible. */
XA_MUST_USE size_t xa_extended_bytes(size_t size, int flags);

/* ---- For the control tree ---- */

#define XA_EXTENDED_NONE UINT_MAX

/* Make an arena with these extent hooks (NULL: default); its number, or XA_EXTENDED_NONE. */
struct extent_hooks_s;
XA_MUST_USE unsigned xa_extended_create_arena(struct extent_hooks_s *hooks);

/* A cache for MALLOCX_TCACHE(number); XA_EXTENDED_NONE if memory or numbers ran out. */
XA_MUST_USE unsigned xa_extended_create_cache(void);

/* Give its objects back; and the number.  False if there is no such cache. */
XA_MUST_USE bool xa_extended_flush_cache(unsigned cache);
XA_MUST_USE bool xa_extended_destroy_cache(unsigned cache);

/* The number of the arena that the calling thread allocates from, whichever kind it is. */
unsigned xa_extended_thread_arena(void);

/*
 * Have the calling thread allocate from that arena from now on, automatic or private.  False if
 * there is no such arena, or the thread is at its end.
 */
XA_MUST_USE bool xa_extended_bind_thread(unsigned arena);

/* The arena of a live object of either kind; XA_EXTENDED_NONE for any other pointer. */
unsigned xa_extended_arena_of(const void *pointer);

#endif
