-- OVER in an order that is no time: every change.

SET 'table.exec.mini-batch.enabled' = 'false';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE by_value_log (id INT, v INT, total INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'by_value_log');
INSERT INTO by_value_log SELECT id, v, SUM(v) OVER w, COUNT(*) OVER w FROM events WHERE id < 200 WINDOW w AS (PARTITION BY k ORDER BY v);

CREATE TABLE by_value_rows (id INT, v INT, greatest DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'by_value_rows');
INSERT INTO by_value_rows SELECT id, v, MAX(d) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM events WHERE id < 200;

CREATE TABLE numbers (id INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'numbers');
INSERT INTO numbers SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id) FROM events WHERE id < 200;

CREATE TABLE by_text_log (id INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'by_text_log');
INSERT INTO by_text_log SELECT id, COUNT(*) OVER (PARTITION BY k ORDER BY s) FROM events WHERE id < 120;

CREATE TABLE of_counts (k INT, c BIGINT, total BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_counts');
INSERT INTO of_counts SELECT k, c, SUM(c) OVER (ORDER BY k) FROM (SELECT k, COUNT(*) AS c FROM events GROUP BY k);

CREATE TABLE of_counts_by_key (k INT, c BIGINT, p INT, total BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_counts_by_key');
INSERT INTO of_counts_by_key SELECT k, c, p, SUM(c) OVER (PARTITION BY p ORDER BY k) FROM (SELECT k, MOD(k, 3) AS p, COUNT(*) AS c FROM events GROUP BY k);

