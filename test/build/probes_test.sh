#!/usr/bin/env bash
# probes_test.sh - each misuse of the heap is found as test/probes/expected.tsv says.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    echo "python3 is missing (Debian package python3)"
    exit 77
fi

export XALLOC_BUILD=$top_builddir
"$top_srcdir/test/probes/table" --check ||
    complain "the answers differ; if they are better, run test/probes/table --write"
finish
