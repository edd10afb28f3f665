//! Jobs over an auction: what is worth killing.

use super::Job;

const BIDS: &str = "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3)";

/// The queries, and what they write.
const QUERIES: [(&str, &str, &str); 5] = [
    ("q0", BIDS, "SELECT * FROM bids"),
    (
        "q5",
        "auction BIGINT, num BIGINT, w TIMESTAMP(3)",
        "SELECT x.auction, x.num, x.window_end FROM
           (SELECT auction, COUNT(*) AS num, window_start, window_end
              FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
              GROUP BY auction, window_start, window_end) x JOIN
           (SELECT MAX(num) AS most, window_start, window_end FROM
             (SELECT auction, COUNT(*) AS num, window_start, window_end
                FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
                GROUP BY auction, window_start, window_end) GROUP BY window_start, window_end) m
           ON x.window_start = m.window_start AND x.window_end = m.window_end AND x.num >= m.most",
    ),
    (
        "q7",
        BIDS,
        "SELECT b.auction, b.bidder, b.price, b.ts FROM bids b JOIN
           (SELECT MAX(price) AS most, window_end
              FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
              GROUP BY window_start, window_end) m
           ON b.price = m.most WHERE b.ts >= m.window_end - INTERVAL '10' SECOND AND b.ts < m.window_end",
    ),
    (
        "q11",
        "bidder BIGINT, num BIGINT, starts TIMESTAMP(3), ends TIMESTAMP(3)",
        "SELECT bidder, COUNT(*), window_start, window_end
           FROM TABLE(SESSION(TABLE bids PARTITION BY bidder, DESCRIPTOR(ts), INTERVAL '1' SECOND))
           GROUP BY bidder, window_start, window_end",
    ),
    (
        "q12",
        "bidder BIGINT, num BIGINT, total BIGINT, w TIMESTAMP(3)",
        "SELECT bidder, COUNT(*), SUM(price), window_start
           FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY bidder, window_start, window_end",
    ),
];

/// How many events are generated, and how many in a second; as fast as it goes if that is `None`.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// In all.
    pub number: u64,
    /// In a second, of event time too.
    pub per_second: Option<u64>,
}

impl From<u64> for Events {
    fn from(number: u64) -> Self {
        Self { number, per_second: None }
    }
}

impl Events {
    /// The options of the table of events.
    fn options(self) -> String {
        let rate = |it| format!(", 'rate.limited' = 'true', 'first-event.rate' = '{it}'");
        let (number, rate) = (self.number, self.per_second.map(rate).unwrap_or_default());
        format!("'connector' = 'nexmark', 'events.num' = '{number}', 'out-of-order.group.size' = '100'{rate}")
    }
}

/// Bids as a view of generated events.
fn generated(events: Events) -> String {
    let options = events.options();
    format!(
        "CREATE TABLE events (event_type INT, bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, \
         channel STRING, url STRING, `dateTime` TIMESTAMP(3), extra STRING>, ts AS bid.`dateTime`, \
         WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) \
         WITH ({options});\n\
         CREATE TEMPORARY VIEW bids AS SELECT bid.auction AS auction, bid.bidder AS bidder, \
         bid.price AS price, ts FROM events WHERE event_type = 2;\n"
    )
}

fn files(name: &str, columns: &str, path: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'filesystem', 'format' = 'json', \
         'path' = '{path}', 'sink.rolling-policy.file-size' = '4 mb');\n"
    )
}

/// Writes the bids of so many events to files below `path`: the input of [`from_files`].
pub fn to_files(events: u64, path: &str) -> String {
    generated(events.into()) + &files("bids_out", BIDS, path) + "INSERT INTO bids_out SELECT * FROM bids"
}

/// Statements that write what the same test of Flink reads: bids in two files and in one in the order of
/// their times, and auctions. Each is for a run of its own.
pub fn for_flink(events: u64, path: &str) -> [String; 3] {
    let whole = |name: &str, columns: &str| {
        format!(
            "CREATE TABLE written ({columns}) WITH ('connector' = 'filesystem', 'format' = 'json', \
             'path' = '{path}/{name}', 'sink.rolling-policy.file-size' = '1 tb');\n"
        )
    };
    let input = wide(events.into());
    let write = |shards: u8, table: String, select: &str| {
        format!("SET 'parallelism.default' = '{shards}';\n{input}{table}INSERT INTO written {select}")
    };
    [
        write(2, whole("bids", BIDS), "SELECT * FROM bids"),
        write(1, whole("bids-in-order", BIDS), "SELECT * FROM bids"),
        write(
            2,
            whole("auctions", "id BIGINT, seller BIGINT, category BIGINT"),
            "SELECT id, seller, category FROM auctions",
        ),
    ]
}

