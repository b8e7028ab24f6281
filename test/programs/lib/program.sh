# shellcheck shell=bash
#
# program.sh - what every program test shares.
#
# A test sources this file, defines `session` and calls `run_program`.  It may also define
# `prepare`, which runs once before both sessions, without the library.
#
#   session   does the work in the current folder, which is new and has the same path both times;
#             starts its program with `under` or `start`; prints what is to be compared, already
#             normalised, on standard output; fails by a command that fails
#   under     runs a command: alone in the plain session, under the library in the other one
#   start     the same in the background, for servers; $server_pid is then its process
#   stop      ends a server by a signal and returns its status
#   prove     runs a short command and lets the loader tell that it takes malloc from the library
#   prove_loaded  the same for a program with a malloc of its own: it loads the library
#   prove_pid looks for the library in the map of a running process
#
# A program that is linked to another allocator, as Debian's redis is to libjemalloc.so.2, is
# given the library in both ways that users have: a test that sets takes_place_of to the name of
# that allocator's file gets a third session, where nothing is preloaded and that name leads to
# the library.
#
# What servers write goes to *.log files, so that error reports of the library are found there.
# Exit status, as `run` reads it: 0 passed, 1 failed, 77 skipped; the reason is in a file `reason`.

set -euo pipefail

: "${XA_PROGRAMS_FOLDER:?is not set: start tests by test/programs/run --only NAME}"

# Where the test and its helpers are.
programs_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What `under` puts before a command; empty in the plain session.
preload=()
# The name of the session that runs: plain, preloaded or linked.
session_name=none
# The name that the loader knows the library by in this session.
loader_name=$XA_PROGRAMS_LIBRARY
# The file that the program is linked to and that a test wants replaced too, such as
# libjemalloc.so.2; or nothing.
takes_place_of=""
server_pid=0
server_pids=()
# A test whose program brings its own malloc sets this to the reason; the library is then
# loaded and initialised, and need not have live objects.
own_allocator=""

end_test()
{
    echo "$2" >"$XA_PROGRAMS_FOLDER/reason"
    exit "$1"
}

fail()
{
    end_test 1 "$*"
}

# need FILE PACKAGE: skip the test unless the program is there.
need()
{
    [[ -e $1 ]] || end_test 77 "$1 is not there (Debian package $2)"
}

under()
{
    env "${preload[@]}" "$@"
}

# start LOG COMMAND...
start()
{
    local log=$1
    shift
    env "${preload[@]}" "$@" >"$log" 2>&1 &
    server_pid=$!
    server_pids+=("$server_pid")
}

# stop PID SIGNAL
stop()
{
    kill "-$2" "$1"
    wait "$1"
}

