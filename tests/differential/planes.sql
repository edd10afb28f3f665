-- Filters on text and numbers that may be NA; a map of what is known.

CREATE TABLE planes (tailnum STRING, `year` INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT, speed INT, engine STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/planes.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (
  tailnum STRING, decade INT, maker STRING, facts MAP<STRING, STRING>, big BOOLEAN
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT tailnum, `year` / 10 * 10,
  CASE WHEN manufacturer LIKE 'AIRBUS%' THEN 'Airbus' WHEN manufacturer SIMILAR TO 'MCDONNELL%' THEN 'Douglas' ELSE INITCAP(manufacturer) END,
  MAP['engine', engine, 'model', model], seats > 100 AND engines >= 2
FROM planes WHERE type IS NOT NULL AND (`year` > 1990 OR speed IS NOT NULL);
