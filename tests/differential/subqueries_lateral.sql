-- LATERAL sub-queries: filters, aggregates, the first rows for each row of the left.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE rows_of (id INT, rate DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'rows_of');
CREATE TABLE rows_of_cross (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'rows_of_cross');
CREATE TABLE rows_left (id INT, rate DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'rows_left');
CREATE TABLE rows_on (id INT, rate DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'rows_on');
CREATE TABLE rows_left_on (id INT, rate DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'rows_left_on');
CREATE TABLE unequal (id INT, k INT) WITH ('connector' = 'print', 'print-identifier' = 'unequal');
CREATE TABLE top_of (city STRING, id INT) WITH ('connector' = 'print', 'print-identifier' = 'top_of');
CREATE TABLE aggregate_of (id INT, n BIGINT, top INT) WITH ('connector' = 'print', 'print-identifier' = 'aggregate_of');
CREATE TABLE groups_of (id INT, s STRING, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'groups_of');
CREATE TABLE independent (id INT, top DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'independent');
CREATE TABLE two (id INT, v INT, rate DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'two');
CREATE TABLE unnested (id INT, e INT) WITH ('connector' = 'print', 'print-identifier' = 'unnested');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO rows_of
SELECT p.id, d.rate FROM people AS p, LATERAL (SELECT rate FROM rates AS r WHERE r.k = p.k AND r.rate > 700) AS d;

INSERT INTO rows_of_cross
SELECT p.id, d.v FROM people AS p CROSS JOIN LATERAL (SELECT v FROM events AS e WHERE e.id = p.id) AS d;

INSERT INTO rows_left
SELECT p.id, d.rate FROM people AS p LEFT JOIN LATERAL (SELECT rate FROM rates AS r WHERE r.k = p.k AND r.rate > 800) AS d ON TRUE;

INSERT INTO rows_on
SELECT p.id, d.rate FROM people AS p JOIN LATERAL (SELECT rate, k FROM rates AS r WHERE r.k = p.k) AS d ON d.rate > p.id * 10;

INSERT INTO rows_left_on
SELECT p.id, d.rate FROM people AS p LEFT JOIN LATERAL (SELECT rate FROM rates AS r WHERE r.k = p.k) AS d ON d.rate > 850;

INSERT INTO unequal
SELECT p.id, d.k FROM people AS p, LATERAL (SELECT k FROM rates AS r WHERE r.rate > p.id * 10 AND r.k < 3) AS d WHERE p.id > 60;

INSERT INTO top_of
SELECT g.city, d.id FROM (SELECT DISTINCT city FROM people) AS g, LATERAL (SELECT id, k FROM people WHERE city = g.city ORDER BY k DESC, id LIMIT 3) AS d;

INSERT INTO aggregate_of
SELECT p.id, d.n, d.top FROM people AS p, LATERAL (SELECT COUNT(*) AS n, MAX(v) AS top FROM events AS e WHERE e.k = p.k AND e.v > 40) AS d;

INSERT INTO groups_of
SELECT p.id, d.s, d.n FROM people AS p, LATERAL (SELECT s, COUNT(*) AS n FROM events AS e WHERE e.k = p.k GROUP BY s) AS d WHERE p.id < 20;

INSERT INTO independent
SELECT p.id, d.top FROM people AS p, LATERAL (SELECT MAX(rate) AS top FROM rates) AS d;

INSERT INTO two
SELECT p.id, d.v, f.rate FROM people AS p, LATERAL (SELECT v FROM events AS e WHERE e.id = p.id) AS d, LATERAL (SELECT MAX(rate) AS rate FROM rates AS r WHERE r.k = p.k) AS f;

INSERT INTO unnested
SELECT p.id, t.e FROM people AS p CROSS JOIN UNNEST(ARRAY[p.id, p.k]) AS t(e) WHERE t.e > 50;

END;
