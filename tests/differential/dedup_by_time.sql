-- Deduplication: first and last rows, by event and processing time.

SET 'table.exec.mini-batch.enabled' = 'false';
SET 'parallelism.default' = '1';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE last_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'last_log');
INSERT INTO last_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE first_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'first_log');
INSERT INTO first_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM events) WHERE rn = 1;

CREATE TABLE first_ranked_log (id INT, k INT, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'first_ranked_log');
INSERT INTO first_ranked_log SELECT id, k, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s, k ORDER BY ts ASC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE last_come_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'last_come_log');
INSERT INTO last_come_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY pt DESC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE first_come_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'first_come_log');
INSERT INTO first_come_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY pt) AS rn FROM events) WHERE rn = 1;

CREATE TABLE pairs_log (id INT, k INT, s STRING, ts TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'pairs_log');
INSERT INTO pairs_log SELECT id, k, s, ts
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, s ORDER BY ts DESC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE filtered_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'filtered_log');
INSERT INTO filtered_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM events) WHERE rn = 1 AND v > 0;

CREATE TABLE counted_log (s STRING, n BIGINT, total INT)
WITH ('connector' = 'print', 'print-identifier' = 'counted_log');
INSERT INTO counted_log SELECT s, COUNT(*), SUM(v)
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM events) WHERE rn = 1 GROUP BY s;


CREATE TABLE two_last_log (id INT, k INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'two_last_log');
INSERT INTO two_last_log SELECT id, k, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM events) WHERE rn <= 2;

CREATE TABLE of_groups_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'of_groups_log');
INSERT INTO of_groups_log SELECT k, n
FROM (SELECT k, n, ROW_NUMBER() OVER (PARTITION BY n ORDER BY k) AS rn
      FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn = 1;
