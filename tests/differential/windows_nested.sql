-- Windows over windows, the first rows of a window, its duplicates.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE coarser WITH ('connector' = 'filesystem', 'path' = '${OUT}/coarser', 'format' = 'json')
AS SELECT window_start, window_end, SUM(n) AS n, MAX(n) AS most FROM TABLE(TUMBLE((
  SELECT window_time AS t, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, window_time, k
), DESCRIPTOR(t), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE same_window WITH ('connector' = 'filesystem', 'path' = '${OUT}/same_window', 'format' = 'json')
AS SELECT window_start, window_end, MAX(n) AS most, COUNT(*) AS keys_ FROM (
  SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '4' MINUTE)) GROUP BY window_start, window_end, k
) GROUP BY window_start, window_end;

CREATE TABLE hop_of_tumble WITH ('connector' = 'filesystem', 'path' = '${OUT}/hop_of_tumble', 'format' = 'json')
AS SELECT window_start, k, SUM(n) AS n FROM TABLE(HOP((
  SELECT window_time AS t, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, window_time, k
), DESCRIPTOR(t), INTERVAL '2' MINUTE, INTERVAL '6' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE session_of_tumble WITH ('connector' = 'filesystem', 'path' = '${OUT}/session_of_tumble', 'format' = 'json')
AS SELECT window_start, window_end, k, SUM(n) AS n FROM TABLE(SESSION((
  SELECT window_time AS t, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time, k
) PARTITION BY k, DESCRIPTOR(t), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, k;

CREATE TABLE top_rows WITH ('connector' = 'filesystem', 'path' = '${OUT}/top_rows', 'format' = 'json')
AS SELECT window_start, k, id, v, rank_ FROM (
  SELECT window_start, window_end, k, id, v, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC, id) AS rank_
  FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) WHERE v IS NOT NULL) WHERE rank_ <= 3;

CREATE TABLE top_keys WITH ('connector' = 'filesystem', 'path' = '${OUT}/top_keys', 'format' = 'json')
AS SELECT window_start, k, n FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, k) AS r FROM (
    SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '3' MINUTE)) WHERE k IS NOT NULL GROUP BY window_start, window_end, k)
) WHERE r <= 2;

CREATE TABLE first_of_window WITH ('connector' = 'filesystem', 'path' = '${OUT}/first_of_window', 'format' = 'json')
AS SELECT window_start, k, id, s FROM (
  SELECT window_start, window_end, k, id, s, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts) AS r
  FROM TABLE(TUMBLE((SELECT * FROM clicks WHERE MOD(id, 7) = 0), DESCRIPTOR(ts), INTERVAL '5' MINUTE))) WHERE r = 1;

CREATE TABLE last_of_window WITH ('connector' = 'filesystem', 'path' = '${OUT}/last_of_window', 'format' = 'json')
AS SELECT window_start, k, id, s FROM (
  SELECT window_start, window_end, k, id, s, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS r
  FROM TABLE(TUMBLE((SELECT * FROM clicks WHERE MOD(id, 7) = 0), DESCRIPTOR(ts), INTERVAL '5' MINUTE))) WHERE r = 1;

CREATE TABLE top_of_hop WITH ('connector' = 'filesystem', 'path' = '${OUT}/top_of_hop', 'format' = 'json')
AS SELECT window_start, window_end, id, m, r FROM (
  SELECT window_start, window_end, id, m, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY m, id DESC) AS r
  FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '6' MINUTE)) WHERE m IS NOT NULL) WHERE r <= 2;
