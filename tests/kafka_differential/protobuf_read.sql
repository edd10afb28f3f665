-- Protobuf, read as Flink has written it.

CREATE TABLE source (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` BIGINT, extra STRING
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${FLINK:protobuf}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'protobuf', 'protobuf.message-class-name' = 'flott.bench.Bid' /* flott */, 'protobuf.schema-file' = '${PROTO}', 'protobuf.message-name' = 'flott.bench.Bid' /* end */
);

CREATE TABLE target (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` BIGINT, extra STRING
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'json'
);

INSERT INTO target SELECT auction, bidder, price, channel, url, `dateTime`, extra FROM source;
