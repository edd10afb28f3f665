-- DECIMAL: precision and scale of results, rounding.

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE r (
  id INT,
  c1 DECIMAL(11, 2),
  c2 DECIMAL(11, 2),
  c3 DECIMAL(16, 4),
  c4 DECIMAL(18, 8),
  c5 DECIMAL(5, 2),
  c6 DECIMAL(10, 2),
  c7 DECIMAL(10, 2),
  c8 DECIMAL(10, 0),
  c9 DECIMAL(10, 0),
  c10 DECIMAL(10, 1),
  c11 DECIMAL(10, 0),
  c12 DECIMAL(10, 1),
  c13 DECIMAL(20, 4),
  c14 DECIMAL(20, 4),
  c15 DOUBLE,
  c16 BOOLEAN,
  c17 BOOLEAN,
  c18 DECIMAL(38, 6),
  c19 STRING,
  c20 STRING,
  c21 STRING,
  c22 DECIMAL(12, 2)
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  x + y,
  x - y,
  x * y,
  x / y,
  MOD(x, y),
  ABS(x),
  -x,
  FLOOR(x),
  CEIL(x),
  ROUND(x, 1),
  ROUND(x, 0),
  TRUNCATE(x, 1),
  x * 1.05,
  x + i,
  x * d,
  x > y,
  x = 10.250,
  CAST(x AS DECIMAL(38, 6)) * CAST(y AS DECIMAL(38, 6)),
  CAST(x / y AS STRING),
  CAST(x * y AS STRING),
  CAST(x / 3 AS STRING),
  CASE WHEN x > 0 THEN x ELSE 0 END
FROM numbers;
