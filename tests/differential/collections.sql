-- Functions over arrays and maps.

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

CREATE TABLE r (
  id INT,
  c1 BOOLEAN,
  c2 ARRAY<STRING>,
  c3 INT,
  c4 ARRAY<STRING>,
  c5 ARRAY<STRING>,
  c6 ARRAY<STRING>,
  c7 ARRAY<STRING>,
  c8 STRING,
  c9 STRING,
  c10 ARRAY<STRING>,
  c11 ARRAY<STRING>,
  c12 ARRAY<STRING>,
  c13 STRING,
  c14 ARRAY<STRING>,
  c15 ARRAY<STRING>,
  c16 MAP<STRING, STRING>,
  c17 ARRAY<STRING>
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  ARRAY_CONTAINS(tags, 'a'),
  ARRAY_DISTINCT(tags),
  ARRAY_POSITION(tags, 'fruit'),
  ARRAY_REVERSE(tags),
  ARRAY_CONCAT(tags, ARRAY['z']),
  ARRAY_APPEND(tags, 'z'),
  ARRAY_PREPEND(tags, 'z'),
  ARRAY_JOIN(tags, '+'),
  ARRAY_JOIN(tags, '+', '?'),
  ARRAY_SLICE(tags, 1, 2),
  ARRAY_REMOVE(tags, 'a'),
  ARRAY_UNION(tags, ARRAY['a', 'q']),
  ARRAY_MAX(tags),
  MAP_KEYS(attributes),
  MAP_VALUES(attributes),
  MAP_FROM_ARRAYS(ARRAY['k'], ARRAY[note]),
  SPLIT(note, ' ')
FROM orders;
