-- The flights of January 2013 as messages: JSON, the airport as the key, in the order of their departure.

SET 'execution.runtime-mode' = 'batch';

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT,
  dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING,
  air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING,
  scheduled AS TO_TIMESTAMP(time_hour, 'yyyy-MM-dd''T''HH:mm:ss''Z''') + CAST(`minute` AS INT) * INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/flights-2013-01.csv.gz',
  'format' = 'csv',
  'csv.ignore-first-line' = 'true',
  'csv.null-literal' = 'NA'
);

CREATE TABLE departures (
  origin STRING, scheduled TIMESTAMP(3), carrier STRING, flight INT, dest STRING, delay INT
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '${KAFKA:-127.0.0.1:9092}',
  'topic' = 'departures',
  'key.format' = 'raw',
  'key.fields' = 'origin',
  'value.format' = 'json'
);

INSERT INTO departures
SELECT origin, scheduled, carrier, flight, dest, dep_delay FROM flights ORDER BY scheduled;
