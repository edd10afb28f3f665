-- Every flight that left New York in January 2013, from a gzipped CSV in which "NA" means unknown.
--
--   flights ─┬─► delays     Parquet, a folder per carrier
--            └─► cancelled  JSON
--
-- Both INSERTs share one scan of the file.

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

CREATE TABLE delays (
  flight STRING, scheduled TIMESTAMP(3), origin STRING, dest STRING,
  dep_delay INT, arr_delay INT, caught_up INT, mph DECIMAL(6, 1), carrier STRING
) PARTITIONED BY (carrier) WITH (
  'connector' = 'filesystem', 'path' = 'examples/out/delays', 'format' = 'parquet'
);

CREATE TABLE cancelled (flight STRING, scheduled TIMESTAMP(3), origin STRING, dest STRING) WITH (
  'connector' = 'filesystem', 'path' = 'examples/out/cancelled', 'format' = 'json'
);

EXECUTE STATEMENT SET BEGIN
  INSERT OVERWRITE delays
    SELECT carrier || CAST(flight AS STRING), scheduled, origin, dest,
           dep_delay, arr_delay, dep_delay - arr_delay,
           CAST(distance * 60.0 / air_time AS DECIMAL(6, 1)), carrier
    FROM flights
    WHERE arr_delay > 15;
  INSERT OVERWRITE cancelled
    SELECT carrier || CAST(flight AS STRING), scheduled, origin, dest
    FROM flights
    WHERE dep_time IS NULL;
END;

-- Read the Parquet back: the worst of them.
SELECT flight, scheduled, origin, dest, dep_delay, arr_delay, mph
FROM delays
WHERE arr_delay > 600;
