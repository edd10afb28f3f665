-- Debezium's changes in Avro, written.

CREATE TABLE source (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:debezium.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'debezium-json'
);

CREATE TABLE target (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'debezium-avro-confluent', 'debezium-avro-confluent.url' = '${REGISTRY}'
);

INSERT INTO target SELECT id, name, weight FROM source;
