-- Raw numbers, read.

CREATE TABLE source (
  l BIGINT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${FLINK:raw_numbers}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'raw'
);

CREATE TABLE target (
  l BIGINT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json'
);

INSERT INTO target SELECT l FROM source;
