#!/usr/bin/env python3
"""Kill Flink again and again, and compare what its file sink wrote with an undisturbed run.

usage: chaos_flink.py INPUT | --generate ROWS [--kills 40] [--seed 1] [--jobs q0,q5,q7,outer-join,top-n] [--keep DIR]

What `cargo xtask chaos` does to Flott, done to Flink: `cargo xtask chaos --flink` writes INPUT
(directories bids, bids-in-order, auctions of JSON files) and calls this; with --generate the rows come from
Flink's own datagen instead. FLOTT_FLINK_PYTHON names a
Python with apache-flink. Each start is a process of its own with a local mini-cluster: started, killed
with all its children (`kill -9`), and started again from its newest retained checkpoint.

All starts have parallelism 2: with another than before Flink refuses some of these checkpoints.

Moments: 'early' any time in the first seconds; 'published' as soon as a reader sees a new file;
'checkpointed' up to four seconds after a start's first checkpoint.
Rows: JSON lines; of a log of changes (debezium-json) the table that it makes.
Standard library only, but for the job's own process.
"""
import argparse, collections, glob, json, os, random, shutil, signal, subprocess, sys, tempfile, time

BID = "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3)"
HOP = "TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))"
COUNTS = f"SELECT auction, COUNT(*) AS num, window_start, window_end FROM {HOP} GROUP BY auction, window_start, window_end"
# job: (directory of bids, changes, columns of the sink, query)
JOBS = {
    "q0": ("bids", False, BID, "SELECT * FROM bids"),
    "q5": ("bids-in-order", False, "auction BIGINT, num BIGINT, w TIMESTAMP(3)",
        f"""SELECT x.auction, x.num, x.window_end FROM ({COUNTS}) x JOIN
        (SELECT MAX(num) AS most, window_start, window_end FROM ({COUNTS}) GROUP BY window_start, window_end) m
        ON x.window_start = m.window_start AND x.window_end = m.window_end AND x.num >= m.most"""),
    "q7": ("bids-in-order", False, BID,
        """SELECT b.auction, b.bidder, b.price, b.ts FROM bids b JOIN
        (SELECT MAX(price) AS most, window_end AS w FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end) m
        ON b.price = m.most WHERE b.ts >= m.w - INTERVAL '10' SECOND AND b.ts < m.w"""),
    "outer-join": ("bids", True, "auction BIGINT, bidder BIGINT, price BIGINT, seller BIGINT, category BIGINT",
        """SELECT b.auction, b.bidder, b.price, a.seller, a.category
        FROM (SELECT * FROM bids WHERE MOD(bidder, 5) = 0) b
        FULL JOIN (SELECT * FROM auctions WHERE MOD(id, 3) > 0) a ON b.auction = a.id"""),
    "top-n": ("bids", True, BID + ", place BIGINT",
        """SELECT auction, bidder, price, ts, place FROM
        (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, ts, bidder) AS place FROM bids)
        WHERE place <= 3"""),
}

# With --generate: rows that follow from a counter, `--rows` of them.
GENERATED = {
    "bids": """n BIGINT, auction AS 1000 + n / 300 - MOD(n * 7919, 100), bidder AS 1000 + MOD(n * 104729, 5000 + n / 500),
        price AS 100 + MOD(n * 48271, 1000003),
        ts AS CAST(TIMESTAMPADD(SECOND, CAST(n / 20000 AS INT), TIMESTAMP '2026-01-01 00:00:00') AS TIMESTAMP(3)),
        WATERMARK FOR ts AS ts - INTERVAL '4' SECOND""",
    "auctions": "n BIGINT, id AS 1000 + n, seller AS MOD(n * 7907, 4000), category AS 10 + MOD(n, 5)",
}

def generated(name, rows, seconds):
    return (f"CREATE TABLE {name} ({GENERATED[name]}) WITH ('connector' = 'datagen', 'rows-per-second' = "
            f"'{max(rows // seconds, 1)}', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{rows - 1}')")

