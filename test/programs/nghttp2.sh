#!/bin/bash
#
# nghttp2.sh - nghttpd with two threads, under h2load's streams; both are linked to libjemalloc.
#
# Compared: the counts of h2load, which must have got every answer, and checksums of files.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/nghttpd nghttp2-server
need /usr/bin/h2load nghttp2-client
need /usr/bin/nghttp nghttp2-client
takes_place_of=libjemalloc.so.2

prepare()
{
    mkdir root
    seq 1 20 >root/small
    seq 1 40000 >root/large
}

# fetch URL...: all of them in one connection, several at a time.
fetch()
{
    under /usr/bin/nghttp --no-verify-peer --timeout=30 "$@"
}

# The lines of h2load that do not tell the time.
load()
{
    under /usr/bin/h2load "$@" | sed -nE 's/^(requests|status codes): (.*)$/\1: \2/p'
}

session()
{
    local port url
    prove /usr/sbin/nghttpd --version
    prove /usr/bin/h2load --version
    read -r port _ < <(/usr/bin/python3 -I "$programs_source/lib/ports.py")
    start nghttpd.log /usr/sbin/nghttpd --no-tls --address=127.0.0.1 --workers=2 --echo-upload \
        --htdocs="$XA_PROGRAMS_FOLDER/input/root" "$port"
    url=http://127.0.0.1:$port
    wait_for fetch --null-out "$url/small"
    prove_pid "$server_pid"
    load --requests=20000 --clients=40 --max-concurrent-streams=16 --threads=2 "$url/small"
    load --requests=800 --clients=8 --max-concurrent-streams=8 "$url/large"
    # What is not there; and headers beyond the table that compresses them.
    load --requests=2000 --clients=10 --max-concurrent-streams=50 \
        --header="x: $(printf '%03000d' 7)" "$url/missing"
    load --requests=300 --clients=3 --max-concurrent-streams=4 \
        --data="$XA_PROGRAMS_FOLDER/input/root/large" "$url/echo"
    fetch "$url/large" "$url/small" "$url/large" | LC_ALL=C sort | sha256sum
    fetch --data="$XA_PROGRAMS_FOLDER/input/root/large" "$url/echo" | sha256sum
    # It has no other end than the signal.
    stop "$server_pid" TERM || echo "nghttpd ends with status $?"
}

run_program
