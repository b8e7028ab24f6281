#!/usr/bin/env bash
# sanitizer_test.sh - programs with a sanitizer keep its malloc, whatever is preloaded; row C2.
#
# Where the sanitizer's run time is part of the program, its malloc comes first.  Where it is a
# shared library, the program refuses to run unless that comes first: its own message says so.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

library=$top_builddir/.libs/libxalloc.so
cat >"$work/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    char *volatile block = malloc(100);
    (void)argv;
    block = realloc(block, 5000);
    if (argc > 1)
        block[5000] = 1;
    free(block);
    puts("done");
    return 0;
}
END

# build NAME COMPILER OPTIONS...: false if this compiler has no such run time.
build()
{
    local name=$1
    shift
    "$@" -g -o "$work/$name" "$work/program.c" >"$work/log" 2>&1 && "$work/$name" >"$work/log" 2>&1
}

tested=0
# The run time is in the program.
for compiler in "gcc -static-libasan" clang; do
    read -ra command <<<"$compiler"
    if build static "${command[@]}" -fsanitize=address; then
        expect 0 "done" env LD_PRELOAD="$library" "$work/static"
        expect 1 '*heap-buffer-overflow*' env LD_PRELOAD="$library" "$work/static" overrun
        tested=$((tested + 1))
    fi
done
# It is a library.
runtime=$(gcc -print-file-name=libasan.so 2>/dev/null || true)
if [[ $runtime == /* ]] && build shared gcc -fsanitize=address; then
    expect 1 '*ASan runtime does not come first*' env LD_PRELOAD="$library" "$work/shared"
    expect 0 "done" env LD_PRELOAD="$runtime $library" "$work/shared"
    expect 1 '*heap-buffer-overflow*' env LD_PRELOAD="$runtime $library" "$work/shared" overrun
    tested=$((tested + 1))
fi
if ((tested == 0)); then
    echo "skipped: no compiler here has an address sanitizer"
    exit 77
fi
finish