def statements(job, given, out):
    bids, changes, columns, query = JOBS[job]
    files = "'connector' = 'filesystem', 'path' = 'file://{}', 'format' = '{}'"
    rolling = "'sink.rolling-policy.file-size' = '4 mb', 'sink.rolling-policy.rollover-interval' = '1 s', 'sink.rolling-policy.check-interval' = '500 ms'"
    sink = f"CREATE TABLE s ({columns}) WITH ({files.format(out, 'debezium-json' if changes else 'json')}, {rolling})"
    if given.generate:
        tables = [generated("bids", given.generate, given.seconds), generated("auctions", given.generate // 300, given.seconds)]
        query = query.replace("SELECT * FROM bids", "SELECT auction, bidder, price, ts FROM bids")
    else:
        data = os.path.abspath(given.input)
        tables = [
            f"CREATE TABLE bids ({BID}, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) WITH ({files.format(f'{data}/{bids}', 'json')})",
            f"CREATE TABLE auctions (id BIGINT, seller BIGINT, category BIGINT) WITH ({files.format(f'{data}/auctions', 'json')})",
        ]
    return [*tables, sink, f"INSERT INTO s {query}"]

def work(place):
    """The process that is killed: runs the job in `place`."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment
    with open(f"{place}/job.json") as file:
        job = json.load(file)
    configuration = Configuration()
    for key, value in job["options"].items():
        configuration.set_string(key, value)
    settings = EnvironmentSettings.new_instance().with_configuration(configuration).in_streaming_mode().build()
    table = TableEnvironment.create(settings)
    for statement in job["statements"][:-1]:
        table.execute_sql(statement)
    table.execute_sql(job["statements"][-1]).wait()
    with open(f"{place}/finished", "w"):
        pass

class Reader:
    """What readers see: each file is read once."""
    def __init__(self, out, changes):
        self.out, self.changes, self.files, self.counts = out, changes, {}, collections.Counter()

    def visible(self):
        return [it for it in glob.glob(f"{self.out}/**", recursive=True)
                if os.path.isfile(it) and not os.path.basename(it).startswith((".", "_"))]

    def look(self):
        """Reads what is new; files that readers had seen and that are gone or changed."""
        found = {it: os.path.getsize(it) for it in self.visible()}
        broken = sum(found.get(it) != size for it, size in self.files.items())
        for file in found.keys() - self.files.keys():
            with open(file) as lines:
                for line in lines:
                    self.add(line.rstrip("\n"))
        self.files.update(found)
        return broken

    def add(self, line):
        if not self.changes:
            self.counts[line] += 1
            return
        before, after = line[len('{"before":'):line.rindex(',"op":')].split(',"after":')
        if before != "null": self.counts[before] -= 1
        if after != "null": self.counts[after] += 1

    def rows(self):
        return {row: count for row, count in self.counts.items() if count}

def surplus(rows, limit):
    return sum(max(0, abs(count) - max(0, limit.get(row, 0))) for row, count in rows.items())

class Killer:
    def __init__(self, python, place, given):
        self.python, self.place, self.given = python, place, given

    def metadata(self, place):
        found = glob.glob(f"{place}/checkpoints/*/chk-*/_metadata")
        return sorted(found, key=lambda it: os.stat(it).st_mtime_ns)

    def start(self, job, place, interval):
        options = {
            "execution.target": "local", "rest.port": "0", "taskmanager.numberOfTaskSlots": "2",
            "taskmanager.memory.network.min": "160mb", "taskmanager.memory.network.max": "160mb",
            "parallelism.default": "2", "table.local-time-zone": "UTC", "restart-strategy.type": "none",
        }
        if interval:
            options |= {
                "execution.checkpointing.interval": f"{interval} ms",
                "execution.checkpointing.dir": f"file://{place}/checkpoints",
                "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            }
            newest = self.metadata(place)
            if newest:
                options["execution.state-recovery.path"] = "file://" + os.path.dirname(newest[-1])
        with open(f"{place}/job.json", "w") as file:
            json.dump({"options": options, "statements": statements(job, self.given, f"{place}/out")}, file)
        log = open(f"{place}/log", "ab")
        return subprocess.Popen([self.python, os.path.abspath(__file__), "--work", place], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True, env={**os.environ, "TZ": "UTC"})

    def fresh(self, job):
        place = os.path.join(self.place, job)
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(f"{place}/out")
        return place

    def undisturbed(self, job):
        place = self.fresh(job)
        if self.start(job, place, None).wait() != 0:
            sys.exit(f"{job} failed: {place}/log")
        reader = Reader(f"{place}/out", JOBS[job][1])
        reader.look()
        shutil.rmtree(place)
        return reader.rows()

    def one(self, job, place, reader, moment, draw, tally):
        """One start, killed at the moment; whether the job came to its end."""
        before = len(self.metadata(place))
        seen = set(reader.files)
        run = self.start(job, place, draw.randint(300, 800))
        begin, wait = time.monotonic(), draw.random()
        reached = None
        while run.poll() is None:
            now = time.monotonic()
            if reached is None and len(self.metadata(place)) > before:
                reached = now
            if moment == "early" and now - begin > 8 * wait:
                break
            if moment == "checkpointed" and reached is not None and now - reached > 4 * wait:
                break
            if moment == "published" and set(reader.visible()) - seen:
                break
            time.sleep(0.005)
        if run.poll() is not None:
            if run.returncode != 0:
                tally["could not go on"] += 1
                print(f"{job} could not go on: {why(place)}", flush=True)
            return True
        self.stop(run)
        if os.path.exists(f"{place}/finished"):
            return True
        # A job that has finished removes its checkpoints: there is nothing to start again from.
        if len(self.metadata(place)) < before + (reached is not None):
            tally["finished, then killed"] += 1
            return True
        tally["kills"] += 1
        tally["early" if reached is None and moment != "published" else moment] += 1
        tally["published before a checkpoint"] += moment == "published" and not self.metadata(place)
        return False

    def stop(self, run):
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        wait_for_death(run.pid)

    def torment(self, job, expected, kills, draw, tally):
        place = self.fresh(job)
        reader = Reader(f"{place}/out", JOBS[job][1])
        done, found = 0, collections.Counter()
        while True:
            moment = draw.choice(["early"] + ["published"] * 3 + ["checkpointed"] * 6) if done < kills else None
            ended = self.one(job, place, reader, moment, draw, found)
            found["files changed"] += reader.look()
            if ended:
                break
            done = found["kills"]
            print(f"{job}: killed ({moment}), {len(reader.files)} files visible, "
                  f"{len(self.metadata(place))} checkpoints, "
                  f"{surplus(reader.rows(), expected) if not JOBS[job][1] else '-'} rows too many", flush=True)
        rows = reader.rows()
        found["runs"] += 1
        done = found["kills"]
        # A job that can't be started again has not come to its end: what is missing is not lost yet.
        if not found["could not go on"]:
            found["lost"] += surplus(expected, rows)
        found["doubled"] += surplus(rows, expected)
        found["files left"] += sum(name.startswith(".") for _, _, names in os.walk(f"{place}/out") for name in names)
        tally.update(found)
        print(f"{job}: {dict(found)}", flush=True)
        if not found["lost"] and not found["doubled"] and not found["could not go on"]:
            shutil.rmtree(place)
        else:
            shutil.move(place, f"{place}-{tally['runs']}-wrong")
        return done

def why(place):
    """The last cause in the log of a start that failed by itself."""
    with open(f"{place}/log", errors="replace") as log:
        causes = [line.strip() for line in log if line.startswith("Caused by")]
    return causes[-1][:200] if causes else f"{place}/log"

def wait_for_death(group):
    while True:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.01)

def main():
    if sys.argv[1:2] == ["--work"]:
        return work(sys.argv[2])
    arguments = argparse.ArgumentParser()
    arguments.add_argument("input", nargs="?")
    arguments.add_argument("--kills", type=int, default=40)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--jobs", default=",".join(JOBS))
    arguments.add_argument("--at-a-time", type=int, default=4, help="kills of a job before it may end")
    arguments.add_argument("--keep")
    arguments.add_argument("--generate", type=int, metavar="ROWS", help="no files: so many rows of Flink's datagen")
    arguments.add_argument("--seconds", type=int, default=15, help="how long generated rows come; many: no kill hits the end of the input")
    given = arguments.parse_args()
    python = os.environ.get("FLOTT_FLINK_PYTHON") or sys.exit("FLOTT_FLINK_PYTHON names no Python with apache-flink")
    place = given.keep or tempfile.mkdtemp(prefix="chaos-flink-")
    killer, draw = Killer(python, place, given), random.Random(given.seed)
    names, left, tallies, expected = given.jobs.split(","), given.kills, {}, {}
    for job in names:
        expected[job], tallies[job] = killer.undisturbed(job), collections.Counter()
        print(f"{job}: {sum(expected[job].values())} rows", flush=True)
    while left > 0:
        for job in names:
            if left > 0:
                left -= killer.torment(job, expected[job], min(left, given.at_a_time), draw, tallies[job])
    columns = ["runs", "kills", "early", "published", "published before a checkpoint", "checkpointed", "finished, then killed", "could not go on", "lost", "doubled", "files left", "files changed"]
    print("\n| job | rows | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 2) + "|")
    for job in names:
        print(f"| {job} | {sum(expected[job].values())} | " + " | ".join(str(tallies[job][it]) for it in columns) + " |")
    total = sum(tallies.values(), collections.Counter())
    print("| all | | " + " | ".join(str(total[it]) for it in columns) + " |")

main()
