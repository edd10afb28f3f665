-- Top-N over rows that are only added: every change, with the rank and without.

SET 'table.exec.mini-batch.enabled' = 'false';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE best_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'best_log');
INSERT INTO best_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM events) WHERE rn <= 3;

CREATE TABLE ranked_log (id INT, k INT, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'ranked_log');
INSERT INTO ranked_log SELECT id, k, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM events) WHERE rn <= 3;

CREATE TABLE top_log (id INT, k INT, d DECIMAL(10, 2))
WITH ('connector' = 'print', 'print-identifier' = 'top_log');
INSERT INTO top_log SELECT id, k, d
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY d DESC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE top_ranked_log (id INT, k INT, d DECIMAL(10, 2), rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'top_ranked_log');
INSERT INTO top_ranked_log SELECT id, k, d, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY d DESC) AS rn FROM events) WHERE rn = 1;

CREATE TABLE range_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'range_log');
INSERT INTO range_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS rn FROM events) WHERE rn BETWEEN 2 AND 4;

CREATE TABLE range_ranked_log (id INT, k INT, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'range_ranked_log');
INSERT INTO range_ranked_log SELECT id, k, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS rn FROM events) WHERE rn > 1 AND rn < 4;

CREATE TABLE third_log (id INT, k INT, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'third_log');
INSERT INTO third_log SELECT id, k, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, id) AS rn FROM events) WHERE rn = 3;

CREATE TABLE words_log (id INT, s STRING, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'words_log');
INSERT INTO words_log SELECT id, s, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY s DESC, v) AS rn FROM events) WHERE rn <= 2;

CREATE TABLE nulls_log (id INT, k INT, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'nulls_log');
INSERT INTO nulls_log SELECT id, k, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v NULLS LAST, id) AS rn FROM events) WHERE rn <= 2;

CREATE TABLE two_keys_log (id INT, k INT, s STRING, v INT)
WITH ('connector' = 'print', 'print-identifier' = 'two_keys_log');
INSERT INTO two_keys_log SELECT id, k, s, v
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, s ORDER BY v DESC) AS rn FROM events) WHERE rn <= 1;

CREATE TABLE everywhere_log (id INT, v INT, rn BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'everywhere_log');
INSERT INTO everywhere_log SELECT id, v, rn
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY v DESC, id DESC) AS rn FROM events) WHERE rn <= 5;

CREATE TABLE computed_log (id INT, k INT, x INT)
WITH ('connector' = 'print', 'print-identifier' = 'computed_log');
INSERT INTO computed_log SELECT id, k, x
FROM (SELECT id, k, v * v AS x, ROW_NUMBER() OVER (PARTITION BY k + 1 ORDER BY v * v DESC, id) AS rn FROM events) WHERE rn <= 2 AND x > 10;
