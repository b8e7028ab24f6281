#!/bin/bash
#
# shell.sh - a shell session: bash with arrays, pipes and jobs, and coreutils, all preloaded.
#
# Compared: all it prints.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/awk mawk

prepare()
{
    cat >session.sh <<'EOF'
set -euo pipefail

# Text of a known kind.
seq 1 60000 | awk '{ print $1 * 7919 % 60013, "word" $1 % 997, $1 }' >numbers
wc numbers
sort -n numbers | md5sum
sort --parallel=2 -S 1M -k 2,2 -k 3,3n numbers | tee sorted | sha256sum
cut -d' ' -f2 numbers | sort | uniq -c | sort -rn | sed -n 1,3p
join <(sort -k1,1 numbers) <(sort -k1,1 numbers | sed -n 1,50p) | cksum
comm -12 <(sort numbers) <(sort sorted) | wc -l
paste -d, <(head -n 4 numbers) <(tail -n 4 numbers)
tr 'a-z0-9' 'n-za-m5-90-4' <numbers | base64 -w 60 | base64 -d | md5sum
split -l 7000 numbers part. && cat part.* | cmp - numbers && ls part.* | wc -l
shuf --random-source=numbers numbers | md5sum
expand numbers | fold -w 13 | nl | pr -t -3 | tail -n 2
factor 1000000007 1234567890123 36893488147419103233
numfmt --to=iec 123456789 | od -c
tac numbers | sed -nE 's/^(.)(.*) word/\2-\1 /p' | grep -cE '^[0-9]{3}-'
tsort <<<'a b b c c d'
stat -c '%s %F %n' numbers && du --apparent-size -b numbers && date -u -d @1700000000 +%FT%T
find . -name 'part.*' -print0 | sort -z | xargs -0 -n 3 -P 2 md5sum | sort
dd if=numbers bs=1000 skip=3 count=5 status=none | sha512sum
cp -a numbers copy && mv copy moved && ln -s moved link
readlink -f link | sed 's|.*/||' && rm link
timeout 5 sleep 0.05 && env -i A=1 /usr/bin/env

# The shell itself: arrays, expansion, functions that call themselves, subshells, jobs.
declare -A map
list=()
while read -r key word n; do
    map[$word]=$((${map[$word]:-0} + key))
    ((n % 50)) || list+=("$word:$n")
done <numbers
echo "${#map[@]} ${#list[@]} ${map[word5]} ${list[*]:10:4}"
text=$(printf 'x%.0s' {1..20000})
echo "${#text} ${text//xx/y}" | md5sum
fib() { (($1 < 2)) && echo "$1" && return; echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }
fib 9
[[ "2024-05-06" =~ ^([0-9]+)-([0-9]+)-([0-9]+)$ ]] && echo "${BASH_REMATCH[@]}"
for i in 1 2 3 4 5 6; do
    (sleep 0.0$i; md5sum <<<"$text$i" >job.$i) &
done
wait
cat job.*
trap 'echo caught' USR1
kill -USR1 $$
coproc doubler { while read -r n; do echo $((n * 2)); done; }
echo 21 >&"${doubler[1]}"
read -r answer <&"${doubler[0]}"
echo "$answer"
exec {doubler[1]}>&-
mapfile -t lines <numbers
printf '%s\n' "${lines[@]}" | cmp - numbers
echo "$(<numbers)" | md5sum
diff <(echo a) <(echo b) || echo "differ $?"
EOF
}

session()
{
    prove /bin/bash -c 'declare -A map=([a]=1)'
    prove /usr/bin/sort /dev/null
    under /bin/bash "$XA_PROGRAMS_FOLDER/input/session.sh"
}

run_program
