-- Regular joins of rows that only come.

CREATE TABLE all_events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), p AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE VIEW events AS SELECT * FROM all_events WHERE id < 70;

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE inner_equal (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'inner_equal');
INSERT INTO inner_equal SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p ON e.k = p.k;

CREATE TABLE left_equal (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'left_equal');
INSERT INTO left_equal SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p ON e.k = p.k;

CREATE TABLE right_equal (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'right_equal');
INSERT INTO right_equal SELECT e.id, p.id, e.s, p.name FROM events AS e RIGHT JOIN people AS p ON e.k = p.k;

CREATE TABLE full_equal (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'full_equal');
INSERT INTO full_equal SELECT e.id, p.id, e.s, p.name FROM events AS e FULL JOIN people AS p ON e.k = p.k;

CREATE TABLE inner_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'inner_rest');
INSERT INTO inner_rest SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p ON e.k = p.k AND e.v > p.id;

CREATE TABLE left_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'left_rest');
INSERT INTO left_rest SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p ON e.k = p.k AND e.v > p.id;

CREATE TABLE right_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'right_rest');
INSERT INTO right_rest SELECT e.id, p.id, e.s, p.name FROM events AS e RIGHT JOIN people AS p
ON e.k = p.k AND e.v > p.id AND e.s = p.city;

CREATE TABLE full_rest (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'full_rest');
INSERT INTO full_rest SELECT e.id, p.id, e.s, p.name FROM events AS e FULL JOIN people AS p ON e.k = p.k AND e.v > p.id AND p.city = 'Lima' AND e.v < 40;

CREATE TABLE left_sides (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'left_sides');
INSERT INTO left_sides SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p
ON e.k = p.k AND e.s = 'red' AND p.city IN ('Oslo', 'Cairo');

CREATE TABLE right_sides (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'right_sides');
INSERT INTO right_sides SELECT e.id, p.id, e.s, p.name FROM events AS e RIGHT JOIN people AS p
ON e.k = p.k AND e.s = 'red' AND p.city IN ('Oslo', 'Cairo');

CREATE TABLE inner_two_keys (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'inner_two_keys');
INSERT INTO inner_two_keys SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p ON e.k = p.k AND e.id = p.id;

CREATE TABLE left_expression (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'left_expression');
INSERT INTO left_expression SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p ON e.k + 1 = p.k * 2 AND e.id < 200;

CREATE TABLE null_safe (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'null_safe');
INSERT INTO null_safe SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p
ON e.k IS NOT DISTINCT FROM p.k AND e.id < 120;

CREATE TABLE null_safe_left (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'null_safe_left');
INSERT INTO null_safe_left SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p
ON e.k IS NOT DISTINCT FROM p.k AND p.name IS NOT DISTINCT FROM e.s;

CREATE TABLE no_key (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'no_key');
INSERT INTO no_key SELECT e.id, p.id, e.s, p.name FROM events AS e JOIN people AS p ON e.v > p.k * 5 AND e.id < 60;

CREATE TABLE no_key_full (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'no_key_full');
INSERT INTO no_key_full SELECT e.id, p.id, e.s, p.name FROM events AS e FULL JOIN people AS p ON e.v < p.k - p.id AND e.id < 100 AND p.id < 40;

CREATE TABLE crossed (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'crossed');
INSERT INTO crossed SELECT e.id, p.id, e.s, p.name FROM events AS e CROSS JOIN people AS p WHERE e.id < 20 AND p.id < 12;

CREATE TABLE three (a INT, b INT, rate DECIMAL(10, 2))
WITH ('connector' = 'print', 'print-identifier' = 'three');
INSERT INTO three SELECT e.id, p.id, r.rate FROM events AS e
JOIN people AS p ON e.k = p.k LEFT JOIN rates AS r ON p.id = r.k;

CREATE TABLE three_outer (a INT, b INT, rate DECIMAL(10, 2))
WITH ('connector' = 'print', 'print-identifier' = 'three_outer');
INSERT INTO three_outer SELECT e.id, p.id, r.rate FROM events AS e
LEFT JOIN people AS p ON e.id = p.id LEFT JOIN rates AS r ON p.k = r.k AND r.rate > 500;

CREATE TABLE by_using (k INT, a INT, b INT)
WITH ('connector' = 'print', 'print-identifier' = 'by_using');
INSERT INTO by_using SELECT k, e.id, p.id FROM events AS e JOIN people AS p USING (k) WHERE e.v > 20;

CREATE TABLE full_using (k INT, a INT, b INT)
WITH ('connector' = 'print', 'print-identifier' = 'full_using');
INSERT INTO full_using SELECT k, e.id, p.id FROM events AS e FULL JOIN people AS p USING (k);

CREATE TABLE with_itself (a INT, b INT)
WITH ('connector' = 'print', 'print-identifier' = 'with_itself');
INSERT INTO with_itself SELECT x.id, y.id FROM people AS x JOIN people AS y ON x.city = y.city AND x.id < y.id;

CREATE TABLE semi_in (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'semi_in');
INSERT INTO semi_in SELECT id, s FROM events WHERE k IN (SELECT id FROM people WHERE city <> 'Oslo');

CREATE TABLE semi_exists (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'semi_exists');
INSERT INTO semi_exists SELECT id, s FROM events AS e
WHERE EXISTS (SELECT 1 FROM people AS p WHERE p.k = e.k AND p.id > e.v);

CREATE TABLE anti_exists (id INT, s STRING)
WITH ('connector' = 'print', 'print-identifier' = 'anti_exists');
INSERT INTO anti_exists SELECT id, s FROM events AS e
WHERE NOT EXISTS (SELECT 1 FROM people AS p WHERE p.k = e.k AND p.id > e.v);

CREATE TABLE filtered_above (a INT, b INT, s STRING, name STRING)
WITH ('connector' = 'print', 'print-identifier' = 'filtered_above');
INSERT INTO filtered_above SELECT e.id, p.id, e.s, p.name FROM events AS e LEFT JOIN people AS p ON e.k = p.k
WHERE p.name IS NULL OR e.v > 30;
