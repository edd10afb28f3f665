-- q6, average price of a seller: over the ten auctions of the seller that closed last.
--
-- The published query puts an OVER window on rows that change (the highest bid of an auction), which isn't
-- defined, and Flink refuses it. Here the same is asked so that every part is: the winning bid of an auction is
-- a Top-1, the last ten of a seller a Top-10 over those, the average an aggregate that takes rows back.

CREATE TABLE q6 (seller BIGINT, price BIGINT) WITH ('connector' = 'blackhole');

CREATE VIEW winners AS SELECT seller, id, expires, price
FROM (
  SELECT a.seller, a.id, a.expires, b.price,
    ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.`dateTime` ASC) AS place
  FROM auction AS a JOIN bid AS b ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
)
WHERE place = 1;

INSERT INTO q6
SELECT seller, AVG(price)
FROM (
  SELECT seller, price, ROW_NUMBER() OVER (PARTITION BY seller ORDER BY expires DESC) AS place FROM winners
)
WHERE place <= 10
GROUP BY seller;
