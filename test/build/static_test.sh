#!/usr/bin/env bash
# static_test.sh - libxalloc.a defines what libc's malloc object does, so that no second malloc comes.
#
# A static link takes an object of libc.a for any symbol that it alone defines.  One name of malloc's
# that the archive lacks, and all of libc's malloc is there as well: two definitions, or two heaps.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}" "${NM:=nm}"

archive=$top_builddir/libxalloc.a
libc_a=$($CC -print-file-name=libc.a)
libc_so=$($CC -print-file-name=libc.so.6)
if [[ ! -e $libc_a || ! -e $libc_so ]]; then
    echo "skipped: this C library has no libc.a and libc.so.6"
    exit 77
fi

# The public symbols of malloc.o: those that the shared library has too.
$NM -D --defined-only "$libc_so" | awk 'NF == 3 { sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/public"
$NM -g --defined-only "$libc_a" 2>/dev/null |
    awk '/^malloc\.o:$/ { is_it = 1; next } /:$/ { is_it = 0 } is_it && NF == 3 { print $3 }' |
    sort -u | comm -12 - "$work/public" >"$work/wanted"
(($(wc -l <"$work/wanted") > 15)) || complain "libc.a's malloc.o has few symbols: $(tr '\n' ' ' <"$work/wanted")"
$NM -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u >"$work/ours"
missing=$(comm -23 "$work/wanted" "$work/ours" | tr '\n' ' ')
[[ -z $missing ]] || complain "libxalloc.a does not define $missing"

# A program that uses every family and what in libc uses malloc, forking beside a thread included.
cat >"$work/program.c" <<'END'
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *
work(void *argument)
{
    for (size_t size = 1; size < 5000000; size *= 2)
        free(realloc(calloc(1, size), size * 3));
    return argument;
}

int
main(void)
{
    pthread_t thread;
    char *line = NULL, *text = NULL;
    size_t capacity = 0, length = 0;
    FILE *stream = open_memstream(&text, &length), *file = fopen("/proc/self/stat", "r");
    void *block = memalign(64, 100);
    int status = 1;
    pid_t child;
    if (stream == NULL || file == NULL || getline(&line, &capacity, file) <= 0)
        return 1;
    fprintf(stream, "%s", line);
    fclose(stream);
    fclose(file);
    pthread_create(&thread, NULL, work, NULL);
    child = fork();
    work(NULL);
    if (child == 0)
        _exit(0);
    if (waitpid(child, &status, 0) != child || status != 0)
        return 2;
    pthread_join(thread, NULL);
    free(posix_memalign(&block, 128, 100) == 0 ? aligned_alloc(64, 64) : NULL);
    free(valloc(10));
    free(pvalloc(10));
    free(line);
    free(text);
    malloc_trim(0);
    mallopt(M_ARENA_MAX, 2);
    malloc_info(0, stdout);
    return mallinfo2().uordblks > 0 && mallinfo().uordblks > 0 && malloc_usable_size(block) >= 100 ? 0 : 3;
}
END
quietly "$CC" -O1 -fno-builtin -w -static -o "$work/program" "$work/program.c" "$archive" -lpthread \
    "-Wl,-Map,$work/map"
expect 0 '*xalloc*allocated*<malloc version=*' env XALLOC_CONF=stats_print:true "$work/program"
if grep -F 'libc.a(malloc.o)' "$work/map"; then
    complain "libc's malloc is in a static program as well"
fi
finish
