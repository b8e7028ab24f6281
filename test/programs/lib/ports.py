"""ports.py - print three numbers of ports of 127.0.0.1 that are free for UDP and for TCP."""
import socket

held = []
while len(held) < 3:
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    stream.bind(("127.0.0.1", 0))
    try:
        datagram.bind(stream.getsockname())
    except OSError:
        continue
    held.append((stream, datagram))
print(*[stream.getsockname()[1] for stream, _ in held])
