-- MATCH_RECOGNIZE: FIRST, LAST, offsets, aggregates, the default variable, the order among equal times.

CREATE TABLE ticks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, price INT, tax INT, ev STRING, f DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/match/ticks.ndjson', 'format' = 'json'
);

CREATE TABLE offsets WITH ('connector' = 'filesystem', 'path' = '${OUT}/offsets', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(A.id) AS a0, FIRST(A.id, 1) AS a1, FIRST(A.id, 5) AS a5, LAST(A.id, 1) AS z1, LAST(id, 2) AS any2, FIRST(id) AS first_id, id AS last_id
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B)
  DEFINE A AS A.price > 7, B AS LAST(id, 1) > 0 AND B.price <= 7
) AS m;

CREATE TABLE computed WITH ('connector' = 'filesystem', 'path' = '${OUT}/computed', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES LAST(A.price * A.tax) AS x, FIRST(A.price + 1, 1) AS y, A.price - B.price AS d, CASE WHEN COUNT(A.id) > 2 THEN 'long' ELSE 'short' END AS len
  PATTERN (A{1,3} B)
  DEFINE A AS A.price * A.tax > 10, B AS B.price * 2 < LAST(A.price + A.tax)
) AS m;

CREATE TABLE aggregates WITH ('connector' = 'filesystem', 'path' = '${OUT}/aggregates', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES SUM(price) AS s, SUM(A.price) AS sa, AVG(B.f) AS fb, MIN(A.price) AS mi, MAX(B.price) AS ma, COUNT(*) AS n, COUNT(tax) AS t
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B{2})
  DEFINE A AS SUM(A.price) < 40, B AS B.price > 3
) AS m;

CREATE TABLE sum_of_all WITH ('connector' = 'filesystem', 'path' = '${OUT}/sum_of_all', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(id) AS a, LAST(id) AS z, SUM(price) AS s
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C)
  DEFINE B AS SUM(price) < 50 AND COUNT(*) < 6, C AS SUM(price) >= 50 OR COUNT(B.id) > 3
) AS m;

CREATE TABLE average WITH ('connector' = 'filesystem', 'path' = '${OUT}/average', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(A.ts) AS s, LAST(A.ts) AS e, AVG(CAST(A.price AS DOUBLE)) AS a
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ B)
  DEFINE A AS AVG(CAST(A.price AS DOUBLE)) < 14
) AS m;

CREATE TABLE ordered WITH ('connector' = 'filesystem', 'path' = '${OUT}/ordered', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  ORDER BY ts ASC, price DESC, id
  MEASURES A.id AS a, B.id AS b, C.id AS c
  PATTERN (A B C)
  DEFINE B AS B.price >= A.price, C AS C.price < B.price
) AS m;

CREATE TABLE two_keys WITH ('connector' = 'filesystem', 'path' = '${OUT}/two_keys', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k, g ORDER BY ts
  MEASURES A.id AS a, B.id AS b
  PATTERN (A B)
  DEFINE B AS B.price > A.price
) AS m;

CREATE TABLE all_rows WITH ('connector' = 'filesystem', 'path' = '${OUT}/all_rows', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  ORDER BY ts, id
  MEASURES A.id AS a, LAST(B.id) AS b, C.k AS ck
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B+ C)
  DEFINE A AS A.ev = 'A', B AS B.k = 'a' OR B.k = 'b', C AS C.k = A.k
) AS m;

CREATE TABLE unknown_before WITH ('connector' = 'filesystem', 'path' = '${OUT}/unknown_before', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b
  PATTERN (A B)
  DEFINE A AS B.price IS NULL AND A.price > 5, B AS B.price > A.price
) AS m;

CREATE TABLE filtered WITH ('connector' = 'filesystem', 'path' = '${OUT}/filtered', 'format' = 'json')
AS SELECT * FROM (SELECT id, k, ts, price * 2 AS w FROM ticks WHERE price > 3) MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b, B.w AS w
  PATTERN (A B+? C)
  DEFINE B AS B.w > A.w, C AS C.w < B.w
) AS m;
