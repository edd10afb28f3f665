-- Several sinks over one scan, and a union of two.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE late (carrier STRING, flight INT, delay INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/late', 'format' = 'json'
);

CREATE TABLE by_carrier (flight INT, distance INT, carrier STRING) PARTITIONED BY (carrier) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/by_carrier', 'format' = 'csv'
);

CREATE TABLE counts (n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/counts', 'format' = 'json'
);
EXECUTE STATEMENT SET
BEGIN
  INSERT INTO late SELECT carrier, flight, dep_delay FROM flights WHERE dep_delay > 30;
  INSERT INTO by_carrier SELECT flight, distance, carrier FROM flights WHERE `day` <= 5;
  INSERT INTO counts SELECT 1 FROM flights WHERE dep_delay IS NULL UNION ALL SELECT 2 FROM flights WHERE arr_delay > 100;
END;
