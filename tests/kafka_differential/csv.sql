-- CSV written: flat types, quotes, nulls.

CREATE TABLE source (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, bin BYTES, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), tz TIMESTAMP_LTZ(3), arr ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, n ROW<c STRING>>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:types.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

CREATE TABLE target (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), arr ARRAY<STRING>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'csv', 'csv.null-literal' = 'NULL'
);

INSERT INTO target SELECT id, b, ti, si, l, f, d, num, s, dt, tm, ts, arr FROM source;
