-- Metadata of messages, read into columns and written from them.

CREATE TABLE source (
  id INT, pos BIGINT METADATA FROM 'offset' VIRTUAL, part INT METADATA FROM 'partition' VIRTUAL,
  kind STRING METADATA FROM 'timestamp-type' VIRTUAL, epoch INT METADATA FROM 'leader-epoch' VIRTUAL,
  heads MAP<STRING, BYTES> METADATA FROM 'headers', sent TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:types.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

CREATE TABLE target (
  id INT, pos BIGINT, part INT, kind STRING, epoch INT, heads MAP<STRING, BYTES> METADATA FROM 'headers',
  sent TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json'
);

INSERT INTO target SELECT id, pos, part, kind, epoch, MAP['h', CAST(CAST(id AS STRING) AS BYTES)], TO_TIMESTAMP_LTZ(id * 1000, 3) FROM source;
