-- CREATE TABLE … LIKE, hints, reading what was written.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (flight INT, carrier STRING, origin STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT flight, carrier, origin FROM flights WHERE dest = 'LAX';

CREATE TABLE more WITH ('path' = '${OUT}/more', 'csv.field-delimiter' = ';') LIKE flights (EXCLUDING PARTITIONS);
INSERT INTO more SELECT * FROM flights WHERE dest = 'SFO';

CREATE TABLE words (a STRING, b STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv');

CREATE TABLE hinted (a STRING, b STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/hinted', 'format' = 'json'
);
INSERT INTO hinted SELECT * FROM words /*+ OPTIONS('csv.field-delimiter' = ' ', 'csv.ignore-parse-errors' = 'true') */;
