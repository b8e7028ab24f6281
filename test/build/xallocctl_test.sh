#!/usr/bin/env bash
# xallocctl_test.sh - xallocctl asks and steers a running process, which no peer can harm.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    echo "python3 is missing (Debian package python3)"
    exit 77
fi
library=$top_builddir/.libs/libxalloc.so
if [[ ! -e $library ]]; then
    echo "there is no libxalloc.so: a sanitizer has taken malloc's place"
    exit 77
fi
ctl=$top_builddir/bin/xallocctl

processes=()
end_processes()
{
    local process
    for process in "${processes[@]}"; do
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap end_processes EXIT

# start CONF: a process that sleeps; its number in `process`.
start()
{
    LD_PRELOAD=$library XALLOC_CONF=$1 sleep 300 2>"$work/errors" &
    process=$!
    processes+=("$process")
}

# wait_for_socket PROCESS
wait_for_socket()
{
    local i
    for ((i = 0; i < 300; i++)); do
        ! "$ctl" "$1" get version >/dev/null 2>&1 || return 0
        sleep 0.02
    done
    complain "process $1 opens no socket: $("$ctl" "$1" get version 2>&1)"
}

# What can be asked and set.
start ctl_socket:true
wait_for_socket "$process"
expect 0 "arenas.dirty_decay_ms *ssize *rw" "$ctl" "$process" list arenas.dirty_decay
expect 0 "*stats.allocated *size *r*" "$ctl" "$process" list
expect 0 "" "$ctl" "$process" list no-such-part
expect 0 "5.*xalloc*" "$ctl" "$process" get version
expect 0 "opt.abort: false
stats.allocated: [1-9]*" "$ctl" "$process" get opt.abort stats.allocated
expect 0 "" "$ctl" "$process" set arenas.dirty_decay_ms -1
expect 0 "-1" "$ctl" "$process" get arenas.dirty_decay_ms
expect 0 "" "$ctl" "$process" set arena.4096.purge
expect 0 "* KiB given back, [0-9]* KiB in memory" "$ctl" "$process" purge
expect 0 "xalloc: statistics of process $process on request*Where the memory is*" "$ctl" "$process" stats
expect 0 "*# EOF" "$ctl" "$process" stats openmetrics -x bl
"$ctl" "$process" stats json >"$work/report"
expect 0 "Process $process, *" "$top_builddir/bin/xalloc-stat" "$work/report"
expect 0 "xalloc: *" bash -c "$ctl $process stats | head -n 1"

# What cannot be.
expect 1 "xallocctl: $process: \"nothing\": no such control; \"list\" gives their names." "$ctl" "$process" get nothing
expect 1 "xallocctl: $process: *: it can only be read." "$ctl" "$process" set version 7
expect 1 "xallocctl: $process: *: the value is to be of the type ssize" "$ctl" "$process" set arenas.dirty_decay_ms soon
expect 1 "xallocctl: $process: *: only the program itself can use this." "$ctl" "$process" set thread.tcache.flush
expect 2 "usage: *" "$ctl" "$process"
expect 2 "usage: *" "$ctl" "$process" stats yaml
expect 2 "*must be one line" "$ctl" "$process" get $'a\nset epoch 1'
expect 2 "*must be more than 0" "$ctl" -t 0 "$process" list
expect 0 "usage: xallocctl *" "$ctl" --help
expect 0 "xallocctl (xalloc) $version" "$ctl" --version

# Processes that cannot be asked.
start ""
expect 1 "xallocctl: $process: has no control socket. Start it with XALLOC_CONF=ctl_socket:true, *" "$ctl" "$process" list
sleep 300 &
processes+=($!)
expect 1 "xallocctl: $!: has no control socket, nor libxalloc.so. *" "$ctl" $! list
{
    kill -KILL $!
    wait $!
} 2>/dev/null || true
expect 1 "xallocctl: $!: there is no such process" "$ctl" $! list
start ctl_socket:true,strict_syscalls:true
sleep 0.1
[[ $(<"$work/errors") == "xalloc: option \"ctl_socket\": no control socket: "* ]] ||
    complain "strict_syscalls is not complained of: $(<"$work/errors")"

# A signal opens the socket.
start ctl_signal:USR2
sleep 0.1
expect 1 "*has no control socket.*ctl_signal:USR2 and send it that signal first." "$ctl" "$process" list
kill -USR2 "$process"
wait_for_socket "$process"

# One that is stopped, and one that goes on then.
start ctl_socket:true
wait_for_socket "$process"
kill -STOP "$process"
expect 1 "xallocctl: $process: no answer in 0.2 s: it is stopped, or answers others" "$ctl" -t 0.2 "$process" get version
kill -CONT "$process"
expect 0 "5.*" "$ctl" "$process" get version

# Somebody else answers in its place, and one dies in the middle of an answer.
cat >"$work/other.py" <<'END'
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(f"\0xalloc-ctl/{sys.argv[1] if sys.argv[1:] else os.getpid()}")
listener.listen(1)
print("ready", flush=True)
peer = listener.accept()[0]
try:
    peer.recv(100)
    peer.sendall(b"ok\n100\nhalf of i")
except OSError:
    pass
END
# other [PROCESS]: its number in `other`
other()
{
    rm -f "$work/ready"
    python3 "$work/other.py" "$@" >"$work/ready" &
    other=$!
    processes+=("$other")
    until [[ -s $work/ready ]]; do sleep 0.02; done
}
start ""
other "$process"
expect 1 "xallocctl: $process: process $other of user * answers in its place; not asked" "$ctl" "$process" list
other
expect 1 "xallocctl: $other: the answer was cut off: *" "$ctl" "$other" list

# Peers that do what no xallocctl does, one after another, a hundred at a time, from several sides:
# the process has to answer the next one, and neither its descriptors nor its memory may grow.
start ctl_socket:true
wait_for_socket "$process"
cat >"$work/hostile.py" <<'END'
import os, random, socket, struct, sys, time
pid = int(sys.argv[1])
random.seed(7)

def connect():
    # Not Python's limit, with which nobody waits for a turn.
    peer = socket.socket(socket.AF_UNIX)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 60, 0))
    peer.connect(f"\0xalloc-ctl/{pid}")
    peer.settimeout(60)
    return peer

