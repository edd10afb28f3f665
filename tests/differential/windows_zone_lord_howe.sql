-- Windows of instants in Australia/Lord_Howe, over the days on which its clocks change.

SET 'table.local-time-zone' = 'Australia/Lord_Howe';

CREATE TABLE readings (
  id INT, `at` TIMESTAMP_LTZ(3), sensor STRING, x DOUBLE, WATERMARK FOR `at` AS `at` - INTERVAL '1' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/windows/readings.ndjson', 'format' = 'json'
);

CREATE TABLE days WITH ('connector' = 'filesystem', 'path' = '${OUT}/days', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n, SUM(x) AS x FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(`at`), INTERVAL '1' DAY)) GROUP BY window_start, window_end;

CREATE TABLE hours WITH ('connector' = 'filesystem', 'path' = '${OUT}/hours', 'format' = 'json')
AS SELECT window_start, window_end, window_time, sensor, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(`at`), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time, sensor;

CREATE TABLE hops WITH ('connector' = 'filesystem', 'path' = '${OUT}/hops', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(HOP(TABLE readings, DESCRIPTOR(`at`), INTERVAL '2' HOUR, INTERVAL '6' HOUR)) GROUP BY window_start, window_end;

CREATE TABLE steps WITH ('connector' = 'filesystem', 'path' = '${OUT}/steps', 'format' = 'json')
AS SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(`at`), INTERVAL '3' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;

CREATE TABLE sessions WITH ('connector' = 'filesystem', 'path' = '${OUT}/sessions', 'format' = 'json')
AS SELECT window_start, window_end, sensor, COUNT(*) AS n FROM TABLE(SESSION(TABLE readings PARTITION BY sensor, DESCRIPTOR(`at`), INTERVAL '25' MINUTE)) GROUP BY window_start, window_end, sensor;

CREATE TABLE older WITH ('connector' = 'filesystem', 'path' = '${OUT}/older', 'format' = 'json')
AS SELECT TUMBLE_START(`at`, INTERVAL '4' HOUR) AS s, TUMBLE_END(`at`, INTERVAL '4' HOUR) AS e, TUMBLE_ROWTIME(`at`, INTERVAL '4' HOUR) AS r, COUNT(*) AS n FROM readings GROUP BY TUMBLE(`at`, INTERVAL '4' HOUR);

CREATE TABLE rows_ WITH ('connector' = 'filesystem', 'path' = '${OUT}/rows_', 'format' = 'json')
AS SELECT id, `at`, window_start, window_end, CAST(window_time AS TIMESTAMP_LTZ(3)) AS t FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(`at`), INTERVAL '30' MINUTE));
