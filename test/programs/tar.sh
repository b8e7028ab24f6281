#!/bin/bash
#
# tar.sh - tar with xz on two threads and with gzip: pack, list, test, unpack, compare.
#
# xz with a stated block size makes the same file whichever thread is first.  Compared: the
# archives, their listing, and that what is unpacked is what was packed.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/tar tar
need /usr/bin/xz xz-utils

prepare()
{
    local i
    mkdir -p tree/a/b tree/c
    for ((i = 0; i < 60; i++)); do
        awk -v n="$i" 'BEGIN {
            srand(n); for (i = 0; i < n * 90; i++) print i, int(rand() * n * 50) }' \
            >"tree/a/b/text$i"
        ln -s "../a/b/text$i" "tree/c/link$i"
    done
    awk 'BEGIN { srand(3); for (i = 0; i < 400000; i++) printf "%c", 1 + int(rand() * 120) }' \
        >tree/noise
    truncate -s 3M tree/sparse
    ln tree/noise tree/c/hard
}

session()
{
    local options=(--sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --sparse
        "--mode=u=rwX,go=rX" -C "$XA_PROGRAMS_FOLDER/input")
    prove /usr/bin/tar --version
    prove /usr/bin/xz --version
    under XZ_OPT="-6 -T2 --block-size=500000" /usr/bin/tar "${options[@]}" -cJf tree.tar.xz tree
    under /usr/bin/tar "${options[@]}" -I 'gzip -n' -cf tree.tar.gz tree
    digest tree.tar.xz tree.tar.gz
    under /usr/bin/xz -T2 -t -v tree.tar.xz
    under /usr/bin/xz -T2 -l tree.tar.xz
    under /usr/bin/tar --utc -tvJf tree.tar.xz | sha256sum
    under XZ_OPT=-T2 /usr/bin/tar -xJf tree.tar.xz
    diff -r --no-dereference "$XA_PROGRAMS_FOLDER/input/tree" tree
    under /usr/bin/tar -C "$XA_PROGRAMS_FOLDER/input" --compare -zf tree.tar.gz || [[ $? == 1 ]]
    for level in 0 3 7; do
        under /usr/bin/xz -"$level" -T2 --block-size=300000 -c tree/noise | sha256sum
    done
}

run_program
