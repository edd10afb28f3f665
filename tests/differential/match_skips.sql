-- MATCH_RECOGNIZE: where the search goes on, WITHIN, what comes behind a match.

CREATE TABLE ticks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, price INT, tax INT, ev STRING, f DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/match/ticks.ndjson', 'format' = 'json'
);

CREATE TABLE past_last WITH ('connector' = 'filesystem', 'path' = '${OUT}/past_last', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(id) AS a, LAST(id) AS z, SUM(A.price) AS s
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+ C)
  DEFINE A AS SUM(A.price) < 40
) AS m;

CREATE TABLE next_row WITH ('connector' = 'filesystem', 'path' = '${OUT}/next_row', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(id) AS a, LAST(id) AS z, SUM(A.price) AS s
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A+ C)
  DEFINE A AS SUM(A.price) < 40
) AS m;

CREATE TABLE to_last WITH ('connector' = 'filesystem', 'path' = '${OUT}/to_last', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(id) AS a, LAST(id) AS z, SUM(A.price) AS s
  AFTER MATCH SKIP TO LAST A
  PATTERN (S A+ C)
  DEFINE A AS SUM(A.price) < 40
) AS m;

CREATE TABLE to_first WITH ('connector' = 'filesystem', 'path' = '${OUT}/to_first', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES S.id AS s, FIRST(A.id) AS a, C.id AS z
  AFTER MATCH SKIP TO FIRST A
  PATTERN (S A+? C)
  DEFINE A AS A.price > 5, C AS C.tax = 1
) AS m;

CREATE TABLE to_variable WITH ('connector' = 'filesystem', 'path' = '${OUT}/to_variable', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES S.id AS s, C.id AS z
  AFTER MATCH SKIP TO C
  PATTERN (S A* C)
  DEFINE A AS A.price > S.price, C AS C.price <= S.price
) AS m;

CREATE TABLE within_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/within_', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, C.id AS c, COUNT(B.id) AS n
  PATTERN (A B* C) WITHIN INTERVAL '6' SECOND
  DEFINE B AS B.price > 6, C AS C.price <= 6
) AS m;

CREATE TABLE within_past WITH ('connector' = 'filesystem', 'path' = '${OUT}/within_past', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, C.id AS c, COUNT(B.id) AS n
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B*? C) WITHIN INTERVAL '10' SECOND
  DEFINE A AS A.ev = 'A', C AS C.ev = 'C'
) AS m;

CREATE TABLE held_back WITH ('connector' = 'filesystem', 'path' = '${OUT}/held_back', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, LAST(B.id) AS b, C.id AS c
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B{3,5}? C) WITHIN INTERVAL '15' SECOND
  DEFINE A AS A.price > 4, B AS B.price > 2, C AS C.ev = 'C' OR C.price > A.price + 5
) AS m;

CREATE TABLE held_for_ever WITH ('connector' = 'filesystem', 'path' = '${OUT}/held_for_ever', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, LAST(B.id) AS b, C.id AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B{1,6}? C)
  DEFINE A AS A.price > 4, B AS B.price > 2, C AS C.price > A.price + 3
) AS m;

CREATE VIEW rises AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES MATCH_ROWTIME(ts) AS rt, B.price - A.price AS d
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C)
  DEFINE B AS B.price > LAST(price, 1), C AS C.price <= B.price
);

CREATE TABLE counted WITH ('connector' = 'filesystem', 'path' = '${OUT}/counted', 'format' = 'json')
AS SELECT window_start, window_end, k, COUNT(*) AS n, SUM(d) AS d
FROM TABLE(TUMBLE(TABLE rises, DESCRIPTOR(rt), INTERVAL '20' SECOND)) GROUP BY window_start, window_end, k;

CREATE TABLE rowtime WITH ('connector' = 'filesystem', 'path' = '${OUT}/rowtime', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES MATCH_ROWTIME() AS rt, A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.ev = A.ev
) AS m;

CREATE TABLE by_clock WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_clock', 'format' = 'json')
AS SELECT * FROM (SELECT *, PROCTIME() AS p FROM ticks) MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY p
  MEASURES A.id AS a, B.id AS b
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B)
  DEFINE B AS B.price > A.price
) AS m;

CREATE TABLE filtered_behind WITH ('connector' = 'filesystem', 'path' = '${OUT}/filtered_behind', 'format' = 'json')
AS SELECT a, p + 1 AS q FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.price AS p
  PATTERN (A B)
  DEFINE B AS B.ev = A.ev
) AS m WHERE p > 10;
