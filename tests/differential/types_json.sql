-- Every type from JSON to JSON and CSV.

CREATE TABLE types (
  id INT, t TINYINT, s SMALLINT, i INT, b BIGINT, f FLOAT, d DOUBLE, `dec` DECIMAL(10, 3), big DECIMAL(38, 18),
  c CHAR(5), v VARCHAR(5), `by` BYTES, bo BOOLEAN, da DATE, ti TIME,
  ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/types.ndjson', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE r (id INT, t TINYINT, s SMALLINT, i INT, b BIGINT, f FLOAT, d DOUBLE, `dec` DECIMAL(10, 3), big DECIMAL(38, 18),
  c CHAR(5), v VARCHAR(5), `by` BYTES, bo BOOLEAN, da DATE, ti TIME,
  ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE c (id INT, t TINYINT, s SMALLINT, i INT, b BIGINT, f FLOAT, d DOUBLE, `dec` DECIMAL(10, 3), big DECIMAL(38, 18),
  c CHAR(5), v VARCHAR(5), `by` BYTES, bo BOOLEAN, da DATE, ti TIME,
  ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/c', 'format' = 'csv'
);
INSERT INTO r SELECT * FROM types;
INSERT INTO c SELECT * FROM types;
