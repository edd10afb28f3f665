-- GROUP BY over results that change: every change of a result. On one shard, so that the changes of
-- different groups come in one order.

SET 'parallelism.default' = '1';
SET 'table.exec.mini-batch.enabled' = 'false';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE counts_log (c BIGINT, n BIGINT, total INT, least INT, greatest INT, mean INT) WITH ('connector' = 'print', 'print-identifier' = 'counts_log');
INSERT INTO counts_log SELECT c, COUNT(*), SUM(t), MIN(t), MAX(t), AVG(t) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY c;

CREATE TABLE all_log (n BIGINT, total BIGINT, least BIGINT, greatest INT) WITH ('connector' = 'print', 'print-identifier' = 'all_log');
INSERT INTO all_log SELECT COUNT(*), SUM(c), MIN(c), MAX(t) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k);

CREATE TABLE words_log (s STRING, n BIGINT, decimals DECIMAL(38, 2), mean DECIMAL(38, 6)) WITH ('connector' = 'print', 'print-identifier' = 'words_log');
INSERT INTO words_log SELECT s, COUNT(*), SUM(d), AVG(d) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY s;

CREATE TABLE distinct_log (p BIGINT, words BIGINT, few BIGINT, total BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_log');
INSERT INTO distinct_log SELECT MOD(c, 5), COUNT(DISTINCT s), COUNT(DISTINCT s) FILTER (WHERE t < 0), SUM(DISTINCT c) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY MOD(c, 5);

CREATE TABLE having_log (c BIGINT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'having_log');
INSERT INTO having_log SELECT c, COUNT(*) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY c HAVING COUNT(*) > 1;

CREATE TABLE filtered_log (n BIGINT, total BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'filtered_log');
INSERT INTO filtered_log SELECT COUNT(*), SUM(c) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) WHERE c < 4;

CREATE TABLE once_log (c BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'once_log');
INSERT INTO once_log SELECT DISTINCT c FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k);

CREATE TABLE ends_log (p BIGINT, least STRING, greatest STRING) WITH ('connector' = 'print', 'print-identifier' = 'ends_log');
INSERT INTO ends_log SELECT MOD(c, 3), MIN(s), MAX(s) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY MOD(c, 3);


CREATE TABLE thrice_log (n BIGINT, m BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'thrice_log');
INSERT INTO thrice_log SELECT n, COUNT(*) FROM (SELECT c, COUNT(*) AS n FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY c) GROUP BY n;

CREATE TABLE sets_log (p BIGINT, s STRING, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'sets_log');
INSERT INTO sets_log SELECT MOD(c, 2), s, COUNT(*) FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t, MAX(s) AS s, SUM(d) AS d FROM events GROUP BY k) GROUP BY GROUPING SETS ((MOD(c, 2)), (s), ());

