#!/usr/bin/env python3
"""Kafka to Kafka, Kafka to nowhere: Flott beside Flink with its Kafka connector, on one broker.

usage: run.py fill    [--events 10000000]                 fills the topic `bids` (JSON, lz4, two partitions)
       run.py convert --format avro --engines flott       fills the topic `bids-avro` from `bids`
       run.py steady  [--queries q0,q1,q5,q7] [--seconds 60]    rows/s, CPU and memory while the jobs run
       run.py check   [--events 500000] [--queries …]     the same bounded input: the same output topics?
       run.py catchup [--rate 50000] [--pause 60]         a job is away, comes back: seconds until it has caught up
       run.py bare    [--seconds 20]                      a consumer of the same client that throws the bytes away

--bootstrap ADDRESS names the broker (or KAFKA_BOOTSTRAP_SERVERS; without: the one that `cargo xtask services up` tells),
--engines flott,flink, --runs N, --work DIR (checkpoints and logs), --topic NAME, --format json|avro|protobuf|raw,
--checkpoints '10 s'.

How `steady` measures. A job reads a backlog that is longer than it can read, without an end, and writes with
exactly-once where it writes to Kafka. What counts is what others can see: the rows in the output topic before its
last stable offset; for a job that writes nothing, the offsets that its group has committed. Both move at
checkpoints. The clock runs from the second such move to the last one after `--seconds`: no start is in, neither of
a JVM nor of its compiler. CPU time and memory are those of the engine's processes at the same two moments; the
broker's are nobody's. Then the job is killed.

FLOTT names the binary, FLOTT_FLINK_PYTHON a Python with apache-flink and the connector's jars (setup.sh),
NEXGEN the generator. This script runs with a Python that has confluent-kafka. Linux only.
"""
import argparse, json, multiprocessing, os, statistics, subprocess, sys, tempfile, time

from engines import ENGINES, clean
from jobs import QUERIES, conversion, format_options, statements
from topics import PARTITIONS, Broker, digest, fill, producer

GENERATOR = os.environ.get("NEXGEN", os.path.join(os.environ.get("PEERS", "/tmp/peers"), "bin", "nexgen"))
# How often is looked; how many moves of the figures are for warming up.
PAUSE, WARM = 0.2, 1
# Event time and the times of messages are far apart here.
UNLIMITED = {"retention.ms": "-1", "retention.bytes": "-1"}

class Run:
    """One engine, one query, one pair of topics."""
    def __init__(self, given, broker, engine, query, number=0):
        self.given, self.broker, self.engine, self.query = given, broker, engine, query
        self.id = f"{given.prefix}-{engine}-{query}-{number}"
        self.place = f"{given.root}/{self.id}"

    def script(self, topic, **more):
        format = format_options(self.given.format, self.engine)
        return statements(self.query, self.given.bootstrap, topic, self.id, self.id, format, **more)

    def start(self, script, restored=False):
        self.process = ENGINES[self.engine](self.place, script, self.given.checkpoints, restored)
        return self.process

    def close(self):
        self.process.kill()
        self.broker.delete(self.id)
        clean(self.place)

    def writes(self):
        return QUERIES[self.query][0] == "kafka"

    def progress(self, topic):
        return self.broker.rows(self.id) if self.writes() else self.broker.committed(self.id, topic)

    def fail(self, why):
        sys.exit(f"{self.engine} {self.query}: {why}\n{self.process.tail()}")

def steady(run):
    """What the run shows between its second move and the last."""
    topic, given = run.given.topic, run.given
    backlog = run.broker.rows(topic)
    if run.writes():
        run.broker.fresh(run.id)
    run.start(run.script(topic))
    begin, moves, last, peak = time.monotonic(), [], 0, 0.0
    try:
        while True:
            time.sleep(PAUSE)
            if run.process.ended() is not None:
                run.fail(f"ended with {run.process.ended()}")
            rows, now, (cpu, memory) = run.progress(topic), time.monotonic(), run.process.cost()
            peak = max(peak, memory)
            if rows > last:
                # The partitions of one checkpoint may move one after the other.
                if moves and now - moves[-1][0] < 3 * PAUSE:
                    moves.pop()
                moves.append((now, rows, cpu))
                last = rows
            finished = last >= backlog
            long = len(moves) > WARM + 1 and moves[-1][0] - moves[WARM][0] >= given.seconds and now - moves[-1][0] > 3 * PAUSE
            if finished or long:
                break
            if now - begin > 4 * given.seconds + 120:
                run.fail("no end in sight")
    finally:
        run.close()
    # The last move of a backlog that is at its end says nothing about its speed.
    used = moves[WARM:-1] if finished else moves[WARM:]
    if len(used) < 2:
        return {"engine": run.engine, "query": run.query, "short": f"the backlog of {backlog:,} rows ended too early"}
    (start, rows, cpu), (end, rows_end, cpu_end) = used[0], used[-1]
    count = rows_end - rows
    return {"engine": run.engine, "query": run.query, "format": given.format, "seconds": round(end - start, 1), "rows": count,
            "rate": round(count / (end - start)), "cpu": round((cpu_end - cpu) / count * 1e6, 3), "rss": round(peak),
            "whole": last, "finished": finished}

