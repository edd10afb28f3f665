-- Results that change: for each airport its three worst arrivals so far, beside what the airport is called.
--
--   flights ─► Top-3 per destination ─┐
--                                     ├─ LEFT JOIN ─► examples/out/worst, a log of changes
--   airports ─────────────────────────┘
--
-- A log of changes says what each record does: +I a row is new, -U as it was, +U as it is now, -D it is gone.
-- The last statement reads the log back and counts what there is in the end.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT,
  dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING,
  air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/flights-2013-01.csv.gz',
  'format' = 'csv',
  'csv.ignore-first-line' = 'true',
  'csv.null-literal' = 'NA'
);

CREATE TABLE airports (
  faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst STRING, tzone STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/data/airports.csv',
  'format' = 'csv',
  'csv.ignore-first-line' = 'true',
  'csv.null-literal' = 'NA'
);

CREATE TABLE worst (dest STRING, airport STRING, place BIGINT, flight STRING, `day` INT, delay INT) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/out/worst',
  'format' = 'changelog-json'
);

INSERT INTO worst
SELECT w.dest, a.name, w.place, w.carrier || CAST(w.flight AS STRING), w.`day`, w.arr_delay
FROM (
  SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY dest ORDER BY arr_delay DESC, `day`, flight) AS place
    FROM flights
    WHERE arr_delay IS NOT NULL
  )
  WHERE place <= 3
) AS w
LEFT JOIN airports AS a ON w.dest = a.faa;

-- The table that the log makes, in the end.
SELECT airport, COUNT(*) AS flights, MAX(delay) AS worst
FROM worst
WHERE airport LIKE 'San %'
GROUP BY airport;
