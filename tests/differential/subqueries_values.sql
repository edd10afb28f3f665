-- Sub-queries that stand for values: scalar ones, IN and EXISTS in SELECT, in CASE and in aggregates.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE scalar_where (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_where');
CREATE TABLE scalar_where_both (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_where_both');
CREATE TABLE scalar_single (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_single');
CREATE TABLE scalar_or (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_or');
CREATE TABLE scalar_none (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_none');
CREATE TABLE scalar_select (id INT, top DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'scalar_select');
CREATE TABLE scalar_select_none (id INT, nothing DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'scalar_select_none');
CREATE TABLE scalar_arithmetic (k INT, less BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_arithmetic');
CREATE TABLE correlated_max (id INT, top INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_max');
CREATE TABLE correlated_count (id INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_count');
CREATE TABLE correlated_single (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_single');
CREATE TABLE correlated_where (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_where');
CREATE TABLE correlated_above (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_above');
CREATE TABLE correlated_unequal (id INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_unequal');
CREATE TABLE correlated_unequal_where (id INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_unequal_where');
CREATE TABLE correlated_sum (id INT, later INT) WITH ('connector' = 'print', 'print-identifier' = 'correlated_sum');
CREATE TABLE in_value (id INT, is_in BOOLEAN) WITH ('connector' = 'print', 'print-identifier' = 'in_value');
CREATE TABLE in_value_nulls (id INT, is_in BOOLEAN) WITH ('connector' = 'print', 'print-identifier' = 'in_value_nulls');
CREATE TABLE not_in_value (id INT, is_out BOOLEAN) WITH ('connector' = 'print', 'print-identifier' = 'not_in_value');
CREATE TABLE exists_value (id INT, has BOOLEAN) WITH ('connector' = 'print', 'print-identifier' = 'exists_value');
CREATE TABLE exists_all_value (id INT, has BOOLEAN) WITH ('connector' = 'print', 'print-identifier' = 'exists_all_value');
CREATE TABLE in_case (id INT, what CHAR(4)) WITH ('connector' = 'print', 'print-identifier' = 'in_case');
CREATE TABLE in_aggregate (city STRING, n INT) WITH ('connector' = 'print', 'print-identifier' = 'in_aggregate');
CREATE TABLE of_groups (k INT, n BIGINT, top DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'of_groups');
CREATE TABLE nested (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'nested');
CREATE TABLE values_compared (id INT) WITH ('connector' = 'print', 'print-identifier' = 'values_compared');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO scalar_where
SELECT id FROM people WHERE id > (SELECT MAX(v) FROM events);

INSERT INTO scalar_where_both
SELECT id FROM people WHERE id > (SELECT MIN(v) FROM events) + (SELECT MAX(v) FROM events WHERE v < 10);

INSERT INTO scalar_single
SELECT id FROM people WHERE id > (SELECT id FROM people WHERE id = 80);

INSERT INTO scalar_or
SELECT id FROM people WHERE id > (SELECT MAX(v) FROM events) OR city = 'Oslo';

INSERT INTO scalar_none
SELECT id FROM people WHERE id > (SELECT id FROM people WHERE id = 8000);

INSERT INTO scalar_select
SELECT id, (SELECT MAX(rate) FROM rates) AS top FROM people WHERE id < 10;

INSERT INTO scalar_select_none
SELECT id, (SELECT rate FROM rates WHERE rate < -1) AS nothing FROM people WHERE id < 10;

INSERT INTO scalar_arithmetic
SELECT k, n - (SELECT COUNT(*) FROM rates) AS less FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k);

INSERT INTO correlated_max
SELECT id, (SELECT MAX(v) FROM events AS e WHERE e.k = p.k) AS top FROM people AS p;

INSERT INTO correlated_count
SELECT id, (SELECT COUNT(*) FROM events AS e WHERE e.k = p.k AND e.v > 45) AS n FROM people AS p;

INSERT INTO correlated_single
SELECT id, (SELECT v FROM events AS e WHERE e.id = p.id) AS v FROM people AS p;

INSERT INTO correlated_where
SELECT id, v FROM events AS e WHERE v = (SELECT MAX(v) FROM events AS f WHERE f.k = e.k);

INSERT INTO correlated_above
SELECT id, v FROM events AS e WHERE v > (SELECT AVG(v) FROM events AS f WHERE f.k = e.k) AND s = 'red';

INSERT INTO correlated_unequal
SELECT id, (SELECT COUNT(*) FROM rates AS r WHERE r.rate < p.id * 10) AS n FROM people AS p;

INSERT INTO correlated_unequal_where
SELECT id FROM people AS p WHERE id < (SELECT COUNT(*) FROM rates AS r WHERE r.k <= p.k);

INSERT INTO correlated_sum
SELECT id, (SELECT SUM(v) FROM events AS e WHERE e.k = p.k AND e.id > p.id) AS later FROM people AS p WHERE p.id < 30;

INSERT INTO in_value
SELECT id, k IN (SELECT k FROM rates WHERE rate > 800) AS is_in FROM people;

INSERT INTO in_value_nulls
SELECT id, v IN (SELECT v FROM events WHERE id < 30) AS is_in FROM events WHERE id < 80;

INSERT INTO not_in_value
SELECT id, v NOT IN (SELECT v FROM events WHERE id < 20 AND v IS NOT NULL) AS is_out FROM events WHERE id < 80;

INSERT INTO exists_value
SELECT id, EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND r.rate > 850) AS has FROM people AS p;

INSERT INTO exists_all_value
SELECT id, EXISTS (SELECT 1 FROM rates WHERE rate < -1) AS has FROM people WHERE id < 5;

INSERT INTO in_case
SELECT id, CASE WHEN k IN (SELECT k FROM rates WHERE rate > 800) THEN 'high' WHEN EXISTS (SELECT 1 FROM events AS e WHERE e.id = p.id AND e.v > 0) THEN 'some' ELSE 'none' END AS what FROM people AS p;

INSERT INTO in_aggregate
SELECT city, SUM((SELECT MAX(k) FROM rates)) AS n FROM people GROUP BY city;

INSERT INTO of_groups
SELECT k, COUNT(*) AS n, (SELECT MAX(rate) FROM rates) AS top FROM people GROUP BY k;

INSERT INTO nested
SELECT id, (SELECT MAX(v) FROM events AS e WHERE e.k = p.k AND e.v < (SELECT MAX(id) FROM people)) AS v FROM people AS p;

INSERT INTO values_compared
SELECT id FROM people WHERE (SELECT COUNT(*) FROM events) > (SELECT COUNT(*) FROM rates) AND id < 5;

END;
