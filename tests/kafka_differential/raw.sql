-- Raw text, read and written.

CREATE TABLE source (
  line STRING
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:lines.txt}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'raw'
);

CREATE TABLE target (
  line STRING
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'raw'
);

INSERT INTO target SELECT UPPER(line) FROM source;
