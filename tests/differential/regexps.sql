-- Regular expressions in Java's syntax.

CREATE TABLE text (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/text.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE r (
  id INT,
  c1 BOOLEAN,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 STRING,
  c6 INT,
  c7 STRING,
  c8 INT,
  c9 BOOLEAN,
  c10 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  REGEXP(s, '^[A-Z]'),
  REGEXP_REPLACE(s, '[aeiou]', '*'),
  REGEXP_REPLACE(s, '(\w)(\w)', '$2$1'),
  REGEXP_EXTRACT(s, '([a-z]+) ?([A-Z][a-z]+)', 2),
  REGEXP_EXTRACT(s, '\d+'),
  REGEXP_COUNT(s, '[a-z]+'),
  REGEXP_SUBSTR(s, '[0-9]+'),
  REGEXP_INSTR(s, '[0-9]'),
  s SIMILAR TO '%(a|o)%',
  REGEXP_REPLACE(s, '\p{Lu}', 'U')
FROM text;
