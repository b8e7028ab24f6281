#!/bin/bash
#
# memcached.sh - memcached with four threads, under load from four clients that check each value.
#
# Compared: the clients' sums, and the server's counts.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/memcached memcached

prepare()
{
    cat >load.py <<'EOF'
"""Four clients at once; each owns its keys, so each knows what every answer must be."""
import hashlib
import random
import socket
import threading

CLIENTS, ROUNDS = 4, 15000


class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("memcached.sock")
        self.stream = self.socket.makefile("rb")

    def ask(self, request):
        self.socket.sendall(request)
        return self.stream.readline()

    def set(self, key, value):
        assert self.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)) == b"STORED\r\n"

    def get(self, key):
        line = self.ask(b"get %s\r\n" % key)
        if line == b"END\r\n":
            return None
        value = self.stream.read(int(line.split()[3]) + 2)[:-2]
        assert self.stream.readline() == b"END\r\n"
        return value

    def delete(self, key):
        return self.ask(b"delete %s\r\n" % key) == b"DELETED\r\n"

    def append(self, key, value):
        return self.ask(b"append %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)) == b"STORED\r\n"

    def stats(self):
        self.socket.sendall(b"stats\r\n")
        values = {}
        for line in iter(self.stream.readline, b"END\r\n"):
            _, name, value = line.decode().split(None, 2)
            values[name] = value.strip()
        return values


def work(number, results):
    rng, client, known = random.Random(number), Client(), {}
    digest = hashlib.sha256()
    for round_number in range(ROUNDS):
        key = b"client%d:%d" % (number, rng.randrange(1500))
        what = rng.random()
        if what < 0.45:
            size = rng.choice((10, 100, 1000, 5000, 20000, 200000 if round_number % 50 == 0 else 7))
            known[key] = bytes([rng.randrange(256)]) * rng.randrange(1, size)
            client.set(key, known[key])
        elif what < 0.55:
            assert client.delete(key) == (known.pop(key, None) is not None)
        elif what < 0.6:
            assert client.append(key, b"tail") == (key in known)
            if key in known:
                known[key] += b"tail"
        else:
            value = client.get(key)
            assert value == known.get(key), key
            digest.update(value or b"none")
        if round_number % 500 == 499:
            client.socket.close()
            client = Client()
    for key in sorted(known):
        assert client.get(key) == known[key], key
    results[number] = (len(known), digest.hexdigest())


results = {}
threads = [threading.Thread(target=work, args=(n, results)) for n in range(CLIENTS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for number in range(CLIENTS):
    print("client", number, *results[number])
stats = Client().stats()
for name in ("curr_items", "total_items", "cmd_get", "cmd_set", "evictions", "threads"):
    print(name, stats[name])
EOF
}

session()
{
    local user=()
    # memcached refuses to run as root.
    if [[ $(id -u) == 0 ]]; then
        user=(-u nobody)
        chmod 777 .
    fi
    prove /usr/bin/memcached --version
    start memcached.log /usr/bin/memcached "${user[@]}" -s ./memcached.sock -a 777 -m 400 -t 4 -I 2m
    wait_for test -S memcached.sock
    prove_pid "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/load.py"
    stop "$server_pid" TERM
}

run_program
