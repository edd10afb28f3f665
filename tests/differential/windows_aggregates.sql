-- Every aggregate function, over windows. What depends on the order has one row a group, or one order.

CREATE TABLE clicks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, v INT, d DOUBLE, m DECIMAL(10, 2), s STRING, ok BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/clicks.ndjson', 'format' = 'json'
);

CREATE TABLE numbers WITH ('connector' = 'filesystem', 'path' = '${OUT}/numbers', 'format' = 'json')
AS SELECT window_start, COUNT(v) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS lo, MAX(v) AS hi, STDDEV_POP(v) AS sp, STDDEV_SAMP(v) AS ss, VAR_POP(v) AS vp, VAR_SAMP(v) AS vs, VARIANCE(v) AS va
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE decimals WITH ('connector' = 'filesystem', 'path' = '${OUT}/decimals', 'format' = 'json')
AS SELECT window_start, k, COUNT(m) AS c, SUM(m) AS s, AVG(m) AS a, MIN(m) AS lo, MAX(m) AS hi
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE doubles WITH ('connector' = 'filesystem', 'path' = '${OUT}/doubles', 'format' = 'json')
AS SELECT window_start, k, SUM(d) AS s, AVG(d) AS a, MIN(d) AS lo, MAX(d) AS hi, SUM(CAST(d AS FLOAT)) AS sf
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE spread WITH ('connector' = 'filesystem', 'path' = '${OUT}/spread', 'format' = 'json')
AS SELECT window_start, ROUND(STDDEV_POP(d), 6) AS sp, ROUND(STDDEV_SAMP(d), 6) AS ss, ROUND(VAR_POP(d), 6) AS vp, ROUND(VAR_SAMP(d), 6) AS vs
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE others WITH ('connector' = 'filesystem', 'path' = '${OUT}/others', 'format' = 'json')
AS SELECT window_start, k, MIN(s) AS s0, MAX(s) AS s1, MIN(ts) AS t0, MAX(ts) AS t1, MAX(CAST(ts AS DATE)) AS da, COUNT(DISTINCT ok) AS o
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE small_types WITH ('connector' = 'filesystem', 'path' = '${OUT}/small_types', 'format' = 'json')
AS SELECT window_start, SUM(CAST(v AS TINYINT)) AS t, AVG(CAST(v AS SMALLINT)) AS s, SUM(CAST(v AS BIGINT)) AS b, MIN(CAST(v AS TINYINT)) AS mt, AVG(CAST(v AS BIGINT)) AS ab
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE in_order WITH ('connector' = 'filesystem', 'path' = '${OUT}/in_order', 'format' = 'json')
AS SELECT window_start, FIRST_VALUE(id) AS f, LAST_VALUE(id) AS l, FIRST_VALUE(s) AS fs, LAST_VALUE(v) AS lv, LISTAGG(s) AS ls, LISTAGG(CAST(id AS STRING), '-') AS li
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE single_rows WITH ('connector' = 'filesystem', 'path' = '${OUT}/single_rows', 'format' = 'json')
AS SELECT window_start, id, FIRST_VALUE(v) AS f, LAST_VALUE(s) AS l, LISTAGG(s) AS li, ARRAY_AGG(v) AS aa, JSON_ARRAYAGG(v) AS ja, JSON_ARRAYAGG(v NULL ON NULL) AS jn,
  JSON_OBJECTAGG(KEY 'v' VALUE v) AS jo, COLLECT(s) AS co, STDDEV_SAMP(v) AS ss, VAR_POP(d) AS vp
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE)) WHERE id < 80 GROUP BY window_start, window_end, id;

CREATE TABLE gathered WITH ('connector' = 'filesystem', 'path' = '${OUT}/gathered', 'format' = 'json')
AS SELECT window_start, k, ARRAY_AGG(id) AS ids, ARRAY_AGG(DISTINCT k) AS ks, JSON_ARRAYAGG(s) AS js
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k;

CREATE TABLE percentiles WITH ('connector' = 'filesystem', 'path' = '${OUT}/percentiles', 'format' = 'json')
AS SELECT window_start, PERCENTILE(v, 0.5) AS median, PERCENTILE(d, 0.9) AS p90, PERCENTILE(v, ARRAY[0.0, 0.25, 1.0]) AS some_, PERCENTILE(v, 0.5, g) AS weighted
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '3' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE objects WITH ('connector' = 'filesystem', 'path' = '${OUT}/objects', 'format' = 'json')
AS SELECT window_start, JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE v) AS o, JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE s ABSENT ON NULL) AS a
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end HAVING COUNT(*) = 1;

CREATE TABLE bitmaps WITH ('connector' = 'filesystem', 'path' = '${OUT}/bitmaps', 'format' = 'json')
AS SELECT window_start, BITMAP_BUILD_CARDINALITY_AGG(v) AS c, BITMAP_TO_STRING(BITMAP_BUILD_AGG(g)) AS b
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end;

CREATE TABLE not_a_number WITH ('connector' = 'filesystem', 'path' = '${OUT}/not_a_number', 'format' = 'json')
AS SELECT window_start, SUM(x) AS s, AVG(x) AS a, COUNT(DISTINCT x) AS n, COUNT(*) AS c
FROM (SELECT window_start, window_end, CASE WHEN g = 2 THEN CAST('NaN' AS DOUBLE) WHEN g = 3 THEN -d ELSE d END AS x
  FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND))) GROUP BY window_start, window_end;

CREATE TABLE sums_of_nothing WITH ('connector' = 'filesystem', 'path' = '${OUT}/sums_of_nothing', 'format' = 'json')
AS SELECT window_start, SUM(v) FILTER (WHERE FALSE) AS s, COUNT(v) FILTER (WHERE v > 1000) AS c, MIN(s) FILTER (WHERE v > 1000) AS m, AVG(m) FILTER (WHERE v > 1000) AS a, LISTAGG(s) FILTER (WHERE v > 1000) AS l
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
