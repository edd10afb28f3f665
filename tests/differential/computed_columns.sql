-- Computed columns, in any order, used like others.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING,
  scheduled AS TO_TIMESTAMP(time_hour, 'yyyy-MM-dd''T''HH:mm:ss''Z'''),
  route AS origin || '>' || dest,
  late AS dep_delay > 15
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (flight INT, scheduled TIMESTAMP(3), route STRING, late BOOLEAN) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT flight, scheduled, route, late FROM flights WHERE late OR late IS NULL;

CREATE TABLE slim (flight INT, doubled AS flight * 2, route STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/slim', 'format' = 'json'
);
INSERT INTO slim SELECT flight, route FROM flights WHERE carrier = 'HA' OR carrier = 'F9';
