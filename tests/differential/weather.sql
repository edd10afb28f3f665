-- Doubles from CSV, with NA; text put together from them.

CREATE TABLE weather (
  origin STRING, `year` INT, `month` INT, `day` INT, `hour` INT, temp DOUBLE, dewp DOUBLE, humid DOUBLE,
  wind_dir INT, wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/weather.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (
  origin STRING, seen TIMESTAMP(3), celsius DECIMAL(5, 1), spread DOUBLE, wind STRING, gusts BOOLEAN, rain DOUBLE, pressure STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE raw_ (
  origin STRING, temp DOUBLE, dewp FLOAT, humid DECIMAL(6, 3), wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/raw_', 'format' = 'csv'
);
INSERT INTO r SELECT origin, TO_TIMESTAMP(REPLACE(REPLACE(time_hour, 'T', ' '), 'Z', '')),
  CAST((temp - 32) * 5 / 9 AS DECIMAL(5, 1)), ROUND(temp - dewp, 2),
  CASE WHEN wind_dir IS NULL THEN 'calm' WHEN wind_dir < 90 OR wind_dir >= 270 THEN 'north' ELSE 'south' END || ' ' || COALESCE(CAST(wind_speed AS STRING), '?'),
  wind_gust > 20, IF(precip > 0, precip, CAST(NULL AS DOUBLE)), CAST(pressure AS STRING)
FROM weather WHERE humid > 40;
INSERT INTO raw_ SELECT origin, temp, CAST(dewp AS FLOAT), CAST(humid AS DECIMAL(6, 3)), wind_speed, wind_gust, precip FROM weather;
