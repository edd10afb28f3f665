-- Look-ups in a file. Flink's files can't be looked up: it joins with the file's rows instead.

SET 'execution.runtime-mode' = 'batch';

CREATE TABLE orders (
  id INT, ts TIMESTAMP(3), cur STRING, region STRING, amount DOUBLE, least DOUBLE, p AS PROCTIME()
) WITH ('connector' = 'filesystem', 'path' = '${DATA}/temporal/orders.ndjson', 'format' = 'json');

CREATE TABLE currencies (cur STRING, name STRING, n BIGINT, big BOOLEAN, shout AS UPPER(name)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/temporal/currencies.csv', 'format' = 'csv'
);

CREATE TABLE events (id INT, `value` STRING, dt STRING, region STRING) PARTITIONED BY (dt, region) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/events', 'format' = 'json'
);

CREATE TABLE inner_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/inner_', 'format' = 'json')
AS SELECT o.id, c.name, c.n
FROM orders AS o JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur;

CREATE TABLE left_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/left_', 'format' = 'json')
AS SELECT o.id, o.cur, c.cur AS known, c.shout
FROM orders AS o LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur;

CREATE TABLE residual WITH ('connector' = 'filesystem', 'path' = '${OUT}/residual', 'format' = 'json')
AS SELECT o.id, c.name
FROM orders AS o LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c
ON c.cur = o.cur AND c.n * 20 > o.amount;

CREATE TABLE right_only WITH ('connector' = 'filesystem', 'path' = '${OUT}/right_only', 'format' = 'json')
AS SELECT o.id, c.name
FROM orders AS o LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c
ON o.cur = c.cur AND c.big AND c.name <> 'Euro';

CREATE TABLE left_only WITH ('connector' = 'filesystem', 'path' = '${OUT}/left_only', 'format' = 'json')
AS SELECT o.id, c.name
FROM orders AS o LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c
ON o.cur = c.cur AND o.amount > 50;

CREATE TABLE filtered WITH ('connector' = 'filesystem', 'path' = '${OUT}/filtered', 'format' = 'json')
AS SELECT o.id, c.name
FROM orders AS o JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur
WHERE c.n < 3 AND o.region = 'us' AND (c.big OR o.amount < 30);

CREATE TABLE two_keys WITH ('connector' = 'filesystem', 'path' = '${OUT}/two_keys', 'format' = 'json')
AS SELECT o.id, c.name
FROM (SELECT *, CAST(MOD(id, 6) AS BIGINT) AS m FROM orders) AS o
JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur AND o.m = c.n;

CREATE TABLE cast_key WITH ('connector' = 'filesystem', 'path' = '${OUT}/cast_key', 'format' = 'json')
AS SELECT o.id, c.name
FROM orders AS o JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON MOD(o.id, 10) = c.n;

CREATE TABLE computed_columns WITH ('connector' = 'filesystem', 'path' = '${OUT}/computed_columns', 'format' = 'json')
AS SELECT o.id, COALESCE(c.shout, 'none') AS shout, c.n + 1 AS n
FROM orders AS o LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c
ON o.cur = c.cur AND c.shout LIKE '%O%';

CREATE TABLE by_partition WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_partition', 'format' = 'json')
AS SELECT o.id, e.dt
FROM orders AS o JOIN events /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS e ON o.region = e.region
WHERE o.id < 20;

CREATE TABLE twice WITH ('connector' = 'filesystem', 'path' = '${OUT}/twice', 'format' = 'json')
AS SELECT o.id, c.name, d.name AS other
FROM orders AS o
LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur
LEFT JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS d ON c.n = d.n AND d.big;

CREATE TABLE grouped WITH ('connector' = 'filesystem', 'path' = '${OUT}/grouped', 'format' = 'json')
AS SELECT c.name, COUNT(*) AS n, MAX(o.amount) AS most
FROM orders AS o JOIN currencies /* flott */ FOR SYSTEM_TIME AS OF o.p /* end */ AS c ON o.cur = c.cur
GROUP BY c.name;
