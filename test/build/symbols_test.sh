#!/usr/bin/env bash
# symbols_test.sh - libxalloc.so has every symbol of libjemalloc.so.2 and of libc's malloc.
#
# What it has beyond that is for bin/dev/check-exports.  What is left out, and why:
#
#   je_test_hooks_*                      of jemalloc's own tests
#   smallocx_*                           experimental, named after a commit; no program can count on it
#   __malloc_hook and so on              libc's hooks, which it has given up itself
#   malloc_get_state malloc_set_state    libc's for Emacs of old, which it has given up too
#   GLIBC_PRIVATE                        for libc's other libraries
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# With options, as configure finds it.
read -ra nm <<<"${NM:-nm}"
left_out='^(je_test_hooks_.*|smallocx_.*|__(malloc|realloc|memalign|free)_hook|__after_morecore_hook'
left_out+='|__malloc_initialize_hook|__morecore|__default_morecore|malloc_[gs]et_state'
left_out+='|__malloc_check_init|mcheck.*|mprobe|mtrace|muntrace)$'
library=$top_builddir/.libs/libxalloc.so

# defined LIBRARY: names with default versions, without them.
defined()
{
    "${nm[@]}" -D --defined-only "$1" | awk '$2 ~ /^[TWBDVi]$/ { print $3 }' |
        grep -Ev 'GLIBC_PRIVATE|[^@]@[^@]' | sed 's/@.*//' | sort -u
}

# compare NAME: standard input's names are ours, too.
compare()
{
    local missing
    missing=$(grep -Ev "$left_out" | sort -u | comm -13 <(defined "$library") -)
    [[ -z $missing ]] || complain "$1 has, and libxalloc.so lacks: ${missing//$'\n'/ }"
}

compared=0
find_library()
{
    find /usr/lib /usr/local/lib /lib -name "$1" -print 2>/dev/null | head -n 1
}

jemalloc=$(find_library libjemalloc.so.2)
if [[ -n $jemalloc ]]; then
    compare libjemalloc.so.2 < <(defined "$jemalloc")
    compared=$((compared + 1))
fi

# The names that libc's malloc object defines and its shared library exports.
archive=$(find_library libc.a)
shared=$(find_library libc.so.6)
if [[ -n $archive && -n $shared ]]; then
    "${nm[@]}" -g --defined-only "$archive" 2>/dev/null | awk '
        /^malloc\.o:/ { inside = 1; next }
        /^[^ ]*\.o:/ { inside = 0 }
        inside && NF == 3 { print $3 }' | sort -u >"$work/object"
    [[ -s $work/object ]] || complain "$archive has no malloc.o"
    compare "libc's malloc" < <(comm -12 "$work/object" <(defined "$shared"))
    compared=$((compared + 1))
fi

if ((compared == 0)); then
    echo "skipped: neither libjemalloc.so.2 nor libc.a is installed"
    exit 77
fi
finish
