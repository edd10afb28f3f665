-- One keyed aggregate under the worst conditions: millions of keys in one window, of which one is
-- half the input, so every checkpoint holds much change and one shard gets most of the rows.
CREATE TABLE input (
  share DOUBLE,
  cold BIGINT,
  at_millis BIGINT,
  k AS CASE WHEN share < 0.5 THEN CAST(0 AS BIGINT) ELSE cold END,
  ts AS TO_TIMESTAMP_LTZ(at_millis, 3),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '1000000000',
  'number-of-rows' = '${ROWS}',
  'fields.share.min' = '0', 'fields.share.max' = '1',
  'fields.cold.min' = '1', 'fields.cold.max' = '${KEYS}',
  'fields.at_millis.kind' = 'sequence', 'fields.at_millis.start' = '0', 'fields.at_millis.end' = '4000000000'
);
CREATE TABLE output (k BIGINT, n BIGINT, total BIGINT, window_start TIMESTAMP(3)) WITH ('connector' = 'blackhole');
-- 4,000,000 s at the most: one window.
INSERT INTO output
SELECT k, COUNT(*), SUM(at_millis), window_start
FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(ts), INTERVAL '90' DAY))
GROUP BY k, window_start, window_end;
