-- Windows and plain queries over generated inputs.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE plain (id INT, k INT, s STRING, v INT, d DECIMAL(10, 2))
WITH ('connector' = 'print', 'print-identifier' = 'plain');
INSERT INTO plain SELECT id, k, UPPER(s), v * 2, d FROM events WHERE v > 0 OR s IS NULL;

CREATE TABLE minutes_log (k INT, n BIGINT, total INT, w TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'minutes_log');
INSERT INTO minutes_log SELECT k, COUNT(*), SUM(v), window_end
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
