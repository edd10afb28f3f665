-- Functions of every kind over a month of flights: text, numbers, times, collections, JSON, hashes.

CREATE TABLE flights (
  `year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay DOUBLE, arr_time INT,
  sched_arr_time INT, arr_delay DOUBLE, carrier STRING, flight INT, tailnum STRING, origin STRING,
  dest STRING, air_time DOUBLE, distance DOUBLE, `hour` INT, `minute` INT, time_hour STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/flights.csv', 'format' = 'csv', 'csv.null-literal' = 'NA'
);

CREATE TABLE texts (
  flight INT, tailnum STRING, up STRING, low STRING, cap STRING, len INT, lefts STRING, rights STRING, sub STRING,
  route STRING, joined STRING, padded STRING, filled STRING, trimmed STRING, place INT, found INT, backwards STRING,
  stars STRING, swapped STRING, mapped STRING, digits STRING, has_digits BOOLEAN, pieces ARRAY<STRING>, piece STRING,
  starts BOOLEAN, ends BOOLEAN, code INT, letter STRING, choice STRING, laid STRING, times INT, url STRING, host STRING,
  form STRING, spot INT, counted STRING
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/texts', 'format' = 'json');

CREATE TABLE numbers (
  flight INT, absolute DOUBLE, up DOUBLE, down DOUBLE, rounded DOUBLE, cut DOUBLE, signs DOUBLE, rest INT, root DECIMAL(12, 6),
  big INT, most INT, least_ INT, hexed STRING, bits STRING, degree DECIMAL(12, 6), known DOUBLE, first_ DOUBLE, none_ DOUBLE,
  price DECIMAL(12, 2), quick BOOLEAN, kind STRING, near BOOLEAN, address STRING, number_ BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/numbers', 'format' = 'json');

CREATE TABLE times (
  flight INT, at_ TIMESTAMP(3), day_ DATE, shown STRING, y BIGINT, q BIGINT, w BIGINT, doy BIGINT, dow BIGINT, h BIGINT,
  months TIMESTAMP(3), hours TIMESTAMP(3), later TIMESTAMP(3), earlier TIMESTAMP(3), apart INT, seconds BIGINT,
  text_ STRING, zone STRING, instant STRING, overlap BOOLEAN
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/times', 'format' = 'json');

CREATE TABLE things (
  flight INT, delays ARRAY<DOUBLE>, worst DOUBLE, best DOUBLE, size INT, holds BOOLEAN, where_ INT, sorted ARRAY<INT>,
  once ARRAY<INT>, more ARRAY<INT>, less ARRAY<INT>, union_ ARRAY<INT>, turned ARRAY<INT>, part ARRAY<INT>, line STRING,
  facts MAP<STRING, STRING>, of_map STRING, keys_ ARRAY<STRING>, plane ROW<tail STRING, carrier STRING>, type_ STRING,
  pairs MAP<STRING, STRING>
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/things', 'format' = 'json');

CREATE TABLE codes (
  flight INT, object STRING, list STRING, carrier STRING, miles STRING, deep STRING, there BOOLEAN, valid BOOLEAN,
  quoted STRING, plain STRING, md STRING, sha STRING, sha2_ STRING, base STRING, back STRING, hexed STRING, encoded STRING,
  decoded STRING, text_ STRING
) WITH ('connector' = 'filesystem', 'path' = '${OUT}/codes', 'format' = 'json');

INSERT INTO texts SELECT flight, tailnum, UPPER(origin), LOWER(dest), INITCAP(carrier || ' ' || LOWER(dest)), CHAR_LENGTH(tailnum),
  LEFT(tailnum, 2), RIGHT(tailnum, 3), SUBSTRING(tailnum FROM 2 FOR 3), CONCAT(origin, '-', dest),
  CONCAT_WS('/', carrier, tailnum, dest), LPAD(CAST(flight AS STRING), 5, '0'), RPAD(carrier, 4, '.'),
  TRIM(BOTH 'N' FROM tailnum), POSITION('A' IN tailnum), LOCATE('A', dest, 2), REVERSE(dest),
  REPEAT('*', CAST(`hour` / 4 AS INT)), REPLACE(tailnum, 'N', '#'), TRANSLATE(dest, 'AEIOU', 'aeiou'),
  REGEXP_EXTRACT(tailnum, 'N([0-9]+)([A-Z]*)', 1), REGEXP(tailnum, '[0-9]{4}'), SPLIT(time_hour, 'T'),
  SPLIT_INDEX(time_hour, '-', 1), STARTSWITH(tailnum, 'N1'), ENDSWITH(tailnum, 'A'), ASCII(carrier), CHR(65 + `hour`),
  ELT(`month`, 'one', 'two'), OVERLAY(tailnum PLACING '__' FROM 2 FOR 2), REGEXP_COUNT(tailnum, '[0-9]'),
  URL_ENCODE(CONCAT(origin, ' & ', dest)), PARSE_URL(CONCAT('https://', LOWER(carrier), '.example.com/f?n=', CAST(flight AS STRING)), 'HOST'),
  PRINTF('%s%04d', carrier, flight), INSTR(tailnum, '2'), REGEXP_REPLACE(tailnum, '([0-9])', '<$1>')
FROM flights;

INSERT INTO numbers SELECT flight, ABS(dep_delay), CEIL(air_time / 7), FLOOR(air_time / 7), ROUND(distance / 3, 2), TRUNCATE(distance / 3, 1),
  SIGN(arr_delay), MOD(flight, 97), CAST(SQRT(distance) AS DECIMAL(12, 6)), CAST(POWER(`day`, 2) AS INT),
  GREATEST(dep_time, sched_dep_time, arr_time), LEAST(`hour`, `minute`), HEX(flight), BIN(`minute`),
  CAST(DEGREES(RADIANS(distance)) AS DECIMAL(12, 6)), COALESCE(dep_delay, arr_delay, -1), IFNULL(dep_delay, 0), NULLIF(dep_delay, 0),
  CAST(distance * 0.11 AS DECIMAL(12, 2)), air_time BETWEEN 30 AND 90,
  CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay > 60 THEN 'late' WHEN dep_delay > 0 THEN 'behind' ELSE 'on time' END,
  dest IN ('BOS', 'DCA', 'PHL'), INET_NTOA(flight * 65537), INET_ATON(CONCAT('10.0.', CAST(`hour` AS STRING), '.', CAST(`minute` AS STRING)))
FROM flights;

CREATE VIEW timed AS SELECT *, TO_TIMESTAMP(REPLACE(REPLACE(time_hour, 'T', ' '), 'Z', '')) AS at_ FROM flights;

INSERT INTO times SELECT flight, at_, TO_DATE(SUBSTRING(time_hour FROM 1 FOR 10)), DATE_FORMAT(at_, 'EEE dd MMM yyyy HH:mm'), YEAR(at_), QUARTER(at_), WEEK(at_),
  DAYOFYEAR(at_), DAYOFWEEK(at_), EXTRACT(HOUR FROM at_), FLOOR(at_ TO MONTH), CEIL(TIMESTAMPADD(MINUTE, 7, at_) TO HOUR),
  TIMESTAMPADD(DAY, `day`, at_), at_ - INTERVAL '1' MONTH, TIMESTAMPDIFF(HOUR, TIMESTAMP '2013-01-01 00:00:00', at_),
  UNIX_TIMESTAMP(REPLACE(REPLACE(time_hour, 'T', ' '), 'Z', '')), FROM_UNIXTIME(1357000000 + flight, 'yyyy-MM-dd HH:mm'),
  CONVERT_TZ(REPLACE(REPLACE(time_hour, 'T', ' '), 'Z', ''), 'UTC', 'America/New_York'),
  CAST(TO_TIMESTAMP_LTZ(1357000000000 + flight, 3) AS STRING),
  (at_, at_ + INTERVAL '2' HOUR) OVERLAPS (TIMESTAMP '2013-01-10 00:00:00', TIMESTAMP '2013-01-20 00:00:00')
FROM timed;

INSERT INTO things SELECT flight, ARRAY[dep_delay, arr_delay], ARRAY_MAX(ARRAY[dep_delay, arr_delay]), ARRAY_MIN(ARRAY[dep_delay, arr_delay]),
  CARDINALITY(SPLIT(time_hour, '-')), ARRAY_CONTAINS(ARRAY[`hour`, `minute`], 0), ARRAY_POSITION(ARRAY[`day`, `hour`], `month`),
  ARRAY_SORT(ARRAY[`minute`, `hour`, `day`]), ARRAY_DISTINCT(ARRAY[`hour`, `minute`, `hour`]), ARRAY_APPEND(ARRAY[`hour`], `minute`),
  ARRAY_REMOVE(ARRAY[`hour`, `minute`], 0), ARRAY_UNION(ARRAY[`hour`], ARRAY[`minute`]), ARRAY_REVERSE(ARRAY[`hour`, `minute`, `day`]),
  ARRAY_SLICE(ARRAY[`hour`, `minute`, `day`], 2, 3), ARRAY_JOIN(ARRAY[origin, dest], '>'), MAP['carrier', carrier, 'tail', tailnum],
  MAP['carrier', carrier, 'tail', tailnum]['tail'], MAP_KEYS(MAP['origin', origin, 'dest', dest]), ROW(tailnum, carrier), TYPEOF(distance),
  STR_TO_MAP(CONCAT('o=', origin))
FROM flights;

CREATE VIEW described AS SELECT *,
  CONCAT('{"carrier":"', carrier, '","to":{"code":"', dest, '","miles":', CAST(CAST(distance AS INT) AS STRING), '}}') AS doc
FROM flights;

INSERT INTO codes SELECT flight, JSON_OBJECT('tail' VALUE tailnum, 'delay' VALUE dep_delay), JSON_ARRAY(origin, dest, flight),
  JSON_VALUE(doc, '$.carrier'), JSON_VALUE(doc, 'lax $.to.miles'), JSON_QUERY(doc, '$.to'), JSON_EXISTS(doc, '$.to.code'), doc IS JSON OBJECT,
  JSON_QUOTE(tailnum), JSON_UNQUOTE(JSON_QUOTE(dest)), MD5(tailnum), SHA1(dest), SHA2(carrier, 256), TO_BASE64(tailnum),
  FROM_BASE64(TO_BASE64(tailnum)), HEX(dest), URL_ENCODE(doc), URL_DECODE(URL_ENCODE(doc)), DECODE(ENCODE(origin, 'UTF-16'), 'UTF-16')
FROM described;
