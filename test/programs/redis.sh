#!/bin/bash
#
# redis.sh - redis-server: values checked through redis-cli, load from redis-benchmark, snapshots.
#
# Debian's redis is linked to libjemalloc and calls mallctl: the preload must win all of malloc.
# Compared: replies, and DEBUG DIGEST, which is a checksum of all keys and values.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/redis-server redis-server
need /usr/bin/redis-benchmark redis-tools

client()
{
    /usr/bin/redis-cli -s redis.sock "$@"
}

# start_redis LOG OPTION...
start_redis()
{
    local log=$1
    shift
    start "$log" /usr/bin/redis-server --port 0 --unixsocket ./redis.sock --dir . --save '' \
        --appendonly no --enable-debug-command local --daemonize no "$@"
    wait_for client ping
    prove_pid "$server_pid"
}

benchmark()
{
    under /usr/bin/redis-benchmark -s redis.sock -q "$@" >>benchmark.log
}

# Commands for redis-cli: values of all types, most with a seed and none with the time.
commands()
{
    awk 'BEGIN {
        srand(7)
        for (i = 0; i < 6000; i++) {
            printf "SET string:%d %s\n", i, substr("abcdefghijklmnopqrstuvwxyz", 1 + i % 26) i
            printf "APPEND string:%d %0*d\n", i % 500, 1 + int(rand() * 90), i
            printf "HSET hash:%d field%d %d\n", i % 90, i, i * i
            printf "RPUSH list:%d item%d\n", i % 40, i
            printf "SADD set:%d %d\n", i % 30, int(rand() * 1000)
            printf "ZADD zset:%d %d member%d\n", i % 20, int(rand() * 1000), i
            if (i % 5 == 0) printf "DEL string:%d\n", int(rand() * i)
            if (i % 9 == 0) printf "LPOP list:%d\n", i % 40
        }
    }'
}

session()
{
    prove /usr/bin/redis-server --version
    start_redis redis.log
    # Under load first: its keys are random, so they go before anything is compared.
    benchmark -n 10000 -c 20 -P 8 -r 5000 -d 200 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset
    grep -c 'requests per second' benchmark.log
    # In the background: another thread frees what this one allocated.
    client flushall async
    commands | client | sha256sum
    client debug digest
    client get string:499
    client eval 'local t = {} for i = 1, 20000 do t[i] = redis.call("incr", "counter") end
        return #t' 0
    client sort set:3 desc limit 0 5
    client debug digest
    # A snapshot is written by a forked child, while values change.
    client bgsave
    benchmark -n 3000 -c 4 -r 500 -d 3000 -t set
    wait_for snapshot_is_done
    stop "$server_pid" TERM

    # The same digest again from the snapshot; now with a thread for input and output.
    start_redis again.log --io-threads 2 --io-threads-do-reads yes
    client debug digest
    client debug reload
    client debug digest
    client dbsize
    benchmark -n 1000 -c 20 -P 8 -r 5000 -d 200 -t set,get,lpush,lrange_100
    client memory purge
    stop "$server_pid" TERM
}

snapshot_is_done()
{
    client info persistence | grep 'rdb_bgsave_in_progress:0' &&
        client info persistence | grep 'rdb_last_bgsave_status:ok'
}

run_program
