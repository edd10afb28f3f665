-- Dates and times: parts, rounding, intervals, formats.

CREATE TABLE times (id INT, ts TIMESTAMP(3), l TIMESTAMP_LTZ(3), d DATE, s STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/times.ndjson', 'format' = 'json'
);

CREATE TABLE parts (
  id INT,
  c1 BIGINT,
  c2 BIGINT,
  c3 BIGINT,
  c4 BIGINT,
  c5 BIGINT,
  c6 BIGINT,
  c7 BIGINT,
  c8 BIGINT,
  c9 BIGINT,
  c10 BIGINT,
  c11 BIGINT,
  c12 BIGINT,
  c13 BIGINT,
  c14 BIGINT,
  c15 BIGINT,
  c16 BIGINT,
  c17 BIGINT,
  c18 BIGINT
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/parts', 'format' = 'json'
);
INSERT INTO parts SELECT
  id,
  EXTRACT(YEAR FROM ts),
  EXTRACT(QUARTER FROM ts),
  EXTRACT(MONTH FROM ts),
  EXTRACT(WEEK FROM ts),
  EXTRACT(DAY FROM ts),
  EXTRACT(DOY FROM ts),
  EXTRACT(DOW FROM ts),
  EXTRACT(HOUR FROM ts),
  EXTRACT(MINUTE FROM ts),
  EXTRACT(SECOND FROM ts),
  YEAR(d),
  MONTH(ts),
  DAYOFMONTH(d),
  HOUR(ts),
  DAYOFWEEK(d),
  DAYOFYEAR(d),
  QUARTER(d),
  WEEK(d)
FROM times
WHERE ts >= TIMESTAMP '1970-01-01 00:00:00' OR ts IS NULL;

CREATE TABLE rounded (
  id INT,
  c1 TIMESTAMP(3),
  c2 TIMESTAMP(3),
  c3 TIMESTAMP(3),
  c4 TIMESTAMP(3),
  c5 TIMESTAMP(3),
  c6 TIMESTAMP(3),
  c7 TIMESTAMP(3),
  c8 TIMESTAMP(3),
  c9 TIMESTAMP(3),
  c10 TIMESTAMP(3),
  c11 TIMESTAMP(3),
  c12 TIMESTAMP(3),
  c13 DATE,
  c14 DATE
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/rounded', 'format' = 'json'
);
INSERT INTO rounded SELECT
  id,
  FLOOR(ts TO SECOND),
  FLOOR(ts TO MINUTE),
  FLOOR(ts TO HOUR),
  FLOOR(ts TO DAY),
  FLOOR(ts TO MONTH),
  FLOOR(ts TO YEAR),
  CEIL(ts TO SECOND),
  CEIL(ts TO MINUTE),
  CEIL(ts TO HOUR),
  CEIL(ts TO DAY),
  CEIL(ts TO MONTH),
  CEIL(ts TO YEAR),
  FLOOR(d TO MONTH),
  CEIL(d TO YEAR)
FROM times;

CREATE TABLE moved (
  id INT,
  c1 TIMESTAMP(3),
  c2 TIMESTAMP(3),
  c3 TIMESTAMP(3),
  c4 TIMESTAMP(3),
  c5 DATE,
  c6 DATE,
  c7 INT,
  c8 INT,
  c9 INT,
  c10 TIMESTAMP(3),
  c11 TIMESTAMP(3),
  c12 BOOLEAN,
  c13 BOOLEAN
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/moved', 'format' = 'json'
);
INSERT INTO moved SELECT
  id,
  ts + INTERVAL '1' DAY,
  ts - INTERVAL '1 02:03:04.5' DAY TO SECOND,
  ts + INTERVAL '1' MONTH,
  ts - INTERVAL '1-02' YEAR TO MONTH,
  d + INTERVAL '30' DAY,
  d - INTERVAL '1' YEAR,
  TIMESTAMPDIFF(DAY, ts, TIMESTAMP '2026-01-01 00:00:00'),
  TIMESTAMPDIFF(MONTH, ts, TIMESTAMP '2026-01-01 00:00:00'),
  TIMESTAMPDIFF(HOUR, TIMESTAMP '2026-01-01 00:00:00', ts),
  TIMESTAMPADD(WEEK, 2, ts),
  TIMESTAMPADD(MINUTE, -90, ts),
  ts BETWEEN TIMESTAMP '2000-01-01 00:00:00' AND TIMESTAMP '2026-06-01 00:00:00',
  d > DATE '2000-01-01'
FROM times;

CREATE TABLE formatted (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 TIMESTAMP(3),
  c6 TIMESTAMP(3),
  c7 DATE,
  c8 DATE,
  c9 BIGINT,
  c10 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/formatted', 'format' = 'json'
);
INSERT INTO formatted SELECT
  id,
  DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss.SSS'),
  DATE_FORMAT(ts, 'EEE, d MMM yy h:mm a'),
  DATE_FORMAT(ts, 'yyyy''T''DDD'),
  DATE_FORMAT(s, 'yyyyMMdd'),
  TO_TIMESTAMP(s),
  TO_TIMESTAMP(s, 'yyyy-MM-dd''T''HH:mm:ss'),
  TO_DATE(s),
  TO_DATE(IF(id < 3, s, '2024-1-2'), 'yyyy-MM-dd'),
  UNIX_TIMESTAMP(s),
  FROM_UNIXTIME(id * 100000)
FROM times;
