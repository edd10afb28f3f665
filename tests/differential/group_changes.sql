-- GROUP BY over rows that only come: every change of a result.

SET 'table.exec.mini-batch.enabled' = 'false';

CREATE TABLE events (
  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/events.ndjson', 'format' = 'json');

CREATE TABLE sums_log (k INT, n BIGINT, present BIGINT, total INT, least INT, greatest INT, mean INT) WITH ('connector' = 'print', 'print-identifier' = 'sums_log');
INSERT INTO sums_log SELECT k, COUNT(*), COUNT(v), SUM(v), MIN(v), MAX(v), AVG(v) FROM events GROUP BY k;

CREATE TABLE decimals_log (s STRING, total DECIMAL(38, 2), mean DECIMAL(38, 6), least DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'decimals_log');
INSERT INTO decimals_log SELECT s, SUM(d), AVG(d), MIN(d) FROM events GROUP BY s;

CREATE TABLE all_log (n BIGINT, total INT, words BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'all_log');
INSERT INTO all_log SELECT COUNT(*), SUM(v), COUNT(DISTINCT s) FROM events;

CREATE TABLE distinct_log (k INT, words BIGINT, low BIGINT, high BIGINT, total INT, ids BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'distinct_log');
INSERT INTO distinct_log SELECT k, COUNT(DISTINCT s), COUNT(DISTINCT s) FILTER (WHERE v < 0), COUNT(DISTINCT s) FILTER (WHERE v >= 0), SUM(DISTINCT v), COUNT(DISTINCT id) FROM events GROUP BY k;

CREATE TABLE filters_log (s STRING, n BIGINT, low BIGINT, high INT) WITH ('connector' = 'print', 'print-identifier' = 'filters_log');
INSERT INTO filters_log SELECT s, COUNT(*), COUNT(*) FILTER (WHERE v < 0), SUM(v) FILTER (WHERE v > 10 AND k IS NOT NULL) FROM events GROUP BY s;

CREATE TABLE having_log (k INT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'having_log');
INSERT INTO having_log SELECT k, COUNT(*) FROM events GROUP BY k HAVING COUNT(*) BETWEEN 3 AND 20;

CREATE TABLE words_log (s STRING, k INT) WITH ('connector' = 'print', 'print-identifier' = 'words_log');
INSERT INTO words_log SELECT DISTINCT s, k FROM events;

CREATE TABLE two_keys_log (a INT, b STRING, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'two_keys_log');
INSERT INTO two_keys_log SELECT MOD(k, 3), UPPER(s), COUNT(*) FROM events GROUP BY MOD(k, 3), UPPER(s);

CREATE TABLE sets_log (k INT, s STRING, g BIGINT, n BIGINT, total INT) WITH ('connector' = 'print', 'print-identifier' = 'sets_log');
INSERT INTO sets_log SELECT k, s, GROUPING_ID(k, s), COUNT(*), SUM(v) FROM events GROUP BY GROUPING SETS ((k), (s), ());

CREATE TABLE rollup_log (k INT, s STRING, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'rollup_log');
INSERT INTO rollup_log SELECT k, s, COUNT(*) FROM events GROUP BY ROLLUP (k, s);

CREATE TABLE cube_log (k INT, s STRING, g BIGINT, n BIGINT) WITH ('connector' = 'print', 'print-identifier' = 'cube_log');
INSERT INTO cube_log SELECT k, s, GROUPING(s), COUNT(DISTINCT v) FROM events GROUP BY CUBE (k, s);

CREATE TABLE ends_log (k INT, f STRING, l INT) WITH ('connector' = 'print', 'print-identifier' = 'ends_log');
INSERT INTO ends_log SELECT k, FIRST_VALUE(s), LAST_VALUE(v) FROM events GROUP BY k;

CREATE TABLE lists_log (k INT, l STRING) WITH ('connector' = 'print', 'print-identifier' = 'lists_log');
INSERT INTO lists_log SELECT k, LISTAGG(s, '|') FROM events WHERE id < 60 GROUP BY k;

CREATE TABLE deviations_log (k INT, a DOUBLE, b DOUBLE, c DOUBLE, e DOUBLE) WITH ('connector' = 'print', 'print-identifier' = 'deviations_log');
INSERT INTO deviations_log SELECT k, ROUND(STDDEV_POP(x), 6), ROUND(STDDEV_SAMP(x), 6), ROUND(VAR_POP(x), 6), ROUND(VAR_SAMP(x), 6)
FROM (SELECT k, CAST(v AS DOUBLE) AS x FROM events) GROUP BY k;