stop_servers()
{
    local pid
    for pid in "${server_pids[@]}"; do
        # In order: ask, wait a little, insist.
        kill -TERM "$pid" 2>/dev/null || continue
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$pid" 2>/dev/null || continue 2
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# wait_for COMMAND...: until it succeeds, for at most 30 seconds.
wait_for()
{
    local attempt
    for ((attempt = 0; attempt < 300; attempt++)); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    echo "not ready after 30 seconds: $*" >&2
    return 1
}

# Print the checksum and the name of each file.
digest()
{
    sha256sum -- "$@"
}

# A real run of the program, with the loader telling where each symbol comes from.  The loader
# writes to files of its own, one a process, and holds them open, which is why this is not done
# to the session itself.
prove()
{
    [[ $session_name != plain ]] || return 0
    trace_loader bindings "$@"
    if awk -v from="to $loader_name [0]: normal symbol \`" \
        'index($0, from) && /`(malloc|calloc|realloc|_Znwm)'"'"'/ { found = 1 }
         END { exit !found }' "$XA_PROGRAMS_FOLDER"/proof/trace.*; then
        echo "malloc is the library's in: $*" >>"$XA_PROGRAMS_FOLDER/proof/seen"
    fi
}

prove_loaded()
{
    [[ $session_name != plain ]] || return 0
    trace_loader libs "$@"
    if grep -qF "calling init: $loader_name" "$XA_PROGRAMS_FOLDER"/proof/trace.*; then
        echo "the library is initialised in: $*" >>"$XA_PROGRAMS_FOLDER/proof/seen"
    fi
}

# trace_loader CATEGORY COMMAND...
trace_loader()
{
    local category=$1 folder=$XA_PROGRAMS_FOLDER/proof
    shift
    rm -f "$folder"/trace.*
    LD_DEBUG=$category LD_DEBUG_OUTPUT=$folder/trace LD_BIND_NOW=1 env "${preload[@]}" "$@" \
        >/dev/null 2>"$folder/err" </dev/null || {
        echo "with the loader's trace, this fails: $*" >&2
        cat "$folder/err" >&2
        return 1
    }
}

prove_pid()
{
    [[ $session_name != plain ]] || return 0
    # The map names the file itself, whatever name led to it.
    if grep -qF "$XA_PROGRAMS_LIBRARY" "/proc/$1/maps"; then
        echo "map of process $1" >>"$XA_PROGRAMS_FOLDER/proof/seen"
    fi
}

# Run `session` once.  Its folder is $XA_PROGRAMS_FOLDER/pass during the session, whatever the
# session's name: paths that programs print or compile in are then the same.
run_session()
{
    local status=0
    session_name=$1
    echo "$session_name" >"$XA_PROGRAMS_FOLDER/session"
    rm -rf "$XA_PROGRAMS_FOLDER/pass"
    mkdir -m 755 "$XA_PROGRAMS_FOLDER/pass"
    # Not in a condition: bash would then ignore `set -e` inside the session.
    set +e
    (
        set -e
        trap stop_servers EXIT
        trap 'exit 143' TERM INT
        cd "$XA_PROGRAMS_FOLDER/pass"
        export HOME=$PWD TMPDIR=$PWD
        session
    ) >"$XA_PROGRAMS_FOLDER/pass.out" 2>"$XA_PROGRAMS_FOLDER/pass.err"
    status=$?
    set -e
    mv "$XA_PROGRAMS_FOLDER/pass" "$XA_PROGRAMS_FOLDER/$session_name"
    if ((status != 0)); then
        {
            tail -n 3 "$XA_PROGRAMS_FOLDER/pass.out"
            find_logs "$XA_PROGRAMS_FOLDER/$session_name" | xargs -0 -r tail -n 5
        } >"$XA_PROGRAMS_FOLDER/details"
        fail "the $session_name session ended with status $status"
    fi
    mv "$XA_PROGRAMS_FOLDER/pass.out" "$XA_PROGRAMS_FOLDER/$session_name.out"
    mv "$XA_PROGRAMS_FOLDER/pass.err" "$XA_PROGRAMS_FOLDER/$session_name.err"
}

find_logs()
{
    find "$1" -name '*.log' -type f -print0
}

compare_outputs()
{
    cd "$XA_PROGRAMS_FOLDER"
    [[ -s plain.out ]] || fail "the session printed nothing to compare"
    if ! diff -a -U 1 plain.out "$session_name.out" >details; then
        fail "the outputs differ"
    fi
}

# Statistics go to files, so whatever still begins with the library's name is an error report.
check_messages()
{
    cd "$XA_PROGRAMS_FOLDER"
    {
        printf '%s\0' "$session_name.out" "$session_name.err"
        find_logs "$session_name"
    } | xargs -0 grep -aE '^xalloc: |cannot be preloaded' >details || return 0
    fail "the library reported an error: $(head -n 1 details)"
}

check_proof()
{
    [[ -s $XA_PROGRAMS_FOLDER/proof/seen ]] ||
        fail "nothing shows that the library was in use in the $session_name session"
}

check_statistics()
{
    [[ $XA_PROGRAMS_STATISTICS == files ]] || return 0
    local live=some
    [[ -z $own_allocator ]] || live=none
    /usr/bin/python3 -I "$programs_source/lib/statistics.py" --live "$live" \
        "$XA_PROGRAMS_FOLDER/statistics" >"$XA_PROGRAMS_FOLDER/details" ||
        fail "statistics: $(head -n 1 "$XA_PROGRAMS_FOLDER/details")"
}

run_session_with_library()
{
    rm -f "$XA_PROGRAMS_FOLDER/proof/seen"
    run_session "$1"
    compare_outputs
    check_messages
    check_proof
}

run_program()
{
    need /usr/bin/python3 python3
    mkdir -m 755 "$XA_PROGRAMS_FOLDER/proof" "$XA_PROGRAMS_FOLDER/input"
    # Any user may leave statistics: a server gives up its rights while it runs.
    mkdir "$XA_PROGRAMS_FOLDER/statistics"
    chmod 1777 "$XA_PROGRAMS_FOLDER/statistics"
    if declare -F prepare >/dev/null; then
        (cd "$XA_PROGRAMS_FOLDER/input" && prepare)
    fi
    run_session plain
    local statistics=()
    if [[ $XA_PROGRAMS_STATISTICS == files ]]; then
        local options="stats_print:true,stats_file:$XA_PROGRAMS_FOLDER/statistics/process"
        statistics+=("XALLOC_CONF=${XA_PROGRAMS_CONF:+$XA_PROGRAMS_CONF,}$options")
    fi
    preload=("LD_PRELOAD=$XA_PROGRAMS_LIBRARY" "${statistics[@]}")
    run_session_with_library preloaded
    if [[ -n $takes_place_of ]]; then
        loader_name=$XA_PROGRAMS_FOLDER/in-place/$takes_place_of
        mkdir -m 755 "$XA_PROGRAMS_FOLDER/in-place"
        ln -s "$XA_PROGRAMS_LIBRARY" "$loader_name"
        preload=("LD_LIBRARY_PATH=$XA_PROGRAMS_FOLDER/in-place" "${statistics[@]}")
        run_session_with_library linked
    fi
    check_statistics
}
