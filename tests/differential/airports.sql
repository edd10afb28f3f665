-- Coordinates and time zones of airports.

CREATE TABLE airports (faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst CHAR(1), tzone STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/airports.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE r (
  faa STRING, title STRING, words ARRAY<STRING>, place ROW<lat DOUBLE, lon DOUBLE>, meters DECIMAL(8, 2), offset_ STRING, city STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT faa, UPPER(SUBSTRING(name FROM 1 FOR 1)) || LOWER(SUBSTRING(name FROM 2)), SPLIT(name, ' '), ROW(lat, lon),
  CAST(alt * 0.3048 AS DECIMAL(8, 2)), CONCAT('UTC', IF(tz < 0, '-', '+'), LPAD(CAST(ABS(tz) AS STRING), 2, '0')),
  REGEXP_REPLACE(SPLIT_INDEX(tzone, '/', 1), '_', ' ')
FROM airports WHERE lat BETWEEN 20 AND 60 AND dst <> 'U';
