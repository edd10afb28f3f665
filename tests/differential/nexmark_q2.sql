-- Nexmark q2: bids on some auctions.

CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
  `dateTime` TIMESTAMP(3), extra STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/bids.ndjson', 'format' = 'json'
);

CREATE TABLE q2 (auction BIGINT, price BIGINT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/q2', 'format' = 'json'
);
INSERT INTO q2 SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
