-- q13, side input: every bid with what a file says of its auction. nexmark.sh writes the file, 10,000 rows.

CREATE TABLE q13 (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), `value` STRING)
WITH ('connector' = 'blackhole');

CREATE TABLE side_input (key BIGINT, `value` STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/side_input.csv', 'format' = 'csv'
);

CREATE VIEW bid_now AS SELECT *, MOD(auction, 10000) AS side, PROCTIME() AS now_ FROM bid;

INSERT INTO q13
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value`
FROM bid_now AS b JOIN side_input FOR SYSTEM_TIME AS OF b.now_ AS s ON b.side = s.key;
