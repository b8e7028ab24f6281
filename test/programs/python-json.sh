#!/bin/bash
#
# python-json.sh - Python's own test_json, with and without Python's small-object allocator.
#
# Compared: the outcome of each test.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/lib/python3.11/test/test_json libpython3.11-testsuite

suite=$programs_source/lib/python_suite.py

session()
{
    local pools
    prove /usr/bin/python3 -I -c 'print(sum(range(10)))'
    # With PYTHONMALLOC=malloc every small object is a call of malloc.
    for pools in pymalloc malloc; do
        echo "allocator $pools"
        under PYTHONMALLOC=$pools /usr/bin/python3 "$suite" test.test_json 0 1
    done
}

run_program
