-- Windows in GROUP BY, the older way, and what belongs to them.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE tumble WITH ('connector' = 'filesystem', 'path' = '${OUT}/tumble', 'format' = 'json')
AS SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE) AS s, TUMBLE_END(ts, INTERVAL '1' MINUTE) AS e, k, COUNT(*) AS n, SUM(v) AS v
FROM clicks GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), k;

CREATE TABLE tumble_rowtime WITH ('connector' = 'filesystem', 'path' = '${OUT}/tumble_rowtime', 'format' = 'json')
AS SELECT TUMBLE_ROWTIME(ts, INTERVAL '10' MINUTE) AS r, COUNT(*) AS n, AVG(d) AS d
FROM clicks GROUP BY TUMBLE(ts, INTERVAL '10' MINUTE);

CREATE TABLE hop WITH ('connector' = 'filesystem', 'path' = '${OUT}/hop', 'format' = 'json')
AS SELECT HOP_START(ts, INTERVAL '1' MINUTE, INTERVAL '3' MINUTE) AS s, HOP_END(ts, INTERVAL '1' MINUTE, INTERVAL '3' MINUTE) AS e, COUNT(*) AS n
FROM clicks GROUP BY HOP(ts, INTERVAL '1' MINUTE, INTERVAL '3' MINUTE);

CREATE TABLE hop_gaps WITH ('connector' = 'filesystem', 'path' = '${OUT}/hop_gaps', 'format' = 'json')
AS SELECT HOP_START(ts, INTERVAL '3' MINUTE, INTERVAL '1' MINUTE) AS s, HOP_END(ts, INTERVAL '3' MINUTE, INTERVAL '1' MINUTE) AS e, k, COUNT(*) AS n
FROM clicks GROUP BY HOP(ts, INTERVAL '3' MINUTE, INTERVAL '1' MINUTE), k;

CREATE TABLE session_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/session_', 'format' = 'json')
AS SELECT SESSION_START(ts, INTERVAL '20' SECOND) AS s, SESSION_END(ts, INTERVAL '20' SECOND) AS e, SESSION_ROWTIME(ts, INTERVAL '20' SECOND) AS r, k, COUNT(*) AS n
FROM clicks GROUP BY SESSION(ts, INTERVAL '20' SECOND), k;

CREATE TABLE having_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/having_', 'format' = 'json')
AS SELECT TUMBLE_END(ts, INTERVAL '2' MINUTE) AS e, k, COUNT(DISTINCT v) AS n
FROM clicks WHERE g IS NOT NULL GROUP BY k, TUMBLE(ts, INTERVAL '2' MINUTE) HAVING COUNT(*) FILTER (WHERE ok) > 1;

CREATE TABLE twice WITH ('connector' = 'filesystem', 'path' = '${OUT}/twice', 'format' = 'json')
AS SELECT TUMBLE_START(r, INTERVAL '5' MINUTE) AS s, MAX(n) AS most, COUNT(*) AS windows
FROM (SELECT TUMBLE_ROWTIME(ts, INTERVAL '1' MINUTE) AS r, COUNT(*) AS n FROM clicks GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), k)
GROUP BY TUMBLE(r, INTERVAL '5' MINUTE);
