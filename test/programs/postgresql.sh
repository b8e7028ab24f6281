#!/bin/bash
#
# postgresql.sh - PostgreSQL: initdb, pgbench with four clients, queries, dump and restart.
#
# pgbench's transactions are random with a seed and add up: balances, tellers, branches and
# history must have one sum.  Compared: those sums, query results and the dump's checksum.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
postgres=/usr/lib/postgresql/15/bin
need $postgres/pgbench postgresql-15

# PostgreSQL refuses to run as root.
user=()
if [[ $(id -u) == 0 ]]; then
    user=(runuser -u nobody --)
fi

# The variables of the preload come after the change of user: they are meant for the server.
as_user()
{
    "${user[@]}" env "${preload[@]}" "$@"
}

query()
{
    as_user $postgres/psql -h "$PWD" -d bench -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

start_postgres()
{
    "${user[@]}" env "${preload[@]}" $postgres/postgres -D data -k "$PWD" -c listen_addresses= \
        -c fsync=off -c shared_buffers=32MB -c max_connections=20 -c jit=off \
        -c max_parallel_workers_per_gather=2 -c autovacuum_naptime=1s -c work_mem=2MB \
        >>postgres.log 2>&1 &
    # This is runuser, which passes signals on and waits; the postmaster is its child.
    server_pids+=($!)
    wait_for as_user $postgres/pg_isready -q -h "$PWD"
    prove_pid "$(head -n 1 data/postmaster.pid)"
}

stop_postgres()
{
    as_user $postgres/pg_ctl stop -D data -m fast -s -w
    wait "${server_pids[-1]}"
}

check_sums()
{
    query -c "SELECT (SELECT sum(abalance) FROM pgbench_accounts),
        (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches),
        (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)"
}

session()
{
    [[ $(id -u) != 0 ]] || chown nobody .
    prove $postgres/postgres --version
    as_user $postgres/initdb -D data -A trust --no-sync --locale=C -E UTF8 -U "$(as_user id -un)" \
        >initdb.log
    start_postgres
    as_user $postgres/createdb -h "$PWD" bench
    as_user $postgres/pgbench -h "$PWD" -q -i -s 2 bench >pgbench.log 2>&1
    as_user $postgres/pgbench -h "$PWD" -c 4 -j 2 -t 400 --random-seed=42 -M prepared bench \
        >>pgbench.log 2>&1
    as_user $postgres/pgbench -h "$PWD" -n -c 4 -j 2 -t 60 --random-seed=43 -C bench \
        >>pgbench.log 2>&1
    check_sums
    query <<'EOF'
SET synchronous_commit = off;
CREATE TABLE words AS SELECT i, md5(i::text) AS word, repeat(chr(97 + i % 26), i % 300) AS long
    FROM generate_series(1, 60000) AS i;
CREATE INDEX ON words(word);
CREATE INDEX ON words USING gin (to_tsvector('simple', word));
ANALYZE words;
SELECT substr(word, 1, 1), count(*), sum(length(long)) FROM words GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM words a JOIN words b ON a.word < b.word AND a.i = b.i + 1;
SELECT md5(string_agg(word, ',' ORDER BY word)) FROM words;
SELECT md5(jsonb_agg(jsonb_build_object('i', i, 'w', word) ORDER BY i)::text) FROM words;
DO $$ DECLARE r record; n int := 0; BEGIN
    FOR r IN SELECT * FROM words ORDER BY long, word LOOP n := n + length(r.word); END LOOP;
    RAISE NOTICE 'length %', n; END $$;
SELECT md5(string_agg(tid || ':' || tbalance, ',' ORDER BY tid)) FROM pgbench_tellers;
SELECT count(*) FROM words WHERE word ~ '^[0-9]{4}.*[a-f]{3}';
EOF
    # \restrict and \unrestrict carry a random word.
    as_user $postgres/pg_dump -h "$PWD" -t words bench | grep -vE '^\\(un)?restrict ' | sha256sum
    stop_postgres
    start_postgres
    check_sums
    stop_postgres
}

run_program
