#!/usr/bin/env bash
# figures_test.sh - the library keeps its promises of size and of instructions.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

for tool in python3 valgrind; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing (Debian package $tool)"
        exit 77
    fi
done

export XALLOC_BUILD=$top_builddir
"$top_srcdir/test/bench/footprint" --check --only xalloc,glibc ||
    complain "a program that allocates once is too large"
"$top_srcdir/test/bench/instructions" || complain "a call takes too many instructions"
finish
