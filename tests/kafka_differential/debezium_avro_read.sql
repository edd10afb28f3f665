-- Debezium's changes in Avro, read as Flink has written them.

CREATE TABLE source (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${FLINK:debezium_avro}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'debezium-avro-confluent', 'debezium-avro-confluent.url' = '${REGISTRY}'
);

CREATE TABLE target (
  id INT, name STRING, weight DOUBLE
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'debezium-json'
);

INSERT INTO target SELECT id, name, weight FROM source;
