-- Nexmark queries 5, 7, 8, 11 and the like over bids of half a second.

CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
  `dateTime` TIMESTAMP(3), extra STRING, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/bids.ndjson', 'format' = 'json'
);

CREATE TABLE q5 WITH ('connector' = 'filesystem', 'path' = '${OUT}/q5', 'format' = 'json')
AS SELECT AuctionBids.auction, AuctionBids.num, AuctionBids.starttime FROM (
  SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0.02' SECOND, INTERVAL '0.1' SECOND)) GROUP BY auction, window_start, window_end) AS AuctionBids
JOIN (
  SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime FROM (
    SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0.02' SECOND, INTERVAL '0.1' SECOND)) GROUP BY auction, window_start, window_end) AS CountBids
  GROUP BY CountBids.starttime, CountBids.endtime) AS MaxBids
ON AuctionBids.starttime = MaxBids.starttime AND AuctionBids.endtime = MaxBids.endtime AND AuctionBids.num >= MaxBids.maxn;

CREATE TABLE q11 WITH ('connector' = 'filesystem', 'path' = '${OUT}/q11', 'format' = 'json')
AS SELECT bidder, COUNT(*) AS bid_count, SESSION_START(`dateTime`, INTERVAL '0.02' SECOND) AS starttime, SESSION_END(`dateTime`, INTERVAL '0.02' SECOND) AS endtime
FROM bid GROUP BY bidder, SESSION(`dateTime`, INTERVAL '0.02' SECOND);

CREATE TABLE highest WITH ('connector' = 'filesystem', 'path' = '${OUT}/highest', 'format' = 'json')
AS SELECT window_start, MAX(price) AS price, COUNT(DISTINCT bidder) AS bidders, COUNT(DISTINCT bidder) FILTER (WHERE price > 1000000) AS rich
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0.05' SECOND)) GROUP BY window_start, window_end;

CREATE TABLE by_channel WITH ('connector' = 'filesystem', 'path' = '${OUT}/by_channel', 'format' = 'json')
AS SELECT window_start, channel, COUNT(*) AS n, SUM(price) AS price, AVG(CAST(price AS DECIMAL(20, 4))) AS mean
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0.1' SECOND)) GROUP BY window_start, window_end, channel;

CREATE TABLE top_bids WITH ('connector' = 'filesystem', 'path' = '${OUT}/top_bids', 'format' = 'json')
AS SELECT window_start, auction, bidder, price, r FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, auction ORDER BY price DESC) AS r
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0.1' SECOND))) WHERE r <= 2;
