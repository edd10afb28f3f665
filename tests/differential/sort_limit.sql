-- ORDER BY and LIMIT of a stream.

SET 'table.exec.mini-batch.enabled' = 'false';
SET 'parallelism.default' = '1';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE limited_log (id INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'limited_log');
INSERT INTO limited_log SELECT id, v FROM events LIMIT 7;

CREATE TABLE offset_log (id INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'offset_log');
INSERT INTO offset_log SELECT id, v FROM events LIMIT 4 OFFSET 10;

CREATE TABLE best_log (id INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'best_log');
INSERT INTO best_log SELECT id, v FROM events ORDER BY v DESC, id LIMIT 5;

CREATE TABLE best_offset_log (id INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'best_offset_log');
INSERT INTO best_offset_log SELECT id, v FROM events ORDER BY v, id LIMIT 3 OFFSET 2;

CREATE TABLE fetched_log (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'fetched_log');
INSERT INTO fetched_log SELECT id, s FROM events ORDER BY s, id FETCH FIRST 4 ROWS ONLY;

CREATE TABLE by_time_log (id INT, ts TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'by_time_log');
INSERT INTO by_time_log SELECT id, ts FROM events ORDER BY ts;

CREATE TABLE by_time_and_log (id INT, v INT, ts TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'by_time_and_log');
INSERT INTO by_time_and_log SELECT id, v, ts FROM events ORDER BY ts, v DESC;

CREATE TABLE groups_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'groups_log');
INSERT INTO groups_log SELECT k, COUNT(*) AS n FROM events GROUP BY k ORDER BY n, k LIMIT 3;

CREATE TABLE any_groups_log (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'any_groups_log');
INSERT INTO any_groups_log SELECT k, COUNT(*) AS n FROM events GROUP BY k LIMIT 3;

CREATE TABLE frequent (k INT, n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'frequent');
INSERT INTO frequent SELECT k, COUNT(*) AS n FROM events GROUP BY k ORDER BY n DESC, k LIMIT 3;
