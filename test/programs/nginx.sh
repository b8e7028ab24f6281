#!/bin/bash
#
# nginx.sh - nginx with two workers: files, compression, a proxy to itself, under load.
#
# Compared: the checksum of each answer.  The clients are 6 threads with kept-alive connections.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/nginx nginx

prepare()
{
    cat >load.py <<'EOF'
"""Every client asks for every page in an order of its own, plain, compressed and by proxy."""
import hashlib
import http.client
import random
import socket
import threading
import zlib

CLIENTS, PAGES, ROUNDS = 6, 40, 8


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("nginx.sock")


def ask(connection, path, headers):
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


def fetch(connection, path, compressed):
    headers = {"Accept-Encoding": "gzip"} if compressed else {}
    try:
        response, body = ask(connection, path, headers)
    except (ConnectionError, http.client.RemoteDisconnected):
        # A worker that was told to end closes the connections that it keeps alive.
        connection.close()
        response, body = ask(connection, path, headers)
    if response.getheader("Content-Encoding") == "gzip":
        body = zlib.decompress(body, 31)
    return "%s %d %s" % (path[:20], response.status, hashlib.sha256(body).hexdigest())


def work(number, answers):
    rng, connection, seen = random.Random(number), Connection("localhost"), set()
    paths = ["/%d.txt" % page for page in range(PAGES)] + ["/missing", "/0.txt?q=" + "a" * 3000]
    paths += ["/proxy" + path for path in paths]
    for _ in range(ROUNDS):
        rng.shuffle(paths)
        for path in paths:
            seen.add(fetch(connection, path, rng.random() < 0.5))
    answers[number] = sorted(seen)


answers = {}
threads = [threading.Thread(target=work, args=(n, answers)) for n in range(CLIENTS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all(answers[number] == answers[0] for number in range(CLIENTS))
print("\n".join(answers[0]))
EOF
}

session()
{
    local i
    mkdir files temporary
    for ((i = 0; i < 40; i++)); do
        awk -v n="$i" 'BEGIN { srand(n); for (i = 0; i < n * n * 9 + 5; i++) print i, rand() }' \
            >"files/$i.txt"
    done
    cat >nginx.conf <<EOF
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log notice;
events { worker_connections 200; }
http {
    access_log access.txt;
    gzip on;
    gzip_types text/plain;
    gzip_proxied any;
    types { text/plain txt; }
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    large_client_header_buffers 4 8k;
    server {
        listen unix:nginx.sock;
        root $PWD/files;
        location /proxy/ { proxy_pass http://unix:$PWD/nginx.sock:/; proxy_buffering on; }
    }
}
EOF
    chmod 777 temporary
    prove /usr/sbin/nginx -p "$PWD" -c nginx.conf -e error.log -t
    start nginx.log /usr/sbin/nginx -p "$PWD" -c nginx.conf -e error.log
    wait_for test -S nginx.sock
    prove_pid "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/load.py"
    # New workers with new settings, then the rest of the load, then an orderly end.
    kill -HUP "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/load.py" | sha256sum
    stop "$server_pid" QUIT
    grep -cE '\[(alert|crit|emerg)\]' error.log || true
}

run_program
