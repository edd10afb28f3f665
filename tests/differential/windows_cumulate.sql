-- CUMULATE: steps, offset, keys, DISTINCT.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE by_key WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_key', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS v
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE all_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/all_', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, AVG(d) AS d
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR)) GROUP BY window_start, window_end;

CREATE TABLE named WITH ('connector' = 'filesystem', 'path' = '${OUT}/named', 'format' = 'json')
AS SELECT window_start, window_end, g, COUNT(*) AS n
FROM TABLE(CUMULATE(DATA => TABLE clicks, TIMECOL => DESCRIPTOR(ts), STEP => INTERVAL '30' SECOND, SIZE => INTERVAL '3' MINUTE))
GROUP BY window_start, window_end, g;

CREATE TABLE shifted WITH ('connector' = 'filesystem', 'path' = '${OUT}/shifted', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '4' MINUTE, INTERVAL '90' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE distinct_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/distinct_', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(DISTINCT k) AS k, COUNT(DISTINCT v) AS v
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '6' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE rows_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/rows_', 'format' = 'json')
AS SELECT id, window_start, window_end, window_time
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE)) WHERE id < 40;

CREATE TABLE in_days WITH ('connector' = 'filesystem', 'path' = '${OUT}/in_days', 'format' = 'json')
AS SELECT window_start, window_end, SUM(m) AS m, COUNT(m) AS n
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '6' HOUR, INTERVAL '2' DAY)) GROUP BY window_start, window_end;
