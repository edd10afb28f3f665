-- Departures of each airport per week, as they would come in live: event time, a watermark, a window.
-- With checkpoints the job can be killed at any moment and goes on where it was:
--
--   flott run examples/windows.sql -D execution.checkpointing.dir=/tmp/flott-checkpoints

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT,
  dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING,
  air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING,
  scheduled AS TO_TIMESTAMP(time_hour, 'yyyy-MM-dd''T''HH:mm:ss''Z''') + CAST(`minute` AS INT) * INTERVAL '1' MINUTE,
  WATERMARK FOR scheduled AS scheduled - INTERVAL '1' DAY
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/flights-2013-01.csv.gz',
  'format' = 'csv',
  'csv.ignore-first-line' = 'true',
  'csv.null-literal' = 'NA'
);

CREATE TABLE weeks (
  week TIMESTAMP(3), origin STRING, departures BIGINT, delay INT, cancelled BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/out/weeks',
  'format' = 'json'
);

INSERT INTO weeks
SELECT window_start, origin, COUNT(*), AVG(dep_delay), COUNT(*) FILTER (WHERE dep_time IS NULL)
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(scheduled), INTERVAL '7' DAY))
GROUP BY window_start, window_end, origin;
