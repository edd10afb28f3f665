-- Casts between numbers, text, dates and booleans.

CREATE TABLE types (
  id INT, t TINYINT, s SMALLINT, i INT, b BIGINT, f FLOAT, d DOUBLE, `dec` DECIMAL(10, 3), big DECIMAL(38, 18),
  c CHAR(5), v VARCHAR(5), `by` BYTES, bo BOOLEAN, da DATE, ti TIME,
  ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/types.ndjson', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE to_text (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 STRING,
  c6 STRING,
  c7 STRING,
  c8 STRING,
  c9 STRING,
  c10 STRING,
  c11 STRING,
  c12 STRING,
  c13 STRING,
  c14 STRING,
  c15 STRING,
  c16 STRING,
  c17 STRING,
  c18 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/to_text', 'format' = 'json'
);
INSERT INTO to_text SELECT
  id,
  CAST(t AS STRING),
  CAST(s AS STRING),
  CAST(i AS STRING),
  CAST(b AS STRING),
  CAST(f AS STRING),
  CAST(d AS STRING),
  CAST(`dec` AS STRING),
  CAST(big AS STRING),
  CAST(c AS STRING),
  CAST(v AS STRING),
  CAST(bo AS STRING),
  CAST(da AS STRING),
  CAST(ti AS STRING),
  CAST(ts0 AS STRING),
  CAST(ts3 AS STRING),
  CAST(ts6 AS STRING),
  CAST(ts9 AS STRING),
  CAST(ltz AS STRING)
FROM types;

CREATE TABLE numbers_ (
  id INT,
  c1 BIGINT,
  c2 DOUBLE,
  c3 FLOAT,
  c4 DECIMAL(20, 2),
  c5 DECIMAL(10, 1),
  c6 INT,
  c7 BIGINT,
  c8 DOUBLE,
  c9 DECIMAL(5, 0),
  c10 INT,
  c11 TINYINT,
  c12 SMALLINT,
  c13 INT,
  c14 BIGINT,
  c15 BOOLEAN,
  c16 INT,
  c17 DECIMAL(38, 2),
  c18 FLOAT
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/numbers_', 'format' = 'json'
);
INSERT INTO numbers_ SELECT
  id,
  CAST(t AS BIGINT),
  CAST(i AS DOUBLE),
  CAST(s AS FLOAT),
  CAST(i AS DECIMAL(20, 2)),
  CAST(`dec` AS DECIMAL(10, 1)),
  CAST(`dec` AS INT),
  CAST(`dec` AS BIGINT),
  CAST(`dec` AS DOUBLE),
  CAST(`dec` AS DECIMAL(5, 0)),
  TRY_CAST(v AS INT),
  CAST(i AS TINYINT),
  CAST(b AS SMALLINT),
  CAST(f AS INT),
  CAST(d AS BIGINT),
  CAST(i AS BOOLEAN),
  CAST(bo AS INT),
  CAST(big AS DECIMAL(38, 2)),
  CAST(d AS FLOAT)
FROM types;

CREATE TABLE times_ (
  id INT,
  c1 TIMESTAMP(3),
  c2 DATE,
  c3 TIME,
  c4 TIMESTAMP(0),
  c5 TIMESTAMP(9),
  c6 TIMESTAMP(3),
  c7 DATE,
  c8 TIMESTAMP(6),
  c9 TIMESTAMP(3),
  c10 TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/times_', 'format' = 'json'
);
INSERT INTO times_ SELECT
  id,
  CAST(da AS TIMESTAMP(3)),
  CAST(IF(ts3 > TIMESTAMP '1970-01-01 00:00:00', ts3, ts0) AS DATE),
  CAST(IF(ts3 > TIMESTAMP '1970-01-01 00:00:00', ts3, ts0) AS TIME),
  CAST(ts9 AS TIMESTAMP(0)),
  CAST(ts3 AS TIMESTAMP(9)),
  CAST(ts6 AS TIMESTAMP(3)),
  CAST(CAST(da AS STRING) AS DATE),
  CAST(CAST(ts6 AS STRING) AS TIMESTAMP(6)),
  CAST(ltz AS TIMESTAMP(3)),
  CAST(ts3 AS TIMESTAMP_LTZ(3))
FROM types;

CREATE TABLE lengths (
  id INT,
  c1 CHAR(3),
  c2 VARCHAR(2),
  c3 CHAR(8),
  c4 STRING,
  c5 STRING,
  c6 BYTES
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/lengths', 'format' = 'json'
);
INSERT INTO lengths SELECT
  id,
  CAST(i AS CHAR(3)),
  CAST(v AS VARCHAR(2)),
  CAST(v AS CHAR(8)),
  CAST(c AS STRING),
  CAST(`by` AS STRING),
  CAST(v AS BYTES)
FROM types;
