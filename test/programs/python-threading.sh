#!/bin/bash
#
# python-threading.sh - Python's own test_threading, in three shares at once.
#
# Compared: the outcome of each test.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/lib/python3.11/test/test_threading.py libpython3.11-testsuite

suite=$programs_source/lib/python_suite.py
shares=3

session()
{
    local share pids=()
    prove /usr/bin/python3 -I -c 'print(sum(range(10)))'
    for ((share = 0; share < shares; share++)); do
        mkdir "$share"
        (cd "$share" && under /usr/bin/python3 "$suite" test.test_threading $share $shares) \
            >"$share.out" 2>"$share.log" &
        pids+=($!)
    done
    for share in "${!pids[@]}"; do
        wait "${pids[$share]}"
        cat "$share.out"
    done
}

run_program
