#!/bin/bash
#
# haproxy.sh - haproxy under many held connections, what it says of its pools, and its trimming.
#
# haproxy has an eye on the allocator: where it finds mallctl it trims by arena.<i>.purge, else by
# malloc_trim.  SIGQUIT makes it empty its pools and trim.  Compared: answers, and counts of
# `show info`; resident memory must fall in both sessions.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/haproxy haproxy

prepare()
{
    cat >load.py <<'EOF'
"""load.py PID - hold connections open in the middle of a request, end them, and look at memory."""
import collections
import hashlib
import os
import pathlib
import signal
import socket
import sys
import time

HELD, MIB = 400, 1 << 20
pid = int(sys.argv[1])


def rss():
    lines = pathlib.Path("/proc/%d/status" % pid).read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    return client


def read_all(client):
    return b"".join(iter(lambda: client.recv(65536), b""))


def control(command):
    client = connect("control.sock")
    client.sendall(command.encode() + b"\n")
    return read_all(client).decode()


def info():
    return dict(line.split(": ", 1) for line in control("show info").splitlines() if ": " in line)


def check(what, holds, *values):
    if not holds:
        sys.exit("%s: no, %s" % (what, values))
    print(what + ": yes")


def wait_until(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def hold(number):
    """A request whose body is half there: haproxy waits, with a buffer full of it."""
    client = connect("http.sock")
    client.sendall(b"POST /%d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                   b"Content-Length: 60000\r\n\r\n" % number +
                   bytes([97 + number % 26]) * 50000)
    return client


def finish(number, client):
    client.sendall(bytes([97 + number % 26]) * 10000)
    answer = read_all(client)
    client.close()
    head, body = answer.split(b"\r\n\r\n", 1)
    return head.split(b"\r\n")[0].decode(), hashlib.sha256(body).hexdigest()[:16], len(body)


def main():
    at_start = rss()
    for round_number in range(2):
        held = [hold(number) for number in range(HELD)]
        check("they are held", wait_until(lambda: int(info()["CurrConns"]) >= HELD), info())
        # Buffers are 64 KiB.
        check("memory is used", wait_until(lambda: rss() > at_start + HELD * 48000), at_start,
              rss())
        used = info()
        check("pools are used", int(used["PoolUsed_MB"]) >= HELD * 65536 // MIB and
              int(used["PoolAlloc_MB"]) >= int(used["PoolUsed_MB"]), used)
        answers = collections.Counter(finish(*one) for one in enumerate(held))
        for answer, count in sorted(answers.items()):
            print(count, *answer)
        check("they have ended", wait_until(lambda: int(info()["CurrConns"]) <= 1), info())
    before = rss()
    os.kill(pid, signal.SIGQUIT)
    check("trimming has an effect", wait_until(lambda: rss() < at_start + 8 * MIB), at_start,
          before, rss())
    after = info()
    print("failed allocations:", after["PoolFailed"])
    check("pools have shrunk", int(after["PoolAlloc_MB"]) < HELD * 65536 // MIB // 2, after)
    print(at_start, before, rss(), file=sys.stderr)
    held = finish(7, hold(7))
    print(*held)


main()
EOF
    cat >haproxy.cfg <<'EOF'
global
    stats socket unix@./control.sock level admin
    nbthread 2
    maxconn 2000
    tune.bufsize 65536
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend front
    bind unix@./http.sock
    http-request wait-for-body time 60s
    http-request return status 200 content-type text/plain lf-string "%[req.body,sha1,hex]"
EOF
}

session()
{
    prove /usr/sbin/haproxy -c -f "$XA_PROGRAMS_FOLDER/input/haproxy.cfg"
    start haproxy.log /usr/sbin/haproxy -db -f "$XA_PROGRAMS_FOLDER/input/haproxy.cfg"
    wait_for test -S control.sock
    prove_pid "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/load.py" "$server_pid"
    kill -USR1 "$server_pid"
    wait "$server_pid"
}

run_program
