-- String functions over text with spaces, accents, other scripts and emoji.

CREATE TABLE text (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/text.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE cases (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 INT,
  c5 INT,
  c6 STRING,
  c7 STRING,
  c8 STRING,
  c9 STRING,
  c10 STRING,
  c11 STRING,
  c12 STRING,
  c13 STRING,
  c14 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/cases', 'format' = 'json'
);
INSERT INTO cases SELECT
  id,
  UPPER(s),
  LOWER(s),
  INITCAP(s),
  CHAR_LENGTH(s),
  CHARACTER_LENGTH(t),
  TRIM(s),
  TRIM(LEADING ' ' FROM s),
  TRIM(TRAILING FROM s),
  TRIM(BOTH 'H' FROM s),
  LTRIM(s),
  RTRIM(s),
  BTRIM(s),
  REVERSE(s),
  REPEAT(t, 3)
FROM text;

CREATE TABLE parts (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 STRING,
  c6 STRING,
  c7 INT,
  c8 INT,
  c9 INT,
  c10 INT,
  c11 STRING,
  c12 STRING,
  c13 STRING,
  c14 STRING,
  c15 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/parts', 'format' = 'json'
);
INSERT INTO parts SELECT
  id,
  SUBSTRING(s FROM 2),
  SUBSTRING(s FROM 2 FOR 3),
  SUBSTRING(s, -3, 2),
  SUBSTR(s, 1, 4),
  LEFT(s, 3),
  RIGHT(s, 3),
  POSITION(t IN s),
  LOCATE(t, s),
  LOCATE(t, s, 4),
  INSTR(s, t),
  SPLIT_INDEX(s, ',', 1),
  SPLIT_INDEX(s, t, 0),
  OVERLAY(IF(id = 7, t, s) PLACING 'XX' FROM 3 FOR 3),
  LPAD(IF(id = 7, '', s), 8, '*'),
  RPAD(IF(id = 7, 'x', s), 8, 'ab')
FROM text;

CREATE TABLE joined (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 STRING,
  c6 BOOLEAN,
  c7 BOOLEAN,
  c8 BOOLEAN,
  c9 BOOLEAN,
  c10 BOOLEAN,
  c11 BOOLEAN,
  c12 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/joined', 'format' = 'json'
);
INSERT INTO joined SELECT
  id,
  s || '-' || t,
  CONCAT(s, t),
  CONCAT_WS('|', s, t, CAST(NULL AS STRING), 'end'),
  REPLACE(s, t, '_'),
  TRANSLATE(s, 'abc', 'xyz'),
  s LIKE '%l%',
  s LIKE '%!%%' ESCAPE '!',
  s SIMILAR TO '[A-Za-z ]*',
  s > t,
  STARTSWITH(s, t),
  ENDSWITH(s, 'd'),
  CAST(ASCII(s) AS STRING) || CHR(65)
FROM text;
