-- MATCH_RECOGNIZE: quantifiers, greedy and reluctant.

CREATE TABLE ticks (
  id INT, ts TIMESTAMP(3), k STRING, g INT, price INT, tax INT, ev STRING, f DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/match/ticks.ndjson', 'format' = 'json'
);

CREATE TABLE plain WITH ('connector' = 'filesystem', 'path' = '${OUT}/plain', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b, C.id AS c
  PATTERN (A B C)
  DEFINE A AS A.ev = 'A', B AS B.ev = 'B' OR B.ev = 'X', C AS C.price > 10
) AS m;

CREATE TABLE star WITH ('connector' = 'filesystem', 'path' = '${OUT}/star', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, COUNT(B.id) AS n, C.id AS c
  PATTERN (A B* C)
  DEFINE B AS B.price > A.price, C AS C.price < A.price
) AS m;

CREATE TABLE star_reluctant WITH ('connector' = 'filesystem', 'path' = '${OUT}/star_reluctant', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, COUNT(B.id) AS n, LAST(B.id) AS b, C.id AS c
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B*? C)
  DEFINE B AS B.price > 5, C AS C.tax = 2
) AS m;

CREATE TABLE plus WITH ('connector' = 'filesystem', 'path' = '${OUT}/plus', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(A.id) AS a, LAST(A.id) AS b, C.id AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A+ C)
  DEFINE A AS LAST(A.price, 1) IS NULL OR A.price >= LAST(A.price, 1), C AS C.price < LAST(A.price)
) AS m;

CREATE TABLE plus_reluctant_last WITH ('connector' = 'filesystem', 'path' = '${OUT}/plus_reluctant_last', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, LAST(B.id) AS b, COUNT(*) AS n
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+?)
  DEFINE A AS A.ev = 'A', B AS B.tax > 1
) AS m;

CREATE TABLE optional WITH ('connector' = 'filesystem', 'path' = '${OUT}/optional', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b, C.id AS c
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B? C)
  DEFINE A AS A.ev = 'A', B AS B.price > 12, C AS C.tax >= 2
) AS m;

CREATE TABLE optional_last WITH ('connector' = 'filesystem', 'path' = '${OUT}/optional_last', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B?)
  DEFINE A AS A.ev IN ('A', 'B'), B AS B.price > 12
) AS m;

CREATE TABLE exact WITH ('connector' = 'filesystem', 'path' = '${OUT}/exact', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES FIRST(A.id) AS a, LAST(A.id) AS z, B.id AS b
  PATTERN (A{3} B)
  DEFINE A AS A.price > 8, B AS B.price <= 8
) AS m;

CREATE TABLE between_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/between_', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES COUNT(A.id) AS n, LAST(A.id) AS z, B.id AS b
  PATTERN (A{2,4} B)
  DEFINE A AS A.price > 8, B AS B.price > 12
) AS m;

CREATE TABLE between_reluctant WITH ('connector' = 'filesystem', 'path' = '${OUT}/between_reluctant', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES COUNT(A.id) AS n, LAST(A.id) AS z, B.id AS b
  PATTERN (A{2,4}? B)
  DEFINE A AS A.price > 8, B AS B.price > 12
) AS m;

CREATE TABLE at_least WITH ('connector' = 'filesystem', 'path' = '${OUT}/at_least', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES COUNT(A.id) AS n, LAST(A.id) AS z, B.id AS b
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A{2,} B)
  DEFINE A AS A.price > 8
) AS m;

CREATE TABLE up_to WITH ('connector' = 'filesystem', 'path' = '${OUT}/up_to', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES COUNT(A.id) AS n, B.id AS b
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (B A{0,2} C)
  DEFINE A AS A.price > 8, B AS B.ev <> 'D', C AS C.ev <> 'A'
) AS m;

CREATE TABLE two_loops WITH ('connector' = 'filesystem', 'path' = '${OUT}/two_loops', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES COUNT(A.id) AS a, COUNT(B.id) AS b, C.id AS c
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A+? B+? C)
  DEFINE A AS A.price > 6, B AS B.price > 4, C AS C.tax = 3
) AS m;

CREATE TABLE many_optional WITH ('connector' = 'filesystem', 'path' = '${OUT}/many_optional', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES A.id AS a, B.id AS b, C.id AS c, D.id AS d
  PATTERN (A? B? C? D)
  DEFINE A AS A.ev = 'A', B AS B.tax = 2, C AS C.price > 10, D AS D.g = 1
) AS m;

CREATE TABLE late_loop WITH ('connector' = 'filesystem', 'path' = '${OUT}/late_loop', 'format' = 'json')
AS SELECT * FROM ticks MATCH_RECOGNIZE (
  PARTITION BY k ORDER BY ts
  MEASURES S.id AS s, COUNT(B.id) AS b, COUNT(C.id) AS c
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (S B+? C*?)
  DEFINE S AS S.ev = 'A', B AS B.tax = 2, C AS C.price > 10
) AS m;
