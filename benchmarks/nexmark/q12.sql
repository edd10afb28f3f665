-- q12, windows on the wall clock: how many bids a person makes in 10 seconds of it, whatever time the bids have.

CREATE TABLE q12 (bidder BIGINT, bids BIGINT, since TIMESTAMP(3), until TIMESTAMP(3)) WITH ('connector' = 'blackhole');

CREATE VIEW bid_now AS SELECT *, PROCTIME() AS now_ FROM bid;

INSERT INTO q12
SELECT bidder, COUNT(*), window_start, window_end
FROM TABLE(TUMBLE(TABLE bid_now, DESCRIPTOR(now_), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
