#!/bin/bash
#
# git.sh - Git: commits on branches, merges, repacking with threads, fsck, clone, log, blame.
#
# Author, dates and contents are fixed, so the names of all objects are too.  Compared: those
# names, and what log, blame, diff and fsck print.  The pack file itself is not compared: its
# deltas depend on which thread came first.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/git git

git_under()
{
    under git "$@"
}

commit()
{
    local day=$1 message=$2
    export GIT_AUTHOR_DATE="2024-01-01T00:00:00Z" GIT_COMMITTER_DATE
    GIT_COMMITTER_DATE="$((1700000000 + day * 60)) +0000"
    git_under add -A
    git_under commit -q -m "$message"
}

# Change a line here and there in some of the files.
edit()
{
    local seed=$1 branch=$2 file
    for file in $((seed % 7)) $((seed % 11)); do
        awk -v seed="$seed" -v branch="$branch" '
            { print (NR % 97 == seed % 97) ? $0 " edited " branch " " seed : $0 }
        ' "$branch.$file.txt" >new
        mv new "$branch.$file.txt"
    done
}

session()
{
    local i branch
    export GIT_CONFIG_NOSYSTEM=1
    cat >.gitconfig <<'EOF'
[user]
    name = Somebody
    email = somebody@example.org
[init]
    defaultBranch = main
[pack]
    threads = 2
[gc]
    auto = 0
[core]
    fsync = none
EOF
    prove git --exec-path
    git_under init -q repository
    cd repository
    for branch in main side; do
        for ((i = 0; i < 11; i++)); do
            awk -v n="$i" -v b="$branch" 'BEGIN {
                srand(n); for (l = 0; l < 1500; l++) print b, n, l, int(rand() * 1e9) }' \
                >"$branch.$i.txt"
        done
    done
    commit 0 "first"
    git_under branch side
    for ((i = 1; i <= 40; i++)); do
        edit "$i" main
        commit "$i" "main $i"
    done
    git_under checkout -q side
    for ((i = 41; i <= 70; i++)); do
        edit "$i" side
        commit "$i" "side $i"
    done
    git_under merge -q -m "merge main" main
    git_under rev-list --objects --all | sha256sum
    git_under gc -q --prune=now
    git_under repack -q -a -d -f --depth=40 --window=40
    git_under fsck --full --strict
    git_under count-objects -v | grep -v '^size'
    git_under log --graph --stat --format='%H %an %s' | sha256sum
    git_under log -p --all | sha256sum
    git_under blame main.3.txt | sha256sum
    git_under grep -c "edited" -- '*.txt'
    git_under diff --shortstat main side
    cd ..
    git_under clone -q --bare "file://$PWD/repository" copy.git
    git_under -C copy.git rev-parse main side
    git_under -C copy.git archive side | sha256sum
}

run_program
