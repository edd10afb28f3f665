-- WHERE with three-valued logic.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING,
  origin STRING, dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE late (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/late', 'format' = 'json'
);

CREATE TABLE unknown_ (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/unknown_', 'format' = 'json'
);

CREATE TABLE either (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/either', 'format' = 'json'
);

CREATE TABLE listed (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/listed', 'format' = 'json'
);

CREATE TABLE not_listed (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/not_listed', 'format' = 'json'
);

CREATE TABLE between_ (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/between_', 'format' = 'json'
);

CREATE TABLE liked (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/liked', 'format' = 'json'
);

CREATE TABLE distinct_ (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/distinct_', 'format' = 'json'
);

CREATE TABLE negated (flight INT, dep_delay INT, arr_delay INT, carrier STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/negated', 'format' = 'json'
);
EXECUTE STATEMENT SET BEGIN
INSERT INTO late SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE arr_delay > 60 AND carrier <> 'UA';
INSERT INTO unknown_ SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE dep_delay IS NULL;
INSERT INTO either SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE dep_delay > 90 OR arr_delay IS NULL;
INSERT INTO listed SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE carrier IN ('AA', 'B6', 'ZZ') AND dep_delay IN (1, 2, NULL);
INSERT INTO not_listed SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE dep_delay NOT IN (-1, -2, -3, -4, -5, -6, -7, 0) AND arr_delay NOT BETWEEN -30 AND 30;
INSERT INTO between_ SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE dep_delay BETWEEN 10 AND 20 OR arr_delay BETWEEN SYMMETRIC 20 AND 10;
INSERT INTO liked SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE tailnum LIKE 'N1__%' AND dest NOT LIKE '%A%';
INSERT INTO distinct_ SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE dep_delay IS DISTINCT FROM arr_delay AND arr_delay IS NOT DISTINCT FROM CAST(NULL AS INT);
INSERT INTO negated SELECT flight, dep_delay, arr_delay, carrier FROM flights WHERE NOT (dep_delay > 0 OR arr_delay < 0) AND (dep_delay = 0) IS NOT TRUE;
END;
