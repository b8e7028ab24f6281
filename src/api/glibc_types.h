/*
 * glibc_types.h - what glibc's malloc.h defines, for C libraries (musl) whose malloc.h does not.
 *
 * Programs that were built for such a library do not call these functions, but the ones that look
 * them up by name may; the layout is glibc's.
 */
#ifndef XA_API_GLIBC_TYPES_H
#define XA_API_GLIBC_TYPES_H

#include <stddef.h>
#include <stdlib.h>

#ifndef __GLIBC__
struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

enum {
    M_MXFAST = 1,
    M_TRIM_THRESHOLD = -1,
    M_TOP_PAD = -2,
    M_MMAP_THRESHOLD = -3,
    M_MMAP_MAX = -4,
    M_CHECK_ACTION = -5,
    M_PERTURB = -6,
    M_ARENA_TEST = -7,
    M_ARENA_MAX = -8,
};
#endif

#endif
