-- tables.sql - joins, sorts, JSON and an index over ROWS rows, in memory; ROWS is replaced.
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city INTEGER, about TEXT);
CREATE TABLE event(person INTEGER, at INTEGER, kind TEXT, amount REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO person SELECT i, hex(i * 2654435761 % 4294967296), i * 31 % 500,
    printf('%.*c', i % 200, 'x') || ' about ' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3 * ROWS)
INSERT INTO event SELECT i * 48271 % ROWS + 1, i, substr('abcdefgh', i % 8 + 1, 1), i % 977 / 4.0
FROM n;
CREATE INDEX event_person ON event(person, at);
SELECT city, count(*), sum(amount) FROM event JOIN person ON person.id = event.person
    GROUP BY city ORDER BY 3 DESC, 1 LIMIT 5;
SELECT kind, count(DISTINCT person), round(avg(amount), 3) FROM event GROUP BY kind;
SELECT length(group_concat(name)), max(name) FROM (SELECT name FROM person ORDER BY about);
SELECT sum(json_extract(document, '$.list[2]')), count(*) FROM (
    SELECT json_object('id', id, 'list', json_array(id, city, id + city)) AS document FROM person);
DELETE FROM event WHERE at % 3 = 0;
UPDATE person SET about = upper(about) WHERE id % 5 = 0;
SELECT count(*), sum(at), sum(amount) FROM event;
