-- Rows, arrays and maps in and out of JSON.

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

CREATE TABLE same (
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
  'connector' = 'filesystem', 'path' = '${OUT}/same', 'format' = 'json'
);

CREATE TABLE fields (id INT, name STRING, city STRING, zip STRING, first_sku STRING, second_price DECIMAL(10, 2), tag STRING, channel STRING, view_count INT, n INT, m INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/fields', 'format' = 'json'
);
INSERT INTO same SELECT * FROM orders;
INSERT INTO fields SELECT id, customer.name, o.customer.address.city, customer.address.zip, items[1].sku, items[2].price, tags[1], attributes['channel'], counts['views'],
  CARDINALITY(items), CARDINALITY(attributes)
FROM orders AS o;
