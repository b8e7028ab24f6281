#!/bin/bash
#
# varnish.sh - varnishd with malloc storage: a cache that evicts, and what its counters say.
#
# Debian's varnishd is linked to libjemalloc; its storage is malloc with whatever sizes objects
# have.  Compared: checksums of pages, and whether storage counters, RSS and bans agree.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/varnishd varnish
need /usr/bin/varnishstat varnish
need /bin/ps procps
need /usr/bin/gcc gcc
takes_place_of=libjemalloc.so.2

prepare()
{
    cat >cache.vcl <<EOF
vcl 4.1;
import std;
backend default { .path = "$XA_PROGRAMS_FOLDER/pass/pages.sock"; }
sub vcl_recv {
    if (req.method == "BAN") { ban("req.url ~ " + req.url); return (synth(200, "banned")); }
    return (hash);
}
EOF
    cat >load.py <<'EOF'
"""load.py - pages from a server of our own, through varnish; its counters against the truth."""
import hashlib
import http.client
import http.server
import json
import os
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time

PAGES, CLIENTS, ROUNDS, STORAGE = 600, 4, 1200, 24 << 20
made = 0


def body_of(page):
    return random.Random(page).randbytes(2000 + page * 331 % 150000)


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global made
        made += 1
        body = body_of(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "varnish"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 100


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("varnish.sock")


def ask(connection, path, method="GET"):
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def counters():
    text = subprocess.run(("/usr/bin/varnishstat", "-n", os.path.abspath("work"), "-j"), check=True,
                          capture_output=True, text=True).stdout
    return {name: one["value"] for name, one in json.loads(text)["counters"].items()}


def check(what, holds, *values):
    if not holds:
        print("%s: no, %s" % (what, values), file=sys.stderr)
        raise SystemExit(1)
    print(what + ": yes", flush=True)


def work(number, wrong):
    rng, connection = random.Random(number), Connection("localhost")
    for _ in range(ROUNDS):
        # Some pages more often than others.
        page = int(rng.random() ** 3 * PAGES)
        status, body = ask(connection, "/%d" % page)
        if status != 200 or body != bodies[page]:
            wrong.append((page, status, len(body)))


def rss_of_child():
    """The cache is the manager's child; its name is the same."""
    lines = subprocess.run(("/bin/ps", "-o", "rss=", "--ppid", sys.argv[1]), check=True,
                           capture_output=True, text=True).stdout.split()
    return max(map(int, lines)) * 1024


bodies = [body_of(page) for page in range(PAGES)]
threading.Thread(target=Server("pages.sock", Pages).serve_forever, daemon=True).start()
wrong = []
clients = [threading.Thread(target=work, args=(number, wrong)) for number in range(CLIENTS)]
for client in clients:
    client.start()
for client in clients:
    client.join()
check("all pages are right", not wrong, wrong[:5])
for page in (0, 7, 599):
    print(page, hashlib.sha256(bodies[page]).hexdigest()[:16])
connection = Connection("localhost")
now = counters()
for _ in range(50):
    # Threads hand in their counts when they are done.
    if now["MAIN.cache_hit"] + now["MAIN.cache_miss"] == CLIENTS * ROUNDS:
        break
    time.sleep(0.1)
    now = counters()
print({name: now[name] for name in now if name.startswith("SMA.s0")}, made, rss_of_child(),
      file=sys.stderr)
check("hits and misses are all", now["MAIN.cache_hit"] + now["MAIN.cache_miss"] == CLIENTS * ROUNDS)
check("misses were made", now["MAIN.s_fetch"] >= made > PAGES / 2, now["MAIN.s_fetch"], made)
check("it evicted", now["MAIN.n_lru_nuked"] > 0)
check("storage is full", STORAGE * 0.7 < now["SMA.s0.g_bytes"] <= STORAGE, now["SMA.s0.g_bytes"])
check("storage adds up",
      now["SMA.s0.c_bytes"] - now["SMA.s0.c_freed"] == now["SMA.s0.g_bytes"] and
      now["SMA.s0.g_bytes"] + now["SMA.s0.g_space"] == STORAGE)
full = rss_of_child()
check("RSS holds it", now["SMA.s0.g_bytes"] < full < now["SMA.s0.g_bytes"] * 2 + (110 << 20), full)
check("ban", ask(connection, "/", "BAN")[0] == 200)
before = made
check("a banned page is right", ask(connection, "/7") == (200, bodies[7]))
check("and made anew", made == before + 1, before, made)
EOF
}

administer()
{
    /usr/bin/varnishadm -n "$PWD/work" "$@"
}

is_running()
{
    administer status | grep -F 'Child in state running'
}

session()
{
    prove /usr/sbin/varnishd -V
    mkdir work
    start varnish.log /usr/sbin/varnishd -F -n "$PWD/work" -j none -a "$PWD/varnish.sock" \
        -f "$XA_PROGRAMS_FOLDER/input/cache.vcl" -s malloc,24m -p thread_pools=2 \
        -p thread_pool_min=10 -p auto_restart=off
    wait_for is_running
    prove_pid "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/load.py" "$server_pid"
    administer storage.list | sed -n 's/^\s*storage\.//p'
    administer panic.show | head -n 1 || true
    administer stop
    stop "$server_pid" TERM
}

run_program