def each(given, broker, measure):
    """Runs in turn, so that what the machine does meets all alike."""
    found = []
    for number in range(given.runs):
        for query in given.queries.split(","):
            for engine in given.engines.split(","):
                found.append(measure(Run(given, broker, engine, query, number)))
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found

def median(found, engine, query, what):
    values = [it[what] for it in found if it["engine"] == engine and it["query"] == query and what in it]
    return statistics.median(values) if values else None

def show_steady(given, found):
    print("| | engine | rows/s | of Flink | CPU s per million rows | of Flink | memory MiB | seconds |\n|---|---|---|---|---|---|---|---|")
    for query in given.queries.split(","):
        flink = [median(found, "flink", query, it) for it in ("rate", "cpu")]
        for engine in given.engines.split(","):
            rate, cpu, rss, seconds = (median(found, engine, query, it) for it in ("rate", "cpu", "rss", "seconds"))
            if rate is None:
                print(f"| {query} | {engine} | the backlog was too short |")
                continue
            ratios = [f"{rate / flink[0]:.1f}" if flink[0] else "", f"{cpu / flink[1]:.3f}" if flink[1] else ""]
            print(f"| {query} | {engine} | {rate:,.0f} | {ratios[0]} | {cpu:.2f} | {ratios[1]} | {rss:,.0f} | {seconds:.0f} |")

def check(run, topic):
    """A bounded run into a topic, and what is in the topic then."""
    run.broker.fresh(run.id)
    run.start(run.script(topic, bounded=True, to="kafka"))
    try:
        code = run.process.process.wait(timeout=900)
        if code:
            run.fail(f"ended with {code}")
        rows, total = digest(run.given.bootstrap, run.id, canonical)
        return {"engine": run.engine, "query": run.query, "rows": rows, "digest": total}
    finally:
        run.close()

def canonical(value):
    """The same for JSON that means the same."""
    try:
        return json.dumps(json.loads(value), sort_keys=True).encode()
    except ValueError:
        return value

def do_check(given, broker):
    topic = f"{given.prefix}-check"
    broker.fresh(topic)
    fill(given.bootstrap, topic, given.events, GENERATOR)
    found = each(given, broker, lambda run: check(run, topic))
    broker.delete(topic)
    print("| | " + " | ".join(given.engines.split(",")) + " | |\n|---|" + "---|" * (len(given.engines.split(",")) + 1))
    for query in given.queries.split(","):
        of_query = [it for it in found if it["query"] == query]
        same = len({(it["rows"], it["digest"]) for it in of_query}) == 1
        cells = [f"{it['rows']:,} rows, {it['digest']}" for it in of_query]
        print(f"| {query} | " + " | ".join(cells) + f" | {'equal' if same else 'DIFFERENT'} |")
        if not same:
            given.failed = True

def paced(bootstrap, topic, events, rate, count, place):
    """Sends the bids at a rate, and notes how many there are."""
    path = f"{place}/live"
    os.makedirs(path)
    subprocess.run([GENERATOR, str(events), path, "1"], stdout=subprocess.DEVNULL, check=True)
    with open(f"{path}/bids/part-0.ndjson", "rb") as file:
        lines = file.readlines()
    def endless():
        while True:
            yield from lines
    begin = time.monotonic()
    out = producer(bootstrap)
    for at, line in enumerate(endless()):
        out.produce(topic, value=line[:-1], partition=at % PARTITIONS)
        if at & 1023 == 0:
            out.poll(0)
            count.value = at
            time.sleep(max(0.0, begin + at / rate - time.monotonic()))

