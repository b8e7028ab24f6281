#!/usr/bin/env python3
"""redis_refill - fill a redis-server, delete half of it at random, fill it with other sizes.

usage: redis_refill.py SOCKET SECONDS

Talks to a server at a Unix socket, in pipelines.  SECONDS stand for 30 minutes in six phases; the
work of a phase is the same however long the run is, only the idle time after it shrinks.  A phase
deletes half of the keys, drawn at random, and sets new ones with values of that phase's sizes until
the values are some 60 MB again (or there are 400,000 keys).  So survivors of several phases lie
between objects of other sizes.  The seed is fixed and so is the order of all commands.

At the end two numbers are printed, separated by a tab: commands, and the seconds that the phases
took without the idle times.
"""

import random
import socket
import sys
import time

# Least and greatest size of the values that each phase sets.
PHASE_BYTES = ((60, 200), (300, 700), (40, 120), (1000, 4000), (150, 400), (20, 90))
TOTAL_BYTES = 60_000_000
KEYS_MAX = 400_000
PIPELINE_COMMANDS = 500


class Server:
    """Sends commands whose replies are one line each, and counts the replies."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.commands = 0

    def send(self, commands):
        self.socket.sendall(b"".join(commands))
        replies = 0
        while replies < len(commands):
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("the server went away")
            replies += part.count(b"\n")
            if b"-" in part:
                raise ConnectionError(f"the server complains: {part[:200]!r}")
        self.commands += len(commands)

    def send_all(self, commands):
        pending = []
        for command in commands:
            pending.append(command)
            if len(pending) == PIPELINE_COMMANDS:
                self.send(pending)
                pending.clear()
        self.send(pending)


class Filling:
    """The keys that are there, with their sizes."""

    def __init__(self):
        self.random = random.Random(7)
        self.sizes = {}
        self.total_bytes = 0
        self.next_key = 0
        self.text = self.random.randbytes(1 << 16).hex().encode()

    def deletions(self):
        for key in self.random.sample(list(self.sizes), len(self.sizes) // 2):
            self.total_bytes -= self.sizes.pop(key)
            yield b"*2\r\n$3\r\nDEL\r\n$%d\r\n%b\r\n" % (len(key), key)

    def insertions(self, low, high):
        while self.total_bytes < TOTAL_BYTES and len(self.sizes) < KEYS_MAX:
            key = b"object:%d" % self.next_key
            self.next_key += 1
            size = self.random.randint(low, high)
            start = self.random.randrange(len(self.text) - size)
            self.sizes[key] = size
            self.total_bytes += size
            yield b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
                len(key), key, size, self.text[start:start + size])


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    server = Server(path)
    filling = Filling()
    start = time.monotonic()
    busy_seconds = 0.0
    for phase, (low, high) in enumerate(PHASE_BYTES, start=1):
        phase_start = time.monotonic()
        server.send_all(filling.deletions())
        server.send_all(filling.insertions(low, high))
        busy_seconds += time.monotonic() - phase_start
        time.sleep(max(0, start + seconds * phase / len(PHASE_BYTES) - time.monotonic()))
    print(f"{server.commands}\t{busy_seconds:.3f}")


if __name__ == "__main__":
    main()
