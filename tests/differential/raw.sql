-- Lines as they are.

CREATE TABLE raw_lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/dirty.csv', 'format' = 'raw');

CREATE TABLE r (line STRING, n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);

CREATE TABLE again (line STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/again', 'format' = 'raw'
);
INSERT INTO r SELECT line, CHAR_LENGTH(line) FROM raw_lines;
INSERT INTO again SELECT UPPER(line) FROM raw_lines;
