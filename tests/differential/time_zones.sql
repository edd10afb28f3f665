-- TIMESTAMP_LTZ in a zone with summer time.
SET 'table.local-time-zone' = 'Europe/Berlin';

CREATE TABLE times (id INT, ts TIMESTAMP(3), l TIMESTAMP_LTZ(3), d DATE, s STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/times.ndjson', 'format' = 'json'
);

CREATE TABLE r (
  id INT,
  c1 TIMESTAMP_LTZ(3),
  c2 STRING,
  c3 TIMESTAMP(3),
  c4 TIMESTAMP_LTZ(3),
  c5 DATE,
  c6 TIME,
  c7 BIGINT,
  c8 BIGINT,
  c9 STRING,
  c10 TIMESTAMP_LTZ(3),
  c11 TIMESTAMP_LTZ(3),
  c12 TIMESTAMP_LTZ(3),
  c13 TIMESTAMP_LTZ(3),
  c14 TIMESTAMP_LTZ(3),
  c15 STRING,
  c16 BOOLEAN,
  c17 BIGINT,
  c18 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  l,
  CAST(l AS STRING),
  CAST(l AS TIMESTAMP(3)),
  CAST(ts AS TIMESTAMP_LTZ(3)),
  CAST(l AS DATE),
  CAST(l AS TIME),
  EXTRACT(HOUR FROM l),
  EXTRACT(DAY FROM l),
  DATE_FORMAT(l, 'yyyy-MM-dd HH:mm'),
  l + INTERVAL '1' DAY,
  FLOOR(l TO HOUR),
  FLOOR(l TO DAY),
  TO_TIMESTAMP_LTZ(id * 1000000, 0),
  TO_TIMESTAMP_LTZ(id * 1000000001, 3),
  CONVERT_TZ(s, 'UTC', 'America/New_York'),
  l > CAST(ts AS TIMESTAMP_LTZ(3)),
  UNIX_TIMESTAMP(s),
  FROM_UNIXTIME(id * 100000)
FROM times
WHERE ts >= TIMESTAMP '1970-01-01 00:00:00' OR ts IS NULL;
