#!/usr/bin/env bash
# jemalloc_link_test.sh - a program linked to libjemalloc.so.2 runs with xalloc in its place.
#
# The libjemalloc.so.2 that it is linked to is made here and does nothing right, so that whatever
# still reached it would be seen; and the installed one, if there is one.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$work"
cat >false.c <<'STUB'
#include <stddef.h>
void *mallocx(size_t size, int flags) { (void)size, (void)flags; return NULL; }
void *rallocx(void *p, size_t size, int flags) { (void)p, (void)size, (void)flags; return NULL; }
size_t xallocx(void *p, size_t s, size_t e, int f) { (void)p, (void)s, (void)e, (void)f; return 0; }
size_t sallocx(const void *p, int flags) { (void)p, (void)flags; return 0; }
void dallocx(void *p, int flags) { (void)p, (void)flags; }
void sdallocx(void *p, size_t size, int flags) { (void)p, (void)size, (void)flags; }
size_t nallocx(size_t size, int flags) { (void)size, (void)flags; return 0; }
STUB
cat >program.c <<'PROGRAM'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xalloc/jemalloc.h>

#define CHECK(condition) \
    do \
        if (!(condition)) { \
            printf("failed: %s\n", #condition); \
            return 1; \
        } \
    while (0)

int
main(void)
{
    Dl_info info;
    for (int lg = 0; lg < 16; lg++)
        for (size_t size = 1; size < 5000000; size += 1 + size / 2) {
            int flags = MALLOCX_LG_ALIGN(lg) | MALLOCX_ZERO;
            char *p = mallocx(size, flags);
            CHECK(p != NULL && (uintptr_t)p % ((size_t)1 << lg) == 0);
            CHECK(p[0] == 0 && p[size - 1] == 0);
            CHECK(sallocx(p, 0) == nallocx(size, flags));
            CHECK(malloc_usable_size(p) == sallocx(p, 0));
            CHECK(xallocx(p, size, 0, flags) >= size);
            p = rallocx(p, size + 1000, flags);
            CHECK(p != NULL && p[size] == 0);
            if (size % 2)
                dallocx(p, MALLOCX_TCACHE_NONE);
            else
                sdallocx(p, size + 1000, flags);
            /* One heap: what one interface gave, the other takes. */
            free(mallocx(size, 0));
            dallocx(malloc(size), 0);
        }
    CHECK(dladdr((void *)mallocx, &info) != 0);
    printf("%s\n", strrchr(info.dli_fname, '/') + 1);
    return 0;
}
PROGRAM
mkdir false true
quietly "${CC:-cc}" -shared -fPIC -Wl,-soname,libjemalloc.so.2 -o false/libjemalloc.so.2 false.c
quietly "${CC:-cc}" -I"$top_srcdir/include" -fno-builtin -O1 -o program program.c \
    false/libjemalloc.so.2 -ldl
expect 1 'failed: *' env LD_LIBRARY_PATH="$work/false" ./program

library=$top_builddir/.libs/libxalloc.so
expect 0 libxalloc.so* env LD_LIBRARY_PATH="$work/false" LD_PRELOAD="$library" ./program
ln -s "$library" true/libjemalloc.so.2
expect 0 libjemalloc.so.2 env LD_LIBRARY_PATH="$work/true" ./program

installed=$(find /usr/lib /lib -name libjemalloc.so.2 -print 2>/dev/null | head -n 1)
if [[ -n $installed ]]; then
    expect 0 libjemalloc.so.2 env LD_LIBRARY_PATH="${installed%/*}" ./program
    expect 0 libxalloc.so* env LD_LIBRARY_PATH="${installed%/*}" LD_PRELOAD="$library" ./program
fi
finish
