-- GROUP BY with changes gathered: the same tables in the end.

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE sums (k INT, n BIGINT, total INT, least INT, greatest INT, mean INT) WITH ('connector' = 'print', 'print-identifier' = 'sums');
INSERT INTO sums SELECT k, COUNT(*), SUM(v), MIN(v), MAX(v), AVG(v) FROM events GROUP BY k;

CREATE TABLE distinct_sets (s STRING, ids BIGINT, low BIGINT, keys BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_sets');
INSERT INTO distinct_sets SELECT s, COUNT(DISTINCT id), COUNT(DISTINCT id) FILTER (WHERE v < 0), COUNT(DISTINCT k) FROM events GROUP BY s;

CREATE TABLE cubes (k INT, s STRING, n BIGINT, total INT) WITH ('connector' = 'print', 'print-identifier' = 'cubes');
INSERT INTO cubes SELECT k, s, COUNT(*), SUM(v) FROM events GROUP BY CUBE (k, s);

CREATE TABLE counts (c BIGINT, n BIGINT, least INT, words BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'counts');
INSERT INTO counts SELECT c, COUNT(*), MIN(t), COUNT(DISTINCT s) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY c;

CREATE TABLE whole (n BIGINT, total BIGINT, greatest BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'whole');
INSERT INTO whole SELECT COUNT(*), SUM(c), MAX(c) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k);


CREATE TABLE minutes (m STRING, n BIGINT, people BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'minutes');
INSERT INTO minutes SELECT DATE_FORMAT(ts, 'HH:mm'), COUNT(*), COUNT(DISTINCT k) FROM events GROUP BY DATE_FORMAT(ts, 'HH:mm');

CREATE TABLE several (k INT, a BIGINT, b BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'several');
INSERT INTO several SELECT k, COUNT(DISTINCT (v)), COUNT(DISTINCT s) FROM events WHERE v > -20 GROUP BY k HAVING SUM(v) > 0;

