/*
 * os_linux.h - system calls, for the files that keep the contract of os.h on Linux.
 *
 * They go through syscall(2) and not through libc's wrappers, since another preloaded library may
 * interpose mmap() or open() and allocate in it; errno is put back, since malloc must not change
 * it when it succeeds.
 */
#ifndef XA_OS_OS_LINUX_H
#define XA_OS_OS_LINUX_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"

/* A system call; the result, or minus the error number.  errno is left alone. */
static inline long
xa_os_linux_call(long number, long a, long b, long c, long d, long e, long f)
{
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1)
        result = -(long)errno;
    errno = saved;
    return result;
}

static inline bool
xa_os_linux_is_error(long result)
{
    return result < 0 && result > -4096;
}

#endif
