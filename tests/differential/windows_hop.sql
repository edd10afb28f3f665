-- HOP: overlapping, with gaps, offset, and the rows themselves.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE overlap WITH ('connector' = 'filesystem', 'path' = '${OUT}/overlap', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS v
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE uneven WITH ('connector' = 'filesystem', 'path' = '${OUT}/uneven', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, MIN(d) AS lo, MAX(d) AS hi
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '40' SECOND, INTERVAL '80' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE named WITH ('connector' = 'filesystem', 'path' = '${OUT}/named', 'format' = 'json')
AS SELECT window_start, window_end, ok, COUNT(*) AS n, AVG(m) AS m
FROM TABLE(HOP(DATA => TABLE clicks, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '30' SECOND, SIZE => INTERVAL '2' MINUTE))
GROUP BY window_start, window_end, ok;

CREATE TABLE shifted WITH ('connector' = 'filesystem', 'path' = '${OUT}/shifted', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '3' MINUTE, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE equal_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/equal_', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '2' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE distinct_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/distinct_', 'format' = 'json')
AS SELECT window_start, COUNT(DISTINCT k) AS k, COUNT(DISTINCT v) AS v, COUNT(DISTINCT g) AS g
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE rows_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/rows_', 'format' = 'json')
AS SELECT id, ts, window_start, window_end, CAST(window_time AS TIMESTAMP(3)) AS t
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE)) WHERE id < 40;

CREATE TABLE share WITH ('connector' = 'filesystem', 'path' = '${OUT}/share', 'format' = 'json')
AS SELECT window_end, k, COUNT(*) FILTER (WHERE v > 10) * 100 / COUNT(*) AS share_, MAX(ts) AS latest
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '15' MINUTE)) GROUP BY window_start, window_end, k HAVING COUNT(*) > 3;
