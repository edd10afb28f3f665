-- q11, user sessions: how many bids a person makes until there is none for 10 seconds.

CREATE TABLE q11 (bidder BIGINT, bids BIGINT, since TIMESTAMP(3), until TIMESTAMP(3)) WITH ('connector' = 'blackhole');

INSERT INTO q11
SELECT bidder, COUNT(*), window_start, window_end
FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
