-- UNION ALL: types meet in their common type.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE r (kind STRING, v DOUBLE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE three (a STRING, n BIGINT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/three', 'format' = 'json'
);
INSERT INTO r SELECT 'flight', CAST(distance AS DOUBLE) FROM flights WHERE carrier = 'UA' UNION ALL SELECT 'number', d FROM numbers UNION ALL SELECT 'fixed', 1e0;
INSERT INTO three SELECT carrier, flight FROM flights WHERE dep_delay > 100 UNION ALL (SELECT origin, CAST(flight AS BIGINT) FROM flights WHERE dep_delay < -10 UNION ALL SELECT CAST(x AS STRING), i FROM numbers);
