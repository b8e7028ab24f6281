#!/bin/bash
#
# mariadb.sh - MariaDB's server: four clients at once, and what it calls its malloc.
#
# Compared: sums over all tables.  The server finds mallctl and reads `version`, so that
# version_malloc_library must name jemalloc's interface and xalloc.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/sbin/mariadbd mariadb-server-core
need /usr/bin/mariadb mariadb-client-core

client()
{
    /usr/bin/mariadb --no-defaults --socket=mariadb.sock --batch --skip-column-names "$@"
}

check_name()
{
    local name
    name=$(client -e 'SELECT @@version_malloc_library')
    case $session_name,$XA_PROGRAMS_STATISTICS in
    plain,*) [[ $name == system ]] ;;
    *,files) [[ $name =~ ^jemalloc\ 5\.3\.[0-9]+.*xalloc ]] ;;
    *) [[ $name != system ]] ;;
    esac || {
        echo "version_malloc_library is \`$name\`" >&2
        return 1
    }
}

# statements NUMBER: of a client with its own table.
statements()
{
    local engine=InnoDB
    (($1 % 2)) || engine=Aria
    cat <<EOF
CREATE TABLE t$1 (id INT PRIMARY KEY, name VARCHAR(200), body MEDIUMTEXT, KEY (name))
    ENGINE = $engine;
INSERT INTO t$1 SELECT seq, SHA2(seq * $1, 256), REPEAT(MD5(seq), 1 + seq % 60) FROM seq_1_to_2500;
UPDATE t$1 SET body = CONCAT(body, name) WHERE id % 7 = 0;
DELETE FROM t$1 WHERE id % 11 = 0;
ALTER TABLE t$1 ADD COLUMN more INT DEFAULT 3, ADD KEY (more, name);
SELECT $1, COUNT(*), SUM(LENGTH(body)), MD5(GROUP_CONCAT(name ORDER BY name)) FROM t$1;
SELECT BIT_XOR(CRC32(body)), BIT_XOR(CRC32(j)) FROM
    (SELECT body, JSON_OBJECT('id', id, 'name', name, 'body', LEFT(body, 100)) j FROM t$1) x;
SELECT a.name, COUNT(*) c FROM t$1 a JOIN t$1 b ON LEFT(a.name, 2) = LEFT(b.name, 2)
    GROUP BY a.name ORDER BY c DESC, a.name LIMIT 3;
EOF
}

session()
{
    local number clients=() user=()
    [[ $(id -u) != 0 ]] || user=(--user=root)
    prove /usr/sbin/mariadbd --no-defaults --version
    mkdir data
    start mariadb.log /usr/sbin/mariadbd --no-defaults "${user[@]}" --datadir="$PWD/data" \
        --socket="$PWD/mariadb.sock" --skip-networking --skip-grant-tables \
        --innodb-buffer-pool-size=32M --innodb-log-file-size=8M --group-concat-max-len=10000000 \
        --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync \
        --innodb-data-file-path=ibdata1:5M:autoextend --innodb-fast-shutdown=2
    wait_for client -e 'SELECT 1'
    prove_pid "$server_pid"
    check_name
    client -e 'CREATE DATABASE work'
    for number in 1 2 3 4; do
        statements "$number" | client work >"answers.$number" &
        clients+=($!)
    done
    for number in 1 2 3 4; do
        wait "${clients[number - 1]}"
        cat "answers.$number"
    done
    client work -e 'CHECK TABLE t1, t2, t3, t4; CHECKSUM TABLE t1, t2, t3, t4'
    client -e 'DROP DATABASE work'
    stop "$server_pid" TERM
}

run_program
