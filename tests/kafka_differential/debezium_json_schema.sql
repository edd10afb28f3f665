-- Debezium's JSON with its schema.

CREATE TABLE source (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:debezium_schema.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'debezium-json', 'debezium-json.schema-include' = 'true'
);

CREATE TABLE target (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'debezium-json'
);

INSERT INTO target SELECT id, name, weight FROM source;
