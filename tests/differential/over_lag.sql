-- LAG over rows of which no two of a key have the same time.

CREATE TABLE rates (k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${GENERATED}/rates.ndjson', 'format' = 'json');

CREATE TABLE before_it (k INT, rate DECIMAL(10, 2), earlier DECIMAL(10, 2), twice DECIMAL(10, 2)) WITH ('connector' = 'print', 'print-identifier' = 'before_it');
INSERT INTO before_it SELECT k, rate, LAG(rate) OVER w, LAG(rate, 2, CAST(0 AS DECIMAL(10, 2))) OVER w FROM rates WINDOW w AS (PARTITION BY k ORDER BY ts);

CREATE TABLE steps (k INT, step DECIMAL(11, 2)) WITH ('connector' = 'print', 'print-identifier' = 'steps');
INSERT INTO steps SELECT k, rate - LAG(rate) OVER (PARTITION BY k ORDER BY ts) FROM rates;

