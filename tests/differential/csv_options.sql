-- Delimiters, quotes, escapes, comments, arrays and rows in CSV.

CREATE TABLE odd (id INT, s STRING, a ARRAY<STRING>, r ROW<n INT, t STRING>) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/odd.csv', 'format' = 'csv',
  'csv.field-delimiter' = ';', 'csv.quote-character' = '''', 'csv.escape-character' = '/', 'csv.array-element-delimiter' = '|',
  'csv.allow-comments' = 'true', 'csv.null-literal' = 'n/a', 'csv.ignore-parse-errors' = 'true'
);

CREATE TABLE json_ (id INT, s STRING, a ARRAY<STRING>, r ROW<n INT, t STRING>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/json_', 'format' = 'json'
);

CREATE TABLE csv_ (id INT, s STRING, a ARRAY<STRING>, r ROW<n INT, t STRING>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/csv_', 'format' = 'csv',
  'csv.field-delimiter' = '|', 'csv.array-element-delimiter' = '+', 'csv.null-literal' = 'null'
);

CREATE TABLE unquoted (id INT, s STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/unquoted', 'format' = 'csv',
  'csv.disable-quote-character' = 'true'
);

CREATE TABLE tabs (id INT, s STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/tabs', 'format' = 'csv',
  'csv.field-delimiter' = '\t', 'csv.quote-character' = '*'
);
INSERT INTO json_ SELECT * FROM odd;
INSERT INTO csv_ SELECT * FROM odd;
INSERT INTO unquoted SELECT id, s FROM odd WHERE id < 4;
INSERT INTO tabs SELECT id, s FROM odd;
