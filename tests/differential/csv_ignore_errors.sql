-- csv.ignore-parse-errors: a bad field is NULL, a bad record is skipped.

CREATE TABLE dirty (id INT, n INT, ts TIMESTAMP(3), ok BOOLEAN) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/dirty.csv', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true'
);

CREATE TABLE r (id INT, n INT, ts TIMESTAMP(3), ok BOOLEAN) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT * FROM dirty;
