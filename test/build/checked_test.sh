#!/usr/bin/env bash
# checked_test.sh - integration and stress tests under the levels of the option "check".
#
# Not here for their length: edge_cases_test, fork_test, limit_test, pressure_test and
# single_thread_test under full, threads_test under light; they pass.  threads_test under full takes
# minutes, with two stacks for each of its objects.  Not possible: limits_test under full, since a
# program in 8 MiB of data has no room for the tables of stacks and of the quarantine.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

library=$top_builddir/.libs/libxalloc.so
export XALLOC_TEST_SECONDS=2

# run SETTINGS TEST: what the test says, if it fails.
run()
{
    local settings=$1 program=$top_builddir/test/$2 status=0
    [[ -x $program ]] || return 0
    timeout --kill-after=10 120 env XALLOC_CONF="$settings" LD_PRELOAD="$library" \
        XALLOC_LIBRARY="$library" "$program" >"$work/log" 2>&1 </dev/null || status=$?
    if ((status != 0 && status != 77)); then
        tail -n 30 "$work/log"
        complain "$2 with $settings ended with $status"
    fi
}

quick=(configuration_symbol_test cxx_plugin_test cxx_replace_array_test cxx_replace_test
    introspection_test report_test startup_interpose_test startup_load_test startup_test)
for test in "${quick[@]}"; do
    run check:full "integration/$test"
    run check:sample,check_sample:3 "integration/$test"
done
run check:light integration/cxx_operators_test
run check:sample,check_sample:3 integration/cxx_operators_test
run check:sample,check_sample:3 integration/edge_cases_test
run check:full,check_sample:2,strict_syscalls:true stress/shadow_stress
run check:light stress/trim_stress
finish
