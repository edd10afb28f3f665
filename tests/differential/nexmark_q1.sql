-- Nexmark q1: dollars to euros.

CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
  `dateTime` TIMESTAMP(3), extra STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/bids.ndjson', 'format' = 'json'
);

CREATE TABLE q1 (auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `dateTime` TIMESTAMP(3), extra STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/q1', 'format' = 'json'
);
INSERT INTO q1 SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid;
