/*
 * jemalloc.c - jemalloc's extended functions.
 *
 * Without flags they are malloc and free.  What they promise stands in
 * include/xalloc/jemalloc.h; what flags do, in alloc/extended.c.
 */
#include "xalloc/jemalloc.h"

#include "alloc/extended.h"
#include "alloc/fast_path.h"
#include "alloc/resize.h"
#include "api/init.h"

#pragma GCC visibility push(default)

void *
mallocx(size_t size, int flags)
{
    if (XA_UNLIKELY(flags != 0))
        return xa_extended_allocate(size, flags);
    return xa_fast_malloc(size);
}

void *
rallocx(void *pointer, size_t size, int flags)
{
    return xa_extended_reallocate(pointer, size, flags);
}

size_t
xallocx(void *pointer, size_t size, size_t extra, int flags)
{
    return xa_extended_resize(pointer, size, extra, flags);
}

size_t
sallocx(const void *pointer, int flags)
{
    (void)flags;
    size_t bytes = xa_fast_small_bytes(pointer);
    return XA_LIKELY(bytes != 0) ? bytes : xa_release_usable_bytes(pointer, "sallocx");
}

void
dallocx(void *pointer, int flags)
{
    if (XA_UNLIKELY(flags != 0))
        xa_extended_release(pointer, flags);
    else
        xa_fast_free(pointer);
}

/* The size is not trusted, as with free_sized(). */
void
sdallocx(void *pointer, size_t size, int flags)
{
    (void)size;
    dallocx(pointer, flags);
}

size_t
nallocx(size_t size, int flags)
{
    /* A static link takes only the objects that something refers to: this one brings init.c along. */
    (void)*(volatile const char *)&xa_init_is_linked;
    return xa_extended_bytes(size, flags);
}
