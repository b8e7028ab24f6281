/*
 * control.c - jemalloc's mallctl functions under their own names.
 */
#include <errno.h>

#include "control/mallctl.h"
#include "xalloc/jemalloc.h"

#pragma GCC visibility push(default)

int
mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
{
    int saved = errno;
    int error = xa_mallctl(name, old, old_bytes, new, new_bytes);
    errno = saved;
    return error;
}

int
mallctlnametomib(const char *name, size_t *mib, size_t *length)
{
    int saved = errno;
    int error = xa_mallctl_to_mib(name, mib, length);
    errno = saved;
    return error;
}

int
mallctlbymib(
    const size_t *mib, size_t length, void *old, size_t *old_bytes, void *new, size_t new_bytes)
{
    int saved = errno;
    int error = xa_mallctl_by_mib(mib, length, old, old_bytes, new, new_bytes);
    errno = saved;
    return error;
}

#pragma GCC visibility pop
