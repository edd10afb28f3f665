-- Columns chosen, reordered, repeated, computed; a star.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE some_ (dest STRING, origin STRING, again STRING, minutes INT, fixed STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/some_', 'format' = 'json'
);

CREATE TABLE everything (`year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/everything', 'format' = 'json'
);
INSERT INTO some_ SELECT dest, origin, f.dest AS again, `hour` * 60 + `minute`, 'it''s fixed' FROM flights AS f;
INSERT INTO everything SELECT * FROM flights;
