#!/bin/bash
#
# named.sh - bind9's named: zones reloaded and sent under load from dig, and its memory statistics.
#
# Debian's named is linked to libjemalloc and gets all of its memory by mallocx and sdallocx, with
# sizes by sallocx; that of its statistics channel comes from a jemalloc arena of its own.
# Compared: checksums of all answers, and the counts of queries; what named says of its memory is
# held against itself and against the system's word.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/named bind9
need /usr/sbin/rndc bind9-utils
need /usr/bin/dig bind9-dnsutils
takes_place_of=libjemalloc.so.2

prepare()
{
    awk 'BEGIN {
        print "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 86400 300\n@ IN NS ns\nns IN A 127.0.0.1"
        for (i = 0; i < 8000; i++) {
            printf "h%d IN A 10.%d.%d.%d\n", i, i / 65536, i / 256 % 256, i % 256
            printf "h%d IN AAAA 2001:db8::%x\n", i, i
            if (i % 4 == 0) printf "h%d IN TXT \"%0*d\"\n", i, 10 + i % 200, i
            if (i % 5 == 0) printf "h%d IN MX 10 h%d\n", i, i / 5
        }
    }' >example.zone
    local client types=(A AAAA TXT MX)
    for client in 0 1 2 3; do
        # Some names do not exist.
        awk -v seed="$client" -v type="${types[client]}" 'BEGIN {
            srand(seed)
            for (i = 0; i < 2500; i++) printf "h%d.example. %s\n", int(rand() * 8800), type
        }' >"queries.$client"
    done
    cat >memory.py <<'EOF'
"""memory.py PORT PID LEAST_BYTES - ask the statistics channel about the memory of named."""
import json
import pathlib
import sys
import urllib.request

port, pid, least = sys.argv[1], sys.argv[2], int(sys.argv[3])


def ask(path):
    # Often, so that the channel's own arena has work.
    for _ in range(20):
        with urllib.request.urlopen("http://127.0.0.1:%s/json/v1/%s" % (port, path)) as answer:
            text = answer.read()
    return json.loads(text)


def check(what, holds, *values):
    if not holds:
        sys.exit("%s: no, %s" % (what, values))
    print(what + ": yes")


ask("server")
ask("zones")
memory = ask("mem")["memory"]
status = pathlib.Path("/proc", pid, "status").read_text().splitlines()
rss = int(next(line for line in status if line.startswith("VmRSS:")).split()[1]) * 1024
contexts = memory["contexts"]
in_use = sum(context["inuse"] for context in contexts)
print(memory["InUse"], in_use, rss, file=sys.stderr)
check("contexts add up", abs(in_use - memory["InUse"]) < 1 << 20, in_use, memory["InUse"])
check("zones are in it", memory["InUse"] > least, memory["InUse"])
check("it is in memory", memory["InUse"] < rss, memory["InUse"], rss)
check("nothing is lost", memory.get("Lost", 0) == 0, memory)
check("no context has less than nothing", all(context["inuse"] >= 0 for context in contexts))
# As much is freed as was allocated, or the sizes do not agree: again and again the same zones.
last = pathlib.Path("in-use")
if last.exists():
    before = int(last.read_text())
    check("in use as before", before * 0.7 < memory["InUse"] < before * 1.4, before,
          memory["InUse"])
last.write_text(str(memory["InUse"]))
EOF
}

write_configuration()
{
    cat >rndc.conf <<EOF
key k { algorithm hmac-sha256; secret "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkncw=="; };
options { default-key k; default-server 127.0.0.1; default-port $2; };
EOF
    cat >named.conf <<EOF
key k { algorithm hmac-sha256; secret "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkncw=="; };
controls { inet 127.0.0.1 port $2 allow { 127.0.0.1; } keys { k; }; };
statistics-channels { inet 127.0.0.1 port $3; };
options {
    directory "$PWD"; pid-file "$PWD/named.pid"; session-keyfile "$PWD/session.key";
    listen-on port $1 { 127.0.0.1; }; listen-on-v6 { none; };
    recursion no; dnssec-validation no; allow-transfer { any; }; zone-statistics full;
    managed-keys-directory "$PWD";
};
zone "example" { type primary; file "example.zone"; };
zone "other" { type primary; file "example.zone"; };
EOF
}

control()
{
    /usr/sbin/rndc -c rndc.conf "$@"
}

# ask PORT NUMBER: one dig asks for all of its list, by TCP.
ask()
{
    /usr/bin/dig @127.0.0.1 -p "$1" +tcp +keepopen +noall +answer +tries=3 +time=20 \
        -f "$XA_PROGRAMS_FOLDER/input/queries.$2" | grep -vE '^;|^$' | sort | sha256sum
}

# By UDP most of them are answered: nobody says that all are.
ask_by_udp()
{
    local count
    count=$(/usr/bin/dig @127.0.0.1 -p "$1" +short +tries=3 +time=5 \
        -f "$XA_PROGRAMS_FOLDER/input/queries.0" | grep -c '^10\.')
    ((count > 2000)) || echo "only $count answers by UDP"
}

is_answering()
{
    /usr/bin/dig @127.0.0.1 -p "$1" +short +tcp h7.example. | grep -xF 10.0.0.7 &&
        /usr/bin/dig @127.0.0.1 -p "$1" +short +tcp h7.other. | grep -xF 10.0.0.7
}

ask_all()
{
    local client clients=()
    for client in 0 1 2 3; do
        ask "$1" "$client" >"answers.$client" &
        clients+=($!)
    done
    for client in 0 1 2 3; do
        wait "${clients[client]}"
    done
    cat answers.?
}

session()
{
    local ports
    prove /usr/sbin/named -V
    read -r -a ports < <(/usr/bin/python3 -I "$programs_source/lib/ports.py")
    write_configuration "${ports[@]}"
    cp "$XA_PROGRAMS_FOLDER/input/example.zone" .
    start named.log /usr/sbin/named -g -n 2 -c "$PWD/named.conf"
    wait_for is_answering "${ports[0]}"
    control status | sed -n 's/^number of zones: \([0-9]*\).*/\1 zones/p'
    prove_pid "$server_pid"
    ask_all "${ports[0]}"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/memory.py" "${ports[2]}" "$server_pid" 10000000
    control stats
    sed -nE 's/^ +([0-9]+ (AAAA|MX|TXT|queries resulted in (nxrrset|NXDOMAIN)))$/\1/p' named.stats
    # New databases are built, and old ones freed by other threads, while queries come.
    ask_all "${ports[0]}" >later &
    local asking=$!
    for _ in 1 2 3; do
        touch -d tomorrow example.zone
        control reload example >/dev/null
        /usr/bin/dig @127.0.0.1 -p "${ports[0]}" other AXFR | grep -v '^;' | sort | sha256sum
    done
    wait "$asking"
    cat later
    ask_by_udp "${ports[0]}"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/memory.py" "${ports[2]}" "$server_pid" 10000000
    control flush
    control stop
    wait "$server_pid"
}

run_program
