-- When CSV quotes, and how it writes each type.

CREATE TABLE text (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/text.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE orders (
  id INT,
  customer ROW<name STRING, address ROW<city STRING, zip STRING>>,
  items ARRAY<ROW<sku STRING, qty INT, price DECIMAL(10, 2)>>,
  tags ARRAY<STRING>,
  attributes MAP<STRING, STRING>,
  counts MAP<STRING, INT>,
  paid BOOLEAN,
  amount DECIMAL(12, 2),
  placed TIMESTAMP(3),
  note STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/orders.ndjson', 'format' = 'json'
);

CREATE TABLE text_ (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/text_', 'format' = 'csv'
);

CREATE TABLE numbers_ (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), f FLOAT, b BOOLEAN, sc DECIMAL(20, 10)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/numbers_', 'format' = 'csv'
);

CREATE TABLE nested (id INT, tags ARRAY<STRING>, r ROW<a INT, b STRING>, `by` BYTES) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/nested', 'format' = 'csv'
);
INSERT INTO text_ SELECT id, s, t FROM text;
INSERT INTO numbers_ SELECT id, i, d, x, CAST(x AS FLOAT), x > y, CAST(x AS DECIMAL(20, 10)) / 1000000 FROM numbers;
INSERT INTO nested SELECT id, tags, ROW(id, note), CAST(note AS BYTES) FROM orders;
