-- ROW, ARRAY and MAP built in a query.

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

CREATE TABLE r (id INT, a ARRAY<INT>, m MAP<STRING, STRING>, r ROW<x INT, y STRING>, rr ROW<p ROW<x INT>, q ARRAY<STRING>>, n ARRAY<ARRAY<INT>>, e INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT id, ARRAY[id, id + 1, NULL], MAP['note', note, 'fixed', 'x'], ROW(id, note), ROW(ROW(id), ARRAY[note, 'b']), ARRAY[ARRAY[id], ARRAY[1, 2]],
  ARRAY[10, 20, 30][2]
FROM orders WHERE id IS NOT NULL;
