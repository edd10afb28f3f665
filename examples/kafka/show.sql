-- The busiest days, read from the topic.

SET 'execution.runtime-mode' = 'batch';

CREATE TABLE days (origin STRING, `day` DATE, departures BIGINT, delayed BIGINT, worst INT) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '${KAFKA:-127.0.0.1:9092}',
  'topic' = 'days',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

SELECT * FROM days ORDER BY delayed DESC, origin LIMIT 5;
