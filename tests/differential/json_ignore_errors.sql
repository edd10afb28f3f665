-- json.ignore-parse-errors: a bad field is NULL, a bad record is skipped.

CREATE TABLE dirty (id INT, n INT, ts TIMESTAMP(3), ok BOOLEAN, nested ROW<x INT>, list ARRAY<INT>) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/dirty.ndjson', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE r (id INT, n INT, ts TIMESTAMP(3), ok BOOLEAN, nested ROW<x INT>, list ARRAY<INT>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE some_ (id INT, n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/some_', 'format' = 'json'
);
INSERT INTO r SELECT * FROM dirty;
INSERT INTO some_ SELECT id, n FROM dirty WHERE n > 3;
