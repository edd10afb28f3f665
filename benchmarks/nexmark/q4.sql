-- q4, average price of a category: over the highest bids that its auctions got while they were open. The
-- highest bid of an auction changes, so the average takes back what it counted.

CREATE TABLE q4 (category BIGINT, price BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO q4
SELECT category, AVG(highest)
FROM (
  SELECT a.category, MAX(b.price) AS highest
  FROM auction AS a JOIN bid AS b ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
  GROUP BY a.id, a.category
)
GROUP BY category;
