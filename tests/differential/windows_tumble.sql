-- TUMBLE: sizes, offsets, named arguments, NULL keys and values, HAVING, FILTER, DISTINCT.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE by_key WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_key', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS v, MIN(id) AS first_id
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE named WITH ('connector' = 'filesystem', 'path' = '${OUT}/named', 'format' = 'json')
AS SELECT window_start, window_end, g, ok, COUNT(*) AS n, SUM(m) AS m
FROM TABLE(TUMBLE(DATA => TABLE clicks, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '5' MINUTE))
GROUP BY window_start, window_end, g, ok;

CREATE TABLE shifted WITH ('connector' = 'filesystem', 'path' = '${OUT}/shifted', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, MAX(d) AS d
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '3' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE shifted_back WITH ('connector' = 'filesystem', 'path' = '${OUT}/shifted_back', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '-2' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE global_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/global_', 'format' = 'json')
AS SELECT COUNT(*) AS n, COUNT(DISTINCT k) AS k, COUNT(v) AS v, AVG(v) AS a, AVG(m) AS am
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end;

CREATE TABLE having_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/having_', 'format' = 'json')
AS SELECT window_start, k, COUNT(*) AS n, SUM(v) AS v
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, k
HAVING COUNT(*) > 2 AND SUM(v) BETWEEN 10 AND 80;

CREATE TABLE filtered WITH ('connector' = 'filesystem', 'path' = '${OUT}/filtered', 'format' = 'json')
AS SELECT window_end, COUNT(*) FILTER (WHERE ok) AS yes, COUNT(*) FILTER (WHERE NOT ok) AS no_, COUNT(*) FILTER (WHERE ok IS NULL) AS unset_,
  SUM(v) FILTER (WHERE k = 'a') AS of_a, MAX(s) FILTER (WHERE v > 20) AS s
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE distinct_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/distinct_', 'format' = 'json')
AS SELECT window_start, k, COUNT(DISTINCT v) AS dv, SUM(DISTINCT v) AS sv, AVG(DISTINCT v) AS av, COUNT(DISTINCT s) AS ds,
  COUNT(DISTINCT g) FILTER (WHERE ok) AS dg, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE where_before WITH ('connector' = 'filesystem', 'path' = '${OUT}/where_before', 'format' = 'json')
AS SELECT window_start, UPPER(k) AS k, SUM(v + 1) * 2 AS v, COUNT(*) + 0.5 AS n
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '3' MINUTE)) WHERE v >= 0 AND k <> 'd' GROUP BY window_start, window_end, UPPER(k);

CREATE TABLE select_distinct WITH ('connector' = 'filesystem', 'path' = '${OUT}/select_distinct', 'format' = 'json')
AS SELECT DISTINCT window_start, window_end, k, ok
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE));

CREATE TABLE rows_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/rows_', 'format' = 'json')
AS SELECT id, ts, window_start, window_end, CAST(window_time AS TIMESTAMP(3)) AS t
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '15' SECOND)) WHERE id < 60;

CREATE TABLE of_a_view WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_a_view', 'format' = 'json')
AS SELECT window_start, window_time, name, n FROM (
  SELECT window_start, window_end, window_time, name, COUNT(*) AS n
  FROM TABLE(TUMBLE((SELECT ts, k || '!' AS name FROM clicks WHERE v IS NOT NULL), DESCRIPTOR(ts), INTERVAL '1' HOUR))
  GROUP BY window_start, window_end, window_time, name);
