#!/bin/bash
#
# rocksdb.sh - RocksDB's db_bench: fill, compact, read, overwrite with threads, then scan.
#
# Compared: how many keys each benchmark found, and a checksum of all keys and values; speeds
# are left out.  What several threads write at once is not compared.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/db_bench rocksdb-tools

bench()
{
    local threads=$1 benchmarks=$2
    shift 2
    under /usr/bin/db_bench --db=db --seed=1 --num=60000 --value_size=200 \
        --write_buffer_size=4000000 --target_file_size_base=2000000 --cache_size=4000000 \
        --max_background_jobs=2 --compression_type=zstd --bloom_bits=10 \
        --threads="$threads" --benchmarks="$benchmarks" "$@" 2>>progress.log |
        tr '\r' '\n' >"$threads.txt"
}

# `readrandom : 4.1 micros/op … (86487 of 100000 found)`: keep the name and the counts.
found()
{
    sed -nE 's/^([a-z]+) +: .*(\([0-9]+ of [0-9]+ found\)).*/\1 \2/p' "$1"
}

session()
{
    prove /usr/bin/db_bench --db=proof --num=10 --benchmarks=fillseq
    bench 1 fillrandom,compact,readrandom,readmissing,seekrandom,overwrite,multireadrandom
    found 1.txt
    under /usr/bin/ldb --db=db scan --hex | sha256sum
    under /usr/bin/ldb --db=db checkconsistency
    bench 4 readwhilewriting,updaterandom --use_existing_db=1 --num=20000
    grep -cE '^(readwhilewriting|updaterandom) ' 4.txt
    under /usr/bin/ldb --db=db checkconsistency
}

run_program
