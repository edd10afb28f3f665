-- Changes as canal captures them: read, read with what is bad left out, and written.

CREATE TABLE changes (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/canal.ndjson', 'format' = 'canal-json'
);
CREATE TABLE damaged (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/canal_bad.ndjson', 'format' = 'canal-json', 'canal-json.ignore-parse-errors' = 'true'
);
CREATE TABLE chosen (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/canal.ndjson', 'format' = 'canal-json',
  'canal-json.database.include' = 'shop', 'canal-json.table.include' = 'go.*|x'
);
CREATE TABLE changes_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'changes_log');
CREATE TABLE damaged_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'damaged_log');
CREATE TABLE names_log (name STRING) WITH ('connector' = 'print', 'print-identifier' = 'names_log');
CREATE TABLE more_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'more_log');
CREATE TABLE written (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/written', 'format' = 'canal-json'
);
CREATE TABLE sparse (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/sparse', 'format' = 'canal-json',
  'canal-json.encode.ignore-null-fields' = 'true', 'canal-json.timestamp-format.standard' = 'ISO-8601',
  'canal-json.encode.decimal-as-plain-number' = 'true'
);
INSERT INTO changes_log SELECT * FROM changes;
INSERT INTO damaged_log SELECT * FROM damaged;
INSERT INTO names_log SELECT name FROM changes WHERE price > 10;
INSERT INTO more_log SELECT * FROM chosen;
INSERT INTO written SELECT * FROM changes;
INSERT INTO sparse SELECT * FROM changes;
