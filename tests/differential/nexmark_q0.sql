-- Nexmark q0: every bid as it is.

CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
  `dateTime` TIMESTAMP(3), extra STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/bids.ndjson', 'format' = 'json'
);

CREATE TABLE q0 (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/q0', 'format' = 'json'
);
INSERT INTO q0 SELECT auction, bidder, price, `dateTime`, extra FROM bid;
