-- CASE in both forms, COALESCE, IF, NULLIF, IFNULL, GREATEST, LEAST.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (
  c1 INT,
  c2 STRING,
  c3 STRING,
  c4 INT,
  c5 STRING,
  c6 INT,
  c7 INT,
  c8 INT,
  c9 INT,
  c10 DOUBLE,
  c11 BIGINT
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  flight,
  CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'on time' WHEN dep_delay < 60 THEN 'late' ELSE 'very late' END,
  CASE origin WHEN 'JFK' THEN 'Kennedy' WHEN 'LGA' THEN 'La Guardia' END,
  COALESCE(arr_delay, dep_delay, -999),
  IF(distance > 1000, 'far', 'near'),
  NULLIF(dep_delay, 0),
  IFNULL(air_time, 0),
  GREATEST(dep_delay, arr_delay),
  LEAST(dep_delay, arr_delay, 0),
  CASE WHEN air_time > 100 THEN distance / air_time ELSE 0.5 END,
  CASE WHEN origin = 'EWR' THEN distance ELSE CAST(1 AS BIGINT) END
FROM flights;
