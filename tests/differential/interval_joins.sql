-- Joins of rows whose times lie near each other.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), p AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE VIEW near AS SELECT e.id, e.ts FROM events AS e JOIN people AS p
ON e.k = p.k AND e.ts BETWEEN p.ts - INTERVAL '10' SECOND AND p.ts + INTERVAL '5' SECOND;

CREATE TABLE inner_within (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'inner_within');
INSERT INTO inner_within SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p
ON e.k = p.k AND e.ts BETWEEN p.ts - INTERVAL '10' SECOND AND p.ts + INTERVAL '5' SECOND;

CREATE TABLE left_within (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'left_within');
INSERT INTO left_within SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p
ON e.k = p.k AND e.ts BETWEEN p.ts - INTERVAL '10' SECOND AND p.ts + INTERVAL '5' SECOND;

CREATE TABLE right_within (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'right_within');
INSERT INTO right_within SELECT e.id, p.id, e.s, p.name FROM events AS e RIGHT JOIN people AS p
ON e.k = p.k AND e.ts BETWEEN p.ts - INTERVAL '10' SECOND AND p.ts + INTERVAL '5' SECOND;

CREATE TABLE full_within (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'full_within');
INSERT INTO full_within SELECT e.id, p.id, e.s, p.name FROM events AS e FULL JOIN people AS p
ON e.k = p.k AND e.ts BETWEEN p.ts - INTERVAL '10' SECOND AND p.ts + INTERVAL '5' SECOND;

CREATE TABLE apart (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'apart');
INSERT INTO apart SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p
ON e.k = p.k AND e.ts > p.ts + INTERVAL '30' SECOND AND e.ts <= p.ts + INTERVAL '1' MINUTE;

CREATE TABLE apart_left (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'apart_left');
INSERT INTO apart_left SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p
ON e.k = p.k AND e.ts > p.ts + INTERVAL '30' SECOND AND e.ts <= p.ts + INTERVAL '1' MINUTE;

CREATE TABLE turned (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'turned');
INSERT INTO turned SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p
ON p.k = e.k AND p.ts >= e.ts - INTERVAL '20' SECOND AND p.ts - INTERVAL '1' SECOND < e.ts;

CREATE TABLE in_where (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'in_where');
INSERT INTO in_where SELECT e.id, p.id, e.s, p.name FROM events AS e, people AS p
WHERE e.k = p.k AND e.ts < p.ts AND e.ts > p.ts - INTERVAL '7.5' SECOND;

CREATE TABLE with_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'with_rest');
INSERT INTO with_rest SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p
ON e.k = p.k AND e.v > p.id AND e.ts BETWEEN p.ts AND p.ts + INTERVAL '25' SECOND;

CREATE TABLE full_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'full_rest');
INSERT INTO full_rest SELECT e.id, p.id, e.s, p.name FROM events AS e FULL JOIN people AS p
ON e.k = p.k AND e.v > 0 AND p.city = 'Oslo' AND e.ts BETWEEN p.ts AND p.ts + INTERVAL '25' SECOND;

CREATE TABLE of_itself (a INT, b INT)
WITH ('connector' = 'print', 'print-identifier' = 'of_itself');
INSERT INTO of_itself SELECT x.id, y.id FROM events AS x JOIN events AS y
ON x.s = y.s AND x.ts BETWEEN y.ts AND y.ts + INTERVAL '4' SECOND AND x.id <> y.id;

CREATE TABLE same_time (a INT, b INT)
WITH ('connector' = 'print', 'print-identifier' = 'same_time');
INSERT INTO same_time SELECT x.k, y.k FROM rates AS x, rates AS y WHERE x.k = y.k AND x.ts = y.ts;

CREATE TABLE counted (w TIMESTAMP(3), n BIGINT)
WITH ('connector' = 'print', 'print-identifier' = 'counted');
INSERT INTO counted SELECT window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE near, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;

CREATE TABLE best (id INT, v INT, w TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'best');
INSERT INTO best SELECT e.id, e.v, m.w FROM events AS e JOIN (SELECT MAX(v) AS v, window_end AS w
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end) AS m
ON e.v = m.v AND e.ts BETWEEN m.w - INTERVAL '10' SECOND AND m.w;

CREATE TABLE best_left (id INT, v INT, w TIMESTAMP(3))
WITH ('connector' = 'print', 'print-identifier' = 'best_left');
INSERT INTO best_left SELECT e.id, m.v, m.w FROM events AS e LEFT JOIN (SELECT MAX(v) AS v, window_start AS w
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end) AS m
ON e.v = m.v AND e.ts >= m.w AND e.ts < m.w + INTERVAL '10' SECOND;

CREATE TABLE since (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'since');
INSERT INTO since SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p ON e.k = p.k AND e.v > 30 AND e.ts >= p.ts;

CREATE TABLE since_left (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'since_left');
INSERT INTO since_left SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p ON e.k = p.k AND e.v > 40 AND e.ts >= p.ts;

CREATE TABLE until (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'until');
INSERT INTO until SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p
ON e.k = p.k AND e.v < -30 AND e.ts < p.ts + INTERVAL '3' SECOND;

CREATE TABLE since_in (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'since_in');
INSERT INTO since_in SELECT id, s FROM events AS e
WHERE EXISTS (SELECT 1 FROM people AS p WHERE p.k = e.k AND p.ts BETWEEN e.ts AND e.ts + INTERVAL '5' SECOND);

CREATE TABLE not_since (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'not_since');
INSERT INTO not_since SELECT id, s FROM events AS e
WHERE NOT EXISTS (SELECT 1 FROM people AS p WHERE p.k = e.k AND p.ts BETWEEN e.ts AND e.ts + INTERVAL '5' SECOND);
