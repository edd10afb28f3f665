CREATE TABLE output (auction BIGINT, num BIGINT, window_end TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO output
SELECT x.auction, x.num, x.window_end FROM
  (SELECT auction, COUNT(*) AS num, window_start, window_end
     FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
     GROUP BY auction, window_start, window_end) x JOIN
  (SELECT MAX(num) AS most, window_start, window_end FROM
    (SELECT auction, COUNT(*) AS num, window_start, window_end
       FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
       GROUP BY auction, window_start, window_end) GROUP BY window_start, window_end) m
  ON x.window_start = m.window_start AND x.window_end = m.window_end AND x.num >= m.most;
