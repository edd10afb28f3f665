-- Changes as debezium captures them: read, read with what is bad left out, and written.

CREATE TABLE changes (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/debezium.ndjson', 'format' = 'debezium-json'
);
CREATE TABLE damaged (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/debezium_bad.ndjson', 'format' = 'debezium-json', 'debezium-json.ignore-parse-errors' = 'true'
);
CREATE TABLE wrapped (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/cdc/debezium_schema.ndjson', 'format' = 'debezium-json', 'debezium-json.schema-include' = 'true'
);
CREATE TABLE changes_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'changes_log');
CREATE TABLE damaged_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'damaged_log');
CREATE TABLE names_log (name STRING) WITH ('connector' = 'print', 'print-identifier' = 'names_log');
CREATE TABLE more_log (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH ('connector' = 'print', 'print-identifier' = 'more_log');
CREATE TABLE written (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/written', 'format' = 'debezium-json'
);
CREATE TABLE sparse (id INT, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>, `at` TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/sparse', 'format' = 'debezium-json',
  'debezium-json.encode.ignore-null-fields' = 'true', 'debezium-json.timestamp-format.standard' = 'ISO-8601',
  'debezium-json.encode.decimal-as-plain-number' = 'true'
);
INSERT INTO changes_log SELECT * FROM changes;
INSERT INTO damaged_log SELECT * FROM damaged;
INSERT INTO names_log SELECT name FROM changes WHERE price > 10;
INSERT INTO more_log SELECT * FROM wrapped;
INSERT INTO written SELECT * FROM changes;
INSERT INTO sparse SELECT * FROM changes;