fn jobs(ending: &str, input: &str) -> Vec<Job> {
    let job = |(query, columns, select): &(&str, &str, &str)| Job {
        name: format!("{query}{ending}"),
        sql: format!("{input}{}INSERT INTO s {select}", files("s", columns, super::OUT)),
        changes: false,
    };
    QUERIES.iter().map(job).collect()
}

/// The jobs over generated bids.
pub fn from_generator(events: impl Into<Events>) -> Vec<Job> {
    jobs("", &generated(events.into()))
}

/// The jobs over the files below `path`.
pub fn from_files(path: &str) -> Vec<Job> {
    let columns = format!("{BIDS}, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND");
    jobs("-files", &files("bids", &columns, path))
}

/// Joins, Top-N, deduplication: what they write, and whether it changes.
const CHANGING: [(&str, bool, &str, &str); 6] = [
    (
        "outer-join",
        true,
        "auction BIGINT, bidder BIGINT, price BIGINT, seller BIGINT, category BIGINT",
        "SELECT b.auction, b.bidder, b.price, a.seller, a.category
           FROM (SELECT * FROM bids WHERE MOD(bidder, 5) = 0) b
           FULL JOIN (SELECT * FROM auctions WHERE MOD(id, 3) > 0) a ON b.auction = a.id",
    ),
    (
        "interval-join",
        false,
        "auction BIGINT, bidder BIGINT, price BIGINT, seller BIGINT, ts TIMESTAMP(3)",
        "SELECT b.auction, b.bidder, b.price, a.seller, b.ts FROM bids b LEFT JOIN auctions a
           ON b.auction = a.id AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '3' SECOND",
    ),
    (
        "temporal-join",
        false,
        "id BIGINT, seller BIGINT, auction BIGINT, price BIGINT",
        "SELECT a.id, a.seller, l.auction, l.price FROM auctions a
           LEFT JOIN last_bids FOR SYSTEM_TIME AS OF a.ts AS l ON a.seller = l.bidder",
    ),
    (
        "top-n",
        true,
        "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3), place BIGINT",
        "SELECT auction, bidder, price, ts, place FROM
           (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, ts, bidder) AS place FROM bids)
           WHERE place <= 3",
    ),
    (
        "deduplication",
        true,
        "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3)",
        "SELECT auction, bidder, price, ts FROM
           (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY ts DESC) AS n FROM bids)
           WHERE n = 1",
    ),
    (
        "group-by",
        true,
        "auction BIGINT, bids BIGINT, bidders BIGINT, most BIGINT, mean BIGINT",
        "SELECT auction, COUNT(*), COUNT(DISTINCT bidder), MAX(price), AVG(price) FROM bids GROUP BY auction",
    ),
];

/// Jobs over generated events whose results change, or that join.
pub fn changing(events: impl Into<Events>) -> Vec<Job> {
    let input = wide(events.into());
    let job = |(query, changes, columns, select): &(&str, bool, &str, &str)| {
        let format = if *changes { "changelog-json" } else { "json" };
        let table = format!(
            "CREATE TABLE s ({columns}) WITH ('connector' = 'filesystem', 'format' = '{format}', \
             'path' = '{}', 'sink.rolling-policy.file-size' = '4 mb');\n",
            super::OUT
        );
        Job {
            name: (*query).to_string(),
            sql: format!("{input}{table}INSERT INTO s {select}"),
            changes: *changes,
        }
    };
    CHANGING.iter().map(job).collect()
}

/// Bids, auctions and the last bid of each bidder as views of generated events.
fn wide(events: Events) -> String {
    let options = events.options();
    format!(
        "CREATE TABLE events (event_type INT, \
         auction ROW<id BIGINT, `itemName` STRING, description STRING, `initialBid` BIGINT, reserve BIGINT, \
         `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>, \
         bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, \
         `dateTime` TIMESTAMP(3), extra STRING>, \
         ts AS CASE WHEN event_type = 1 THEN auction.`dateTime` ELSE bid.`dateTime` END, \
         WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) \
         WITH ({options});\n\
         CREATE TEMPORARY VIEW bids AS SELECT bid.auction AS auction, bid.bidder AS bidder, \
         bid.price AS price, ts FROM events WHERE event_type = 2;\n\
         CREATE TEMPORARY VIEW auctions AS SELECT auction.id AS id, auction.seller AS seller, \
         auction.category AS category, ts FROM events WHERE event_type = 1;\n\
         CREATE TEMPORARY VIEW last_bids AS SELECT auction, bidder, price, ts FROM \
         (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder ORDER BY ts DESC) AS n FROM bids) WHERE n = 1;\n"
    )
}
