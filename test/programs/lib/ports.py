"""ports.py - print three numbers of ports of 127.0.0.1 that are free for UDP and for TCP.

Below those that the system gives to clients: else a connection of another test may have one of
them before the server that is to listen there has begun.
"""
import random
import socket

held = []
while len(held) < 3:
    address = ("127.0.0.1", random.randrange(10000, 32768))
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    try:
        stream.bind(address)
        datagram.bind(address)
    except OSError:
        continue
    held.append((stream, datagram))
print(*[stream.getsockname()[1] for stream, _ in held])
