-- GROUPING SETS, ROLLUP, CUBE and GROUPING over windows.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE sets_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/sets_', 'format' = 'json')
AS SELECT window_start, window_end, k, g, COUNT(*) AS n, SUM(v) AS v
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, GROUPING SETS ((k), (g), ());

CREATE TABLE rollup_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/rollup_', 'format' = 'json')
AS SELECT window_start, k, ok, GROUPING(k) AS gk, GROUPING_ID(k, ok) AS gi, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '15' MINUTE)) GROUP BY window_start, window_end, ROLLUP (k, ok);

CREATE TABLE cube_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/cube_', 'format' = 'json')
AS SELECT window_start, k, g, ok, MAX(v) AS v, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '30' MINUTE)) GROUP BY window_start, window_end, CUBE (k, g, ok);

CREATE TABLE hop_cube WITH ('connector' = 'filesystem', 'path' = '${OUT}/hop_cube', 'format' = 'json')
AS SELECT window_start, k, ok, COUNT(DISTINCT v) AS v
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '20' MINUTE)) GROUP BY window_start, window_end, CUBE (k, ok);

CREATE TABLE cumulate_sets WITH ('connector' = 'filesystem', 'path' = '${OUT}/cumulate_sets', 'format' = 'json')
AS SELECT window_end, k, s, COUNT(*) AS n
FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) GROUP BY window_start, window_end, GROUPING SETS ((k, s), (s));

CREATE TABLE having_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/having_', 'format' = 'json')
AS SELECT window_start, k, g, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, GROUPING SETS ((k, g), ()) HAVING COUNT(*) > 5;
