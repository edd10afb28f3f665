-- q7, highest bid: of every 10 seconds, with whoever made it. The bids of a window are joined with its maximum;
-- the condition on time is what bounds how long a bid is kept.

CREATE TABLE q7 (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING)
WITH ('connector' = 'blackhole');

INSERT INTO q7
SELECT b.auction, b.bidder, b.price, b.`dateTime`, b.extra
FROM bid AS b JOIN (
  SELECT MAX(price) AS highest, window_end AS until
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end
) AS m ON b.price = m.highest AND b.`dateTime` BETWEEN m.until - INTERVAL '10' SECOND AND m.until;
