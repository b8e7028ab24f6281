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
[[ $(<src/xalloc.pc) == *"-DXALLOC_PREFIX=je_"* ]] || complain "xalloc.pc does not tell the prefix"
finish
