-- Views over views, CTEs over CTEs, sub-queries in FROM.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);
CREATE TEMPORARY VIEW long_flights AS SELECT * FROM flights WHERE distance > 1500;
CREATE TEMPORARY VIEW routes (a, b, km) AS SELECT origin, dest, CAST(distance * 1.609344 AS DECIMAL(10, 1)) FROM long_flights;

CREATE TABLE r (a STRING, b STRING, km DECIMAL(10, 1)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE c (carrier STRING, route STRING, speed DOUBLE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/c', 'format' = 'json'
);

CREATE TABLE s (x STRING, y INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/s', 'format' = 'json'
);
INSERT INTO r SELECT * FROM routes WHERE b <> 'LAX';
INSERT INTO c WITH timed AS (SELECT carrier, origin, dest, distance, air_time FROM flights WHERE air_time IS NOT NULL),
  fast AS (SELECT carrier, origin || '-' || dest AS route, CAST(distance AS DOUBLE) / air_time * 60 AS speed FROM timed)
SELECT carrier, route, speed FROM fast WHERE speed > 480;
INSERT INTO s SELECT x, y + 1 FROM (SELECT carrier AS x, day_ AS y FROM (SELECT carrier, `day` AS day_ FROM flights) AS inner_) AS outer_ WHERE y > 30;
