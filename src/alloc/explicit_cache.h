/*
 * explicit_cache.h - caches of small objects with a number, for MALLOCX_TCACHE.
 */
#ifndef XA_ALLOC_EXPLICIT_CACHE_H
#define XA_ALLOC_EXPLICIT_CACHE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/annotate.h"

enum { XA_EXPLICIT_CACHES_MAX = 4093 /* as many as MALLOCX_TCACHE can say */ };
#define XA_EXPLICIT_CACHE_NONE UINT_MAX

/* Whose objects are meant: a private arena's number, or the automatic ones'. */
#define XA_EXPLICIT_CACHE_AUTOMATIC UINT_MAX

/* A new empty cache; XA_EXPLICIT_CACHE_NONE if memory or numbers ran out. */
XA_MUST_USE unsigned xa_explicit_cache_create(void);

/* Give its objects back to where they came from; and the number.  False if there is no such cache. */
XA_MUST_USE bool xa_explicit_cache_flush(unsigned cache);
XA_MUST_USE bool xa_explicit_cache_destroy(unsigned cache);

/*
 * An object of a small class from the arena `source`, through the cache.  NULL if the cache
 * is of no use (there is none, it holds another arena's objects, memory ran out): then it has to
 * come from elsewhere.
 */
XA_MUST_USE void *xa_explicit_cache_take(unsigned cache, unsigned source, unsigned size_class);

/* Keep a live small object of `source`.  False if it is not kept, and the caller's to free. */
XA_MUST_USE bool xa_explicit_cache_put(
    unsigned cache, unsigned source, unsigned size_class, void *object);

/* Objects of the automatic arenas in all of them, of a class.  Lock-free. */
size_t xa_explicit_cache_objects(unsigned size_class);

/* In a forked child: free the locks; what a thread that is gone was changing is set aside. */
void xa_explicit_cache_reset_in_child(void);

#endif