def catchup(run):
    """The job runs, is killed, and started again after the pause; the producer never stops."""
    given, topic = run.given, f"{run.id}-in"
    run.broker.fresh(topic, run.id)
    count = multiprocessing.Value("q", 0)
    os.makedirs(run.place, exist_ok=True)
    sender = multiprocessing.Process(target=paced, args=(given.bootstrap, topic, 1_000_000, given.rate, count, run.place), daemon=True)
    sender.start()
    current = lambda: run.progress(topic) > count.value - 3 * given.rate > 0
    def wait(what, limit=600.0):
        begin = time.monotonic()
        while not what():
            if run.process.ended() is not None:
                run.fail(f"ended with {run.process.ended()}")
            if time.monotonic() - begin > limit:
                run.fail("waited too long")
            time.sleep(0.05)
        return time.monotonic() - begin
    try:
        run.start(run.script(topic))
        wait(current)
        time.sleep(10)
        run.process.kill()
        before = run.progress(topic)
        time.sleep(given.pause)
        behind = count.value - before
        run.start(run.script(topic), restored=True)
        first = wait(lambda: run.progress(topic) > before + 10)
        seconds = first + wait(current)
        return {"engine": run.engine, "query": run.query, "behind": behind, "first": round(first, 2), "seconds": round(seconds, 2)}
    finally:
        sender.kill()
        run.close()
        run.broker.delete(topic)

def show_catchup(given, found):
    print("| | rows behind | seconds to the first new rows | seconds until caught up |\n|---|---|---|---|")
    for engine in given.engines.split(","):
        for query in given.queries.split(","):
            cells = [median(found, engine, query, it) for it in ("behind", "first", "seconds")]
            print(f"| {query}, {engine} | {cells[0]:,.0f} | {cells[1]:.1f} | {cells[2]:.1f} |")

def convert(run, topic):
    run.broker.fresh(topic, **UNLIMITED)
    run.start(conversion(run.given.bootstrap, run.given.topic, topic, format_options(run.given.format, run.engine)))
    code = run.process.process.wait()
    if code:
        run.fail(f"ended with {code}")
    print(f"{run.broker.rows(topic):,} rows in {topic}")

def do_bare(given, broker):
    """The example of the connector's crate: bytes a second that the client can fetch here."""
    binary = os.environ.get("BARE", "bare_consumer")
    for _ in range(given.runs):
        done = subprocess.run([binary, given.bootstrap, given.topic, str(given.seconds)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        print(done.stdout.strip(), flush=True)

def main():
    arguments = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    arguments.add_argument("what", choices=["fill", "convert", "steady", "check", "catchup", "bare"])
    arguments.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    arguments.add_argument("--engines", default="flott,flink")
    arguments.add_argument("--queries")
    arguments.add_argument("--events", type=int)
    arguments.add_argument("--topic", default="bids")
    arguments.add_argument("--format", default="json")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--checkpoints")
    arguments.add_argument("--rate", type=int, default=50_000)
    arguments.add_argument("--pause", type=float, default=60)
    arguments.add_argument("--runs", type=int, default=1)
    arguments.add_argument("--work")
    given = arguments.parse_args()
    given.failed = False
    given.queries = given.queries or ("q0" if given.what == "catchup" else "q0,q1,q5,q7")
    given.checkpoints = given.checkpoints or ("1 s" if given.what == "catchup" else "10 s")
    given.root = tempfile.mkdtemp(prefix="kafka-", dir=given.work)
    given.prefix = os.path.basename(given.root)
    broker = Broker(given.bootstrap)
    if given.what == "fill":
        broker.fresh(given.topic, **UNLIMITED)
        fill(given.bootstrap, given.topic, given.events or 10_000_000, GENERATOR)
        print(f"{broker.rows(given.topic):,} rows in {given.topic}")
    elif given.what == "convert":
        convert(Run(given, broker, given.engines.split(",")[0], "q0"), f"{given.topic}-{given.format}")
    elif given.what == "steady":
        show_steady(given, each(given, broker, steady))
    elif given.what == "check":
        given.events = given.events or 500_000
        do_check(given, broker)
    elif given.what == "catchup":
        show_catchup(given, each(given, broker, catchup))
    else:
        do_bare(given, broker)
    clean(given.root)
    sys.exit(1 if given.failed else 0)

if __name__ == "__main__":
    main()
