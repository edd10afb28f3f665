-- Tables of the checkpoint benchmark; `checkpoints.sh` appends a query.
CREATE TABLE events (
  event_type INT,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` TIMESTAMP(3), extra STRING>,
  ts AS bid.`dateTime`,
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'nexmark', 'events.num' = '${EVENTS}');
CREATE TEMPORARY VIEW bids AS
SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, ts FROM events WHERE event_type = 2;
