#!/usr/bin/env bash
# synchronisation_test.sh - the counting build can be made, and counts what must be there.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    echo "python3 is missing (Debian package python3)"
    exit 77
fi
if ! "${CC:-cc}" -fsanitize=thread -finstrument-functions-exclude-file-list=none -E -x c /dev/null \
    >/dev/null 2>&1; then
    echo "${CC:-cc} is not gcc, which the counting build needs"
    exit 77
fi

tool=$top_srcdir/test/bench/synchronisation
expect 0 '*pareto: *handover: *locks taken*' "$tool" --check --threads 2 \
    --workloads pareto,handover --tsv "$work/counters.tsv"
grep -q $'^handover\t2\t2\tcount\tlines_read\t[1-9]' "$work/counters.tsv" ||
    complain "no line of a handover was counted"
grep -q $'^pareto\t2\t2\tlocks\tBIN\t[1-9]' "$work/counters.tsv" ||
    complain "no lock of a bin was counted"
expect 2 "*no workload called nonsense*" "$tool" --workloads nonsense
finish
