-- Regular joins of rows that change.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), p AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE both_change (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'both_change');
INSERT INTO both_change SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.k = b.k;

CREATE TABLE left_change (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'left_change');
INSERT INTO left_change SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
LEFT JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.k = b.k AND a.n > b.m;

CREATE TABLE right_change (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'right_change');
INSERT INTO right_change SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
RIGHT JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.k = b.k AND a.n > b.m;

CREATE TABLE full_change (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'full_change');
INSERT INTO full_change SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
FULL JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.k = b.k AND a.t > b.m;

CREATE TABLE key_changes (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'key_changes');
INSERT INTO key_changes SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.n = b.m;

CREATE TABLE key_changes_left (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'key_changes_left');
INSERT INTO key_changes_left SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
LEFT JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.n = b.m;

CREATE TABLE key_changes_full (k INT, n BIGINT, t INT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'key_changes_full');
INSERT INTO key_changes_full SELECT a.k, a.n, a.t, b.m FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
FULL JOIN (SELECT k, MAX(id) AS m, MIN(city) AS c FROM people GROUP BY k) AS b ON a.n = b.m;

CREATE TABLE one_changes (id INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'one_changes');
INSERT INTO one_changes SELECT p.id, a.n FROM people AS p JOIN (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a ON p.k = a.k;

CREATE TABLE one_changes_left (id INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'one_changes_left');
INSERT INTO one_changes_left SELECT p.id, a.n FROM people AS p
LEFT JOIN (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a ON p.k = a.k AND a.t > 20;

CREATE TABLE one_changes_right (id INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'one_changes_right');
INSERT INTO one_changes_right SELECT p.id, a.n FROM people AS p
RIGHT JOIN (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a ON p.k = a.k AND p.id > a.n;

CREATE TABLE semi_changes (id INT, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'semi_changes');
INSERT INTO semi_changes SELECT id, name FROM people
WHERE id IN (SELECT COUNT(*) FROM events GROUP BY k);

CREATE TABLE semi_changes_left (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'semi_changes_left');
INSERT INTO semi_changes_left SELECT k, n FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
WHERE EXISTS (SELECT 1 FROM people AS p WHERE p.id = a.n);

CREATE TABLE anti_changes (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'anti_changes');
INSERT INTO anti_changes SELECT k, n FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a
WHERE NOT EXISTS (SELECT 1 FROM people AS p WHERE p.id = a.n);

CREATE TABLE anti_changes_right (id INT, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'anti_changes_right');
INSERT INTO anti_changes_right SELECT id, name FROM people AS p
WHERE NOT EXISTS (SELECT 1 FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a WHERE a.n = p.id);

CREATE TABLE behind_a_join (city STRING, n BIGINT, m INT)
WITH ('connector' = 'print', 'print-identifier' = 'behind_a_join');
INSERT INTO behind_a_join SELECT p.city, COUNT(*), MAX(a.t) FROM people AS p
JOIN (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a ON p.k = a.k GROUP BY p.city;

CREATE TABLE behind_an_outer (city STRING, n BIGINT, m BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'behind_an_outer');
INSERT INTO behind_an_outer SELECT p.city, COUNT(*), COUNT(e.id) FROM people AS p
LEFT JOIN events AS e ON p.k = e.k AND e.v > 30 GROUP BY p.city;

CREATE TABLE few_columns (n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'few_columns');
INSERT INTO few_columns SELECT a.n FROM (SELECT k, COUNT(*) AS n, SUM(v) AS t FROM events GROUP BY k) AS a JOIN people AS p ON a.k = p.k;
