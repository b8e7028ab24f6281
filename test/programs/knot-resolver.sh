#!/bin/bash
#
# knot-resolver.sh - kresd answering from hints, with its Lua made to allocate and to collect.
#
# Debian's kresd is linked to libjemalloc, by malloc_stats_print.  No server but itself is asked.
# Compared: checksums of answers, and the resolver's own counts.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/kresd knot-resolver
need /usr/bin/dig bind9-dnsutils
takes_place_of=libjemalloc.so.2

prepare()
{
    awk 'BEGIN {
        srand(3)
        for (i = 0; i < 3000; i++) {
            host = int(rand() * 5000)
            printf "h%d.test.example. %s\n", host, i % 3 ? "A" : "AAAA"
        }
    }' >queries
    awk 'BEGIN { for (i = 0; i < 5000; i++)
        printf "10.1.%d.%d h%d.test.example\n2001:db8::%x h%d.test.example\n",
            i / 256, i % 256, i, i, i }' >hosts
}

write_configuration()
{
    cat >kresd.conf <<EOF
net.listen('127.0.0.1', $1, { kind = 'dns' })
net.ipv6 = false
trust_anchors.remove('.')
cache.open(20 * MB, 'lmdb://$PWD/cache')
modules = { 'hints > iterate', 'stats' }
hints.add_hosts('$XA_PROGRAMS_FOLDER/input/hosts')
net.listen('$PWD/control', nil, { kind = 'control' })
EOF
}

# ask PORT: by TCP, where nothing is lost.
ask()
{
    /usr/bin/dig @127.0.0.1 -p "$1" +tcp +keepopen +noall +answer +tries=3 +time=20 \
        -f "$XA_PROGRAMS_FOLDER/input/queries" | grep -vE '^;|^$' | sort | sha256sum
}

is_answering()
{
    /usr/bin/dig @127.0.0.1 -p "$1" +tcp +short +time=2 +tries=1 h7.test.example. |
        grep -xF 10.1.0.7
}

# Lua, by the socket that operators use.
control()
{
    /usr/bin/python3 -I - "$1" <<'EOF'
import socket
import sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect("control")
assert client.recv(10) == b"> "
client.sendall(sys.argv[1].encode() + b"\n")
answer = b""
while not answer.endswith(b"\n> "):
    answer += client.recv(65536)
print(answer[:-3].decode().strip())
EOF
}

session()
{
    local port
    prove /usr/sbin/kresd --version
    read -r port _ < <(/usr/bin/python3 -I "$programs_source/lib/ports.py")
    write_configuration "$port"
    start kresd.log /usr/sbin/kresd --noninteractive -c "$PWD/kresd.conf" "$PWD"
    wait_for is_answering "$port"
    prove_pid "$server_pid"
    ask "$port" >first &
    ask "$port" >second
    wait $!
    cat first second
    control "local t = {} for i = 1, 200000 do t[i] = 'text ' .. i end return #t"
    control "collectgarbage() return tostring(collectgarbage('count') < 100000)"
    control "return cache.clear()" >/dev/null
    ask "$port"
    control "return tostring(stats.get('answer.total') >= 9000)"
    kill -TERM "$server_pid"
    wait "$server_pid"
}

run_program
