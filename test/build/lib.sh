# shellcheck shell=bash
#
# lib.sh - what tests of the build and of the installed tools share.

: "${top_srcdir:?}" "${top_builddir:?is not set: these tests are for make check}"
# The make that runs this test is not to lend its flags to those that the test runs.
unset MAKEFLAGS MFLAGS MAKELEVEL
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
failures=0
# shellcheck disable=SC2034  # for the tests
version=$(sed -n 's/^AC_INIT(\[xalloc\], \[\(.*\)\])$/\1/p' "$top_srcdir/configure.ac")

complain()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS PATTERN COMMAND...: what the command writes, to either stream, matches the pattern.
# A message of a tool that ends with 125 to 127 is one line.
expect()
{
    local status=0 output wanted=$1 pattern=$2
    shift 2
    output=$("$@" 2>&1 </dev/null) || status=$?
    ((status == wanted)) || complain "$* ended with $status, not $wanted: $output"
    # shellcheck disable=SC2053  # the right side is a pattern
    [[ $output == $pattern ]] || complain "$* wrote, instead of $pattern: $output"
    ((status < 125 || status > 127)) || [[ $output != *$'\n'* ]] ||
        complain "$* wrote more than one line: $output"
}

# quietly COMMAND...: the output only if it fails, which ends the test.
quietly()
{
    "$@" >"$work/log" 2>&1 </dev/null || {
        tail -n 40 "$work/log"
        echo "FAILED: $*"
        exit 1
    }
}

finish()
{
    ((failures == 0)) || exit 1
    exit 0
}
