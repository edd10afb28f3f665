-- Functions of one or two numbers, rounded: the last digit of a double is the library's.

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE r (
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
  c10 DOUBLE,
  c11 DOUBLE,
  c12 DOUBLE,
  c13 DOUBLE,
  c14 DOUBLE,
  c15 DOUBLE,
  c16 DOUBLE,
  c17 DOUBLE
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  ROUND(EXP(y), 9),
  ROUND(LN(y), 9),
  ROUND(LOG10(y), 9),
  ROUND(LOG2(y), 9),
  ROUND(LOG(2, y), 9),
  ROUND(SIN(y), 9),
  ROUND(COS(y), 9),
  ROUND(TAN(y), 9),
  ROUND(ATAN(y), 9),
  ROUND(ATAN2(CAST(y AS DOUBLE), 2e0), 9),
  ROUND(SINH(0.5), 9),
  ROUND(DEGREES(y), 9),
  ROUND(RADIANS(y), 9),
  ROUND(PI(), 9),
  ROUND(E(), 9),
  ROUND(SQRT(y), 9),
  ROUND(POWER(y, 0.5), 9)
FROM numbers
WHERE y < 10;
