-- Flights of two days in windows of the planned departure, a computed column.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING,
  planned AS TIMESTAMPADD(MINUTE, `minute`, TO_TIMESTAMP(REPLACE(REPLACE(time_hour, 'T', ' '), 'Z', ''))),
  WATERMARK FOR planned AS planned - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/flights_january.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE per_hour WITH ('connector' = 'filesystem', 'path' = '${OUT}/per_hour', 'format' = 'json')
AS SELECT window_start, window_end, origin, COUNT(*) AS n, COUNT(dep_time) AS departed, AVG(dep_delay) AS delay, SUM(distance) AS distance
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(planned), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, origin;

CREATE TABLE moving WITH ('connector' = 'filesystem', 'path' = '${OUT}/moving', 'format' = 'json')
AS SELECT window_end, carrier, COUNT(*) AS n, MAX(arr_delay) AS worst, MIN(tailnum) AS plane
FROM TABLE(HOP(TABLE flights, DESCRIPTOR(planned), INTERVAL '3' HOUR, INTERVAL '12' HOUR)) GROUP BY window_start, window_end, carrier;

CREATE TABLE so_far_today WITH ('connector' = 'filesystem', 'path' = '${OUT}/so_far_today', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, COUNT(DISTINCT dest) AS dests, SUM(air_time) AS air
FROM TABLE(CUMULATE(TABLE flights, DESCRIPTOR(planned), INTERVAL '4' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;

CREATE TABLE busy WITH ('connector' = 'filesystem', 'path' = '${OUT}/busy', 'format' = 'json')
AS SELECT window_start, window_end, origin, COUNT(*) AS n
FROM TABLE(SESSION(TABLE flights PARTITION BY origin, DESCRIPTOR(planned), INTERVAL '15' MINUTE)) GROUP BY window_start, window_end, origin;

CREATE TABLE latest WITH ('connector' = 'filesystem', 'path' = '${OUT}/latest', 'format' = 'json')
AS SELECT window_start, origin, carrier, flight, dep_delay FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, origin ORDER BY dep_delay DESC, carrier, flight) AS r
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(planned), INTERVAL '6' HOUR)) WHERE dep_delay IS NOT NULL) WHERE r <= 3;

CREATE TABLE by_all WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_all', 'format' = 'json')
AS SELECT window_start, origin, carrier, COUNT(*) AS n, AVG(CAST(dep_delay AS DECIMAL(10, 3))) AS delay
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(planned), INTERVAL '1' DAY)) GROUP BY window_start, window_end, ROLLUP (origin, carrier);

CREATE TABLE older WITH ('connector' = 'filesystem', 'path' = '${OUT}/older', 'format' = 'json')
AS SELECT TUMBLE_START(planned, INTERVAL '2' HOUR) AS s, dest, COUNT(*) AS n FROM flights GROUP BY TUMBLE(planned, INTERVAL '2' HOUR), dest HAVING COUNT(*) > 2;
