-- Joins with a table as it was at a row's time: versioned tables and views.

CREATE TABLE orders (
  id INT, ts TIMESTAMP(3), cur STRING, region STRING, amount DOUBLE, least DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/temporal/orders.ndjson', 'format' = 'json');

CREATE TABLE rates (
  n INT, ts TIMESTAMP(3), cur STRING, region STRING, rate DOUBLE,
  PRIMARY KEY (cur) NOT ENFORCED, WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/temporal/rates.ndjson', 'format' = 'json');

CREATE TABLE regional (
  n INT, ts TIMESTAMP(3), cur STRING, region STRING, rate DOUBLE,
  PRIMARY KEY (cur, region) NOT ENFORCED, WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/temporal/rates.ndjson', 'format' = 'json');

CREATE TABLE history (
  n INT, ts TIMESTAMP(3), cur STRING, region STRING, rate DOUBLE, WATERMARK FOR ts AS ts
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/temporal/rates.ndjson', 'format' = 'json');

CREATE VIEW latest AS SELECT cur AS currency, ts, rate, n FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY cur ORDER BY ts DESC) AS rn FROM history
) WHERE rn = 1;

CREATE VIEW latest_doubled AS SELECT UPPER(region) AS area, ts, rate * 2 AS rate, cur FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY cur ORDER BY ts DESC) AS rn FROM history WHERE rate > 0.1
) WHERE rn = 1;

CREATE TABLE inner_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/inner_', 'format' = 'json')
AS SELECT o.id, o.ts, r.n, r.ts AS since, r.rate * o.amount AS total
FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur;

CREATE TABLE left_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/left_', 'format' = 'json')
AS SELECT o.id, o.cur, r.cur AS known, r.n
FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur;

CREATE TABLE residual WITH ('connector' = 'filesystem', 'path' = '${OUT}/residual', 'format' = 'json')
AS SELECT o.id, r.n
FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur AND r.rate >= o.least;

CREATE TABLE residual_left WITH ('connector' = 'filesystem', 'path' = '${OUT}/residual_left', 'format' = 'json')
AS SELECT o.id, r.n
FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON r.cur = o.cur AND r.rate >= o.least;

CREATE TABLE right_only WITH ('connector' = 'filesystem', 'path' = '${OUT}/right_only', 'format' = 'json')
AS SELECT o.id, r.n
FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur AND r.rate > 0.7 AND o.amount < 80;

CREATE TABLE right_only_left WITH ('connector' = 'filesystem', 'path' = '${OUT}/right_only_left', 'format' = 'json')
AS SELECT o.id, r.n
FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur AND r.rate > 0.7 AND o.amount < 80;

CREATE TABLE filtered WITH ('connector' = 'filesystem', 'path' = '${OUT}/filtered', 'format' = 'json')
AS SELECT o.id, r.n
FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur
WHERE o.amount > 20 AND (r.rate < 1 OR r.rate IS NULL);

CREATE TABLE composite WITH ('connector' = 'filesystem', 'path' = '${OUT}/composite', 'format' = 'json')
AS SELECT o.id, r.n, r.region
FROM orders AS o LEFT JOIN regional FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur AND o.region = r.region;

CREATE TABLE of_a_view WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_a_view', 'format' = 'json')
AS SELECT o.id, v.rate, v.n
FROM orders AS o JOIN latest FOR SYSTEM_TIME AS OF o.ts AS v ON o.cur = v.currency;

CREATE TABLE of_a_view_left WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_a_view_left', 'format' = 'json')
AS SELECT o.id, v.rate, v.currency
FROM orders AS o LEFT JOIN latest FOR SYSTEM_TIME AS OF o.ts AS v ON o.cur = v.currency AND v.rate < 1.2;

CREATE TABLE of_a_computed_view WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_a_computed_view', 'format' = 'json')
AS SELECT o.id, v.rate, v.area
FROM orders AS o JOIN latest_doubled FOR SYSTEM_TIME AS OF o.ts AS v ON o.cur = v.cur;

CREATE TABLE computed_key WITH ('connector' = 'filesystem', 'path' = '${OUT}/computed_key', 'format' = 'json')
AS SELECT o.id, r.n
FROM (SELECT id, ts, LOWER(cur) AS cur FROM orders) AS o
JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON UPPER(o.cur) = r.cur;

CREATE TABLE twice WITH ('connector' = 'filesystem', 'path' = '${OUT}/twice', 'format' = 'json')
AS SELECT o.id, r.n AS n1, v.n AS n2
FROM orders AS o
LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur
LEFT JOIN regional FOR SYSTEM_TIME AS OF o.ts AS v ON o.cur = v.cur AND o.region = v.region;

CREATE TABLE of_filtered_orders WITH ('connector' = 'filesystem', 'path' = '${OUT}/of_filtered_orders', 'format' = 'json')
AS SELECT o.id, r.n
FROM (SELECT * FROM orders WHERE region = 'eu') AS o
JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur;

CREATE VIEW joined AS SELECT o.id, o.ts, o.cur, r.n AS rn
FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.cur = r.cur;

CREATE TABLE windows_after WITH ('connector' = 'filesystem', 'path' = '${OUT}/windows_after', 'format' = 'json')
AS SELECT window_start, cur, COUNT(*) AS n, MAX(rn) AS latest
FROM TABLE(TUMBLE(TABLE joined, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY window_start, window_end, cur;
