-- Avro, read as Flink has written it.

CREATE TABLE source (
  id INT, b BOOLEAN, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, bin BYTES, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), arr ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, n ROW<c STRING>>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${FLINK:avro}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'avro'
);

CREATE TABLE target (
  id INT, b BOOLEAN, l BIGINT, f FLOAT, d DOUBLE, num DECIMAL(12, 3), s STRING, bin BYTES, dt DATE, tm TIME(0),
  ts TIMESTAMP(3), arr ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, n ROW<c STRING>>
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json'
);

INSERT INTO target SELECT id, b, l, f, d, num, s, bin, dt, tm, ts, arr, m, r FROM source;
