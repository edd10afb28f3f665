-- IN, EXISTS, ANY and ALL in WHERE and HAVING, under AND, OR and NOT.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE in_one (id INT, k INT) WITH ('connector' = 'print', 'print-identifier' = 'in_one');
CREATE TABLE in_and (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_and');
CREATE TABLE in_two (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_two');
CREATE TABLE in_types (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_types');
CREATE TABLE in_groups (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_groups');
CREATE TABLE in_correlated (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_correlated');
CREATE TABLE in_correlated_more (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_correlated_more');
CREATE TABLE not_in (id INT, k INT) WITH ('connector' = 'print', 'print-identifier' = 'not_in');
CREATE TABLE not_in_nulls (id INT) WITH ('connector' = 'print', 'print-identifier' = 'not_in_nulls');
CREATE TABLE not_in_known (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'not_in_known');
CREATE TABLE not_in_empty (id INT) WITH ('connector' = 'print', 'print-identifier' = 'not_in_empty');
CREATE TABLE in_or (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_or');
CREATE TABLE in_or_in (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_or_in');
CREATE TABLE not_or (id INT) WITH ('connector' = 'print', 'print-identifier' = 'not_or');
CREATE TABLE exists_one (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_one');
CREATE TABLE exists_more (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_more');
CREATE TABLE exists_unequal (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_unequal');
CREATE TABLE exists_or (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_or');
CREATE TABLE exists_any (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_any');
CREATE TABLE exists_none (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_none');
CREATE TABLE exists_nested (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_nested');
CREATE TABLE exists_nested_out (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_nested_out');
CREATE TABLE exists_groups (id INT) WITH ('connector' = 'print', 'print-identifier' = 'exists_groups');
CREATE TABLE not_exists_one (id INT) WITH ('connector' = 'print', 'print-identifier' = 'not_exists_one');
CREATE TABLE not_exists_all (id INT) WITH ('connector' = 'print', 'print-identifier' = 'not_exists_all');
CREATE TABLE of_groups (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups');
CREATE TABLE not_of_groups (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'not_of_groups');
CREATE TABLE having_in (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'having_in');
CREATE TABLE having_scalar (k INT, n INT) WITH ('connector' = 'print', 'print-identifier' = 'having_scalar');
CREATE TABLE any_equal (id INT) WITH ('connector' = 'print', 'print-identifier' = 'any_equal');
CREATE TABLE any_greater (id INT) WITH ('connector' = 'print', 'print-identifier' = 'any_greater');
CREATE TABLE some_less (id INT) WITH ('connector' = 'print', 'print-identifier' = 'some_less');
CREATE TABLE all_greater (id INT) WITH ('connector' = 'print', 'print-identifier' = 'all_greater');
CREATE TABLE all_nulls (id INT) WITH ('connector' = 'print', 'print-identifier' = 'all_nulls');
CREATE TABLE all_unequal (id INT) WITH ('connector' = 'print', 'print-identifier' = 'all_unequal');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO in_one
SELECT id, k FROM people WHERE k IN (SELECT k FROM rates WHERE rate > 850);

INSERT INTO in_and
SELECT id FROM people WHERE city = 'Oslo' AND k IN (SELECT k FROM rates WHERE rate > 700) AND id > 10;

INSERT INTO in_two
SELECT id FROM people WHERE (k, id) IN (SELECT k, id FROM events WHERE v > 0);

INSERT INTO in_types
SELECT id FROM people WHERE k IN (SELECT CAST(v AS BIGINT) FROM events);

INSERT INTO in_groups
SELECT id FROM people WHERE k IN (SELECT k FROM events GROUP BY k HAVING COUNT(*) > 40);

INSERT INTO in_correlated
SELECT id FROM people AS p WHERE id IN (SELECT id FROM events AS e WHERE e.k = p.k);

INSERT INTO in_correlated_more
SELECT id FROM people AS p WHERE k IN (SELECT k FROM events AS e WHERE e.id = p.id AND e.v > 0);

INSERT INTO not_in
SELECT id, k FROM people WHERE k NOT IN (SELECT k FROM rates WHERE rate > 850);

INSERT INTO not_in_nulls
SELECT id FROM events WHERE v NOT IN (SELECT v FROM events WHERE id < 50);

INSERT INTO not_in_known
SELECT id, v FROM events WHERE v NOT IN (SELECT v FROM events WHERE id < 200 AND v IS NOT NULL);

INSERT INTO not_in_empty
SELECT id FROM people WHERE k NOT IN (SELECT k FROM rates WHERE rate < -1);

INSERT INTO in_or
SELECT id FROM people WHERE k IN (SELECT k FROM rates WHERE rate > 850) OR city = 'Lima';

INSERT INTO in_or_in
SELECT id FROM people WHERE k IN (SELECT k FROM rates WHERE rate > 850) OR id IN (SELECT v FROM events WHERE v > 30);

INSERT INTO not_or
SELECT id FROM people WHERE NOT (k IN (SELECT k FROM rates WHERE rate > 850) OR city = 'Lima');

INSERT INTO exists_one
SELECT id FROM people AS p WHERE EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND r.rate > 800);

INSERT INTO exists_more
SELECT id FROM people AS p WHERE EXISTS (SELECT * FROM events AS e WHERE e.k = p.k AND e.v > p.id);

INSERT INTO exists_unequal
SELECT id FROM people AS p WHERE EXISTS (SELECT * FROM events AS e WHERE e.v > p.id AND e.s = 'red');

INSERT INTO exists_or
SELECT id FROM people AS p WHERE EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND r.rate > 850) OR id < 5;

INSERT INTO exists_any
SELECT id FROM people WHERE EXISTS (SELECT 1 FROM rates WHERE rate > 1);

INSERT INTO exists_none
SELECT id FROM people WHERE EXISTS (SELECT 1 FROM rates WHERE rate < -1);

INSERT INTO exists_nested
SELECT id FROM people AS p WHERE EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND EXISTS (SELECT 1 FROM events AS e WHERE e.k = r.k AND e.v > 45));

INSERT INTO exists_nested_out
SELECT id FROM people AS p WHERE EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND EXISTS (SELECT 1 FROM events AS e WHERE e.k = r.k AND e.id = p.id));

INSERT INTO exists_groups
SELECT id FROM people AS p WHERE EXISTS (SELECT k FROM events AS e WHERE e.k = p.k GROUP BY k HAVING SUM(v) > 0);

INSERT INTO not_exists_one
SELECT id FROM people AS p WHERE NOT EXISTS (SELECT 1 FROM rates AS r WHERE r.k = p.k AND r.rate > 800);

INSERT INTO not_exists_all
SELECT id FROM people WHERE NOT EXISTS (SELECT 1 FROM rates WHERE rate < -1);

INSERT INTO of_groups
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM people GROUP BY k) AS g WHERE n IN (SELECT COUNT(*) FROM rates GROUP BY k);

INSERT INTO not_of_groups
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM people GROUP BY k) AS g WHERE NOT EXISTS (SELECT 1 FROM (SELECT k, COUNT(*) AS m FROM rates GROUP BY k) AS r WHERE r.m = g.n);

INSERT INTO having_in
SELECT k, COUNT(*) AS n FROM people GROUP BY k HAVING k IN (SELECT k FROM rates WHERE rate > 800);

INSERT INTO having_scalar
SELECT k, SUM(v) AS n FROM events GROUP BY k HAVING SUM(v) > (SELECT AVG(v) FROM events);

INSERT INTO any_equal
SELECT id FROM people WHERE k = ANY (SELECT k FROM rates WHERE rate > 800);

INSERT INTO any_greater
SELECT id FROM people WHERE id > ANY (SELECT v FROM events WHERE v > 40);

INSERT INTO some_less
SELECT id FROM people WHERE id < SOME (SELECT v FROM events WHERE v < 30);

INSERT INTO all_greater
SELECT id FROM people WHERE id > ALL (SELECT v FROM events WHERE v IS NOT NULL);

INSERT INTO all_nulls
SELECT id FROM people WHERE id >= ALL (SELECT v FROM events);

INSERT INTO all_unequal
SELECT id FROM people WHERE id <> ALL (SELECT v FROM events WHERE v > 20);

END;
