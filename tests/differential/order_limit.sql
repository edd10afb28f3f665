-- ORDER BY with LIMIT, OFFSET and FETCH: over rows and over results that change.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE people (
  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/people.ndjson', 'format' = 'json');

CREATE TABLE rates (
  k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE smallest (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'smallest');
CREATE TABLE greatest (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'greatest');
CREATE TABLE nulls_first (id INT, v INT) WITH ('connector' = 'print', 'print-identifier' = 'nulls_first');
CREATE TABLE offset_ (id INT, s STRING) WITH ('connector' = 'print', 'print-identifier' = 'offset_');
CREATE TABLE fetch_first (id INT) WITH ('connector' = 'print', 'print-identifier' = 'fetch_first');
CREATE TABLE offset_fetch (id INT) WITH ('connector' = 'print', 'print-identifier' = 'offset_fetch');
CREATE TABLE by_alias (n INT, id INT) WITH ('connector' = 'print', 'print-identifier' = 'by_alias');
CREATE TABLE by_position (v INT, id INT) WITH ('connector' = 'print', 'print-identifier' = 'by_position');
CREATE TABLE by_hidden (id INT) WITH ('connector' = 'print', 'print-identifier' = 'by_hidden');
CREATE TABLE by_expression (id INT) WITH ('connector' = 'print', 'print-identifier' = 'by_expression');
CREATE TABLE of_groups (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups');
CREATE TABLE of_groups_call (k INT) WITH ('connector' = 'print', 'print-identifier' = 'of_groups_call');
CREATE TABLE of_distinct (s STRING) WITH ('connector' = 'print', 'print-identifier' = 'of_distinct');
CREATE TABLE of_union (k INT) WITH ('connector' = 'print', 'print-identifier' = 'of_union');
CREATE TABLE of_sets (k INT) WITH ('connector' = 'print', 'print-identifier' = 'of_sets');
CREATE TABLE nested (total INT) WITH ('connector' = 'print', 'print-identifier' = 'nested');
CREATE TABLE twice (id INT) WITH ('connector' = 'print', 'print-identifier' = 'twice');
CREATE TABLE joined (id INT) WITH ('connector' = 'print', 'print-identifier' = 'joined');
CREATE TABLE in_top (id INT) WITH ('connector' = 'print', 'print-identifier' = 'in_top');
CREATE TABLE scalar_top (id INT) WITH ('connector' = 'print', 'print-identifier' = 'scalar_top');
CREATE TABLE zero_rows (id INT) WITH ('connector' = 'print', 'print-identifier' = 'zero_rows');
CREATE TABLE more_than_there_are (id INT) WITH ('connector' = 'print', 'print-identifier' = 'more_than_there_are');
CREATE TABLE without_order (n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'without_order');
CREATE TABLE order_dropped (n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'order_dropped');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO smallest
SELECT id, v FROM events ORDER BY v, id LIMIT 5;

INSERT INTO greatest
SELECT id, v FROM events ORDER BY v DESC, id DESC LIMIT 5;

INSERT INTO nulls_first
SELECT id, v FROM events ORDER BY v DESC NULLS FIRST, id LIMIT 8;

INSERT INTO offset_
SELECT id, s FROM events ORDER BY s, id LIMIT 6 OFFSET 20;

INSERT INTO fetch_first
SELECT id FROM events ORDER BY id DESC FETCH FIRST 4 ROWS ONLY;

INSERT INTO offset_fetch
SELECT id FROM events ORDER BY id OFFSET 3 ROWS FETCH NEXT 2 ROWS ONLY;

INSERT INTO by_alias
SELECT id AS n, v * 2 AS id FROM events ORDER BY id DESC, n LIMIT 3;

INSERT INTO by_position
SELECT v, id FROM events ORDER BY 1 DESC, 2 LIMIT 3;

INSERT INTO by_hidden
SELECT id FROM events ORDER BY v DESC, k, id LIMIT 4;

INSERT INTO by_expression
SELECT id FROM events ORDER BY ABS(v) DESC, id LIMIT 4;

INSERT INTO of_groups
SELECT k, COUNT(*) AS n FROM events GROUP BY k ORDER BY n DESC, k LIMIT 3;

INSERT INTO of_groups_call
SELECT k FROM events GROUP BY k ORDER BY SUM(v) DESC, k LIMIT 3;

INSERT INTO of_distinct
SELECT DISTINCT s FROM events ORDER BY s DESC LIMIT 3;

INSERT INTO of_union
SELECT k FROM events UNION SELECT id FROM people ORDER BY k DESC LIMIT 5;

INSERT INTO of_sets
SELECT k FROM people EXCEPT SELECT k FROM rates WHERE rate > 800 ORDER BY k LIMIT 5;

INSERT INTO nested
SELECT SUM(id) AS total FROM (SELECT id FROM events ORDER BY v, id LIMIT 10);

INSERT INTO twice
SELECT id FROM (SELECT id, v FROM events ORDER BY v DESC, id LIMIT 10) ORDER BY id LIMIT 3;

INSERT INTO joined
SELECT p.id FROM people AS p JOIN (SELECT k FROM rates ORDER BY rate DESC, ts LIMIT 5) AS r ON r.k = p.k;

INSERT INTO in_top
SELECT id FROM people WHERE k IN (SELECT k FROM rates ORDER BY rate DESC, ts LIMIT 2);

INSERT INTO scalar_top
SELECT id FROM people WHERE id > (SELECT v FROM events WHERE v IS NOT NULL ORDER BY v DESC, id LIMIT 1);

INSERT INTO zero_rows
SELECT id FROM events ORDER BY id LIMIT 0;

INSERT INTO more_than_there_are
SELECT id FROM people ORDER BY id LIMIT 1000;

INSERT INTO without_order
SELECT COUNT(*) AS n FROM (SELECT id FROM events LIMIT 7);

INSERT INTO order_dropped
SELECT COUNT(*) AS n FROM (SELECT id FROM events ORDER BY v);

END;
