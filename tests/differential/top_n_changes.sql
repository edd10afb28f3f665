-- Top-N over rows that change, Top-N over Top-N.

SET 'table.exec.mini-batch.enabled' = 'false';
SET 'parallelism.default' = '1';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE rare_log (k INT, n BIGINT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'rare_log');
INSERT INTO rare_log SELECT k, n, rn
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n, k) AS rn FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn <= 3;

CREATE TABLE rare_rows_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'rare_rows_log');
INSERT INTO rare_rows_log SELECT k, n
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n, k) AS rn FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn <= 3;

CREATE TABLE rarest_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'rarest_log');
INSERT INTO rarest_log SELECT k, n
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n, k) AS rn FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn = 1;

CREATE TABLE totals_log (s STRING, k INT, total INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'totals_log');
INSERT INTO totals_log SELECT s, k, total, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY total DESC, k) AS rn
      FROM (SELECT s, k, SUM(v) AS total FROM events GROUP BY s, k)) WHERE rn <= 2;

CREATE TABLE frequent (k INT, n BIGINT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'frequent');
INSERT INTO frequent SELECT k, n, rn
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n DESC, k) AS rn FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn <= 4;

CREATE TABLE frequent_rows (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'frequent_rows');
INSERT INTO frequent_rows SELECT k, n
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n DESC, k) AS rn FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k)) WHERE rn <= 4;

CREATE TABLE of_top_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'of_top_log');
INSERT INTO of_top_log SELECT k, COUNT(*)
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY v DESC, id) AS rn FROM events) WHERE rn <= 4 GROUP BY k;

CREATE TABLE top_of_top_log (id INT, v INT, r BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'top_of_top_log');
INSERT INTO top_of_top_log SELECT id, v, r FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY v, id) AS r
  FROM (SELECT id, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM events) WHERE rn <= 2
) WHERE r <= 3;

CREATE TABLE of_latest_log (id INT, v INT, r BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'of_latest_log');
INSERT INTO of_latest_log SELECT id, v, r FROM (
  SELECT id, v, ROW_NUMBER() OVER (ORDER BY v, id) AS r
  FROM (SELECT id, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY pt DESC) AS rn FROM events) WHERE rn = 1
) WHERE r <= 3;
