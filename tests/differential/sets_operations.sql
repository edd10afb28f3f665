-- UNION, INTERSECT and EXCEPT, with and without ALL, over rows and over results that change.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE union_one (k INT) WITH ('connector' = 'print', 'print-identifier' = 'union_one');
CREATE TABLE union_rows (k INT, s STRING) WITH ('connector' = 'print', 'print-identifier' = 'union_rows');
CREATE TABLE union_all_then_union (k INT) WITH ('connector' = 'print', 'print-identifier' = 'union_all_then_union');
CREATE TABLE union_then_all (k INT) WITH ('connector' = 'print', 'print-identifier' = 'union_then_all');
CREATE TABLE union_types (k BIGINT, v DECIMAL(12, 2)) WITH ('connector' = 'print', 'print-identifier' = 'union_types');
CREATE TABLE intersect_one (k INT, s STRING) WITH ('connector' = 'print', 'print-identifier' = 'intersect_one');
CREATE TABLE intersect_keys (k INT) WITH ('connector' = 'print', 'print-identifier' = 'intersect_keys');
CREATE TABLE intersect_all_keys (k INT) WITH ('connector' = 'print', 'print-identifier' = 'intersect_all_keys');
CREATE TABLE intersect_nulls (s STRING) WITH ('connector' = 'print', 'print-identifier' = 'intersect_nulls');
CREATE TABLE intersect_all_nulls (name STRING, city STRING) WITH ('connector' = 'print', 'print-identifier' = 'intersect_all_nulls');
CREATE TABLE except_one (k INT) WITH ('connector' = 'print', 'print-identifier' = 'except_one');
CREATE TABLE except_rows (k INT, name STRING) WITH ('connector' = 'print', 'print-identifier' = 'except_rows');
CREATE TABLE except_all_keys (k INT) WITH ('connector' = 'print', 'print-identifier' = 'except_all_keys');
CREATE TABLE except_all_rows (name STRING, city STRING) WITH ('connector' = 'print', 'print-identifier' = 'except_all_rows');
CREATE TABLE except_nothing (k INT) WITH ('connector' = 'print', 'print-identifier' = 'except_nothing');
CREATE TABLE chain (k INT) WITH ('connector' = 'print', 'print-identifier' = 'chain');
CREATE TABLE precedence (k INT) WITH ('connector' = 'print', 'print-identifier' = 'precedence');
CREATE TABLE brackets (k INT) WITH ('connector' = 'print', 'print-identifier' = 'brackets');
CREATE TABLE of_groups (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups');
CREATE TABLE of_groups_all (n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups_all');
CREATE TABLE of_groups_union (n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups_union');
CREATE TABLE groups_above (n INT, c BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'groups_above');
CREATE TABLE with_ (k INT) WITH ('connector' = 'print', 'print-identifier' = 'with_');
CREATE TABLE distinct_ (k INT, city STRING) WITH ('connector' = 'print', 'print-identifier' = 'distinct_');
CREATE TABLE distinct_of_groups (n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_of_groups');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO union_one
SELECT k FROM events UNION SELECT k FROM people;

INSERT INTO union_rows
SELECT k, s FROM events UNION SELECT k, city FROM people;

INSERT INTO union_all_then_union
SELECT k FROM events WHERE v > 40 UNION ALL SELECT k FROM people WHERE k < 4 UNION SELECT 7;

INSERT INTO union_then_all
SELECT k FROM events UNION SELECT k FROM people UNION ALL SELECT k FROM rates WHERE k < 3;

INSERT INTO union_types
SELECT k, v FROM events WHERE id < 50 UNION SELECT CAST(k AS BIGINT), d FROM events WHERE id < 60;

INSERT INTO intersect_one
SELECT k, s FROM events INTERSECT SELECT k, s FROM events WHERE id > 560;

INSERT INTO intersect_keys
SELECT k FROM people INTERSECT SELECT k FROM rates;

INSERT INTO intersect_all_keys
SELECT k FROM people INTERSECT ALL SELECT k FROM rates;

INSERT INTO intersect_nulls
SELECT s FROM events INTERSECT SELECT name FROM people WHERE name IS NULL;

INSERT INTO intersect_all_nulls
SELECT name, city FROM people INTERSECT ALL SELECT name, city FROM people WHERE id > 20;

INSERT INTO except_one
SELECT k FROM events EXCEPT SELECT k FROM people WHERE city = 'Oslo';

INSERT INTO except_rows
SELECT k, name FROM people EXCEPT SELECT k, name FROM people WHERE city IN ('Lima', 'Cairo');

INSERT INTO except_all_keys
SELECT k FROM events WHERE id < 100 EXCEPT ALL SELECT k FROM people;

INSERT INTO except_all_rows
SELECT name, city FROM people EXCEPT ALL SELECT name, city FROM people WHERE id > 30;

INSERT INTO except_nothing
SELECT k FROM people EXCEPT SELECT k FROM people;

INSERT INTO chain
SELECT k FROM events EXCEPT SELECT k FROM people WHERE city = 'Lima' UNION SELECT 100;

INSERT INTO precedence
SELECT k FROM events WHERE v = 50 UNION ALL SELECT k FROM people INTERSECT SELECT k FROM rates WHERE rate > 700;

INSERT INTO brackets
(SELECT k FROM events UNION SELECT 200) EXCEPT (SELECT k FROM people WHERE city = 'Oslo' UNION SELECT 200);

INSERT INTO of_groups
SELECT k, COUNT(*) AS n FROM people GROUP BY k EXCEPT SELECT k, COUNT(*) FROM rates GROUP BY k;

INSERT INTO of_groups_all
SELECT COUNT(*) AS n FROM people GROUP BY k INTERSECT ALL SELECT COUNT(*) FROM people GROUP BY city, k;

INSERT INTO of_groups_union
SELECT COUNT(*) AS n FROM people GROUP BY k UNION SELECT COUNT(*) FROM rates GROUP BY k;

INSERT INTO groups_above
SELECT n, COUNT(*) AS c FROM (SELECT k AS n FROM people INTERSECT ALL SELECT k FROM events) GROUP BY n;

INSERT INTO with_
WITH a AS (SELECT DISTINCT k FROM people), b AS (SELECT k FROM rates WHERE rate > 500) SELECT k FROM a EXCEPT SELECT k FROM b;

INSERT INTO distinct_
SELECT DISTINCT k, city FROM people;

INSERT INTO distinct_of_groups
SELECT DISTINCT n FROM (SELECT COUNT(*) AS n FROM people GROUP BY k);

END;
