-- Whole numbers and doubles.

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE ints (
  id INT,
  c1 INT,
  c2 INT,
  c3 INT,
  c4 INT,
  c5 INT,
  c6 INT,
  c7 BIGINT,
  c8 INT,
  c9 INT,
  c10 DOUBLE,
  c11 BIGINT,
  c12 DOUBLE,
  c13 DOUBLE
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/ints', 'format' = 'json'
);
INSERT INTO ints SELECT
  id,
  i + 1,
  -i,
  i * 3,
  i / 2,
  i % 5,
  MOD(i, 3),
  CAST(i AS BIGINT) * i,
  ABS(i),
  SIGN(i),
  POWER(id, 2),
  i + CAST(1 AS BIGINT),
  i / 2.0e0,
  i + d
FROM numbers
WHERE i IS NOT NULL;

CREATE TABLE doubles (
  id INT,
  c1 DOUBLE,
  c2 DOUBLE,
  c3 DOUBLE,
  c4 DOUBLE,
  c5 DOUBLE,
  c6 DOUBLE,
  c7 DOUBLE,
  c8 DOUBLE,
  c9 DOUBLE,
  c10 DOUBLE
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/doubles', 'format' = 'json'
);
INSERT INTO doubles SELECT
  id,
  d * 2,
  d / 3,
  FLOOR(d),
  CEIL(d),
  ROUND(d, 1),
  ROUND(d),
  ABS(d),
  SQRT(ABS(d)),
  SIGN(d),
  CAST(i AS FLOAT) + d
FROM numbers
WHERE i IS NOT NULL;
