-- OVER in order of time: each row once.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE so_far (id INT, total INT, n BIGINT, mean INT, least INT, greatest INT) WITH ('connector' = 'print', 'print-identifier' = 'so_far');
INSERT INTO so_far SELECT id, SUM(v) OVER w, COUNT(*) OVER w, AVG(v) OVER w, MIN(v) OVER w, MAX(v) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts);

CREATE TABLE so_far_rows (id INT, total INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'so_far_rows');
INSERT INTO so_far_rows SELECT id, SUM(v) OVER w, COUNT(s) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TABLE last_rows (id INT, total INT, n BIGINT, f INT, l INT, greatest INT) WITH ('connector' = 'print', 'print-identifier' = 'last_rows');
INSERT INTO last_rows SELECT id, SUM(v) OVER w, COUNT(*) OVER w, FIRST_VALUE(v) OVER w, LAST_VALUE(v) OVER w, MAX(v) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW);

CREATE TABLE many_rows (id INT, total INT, n BIGINT, least INT) WITH ('connector' = 'print', 'print-identifier' = 'many_rows');
INSERT INTO many_rows SELECT id, SUM(v) OVER w, COUNT(*) OVER w, MIN(v) OVER w FROM events WINDOW w AS (PARTITION BY MOD(k, 2) ORDER BY ts ROWS BETWEEN 60 PRECEDING AND CURRENT ROW);

CREATE TABLE last_seconds (id INT, total INT, n BIGINT, greatest INT) WITH ('connector' = 'print', 'print-identifier' = 'last_seconds');
INSERT INTO last_seconds SELECT id, SUM(v) OVER w, COUNT(*) OVER w, MAX(v) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' SECOND PRECEDING AND CURRENT ROW);

CREATE TABLE last_minutes (id INT, total INT, mean DECIMAL(38, 6)) WITH ('connector' = 'print', 'print-identifier' = 'last_minutes');
INSERT INTO last_minutes SELECT id, SUM(v) OVER w, AVG(d) OVER w FROM events WINDOW w AS (ORDER BY ts RANGE BETWEEN INTERVAL '2' MINUTE PRECEDING AND CURRENT ROW);

CREATE TABLE all_rows (id INT, total INT) WITH ('connector' = 'print', 'print-identifier' = 'all_rows');
INSERT INTO all_rows SELECT id, SUM(v) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM events;

CREATE TABLE numbers (id INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'numbers');
INSERT INTO numbers SELECT id, ROW_NUMBER() OVER (PARTITION BY s ORDER BY ts) FROM events;

CREATE TABLE distinct_so_far (id INT, words BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_so_far');
INSERT INTO distinct_so_far SELECT id, COUNT(DISTINCT s) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM events;

CREATE TABLE distinct_rows (id INT, words BIGINT, total INT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_rows');
INSERT INTO distinct_rows SELECT id, COUNT(DISTINCT s) OVER w, SUM(DISTINCT v) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);

CREATE TABLE filtered (id INT, total INT) WITH ('connector' = 'print', 'print-identifier' = 'filtered');
INSERT INTO filtered SELECT id, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM events WHERE v IS NOT NULL AND s <> 'red';

CREATE TABLE joined (id INT, l STRING) WITH ('connector' = 'print', 'print-identifier' = 'joined');
INSERT INTO joined SELECT id, LISTAGG(s) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM events WHERE s <> '';

