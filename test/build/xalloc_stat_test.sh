#!/usr/bin/env bash
# xalloc_stat_test.sh - xalloc-stat shows a report and compares two, and says what it cannot read.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    echo "python3 is missing (Debian package python3)"
    exit 77
fi
stat=$top_builddir/bin/xalloc-stat

# report PLACES CLASSES: a report with what it has at least.
report()
{
    printf '{"xalloc": {"version": "1.2", "process": 7, "places": [%s], "classes": [%s],\n' "$1" "$2"
    printf '"measures": [{"measure": "trim", "bytes": 3145728, "how": "malloc_trim(0) would"}]},\n'
    printf '"jemalloc": {}}\n'
}

# place NAME MAPPED RESIDENT; class SIZE OBJECTS FREE
place()
{
    printf '{"place": "%s", "mapped": %s, "resident": %s}' "$@"
}
class()
{
    printf '{"size": %s, "live_objects": %s, "live": %s, "free_slots": %s, "cached": 0, "rounding": 0}' \
        "$1" "$2" "$(($1 * $2))" "$3"
}

report "$(place live 1048576 524288), $(place slab_tails 4096 0)" \
    "$(class 64 100 0), $(class 1280 10 65536), $(class 4096 1 0)" >"$work/old"
report "$(place live 5242880 4194304), $(place slab_tails 4096 0)" \
    "$(class 64 50 0), $(class 1280 1000 131072), $(class 4096 1 0)" >"$work/new"

# One report.
expect 0 "Process 7, xalloc 1.2*Where the memory is*" "$stat" "$work/old"
expect 0 "*  live *1.0 MiB *512.0 KiB *100.0 %*  slab tails *4.0 KiB *0 B *0.0 %*" "$stat" "$work/old"
expect 0 "*  512.0 KiB in memory in all*What would give most back
  3.0 MiB  malloc_trim(0) would*" "$stat" "$work/old"
expect 0 "*no live object*class*1280 *10 *12.5 KiB *64.0 KiB *0 B *0 B" "$stat" "$work/old"

# Two: the places by their change, the classes that grew and shrank, and no others.
expect 0 "*before *after *change
  live *512.0 KiB *4.0 MiB *+3.5 MiB
  slab tails *0 B *0 B *0 B
  in all *512.0 KiB *4.0 MiB *+3.5 MiB
*" "$stat" "$work/old" "$work/new"
expect 0 "*that grew
*class *objects *
  1280 *+990 *+1.2 MiB *+64.0 KiB
*that shrank
*
  64 *-50 *-3.1 KiB *0 B" "$stat" "$work/old" "$work/new"
expect 0 "*No size class has changed." "$stat" "$work/old" "$work/old"
expect 0 "*that grew
*and 1 more*" "$stat" -n 0 "$work/old" "$work/new"

# Several in a file, with other lines between them; and from standard input.
{
    cat "$work/old"
    echo "{ the program said {this} }"
    cat "$work/new"
} >"$work/both"
expect 0 "*  4.0 MiB in memory in all*" "$stat" "$work/both"
expect 0 "*1280 *+990 *+1.2 MiB*" "$stat" -d "$work/both"
expect 0 "*4.0 MiB in memory*" bash -c "$stat - <$work/both"
expect 0 "Process 7*" bash -c "$stat $work/both | head -n 1"

# A host that was not asked.
sed 's/, "resident": [0-9]*//' "$work/old" >"$work/quick"
expect 0 "*  1.0 MiB mapped in all*" "$stat" "$work/quick"
expect 0 "*: what is mapped*  live *1.0 MiB *5.0 MiB *+4.0 MiB*" "$stat" "$work/quick" "$work/new"

# What cannot be.
echo "nothing" >"$work/empty"
echo '{"xalloc": {"places": [{"place": "live"}]}}' >"$work/odd"
expect 1 "xalloc-stat: $work/absent: No such file or directory" "$stat" "$work/absent"
expect 1 "xalloc-stat: $work/empty: no statistics of xalloc as JSON. *" "$stat" "$work/empty"
expect 1 "*xalloc-stat: a report lacks what belongs there: *" "$stat" "$work/odd"
expect 2 "usage: *xalloc-stat: error: *" "$stat"
expect 2 "*--difference is for one file" "$stat" -d "$work/old" "$work/new"
expect 2 "*--lines must not be negative" "$stat" -n -1 "$work/old"
expect 0 "usage: xalloc-stat*" "$stat" --help
expect 0 "xalloc-stat (xalloc) $version" "$stat" --version

# A real one; without the preload, as where a sanitizer has taken malloc's place, there is none.
library=$top_builddir/.libs/libxalloc.so
if [[ -e $library ]]; then
    LD_PRELOAD=$library XALLOC_CONF=stats_print:true,stats_print_opts:J,stats_file:$work/real \
        "$(type -P cat)" /dev/null
    expect 0 "Process *Where the memory is*  live *  library *" "$stat" "$work"/real.*
fi
finish
