#!/usr/bin/env bash
# lto_test.sh - link-time optimisation keeps every symbol, and the library works.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$work/build"
cd "$work/build"
quietly "$top_srcdir/configure" -q --enable-lto --enable-development
quietly make -s -j "$(nproc)"
quietly make -s run-tests TESTS="bin/dev/check-exports bin/dev/check-tls"
expect 0 "42" bin/xalloc-run perl -e 'my @list = map { "x" x $_ } 1 .. 2000; print 42'
finish
