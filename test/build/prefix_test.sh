#!/usr/bin/env bash
# prefix_test.sh - with --with-prefix=je_, a program has our heap beside libc's, under jemalloc's names.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$work/build"
cd "$work/build"
expect 1 '*--with-prefix wants the beginning of a name*' \
    "$top_srcdir/configure" -q --with-prefix='je-'
quietly "$top_srcdir/configure" -q --with-prefix=je_ --enable-development
quietly make -s -j "$(nproc)" libxalloc.la libxalloc.a src/xalloc.pc
quietly env XA_PREFIX=je_ top_builddir=. top_srcdir="$top_srcdir" "$top_srcdir/bin/dev/check-exports"

# None of libc's names, and no C++ operator, in either library.
for library in "-D .libs/libxalloc.so" libxalloc.a; do
    # shellcheck disable=SC2086  # an option and a file
    foreign=$(nm -g --defined-only $library | awk 'NF == 3 && $3 ~ /^(_Z|__libc_|__posix_|malloc|free$|calloc|realloc)/ { print $3 }')
    [[ -z $foreign ]] || complain "$library defines $foreign"
done

cat >program.c <<'PROGRAM'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xalloc/jemalloc.h>

static const char *
object_of(void *address)
{
    Dl_info info;
    return dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "?";
}

static void *
work(void *argument)
{
    for (size_t size = 1; size < 300000; size += 1 + size / 7) {
        char *ours = je_mallocx(size, MALLOCX_ZERO), *libcs = malloc(size);
        if (ours == NULL || libcs == NULL || ours[size - 1] != 0)
            return NULL;
        memset(ours, 1, je_malloc_usable_size(ours));
        memset(libcs, 2, malloc_usable_size(libcs));
        if (je_sallocx(ours, 0) != je_nallocx(size, 0))
            return NULL;
        ours = je_rallocx(ours, 2 * size, 0);
        if (ours == NULL || ours[0] != 1)
            return NULL;
        je_dallocx(ours, 0);
        free(libcs);
        je_free(je_realloc(je_calloc(1, size), size + 1));
    }
    return argument;
}

int
main(int argc, char **argv)
{
    pthread_t thread;
    void *result;
    (void)argc;
    if (work(argv) == NULL || pthread_create(&thread, NULL, work, argv) != 0 ||
        pthread_join(thread, &result) != 0 || result != argv)
        return 1;
    printf("%s\n", strstr(object_of((void *)malloc), "libc.so") != NULL ? "libc" : "not libc");
    return 0;
}
PROGRAM
quietly "${CC:-cc}" -DXALLOC_PREFIX=je_ -I"$top_srcdir/include" -O1 -fno-builtin -o embedded program.c \
    libxalloc.a -lpthread -ldl
expect 0 libc ./embedded
quietly "${CC:-cc}" -DXALLOC_PREFIX=je_ -I"$top_srcdir/include" -O1 -fno-builtin -o shared program.c \
    -L.libs -lxalloc -Wl,-rpath,"$PWD/.libs" -lpthread -ldl
expect 0 libc ./shared
# As Rust's bindings use an embedded jemalloc: flags from layouts, sizes given back, MIBs.
cat >layouts.c <<'PROGRAM'
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xalloc/jemalloc.h>

const char *je_malloc_conf = "dirty_decay_ms:1234";

static int
flags_of(size_t size, size_t align)
{
    return align <= 16 && align <= size ? 0 : MALLOCX_ALIGN(align);
}

static size_t
read_by_mib(const char *name)
{
    size_t mib[4], length = 4, value = 0, bytes = sizeof value;
    if (je_mallctlnametomib(name, mib, &length) != 0 ||
        je_mallctlbymib(mib, length, &value, &bytes, NULL, 0) != 0)
        return SIZE_MAX;
    return value;
}

static size_t
allocated(void)
{
    uint64_t epoch = 1;
    return je_mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) == 0 ? read_by_mib("stats.allocated")
                                                                     : SIZE_MAX;
}

int
main(void)
{
    size_t before = allocated(), sum = 0;
    for (size_t align = 1; align <= 1 << 16; align *= 2)
        for (size_t size = 1; size <= 1 << 20; size = size * 3 + 1) {
            int flags = flags_of(size, align), more = flags_of(size * 2, align);
            char *object = je_mallocx(size, flags | MALLOCX_ZERO);
            if (object == NULL || (uintptr_t)object % align != 0 || object[size - 1] != 0)
                return 1;
            memset(object, 7, size);
            object = je_rallocx(object, size * 2, more);
            if (object == NULL || (uintptr_t)object % align != 0 || object[size - 1] != 7)
                return 2;
            sum += je_nallocx(size * 2, more);
            if (allocated() - before != je_sallocx(object, more))
                return 3;
            je_sdallocx(object, size * 2, more);
        }
    ptrdiff_t decay_ms = 0;
    size_t bytes = sizeof decay_ms;
    if (je_mallctl("opt.dirty_decay_ms", &decay_ms, &bytes, NULL, 0) != 0)
        return 4;
    printf("%td, %s\n", decay_ms, sum != 0 && allocated() == before ? "balanced" : "not balanced");
    return 0;
}
PROGRAM
quietly "${CC:-cc}" -DXALLOC_PREFIX=je_ -I"$top_srcdir/include" -O1 -fno-builtin -o layouts layouts.c \
    libxalloc.a -lpthread -ldl
expect 0 '1234, balanced' ./layouts
[[ $(<src/xalloc.pc) == *"-DXALLOC_PREFIX=je_"* ]] || complain "xalloc.pc does not tell the prefix"
finish
