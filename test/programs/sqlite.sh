#!/bin/bash
#
# sqlite.sh - SQLite: tables, indexes, joins, windows, JSON, full text, vacuum, dump and reload.
#
# Compared: all it prints, with checksums of the tables.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/sqlite3 sqlite3

prepare()
{
    cat >work.sql <<'EOF'
PRAGMA journal_mode = wal;
PRAGMA synchronous = off;
PRAGMA cache_size = -8000;
PRAGMA threads = 2;
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city INTEGER, about TEXT);
CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE event(person INTEGER, at INTEGER, kind TEXT, amount REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO city SELECT i, 'city ' || (i * 7919 % 100003) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO person SELECT i, hex(i * 2654435761 % 4294967296), i * 31 % 500 + 1,
    printf('%.*c', i % 200, 'x') || ' about number ' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO event SELECT i * 48271 % 40000 + 1, i, substr('abcdefgh', i % 8 + 1, 1), i % 977 / 4.0
FROM n;
CREATE INDEX event_person ON event(person, at);
CREATE INDEX person_name ON person(name COLLATE NOCASE);
ANALYZE;
SELECT city.name, count(*), sum(amount) FROM event JOIN person ON person.id = event.person
    JOIN city ON city.id = person.city GROUP BY city.name ORDER BY 3 DESC, 1 LIMIT 5;
SELECT kind, count(DISTINCT person), round(avg(running), 3) FROM (
    SELECT kind, person, sum(amount) OVER (PARTITION BY kind ORDER BY at
        ROWS BETWEEN 20 PRECEDING AND CURRENT ROW) AS running FROM event) GROUP BY kind;
SELECT length(group_concat(name)), max(name), min(name)
    FROM (SELECT name FROM person ORDER BY about);
SELECT sum(json_extract(document, '$.list[2]')), count(*) FROM (
    SELECT json_object('id', id, 'list', json_array(id, city, id + city)) AS document FROM person);
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words SELECT about || ' ' || name FROM person WHERE id % 4 = 0;
INSERT INTO words(words) VALUES ('optimize');
SELECT count(*) FROM words WHERE words MATCH 'number AND 4*';
SAVEPOINT a;
DELETE FROM event WHERE at % 3 = 0;
UPDATE person SET about = upper(about) WHERE id % 5 = 0;
ROLLBACK TO a;
RELEASE a;
DELETE FROM event WHERE at % 7 = 0;
VACUUM;
PRAGMA integrity_check;
SELECT count(*), sum(at), sum(amount) FROM event;
EOF
}

session()
{
    prove /usr/bin/sqlite3 :memory: 'SELECT 1'
    under /usr/bin/sqlite3 -batch -bail work.db <"$XA_PROGRAMS_FOLDER/input/work.sql"
    under /usr/bin/sqlite3 -batch -bail work.db .dump >dump.sql
    # The dump of what was read back must be the dump.
    under /usr/bin/sqlite3 -batch -bail again.db <dump.sql
    under /usr/bin/sqlite3 -batch -bail again.db .dump >again.sql
    cmp dump.sql again.sql
    digest dump.sql
    under /usr/bin/sqlite3 -batch again.db '.sha3sum'
}

run_program
