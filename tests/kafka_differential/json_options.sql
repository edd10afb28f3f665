-- JSON, written with the options of its encoder.

CREATE TABLE source (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, bin BYTES, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), tz TIMESTAMP_LTZ(3), arr ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, n ROW<c STRING>>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:types.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

CREATE TABLE target (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, bin BYTES, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), tz TIMESTAMP_LTZ(3), arr ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, n ROW<c STRING>>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json', 'json.encode.ignore-null-fields' = 'true', 'json.encode.decimal-as-plain-number' = 'true',
  'json.timestamp-format.standard' = 'ISO-8601'
);

INSERT INTO target SELECT id, b, ti, si, l, f, d, num, s, bin, dt, tm, ts, tz, arr, m, r FROM source;
