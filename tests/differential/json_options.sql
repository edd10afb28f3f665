-- How JSON is written: null fields, map keys that are NULL, decimals, missing fields.

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

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE without_nulls (id INT, note STRING, paid BOOLEAN, r ROW<a STRING, b INT>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/without_nulls', 'format' = 'json',
  'json.encode.ignore-null-fields' = 'true'
);

CREATE TABLE literal_key (id INT, m MAP<STRING, INT>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/literal_key', 'format' = 'json',
  'json.map-null-key.mode' = 'LITERAL', 'json.map-null-key.literal' = 'nothing'
);

CREATE TABLE dropped_key (id INT, m MAP<STRING, INT>) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/dropped_key', 'format' = 'json',
  'json.map-null-key.mode' = 'DROP'
);

CREATE TABLE plain_numbers (id INT, x DECIMAL(20, 12), y DECIMAL(30, 0)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/plain_numbers', 'format' = 'json',
  'json.encode.decimal-as-plain-number' = 'true'
);

CREATE TABLE numbers_ (id INT, x DECIMAL(20, 12), y DECIMAL(30, 0)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/numbers_', 'format' = 'json'
);
INSERT INTO without_nulls SELECT id, note, paid, ROW(note, id) FROM orders;
INSERT INTO literal_key SELECT id, MAP[note, id] FROM orders WHERE note IS NOT NULL;
INSERT INTO dropped_key SELECT id, MAP[note, id] FROM orders WHERE note IS NOT NULL;
INSERT INTO plain_numbers SELECT id, CAST(d / 1000000000 AS DECIMAL(20, 12)), CAST(x AS DECIMAL(30, 0)) * 1000000000 FROM numbers WHERE ABS(d) < 1e5;
INSERT INTO numbers_ SELECT id, CAST(d / 1000000000 AS DECIMAL(20, 12)), CAST(x AS DECIMAL(30, 0)) * 1000000000 FROM numbers WHERE ABS(d) < 1e5;
