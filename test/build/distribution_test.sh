#!/usr/bin/env bash
# distribution_test.sh - the source package is complete: it builds, installs and uninstalls, outside
# its own directory, which is read-only.
#
# Everything that `make distcheck` does.  All tests are built, so that none of their files is missing,
# but only the quick ones run; the others did already.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

tests=$(make -s -C "$top_builddir" print-quick-tests)
quietly make -s -j "$(nproc)" -C "$top_builddir" distcheck TESTS="$tests"
finish
