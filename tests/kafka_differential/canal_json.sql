-- Changes in Canal's JSON, read and written.

CREATE TABLE source (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:canal.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'canal-json'
);

CREATE TABLE target (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'canal-json'
);

INSERT INTO target SELECT id, UPPER(name), weight FROM source;
