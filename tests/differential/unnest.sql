-- UNNEST: of arrays, of rows in arrays, of maps; crossed, left, numbered.

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

CREATE TABLE tags_ (id INT, tag STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/tags_', 'format' = 'json'
);

CREATE TABLE tags_left (id INT, tag STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/tags_left', 'format' = 'json'
);

CREATE TABLE items_ (id INT, sku STRING, qty INT, price DECIMAL(10, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/items_', 'format' = 'json'
);

CREATE TABLE items_left (id INT, sku STRING, total DECIMAL(20, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/items_left', 'format' = 'json'
);

CREATE TABLE attributes_ (id INT, k STRING, v STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/attributes_', 'format' = 'json'
);

CREATE TABLE numbered (id INT, tag STRING, n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/numbered', 'format' = 'json'
);

CREATE TABLE both_ (id INT, tag STRING, sku STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/both_', 'format' = 'json'
);

CREATE TABLE fixed (id INT, n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/fixed', 'format' = 'json'
);
INSERT INTO tags_ SELECT id, tag FROM orders CROSS JOIN UNNEST(tags) AS t(tag);
INSERT INTO tags_left SELECT id, tag FROM orders LEFT JOIN UNNEST(tags) AS t(tag) ON TRUE;
INSERT INTO items_ SELECT id, sku, qty, price FROM orders CROSS JOIN UNNEST(items) AS t(sku, qty, price) WHERE sku IS NOT NULL;
INSERT INTO items_left SELECT id, t.sku, t.qty * t.price FROM orders LEFT JOIN UNNEST(items) AS t ON TRUE;
INSERT INTO attributes_ SELECT id, k, v FROM orders, UNNEST(attributes) AS t(k, v);
INSERT INTO numbered SELECT id, tag, n FROM orders CROSS JOIN UNNEST(tags) WITH ORDINALITY AS t(tag, n);
INSERT INTO both_ SELECT id, tag, sku FROM orders CROSS JOIN UNNEST(tags) AS t(tag) CROSS JOIN UNNEST(items) AS i(sku, qty, price);
INSERT INTO fixed SELECT id, n FROM orders CROSS JOIN UNNEST(ARRAY[1, 2]) AS t(n) WHERE id < 3;
