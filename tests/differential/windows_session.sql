-- SESSION: by key, without key, named arguments, NULL keys.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE visits (
  id INT, ts TIMESTAMP(3), k STRING, v INT, WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/visits.ndjson', 'format' = 'json'
);

CREATE TABLE by_key WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_key', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS v
FROM TABLE(SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k;

CREATE TABLE whole WITH ('connector' = 'filesystem', 'path' = '${OUT}/whole', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, MAX(m) AS m
FROM TABLE(SESSION(TABLE clicks, DESCRIPTOR(ts), INTERVAL '8' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE named WITH ('connector' = 'filesystem', 'path' = '${OUT}/named', 'format' = 'json')
AS SELECT window_start, window_end, g, k, COUNT(*) AS n
FROM TABLE(SESSION(DATA => TABLE clicks PARTITION BY (g, k), TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '20' SECOND))
GROUP BY window_start, window_end, g, k;

CREATE TABLE distinct_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/distinct_', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(DISTINCT g) AS g, SUM(DISTINCT v) AS v, COUNT(*) FILTER (WHERE ok) AS yes
FROM TABLE(SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '15' SECOND)) GROUP BY window_start, window_end, k;

CREATE TABLE with_time WITH ('connector' = 'filesystem', 'path' = '${OUT}/with_time', 'format' = 'json')
AS SELECT window_start, window_time, k, COUNT(*) AS n
FROM TABLE(SESSION(TABLE visits PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, window_time, k;

CREATE TABLE long_ones WITH ('connector' = 'filesystem', 'path' = '${OUT}/long_ones', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n
FROM TABLE(SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '12' SECOND)) GROUP BY window_start, window_end, k HAVING COUNT(*) > 4;
