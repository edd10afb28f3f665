-- CSV read as Flink has written it; a null array, which is [NULL] there, left out.

CREATE TABLE source (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), arr ARRAY<STRING>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${FLINK:csv}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'csv', 'csv.null-literal' = 'NULL'
);

CREATE TABLE target (
  id INT, b BOOLEAN, ti TINYINT, si SMALLINT, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, dt DATE, tm TIME(0),
  ts TIMESTAMP(3)
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json'
);

INSERT INTO target SELECT id, b, ti, si, l, f, d, num, s, dt, tm, ts FROM source;
