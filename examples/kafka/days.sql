-- From topic to topic: departures of each airport and day, in event time, exactly once.
--
--   departures, 2 partitions ──► windows of a day ──► days
--
-- Each partition has its own watermark. A transaction for each checkpoint: whoever reads `days` with
-- isolation.level = read_committed sees every day once, however often the job was killed.

SET 'execution.checkpointing.interval' = '2 s';

CREATE TABLE departures (
  origin STRING, scheduled TIMESTAMP(3), carrier STRING, flight INT, dest STRING, delay INT,
  WATERMARK FOR scheduled AS scheduled - INTERVAL '1' HOUR
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '${KAFKA:-127.0.0.1:9092}',
  'properties.group.id' = 'days',
  'topic' = 'departures',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = '${UNTIL:-unbounded}',
  'key.format' = 'raw',
  'key.fields' = 'origin',
  'value.format' = 'json'
);

CREATE TABLE days (
  origin STRING, `day` DATE, departures BIGINT, delayed BIGINT, worst INT
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '${KAFKA:-127.0.0.1:9092}',
  'topic' = 'days',
  'format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'days'
);

INSERT INTO days
SELECT origin, CAST(window_start AS DATE), COUNT(*), COUNT(*) FILTER (WHERE delay > 15), MAX(delay)
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(scheduled), INTERVAL '1' DAY))
GROUP BY window_start, window_end, origin;
