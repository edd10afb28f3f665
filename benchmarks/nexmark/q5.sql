-- q5, hot items: the auctions with most bids in the last 10 seconds, every 2 seconds.

CREATE TABLE q5 (auction BIGINT, num BIGINT) WITH ('connector' = 'blackhole');

CREATE VIEW counts AS SELECT auction, COUNT(*) AS num, window_start, window_end
FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end;

INSERT INTO q5
SELECT c.auction, c.num
FROM counts AS c JOIN (
  SELECT MAX(num) AS most, window_start, window_end FROM counts GROUP BY window_start, window_end
) AS m ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num >= m.most;
