#!/bin/bash
#
# chromium.sh - Chromium without a window: a screenshot of a page with scripts and a worker.
#
# Chromium's executable exports malloc itself (PartitionAlloc), and an executable comes before a
# preload, so that the library is loaded and initialised in each of its many processes, and must
# do no harm there, but is not asked for memory.  Compared: the pixels, and the document after its
# scripts ran; the picture must have the right size and expected colours at chosen places.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
# The executable itself, since the command of that name is a shell script.
browser=/usr/lib/chromium/chromium-headless-shell
need $browser chromium-headless-shell
own_allocator="Chromium's executable exports malloc"

prepare()
{
    cat >page.html <<'EOF'
<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>page</title><style>
body { margin: 0; background: #336699; }
#box { position: absolute; left: 300px; top: 20px; width: 60px; height: 60px; background: #00aa44; }
#fade { position: absolute; left: 20px; top: 200px; width: 360px; height: 60px;
    background: linear-gradient(to right, #000, #fff); }
</style></head><body>
<canvas id="canvas" width="200" height="150"></canvas><div id="box"></div><div id="fade"></div>
<p id="result">none</p>
<script>
const pen = document.getElementById('canvas').getContext('2d');
pen.fillStyle = '#ff8000';
pen.fillRect(20, 20, 100, 100);
let state = 1;
const next = (max) => (state = (state * 48271) % 2147483647) % max;
for (let i = 0; i < 3000; i++) {
    const element = document.createElement('i');
    element.textContent = 'x'.repeat(next(60));
    document.body.append(element);
    if (i % 3) element.remove(); else element.hidden = true;
}
const work = () => {
    let state = 7, sum = 0;
    const map = new Map();
    for (let i = 0; i < 200000; i++) {
        state = (state * 48271) % 2147483647;
        map.set(state % 5000, new Array(state % 30).fill(i));
    }
    for (const list of map.values()) sum += list.length;
    postMessage(sum);
};
const code = new Blob([`(${work})()`], { type: 'text/javascript' });
const worker = new Worker(URL.createObjectURL(code));
worker.onmessage = (event) => { document.getElementById('result').textContent = event.data; };
</script></body></html>
EOF
    cat >pixels.py <<'EOF'
"""Check size and some pixels of a picture in 8-bit PNG, and print a checksum of all of them."""
import hashlib
import struct
import sys
import zlib

WIDTH, HEIGHT = 400, 300
EXPECTED = {(5, 5): (0x33, 0x66, 0x99), (60, 60): (0xFF, 0x80, 0x00), (330, 50): (0, 0xAA, 0x44)}

data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
assert (width, height, depth, interlace) == (WIDTH, HEIGHT, 8, 0), (width, height, depth)
channels = {2: 3, 6: 4}[colour]
packed, at = b"", 8
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    if kind == b"IDAT":
        packed += data[at + 8:at + 8 + length]
    at += length + 12
raw, stride, previous, rows = zlib.decompress(packed), width * channels, None, []
for y in range(height):
    kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
    above = previous or bytes(stride)
    for x in range(stride):
        left = line[x - channels] if x >= channels else 0
        corner = above[x - channels] if x >= channels else 0
        guess = left + above[x] - corner
        paeth = min((abs(guess - left), 0, left), (abs(guess - above[x]), 1, above[x]),
                    (abs(guess - corner), 2, corner))[2]
        line[x] = (line[x] + (0, left, above[x], (left + above[x]) // 2, paeth)[kind]) & 255
    previous = line
    rows.append(bytes(line))
for (x, y), rgb in EXPECTED.items():
    seen = tuple(rows[y][x * channels:x * channels + 3])
    assert seen == rgb, "pixel %d,%d is %s" % (x, y, seen)
print("pixels", width, height, hashlib.sha256(b"".join(rows)).hexdigest())
EOF
}

chromium_under()
{
    # A profile of its own each time; nothing of the user's, nothing of the network.
    under $browser --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-dev-shm-usage \
        --hide-scrollbars --force-color-profile=srgb --window-size=400,300 \
        --virtual-time-budget=5000 --user-data-dir="$PWD/profile" "$@" \
        "file://$XA_PROGRAMS_FOLDER/input/page.html"
}

session()
{
    prove_loaded $browser --version
    chromium_under --screenshot="$PWD/page.png" >chromium.log 2>&1
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/pixels.py" page.png
    chromium_under --dump-dom 2>>chromium.log >page.dom
    grep -o '<p id="result">[0-9]*</p>' page.dom
    digest page.dom
}

run_program
