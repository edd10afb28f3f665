-- Window joins of every kind; of rows and of aggregates.

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

CREATE TABLE inner_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/inner_', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r, l.k AS lk, r.k AS rk, COALESCE(l.window_start, r.window_start) AS w
FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l
INNER JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end;

CREATE TABLE left_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/left_', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r, l.k AS lk, r.k AS rk, COALESCE(l.window_start, r.window_start) AS w
FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l
LEFT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end;

CREATE TABLE right_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/right_', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r, l.k AS lk, r.k AS rk, COALESCE(l.window_start, r.window_start) AS w
FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l
RIGHT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end;

CREATE TABLE full_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/full_', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r, l.k AS lk, r.k AS rk, COALESCE(l.window_start, r.window_start) AS w
FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l
FULL JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end;

CREATE TABLE extra_condition WITH ('connector' = 'filesystem', 'path' = '${OUT}/extra_condition', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r, l.k AS lk, r.k AS rk, COALESCE(l.window_start, r.window_start) AS w
FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l
LEFT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r
ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end AND l.v > r.v;

CREATE TABLE windows_only WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows_only', 'format' = 'json')
AS SELECT l.id AS l, r.id AS r FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l JOIN (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r ON l.window_start = r.window_start AND l.window_end = r.window_end WHERE l.id < 60;

CREATE TABLE semi_in WITH ('connector' = 'filesystem', 'path' = '${OUT}/semi_in', 'format' = 'json')
AS SELECT l.id, l.k FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l WHERE l.k IN (SELECT k FROM (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end);

CREATE TABLE semi_exists WITH ('connector' = 'filesystem', 'path' = '${OUT}/semi_exists', 'format' = 'json')
AS SELECT l.id, l.k FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l WHERE EXISTS (SELECT * FROM (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r WHERE l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end);

CREATE TABLE anti_exists WITH ('connector' = 'filesystem', 'path' = '${OUT}/anti_exists', 'format' = 'json')
AS SELECT l.id, l.k FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l WHERE NOT EXISTS (SELECT * FROM (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r WHERE l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end);

CREATE TABLE anti_in WITH ('connector' = 'filesystem', 'path' = '${OUT}/anti_in', 'format' = 'json')
AS SELECT l.id, l.v FROM (SELECT * FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS l WHERE l.v NOT IN (SELECT v FROM (SELECT * FROM TABLE(TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '2' MINUTE))) AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end);

CREATE TABLE of_aggregates WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_aggregates', 'format' = 'json')
AS SELECT a.window_start, a.k, a.n AS clicks, b.n AS visits FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '3' MINUTE)) GROUP BY window_start, window_end, k) AS a
FULL JOIN (SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(HOP(TABLE visits, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '3' MINUTE)) GROUP BY window_start, window_end, k) AS b
ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end;

CREATE TABLE with_itself WITH ('connector' = 'filesystem', 'path' = '${OUT}/with_itself', 'format' = 'json')
AS SELECT a.window_start, a.k, a.n, b.total FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end, k) AS a
JOIN (SELECT window_start, window_end, COUNT(*) AS total FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end) AS b
ON a.window_start = b.window_start AND a.window_end = b.window_end;
