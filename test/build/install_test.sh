#!/usr/bin/env bash
# install_test.sh - what is installed works, as clang builds it: headers, both libraries, pkg-config
# data, the tools; and nothing remains after an uninstall.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v clang >/dev/null; then
    echo "clang is missing (Debian package clang)"
    exit 77
fi

# installed: the files below the prefix.
installed()
{
    (cd "$work/prefix" && find . ! -type d | sort)
}

mkdir "$work/build"
cd "$work/build"
quietly "$top_srcdir/configure" -q CC=clang CXX=clang++ --enable-development --prefix="$work/prefix" \
    --libdir="$work/prefix/lib"
quietly make -s -j "$(nproc)"
quietly make -s install
diff -u - <(installed) <<'END' || complain "other files are installed than expected"
./bin/xalloc-config
./bin/xalloc-run
./bin/xalloc-stat
./bin/xallocctl
./include/xalloc/jemalloc.h
./include/xalloc/xalloc.h
./lib/libxalloc.a
./lib/libxalloc.la
./lib/libxalloc.so
./lib/libxalloc.so.0
./lib/libxalloc.so.0.0.0
./lib/pkgconfig/xalloc.pc
./share/doc/xalloc/COPYING
./share/doc/xalloc/README.md
./share/man/man1/xalloc-config.1
./share/man/man1/xalloc-run.1
./share/man/man1/xalloc-stat.1
./share/man/man1/xallocctl.1
./share/man/man3/xalloc-jemalloc.3
./share/man/man3/xalloc.3
END

# A program that needs the header, and fails unless malloc is the one beside our functions.
cat >"$work/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xalloc/xalloc.h>

int
main(void)
{
    char *text = malloc(1000);
    if (text == NULL)
        return 1;
    strcpy(text, "the program ran");
    puts(text);
    free(text);
    return 0;
}
END

# owner_of_malloc PROGRAM: the object to which the loader binds the program's malloc.
owner_of_malloc()
{
    # 42: binding file PROGRAM [0] to LIBRARY [0]: normal symbol `malloc' [GLIBC_2.2.5]
    LD_DEBUG=bindings "$1" 2>&1 | awk -v program="$1" '$4 == program && /symbol .malloc/ { print $7 }'
}

tool=$work/prefix/bin/xalloc-config
read -ra flags <<<"$("$tool" --cflags) $work/program.c $("$tool" --libs) -Wl,-rpath,$work/prefix/lib"
quietly cc -o "$work/by-config" "${flags[@]}"
expect 0 "the program ran" "$work/by-config"
[[ $(owner_of_malloc "$work/by-config") == "$work/prefix/lib/"* ]] ||
    complain "by xalloc-config: malloc is not the library's"

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
    read -ra flags <<<"$(pkg-config --cflags xalloc) $work/program.c $(pkg-config --libs xalloc)"
    quietly cc -o "$work/by-pkg-config" "${flags[@]}"
    expect 0 "the program ran" env LD_LIBRARY_PATH="$work/prefix/lib" "$work/by-pkg-config"
else
    echo "xalloc.pc: not tried, pkg-config is missing (Debian package pkg-config)"
fi

# Static: a single name that the archive lacks would bring libc's malloc, and the linker two.
for form in -static -static-pie ""; do
    quietly cc ${form:+"$form"} -o "$work/by-archive" -I"$work/prefix/include" "$work/program.c" \
        "$work/prefix/lib/libxalloc.a" -pthread
    expect 0 "the program ran" "$work/by-archive"
done
nm "$work/by-archive" | grep ' [Tt] xa_' >/dev/null || complain "the archive's malloc was not used"

expect 0 "the program ran" "$work/prefix/bin/xalloc-run" "$work/by-archive"

# A static C++ program gets the exceptions of the runtime that it is linked with.
if command -v g++ >/dev/null; then
    cat >"$work/program.cc" <<'END'
#include <cstdint>
#include <cstdio>
#include <new>

static volatile std::size_t impossible = SIZE_MAX / 4;

int
main()
{
    delete[] new char[1000];
    try {
        delete[] new char[impossible];
    } catch (const std::bad_alloc &) {
        std::puts("bad_alloc was caught");
    }
    if (new (std::nothrow) char[impossible] == nullptr)
        std::puts("nothrow gave null");
    return 0;
}
END
    for form in -static ""; do
        quietly g++ ${form:+"$form"} -o "$work/by-archive-cxx" "$work/program.cc" \
            "$work/prefix/lib/libxalloc.a" -pthread
        expect 0 $'bad_alloc was caught\nnothrow gave null' "$work/by-archive-cxx"
    done
else
    echo "static C++ programs: not tried, g++ is missing (Debian package g++)"
fi
expect 0 "*$("$tool" --preload)*" "$work/prefix/bin/xalloc-run" cat /proc/self/maps

quietly make -s uninstall
[[ -z $(installed) ]] || complain "left after uninstall: $(installed)"
finish
