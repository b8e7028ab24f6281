#!/bin/bash
#
# node.sh - Node.js: worker threads, buffers, zlib and crypto on the thread pool, an HTTP server.
#
# Compared: all it prints.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/node nodejs

prepare()
{
    cat >work.js <<'EOF'
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const http = require('http');
const zlib = require('zlib');
const { promisify } = require('util');

const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');

// A generator with a seed; Math.random has none.
function* numbers(seed) {
    let state = BigInt(seed) + 1n;
    for (;;) {
        state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
        yield Number(state >> 40n);
    }
}

function work(seed) {
    const random = numbers(seed);
    const next = (max) => random.next().value % max;
    const hash = crypto.createHash('sha256');
    let live = [];
    for (let i = 0; i < 40000; i++) {
        // Buffers above 4 KiB are outside the JavaScript heap.
        const buffer = Buffer.alloc(1 + next(i % 50 === 0 ? 400000 : 9000), i & 255);
        live.push(buffer);
        if (live.length > 100)
            hash.update(live.splice(next(live.length), 1)[0].subarray(0, 64));
    }
    const map = new Map();
    for (let i = 0; i < 60000; i++)
        map.set('key' + next(30000), { i, text: 'v'.repeat(next(40)) });
    hash.update(JSON.stringify([...map].slice(0, 5000)));
    return hash.digest('hex');
}

async function pool() {
    const deflate = promisify(zlib.deflate);
    const inflate = promisify(zlib.inflate);
    const pbkdf2 = promisify(crypto.pbkdf2);
    const texts = Array.from({ length: 80 },
        (_, i) => Buffer.from(`line ${i} `.repeat(1000 + i * 40)));
    const packed = await Promise.all(texts.map((text) => deflate(text, { level: 6 })));
    const again = await Promise.all(packed.map((data) => inflate(data)));
    if (!again.every((data, i) => data.equals(texts[i])))
        throw new Error('zlib gave other bytes back');
    const keys = await Promise.all(texts.map((text) => pbkdf2(text, 'salt', 300, 32, 'sha256')));
    return sha(Buffer.concat([...packed, ...keys]));
}

async function server() {
    const listening = http.createServer((request, response) => {
        const parts = [];
        request.on('data', (part) => parts.push(part));
        request.on('end', () => response.end(sha(Buffer.concat(parts)) + request.url));
    });
    await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const ask = (i) => new Promise((resolve, reject) => {
        const request = http.request({ port: listening.address().port, host: '127.0.0.1',
            path: '/' + i, method: 'POST', agent }, (response) => {
            let text = '';
            response.on('data', (part) => { text += part; });
            response.on('end', () => resolve(text));
        });
        request.on('error', reject);
        request.end(Buffer.alloc(i % 700 * 97, i & 255));
    });
    const answers = await Promise.all(Array.from({ length: 1500 }, (_, i) => ask(i)));
    agent.destroy();
    await new Promise((resolve) => listening.close(resolve));
    return sha(answers.join());
}

async function main() {
    const workers = [1, 2, 3, 4].map((seed) => new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: seed });
        worker.on('message', resolve);
        worker.on('error', reject);
    }));
    console.log('main', work(0));
    for (const result of await Promise.all(workers))
        console.log('worker', result);
    console.log('pool', await pool());
    console.log('server', await server());
}

if (isMainThread)
    main().catch((error) => { console.error(error); process.exit(1); });
else
    parentPort.postMessage(work(workerData));
EOF
}

session()
{
    prove /usr/bin/node -e 'console.log(1 + 1)'
    under /usr/bin/node "$XA_PROGRAMS_FOLDER/input/work.js"
}

run_program
