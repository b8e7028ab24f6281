#!/usr/bin/env bash
# xalloc_run_test.sh - xalloc-run preloads what can be preloaded, and says so where it cannot.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

built=$top_builddir/bin/xalloc-run
unset XALLOC_CONF LD_PRELOAD

# An installation that was moved, in a place that other users reach.
chmod 755 "$work"
mkdir "$work/bin" "$work/lib" "$work/programs"
sed 's|^libdir=.*|libdir=/nowhere|' "$built" >"$work/bin/xalloc-run"
chmod 755 "$work/bin/xalloc-run"
cp -L "$top_builddir/.libs/libxalloc.so" "$work/lib/"
run=$work/bin/xalloc-run

# program NAME: a dynamically linked program of that name.
program()
{
    cp -L "$(type -P env)" "$work/programs/$1"
    echo "$work/programs/$1"
}

# It preloads: from the build tree and from a moved installation.
expect 0 "*/.libs/libxalloc.so*" "$built" cat /proc/self/maps
expect 0 "*$work/lib/libxalloc.so*" "$run" cat /proc/self/maps
expect 0 "*$work/lib/libxalloc.so:libother.so*" env LD_PRELOAD=libother.so "$run" env

# Options, arguments and the status pass through.
expect 0 "*XALLOC_CONF=stats_print:false*" env XALLOC_CONF=stats_print:false "$run" env
expect 0 "*XALLOC_CONF=stats_print:true*" "$run" --stats env
expect 0 "*XALLOC_CONF=narenas:1,stats_print:true*" env XALLOC_CONF=narenas:1 "$run" --stats env
expect 0 "absent" "$run" sh -c 'echo "${XALLOC_CONF-absent}"'
expect 0 "<a  b><>" "$run" -- printf "<%s>" "a  b" ""
expect 7 "" "$run" sh -c 'exit 7'

# Wrong usage, and programs that are not there.
expect 0 "usage: xalloc-run*" "$run" --help
expect 0 "xalloc-run (xalloc) $version" "$run" --version
expect 125 "xalloc-run: no program given;*" "$run"
expect 125 "xalloc-run: --stat: no such option;*" "$run" --stat true
expect 127 "xalloc-run: no-such-program: not found in PATH" "$run" no-such-program
expect 127 "xalloc-run: /no/such/program: no such file" "$run" /no/such/program
expect 126 "xalloc-run: $work: is a directory" "$run" "$work"
echo 'neither' >"$work/programs/text"
expect 126 "xalloc-run: $work/programs/text: is not executable" "$run" "$work/programs/text"
chmod 755 "$work/programs/text"
expect 126 "*text: is neither an ELF program nor a script*" "$run" "$work/programs/text"

# A program for another machine: one header byte says 32 or 64 bits.
other=$(program other)
class=$(od -An -t u1 -j 4 -N 1 "$other")
printf '%b' "\\x0$((3 - class))" | dd of="$other" bs=1 seek=4 conv=notrunc status=none
expect 126 "xalloc-run: $other: is for another kind of machine*" "$run" "$other"

# A static program.  It needs no C library, so none has to be there in static form.
echo 'void _start(void); void _start(void) { for (;;) { } }' >"$work/static.c"
read -ra compiler <<<"${CC:-cc}"
quietly "${compiler[@]}" -static -nostdlib -o "$work/programs/static" "$work/static.c"
static=$work/programs/static
expect 126 "xalloc-run: $static: is statically linked*" "$run" "$static"

# Scripts are judged by their interpreter.
script()
{
    printf '%s\n' "$1" 'echo "script $0 $1"' >"$work/programs/script"
    chmod 755 "$work/programs/script"
}
script '#!/bin/sh'
expect 0 "script * argument" "$run" "$work/programs/script" argument
script '#! /usr/bin/env -S NAME=value sh -u'
expect 0 "script * argument" "$run" "$work/programs/script" argument
script "#!$static -x"
expect 126 "*script (a script for $static): is statically linked*" "$run" "$work/programs/script"
script '#!/no/interpreter'
expect 127 "xalloc-run: /no/interpreter: no such file" "$run" "$work/programs/script"

# A directory that LD_PRELOAD cannot name.
mkdir "$work/a b"
cp -r "$work/bin" "$work/lib" "$work/a b"
expect 126 "*/a b/lib/libxalloc.so: a path with a space*" "$work/a b/bin/xalloc-run" true

# Rights that the caller does not have.  Only root can give them to a file.
if ((EUID != 0)); then
    echo "set-user-ID, set-group-ID and capabilities: not tried, this needs root"
    finish
fi
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
elevated=$(program elevated)
chown 65533:0 "$elevated"
chmod 4755 "$elevated"
expect 126 "xalloc-run: $elevated: is set-user-ID,*" "$run" "$elevated"
chown 0:65533 "$elevated"
expect 0 "*" "$run" "$elevated"
chmod 2755 "$elevated"
expect 126 "xalloc-run: $elevated: is set-group-ID,*" "$run" "$elevated"
capable=$(program capable)
if setcap cap_net_raw+ep "$capable" 2>/dev/null && [[ -n $(getcap "$capable") ]]; then
    expect 126 "xalloc-run: $capable: has file capabilities,*" "${as_nobody[@]}" "$run" "$capable"
else
    echo "capabilities: not tried, setcap (Debian package libcap2-bin) does not work here"
fi
finish
