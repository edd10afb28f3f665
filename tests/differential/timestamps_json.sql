-- Timestamps of all precisions in JSON, in both standards.

CREATE TABLE types (
  id INT, t TINYINT, s SMALLINT, i INT, b BIGINT, f FLOAT, d DOUBLE, `dec` DECIMAL(10, 3), big DECIMAL(38, 18),
  c CHAR(5), v VARCHAR(5), `by` BYTES, bo BOOLEAN, da DATE, ti TIME,
  ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/types.ndjson', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE iso (id INT, ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/iso.ndjson', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE sql_out (id INT, ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3), da DATE, ti TIME) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/sql_out', 'format' = 'json'
);
INSERT INTO sql_out SELECT id, ts0, ts3, ts6, ts9, ltz, da, ti FROM types;

CREATE TABLE iso_out (id INT, ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/iso_out', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
INSERT INTO iso_out SELECT * FROM iso;

CREATE TABLE iso_as_sql (id INT, ts0 TIMESTAMP(3), ts3 TIMESTAMP(6), ltz TIMESTAMP_LTZ(0)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/iso_as_sql', 'format' = 'json'
);
INSERT INTO iso_as_sql SELECT id, CAST(ts0 AS TIMESTAMP(3)), CAST(ts3 AS TIMESTAMP(6)), CAST(ltz AS TIMESTAMP_LTZ(0)) FROM iso;

CREATE TABLE csv_out (id INT, ts0 TIMESTAMP(0), ts3 TIMESTAMP(3), ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), ltz TIMESTAMP_LTZ(3), da DATE, ti TIME) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/csv_out', 'format' = 'csv'
);
INSERT INTO csv_out SELECT id, ts0, ts3, ts6, ts9, ltz, da, ti FROM types;
