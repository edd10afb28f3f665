"""The scripts that both engines get, word for word."""
import os, re, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engines"))
from flink_sql import COLS, SQL

# A join of two streams on event time: what it keeps doesn't grow with the run. (Nexmark's own q7 compares with
# the end of the window, which is no event time, and keeps every bid for ever.)
Q7 = """SELECT b.auction, b.bidder, b.price, b.dateTime, b.extra FROM bids b JOIN
 (SELECT MAX(price) AS highest, window_time AS until FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end, window_time) m
 ON b.price = m.highest AND b.dateTime BETWEEN m.until - INTERVAL '10' SECOND AND m.until"""
ALL = ["auction", "bidder", "price", "channel", "url", "dateTime", "extra"]

QUERIES = {
    # query: (what it writes, the columns of its sink, its rows)
    "q0": ("kafka", *SQL["q0"]),
    "q1": ("kafka", *SQL["q1"]),
    "q5": ("blackhole", *SQL["q5"]),
    "q7": ("blackhole", SQL["q0"][0], Q7),
    # Every column is decoded.
    "count": ("blackhole", ", ".join(f"n{at} BIGINT" for at in range(len(ALL))),
              "SELECT " + ", ".join(f"COUNT({it})" for it in ALL) + " FROM bids"),
    # Nothing is: what is left of `count` without decoding. With --format raw, of a topic of any format.
    "raw": ("blackhole", "n BIGINT", "SELECT COUNT(message) FROM bids"),
}

# Flink's protobuf format has no timestamps.
MILLIS = COLS["bids"].replace("dateTime TIMESTAMP(3)", "dateTime BIGINT")
AS_MILLIS = """SELECT auction, bidder, price, channel, url,
 TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', dateTime) * 1000 + EXTRACT(MILLISECOND FROM dateTime), extra FROM bids"""

def format_options(name, engine):
    """For protobuf Flink needs the class that was made from the file, Flott the file."""
    if name != "protobuf":
        return f"'format'='{name}'"
    message = "'protobuf.message-class-name'='flott.bench.Bid'"
    if engine == "flott":
        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bid.proto")
        message = f"'protobuf.schema-file'='{file}','protobuf.message-name'='flott.bench.Bid'"
    return f"'format'='protobuf',{message}"

def connection(bootstrap, topic):
    return f"'connector'='kafka','properties.bootstrap.servers'='{bootstrap}','topic'='{topic}'"

def source(bootstrap, topic, group, format, bounded):
    reads = ",'scan.bounded.mode'='latest-offset'" if bounded else ""
    columns = f"{COLS['bids']}, WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND"
    if "protobuf" in format:
        columns = MILLIS
    if "raw" in format:
        columns = "message BYTES"
    return (f"CREATE TABLE bids ({columns}) WITH ({connection(bootstrap, topic)},'properties.group.id'='{group}',"
            f"'scan.startup.mode'='earliest-offset',{format}{reads})")

def sink(bootstrap, topic, columns):
    # The same size of batches and the same compression for both clients.
    return (f"CREATE TABLE sink ({columns}) WITH ({connection(bootstrap, topic)},'format'='json',"
            f"'sink.delivery-guarantee'='exactly-once','sink.transactional-id-prefix'='{topic}',"
            "'properties.transaction.timeout.ms'='600000','properties.batch.size'='524288','properties.linger.ms'='20',"
            "'properties.compression.type'='lz4')")

def quoted(text):
    # DATETIME is a reserved word of this SQL dialect.
    return [re.sub(r"\bdateTime\b", "`dateTime`", it) for it in text]

def statements(query, bootstrap, topic, group, output, format, bounded=False, to=None):
    """CREATE TABLE for the source and the sink, then the INSERT; `to`: another sink than the query's own."""
    kind, columns, rows = QUERIES[query]
    if (to or kind) == "kafka":
        target = sink(bootstrap, output, columns)
    else:
        target = f"CREATE TABLE sink ({columns}) WITH ('connector'='blackhole')"
    return quoted([source(bootstrap, topic, group, format, bounded), target, f"INSERT INTO sink {rows}"])

def conversion(bootstrap, topic, output, format):
    """The bids of a topic, into one of another format: partition k into partition k, in its order."""
    protobuf = "protobuf" in format
    target = (f"CREATE TABLE sink ({MILLIS if protobuf else COLS['bids']}) WITH ({connection(bootstrap, output)},{format},"
              "'sink.partitioner'='fixed','properties.batch.size'='524288','properties.linger.ms'='20',"
              "'properties.compression.type'='lz4')")
    rows = AS_MILLIS if protobuf else "SELECT " + ", ".join(ALL) + " FROM bids"
    return quoted([source(bootstrap, topic, "conversion", "'format'='json'", True), target, f"INSERT INTO sink {rows}"])
