#!/usr/bin/env bash
# musl_test.sh - the library compiles for musl, and works there preloaded and in a static program.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v musl-gcc >/dev/null; then
    echo "skipped: there is no musl-gcc; Debian's package is musl-tools"
    exit 77
fi

flags=(-std=gnu11 -D_GNU_SOURCE '-DXALLOC_VERSION="0"' -O1 -fPIC -fvisibility=hidden
    -ftls-model=initial-exec -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc
    -fno-builtin-free -fexceptions -Wall -Wextra -Wno-missing-attributes -Werror "-I$top_srcdir/src"
    "-I$top_srcdir/include")
cd "$work"
while read -r file; do
    quietly musl-gcc "${flags[@]}" -c "$file" -o "$(basename "$file" .c).o"
done < <(find "$top_srcdir/src" -name '*.c' | sort)
mapfile -t shared < <(find . -name '*.o' ! -name cxx_runtime.o)
mapfile -t static < <(find . -name '*.o' ! -name cxx_runtime_shared.o)
quietly musl-gcc -shared -o libxalloc.so "${shared[@]}" -Wl,-z,nodelete,-z,now \
    "-Wl,--version-script=$top_srcdir/src/xalloc.map"
ar rcs libxalloc.a "${static[@]}"

cat >program.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *
work(void *argument)
{
    for (int round = 0; round < 5; round++)
        for (size_t size = 1; size < 5000000; size = size * 3 / 2 + 1) {
            char *block = calloc(1, size);
            if (block == NULL || block[size - 1] != 0)
                abort();
            block[size - 1] = 1;
            block = realloc(block, size * 2);
            if (block == NULL || block[size - 1] != 1)
                abort();
            free(block);
            block = aligned_alloc(64, size);
            if (block == NULL || (size_t)block % 64 != 0)
                abort();
            free(block);
        }
    return argument;
}

int
main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 10; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            work(NULL);
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
            return 1;
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    puts(strdup("all well"));
    return 0;
}
END
quietly musl-gcc -O1 -fno-builtin -o dynamic program.c
quietly musl-gcc -O1 -fno-builtin -static -o static program.c libxalloc.a
export XALLOC_CONF=stats_print:true
# Not by way of env: that is a program of another C library.
cat >preloaded <<END
#!/bin/sh
LD_PRELOAD=$work/libxalloc.so exec "$work/dynamic"
END
chmod +x preloaded
expect 0 '*all well*xalloc: statistics*' ./preloaded
expect 0 '*all well*xalloc: statistics*' ./static
finish
