-- Changes as ogg captures them: read, read with what is bad left out, and written.

CREATE TABLE changes (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/ogg.ndjson', 'format' = 'ogg-json'
);
CREATE TABLE damaged (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/ogg_bad.ndjson', 'format' = 'ogg-json', 'ogg-json.ignore-parse-errors' = 'true'
);
CREATE TABLE changes_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'changes_log');
CREATE TABLE damaged_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'damaged_log');
CREATE TABLE names_log (name STRING) WITH ('connector' = 'print', 'print-identifier' = 'names_log');
CREATE TABLE written (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/written', 'format' = 'ogg-json'
);
CREATE TABLE sparse (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/sparse', 'format' = 'ogg-json',
  'ogg-json.encode.ignore-null-fields' = 'true', 'ogg-json.timestamp-format.standard' = 'ISO-8601',
  'ogg-json.encode.decimal-as-plain-number' = 'true'
);
INSERT INTO changes_log SELECT * FROM changes;
INSERT INTO damaged_log SELECT * FROM damaged;
INSERT INTO names_log SELECT name FROM changes WHERE price > 10;
INSERT INTO written SELECT * FROM changes;
INSERT INTO sparse SELECT * FROM changes;