def send(data, read=0):
    with connect() as peer:
        try:
            peer.sendall(data)
            if read:
                peer.recv(read)
        except OSError:
            pass

def figures():
    task = [t for t in os.listdir(f"/proc/{pid}/task")
            if open(f"/proc/{pid}/task/{t}/comm").read() == "xalloc-ctl\n"][0]
    status = open(f"/proc/{pid}/status").read()
    return len(os.listdir(f"/proc/{pid}/task/{task}/fd")), int(status.split("VmRSS:")[1].split()[0])

def attack():
    for _ in range(30):
        send(b"")
        send(random.randbytes(random.randrange(5000)))
        send(b"get " + b"x" * random.randrange(100000))
        send(b"\n" * 1000)
        send(b"stats J\n" * 20, 10)
        send(b"set \0\n", 10)
        send(b"get vers")
        send(b"list\n" * random.randrange(50))
    # More than can wait for an answer.
    waiting = []
    for _ in range(4):
        waiting.append(connect())
        waiting[-1].sendall(b"stats J\n")
    for peer in waiting:
        peer.close()

attack()
before = figures()
attack()
# They are dealt with one by one: ours comes behind.
with connect() as peer:
    peer.sendall(b"get opt.abort\n")
    answer = b""
    while not answer.endswith(b"\n0\n"):
        answer += peer.recv(100)
    if answer != b"ok\n6\nfalse\n0\n":
        sys.exit(f"the answer afterwards is {answer}")
after = figures()
# The connection just closed may still be open there.
if after[0] > before[0] + 1 or after[1] > before[1] + 256:
    sys.exit(f"descriptors and KiB: {before} before, {after} afterwards")

# One who reads nothing, or says nothing, holds the others up for five seconds only.
start = time.monotonic()
silent = connect()
silent.sendall(b"stats J\n" * 60)
send(b"get opt.abort\n", 10)
if time.monotonic() - start > 25:
    sys.exit(f"one who reads nothing held others up for {time.monotonic() - start} s")
END
quietly python3 "$work/hostile.py" "$process"
expect 0 "5.*" "$ctl" "$process" get version
kill -0 "$process" || complain "the process has ended"
finish
