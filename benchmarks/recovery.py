#!/usr/bin/env python3
"""How long after `kill -9` a job with much state writes its next row: Flott and Flink.

usage: recovery.py [--keys 9000000] [--runs 1] [--engines flott,flott-standby,flink,flink-cluster] [--work DIR]

One job: COUNT, SUM, MIN, MAX and the greatest of a text per key, over a directory of JSON files that is watched
for new ones; it prints keys that come twice. Every key comes once: that is the state. When a checkpoint holds
it, rows for keys that are known are put into the directory and the job is killed; the clock runs from the kill
until a row is printed with what the state knew of its key.

  flott          the process is killed, and started again at once
  flott-standby  the process is killed; `flott run --standby`, started beside it, takes over
  flink          the process (PyFlink, local mini-cluster, state in the heap) is killed, and started again at
                 once from its newest retained checkpoint
  flink-cluster  a job manager and two task managers: the one that works is killed, its process started again
                 by nobody; Flink restarts the job on the other

FLOTT names the binary, FLOTT_FLINK_PYTHON a Python with apache-flink. Linux only; standard library only.
"""
import argparse, glob, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time

from flink_job import work

QUERY = """SELECT * FROM (SELECT k, COUNT(*) AS n, SUM(v) AS total, MIN(v) AS least, MAX(v) AS most,
 MAX(note) AS note FROM readings GROUP BY k) WHERE n > 1"""

def tables(place):
    return [
        f"CREATE TABLE readings (k BIGINT, v BIGINT, note STRING) WITH ('connector' = 'filesystem', "
        f"'path' = 'file://{place}/input', 'format' = 'json', 'source.monitor-interval' = '100 ms')",
        "CREATE TABLE seen (k BIGINT, n BIGINT, total BIGINT, least BIGINT, most BIGINT, note STRING) "
        "WITH ('connector' = 'print')",
        f"INSERT INTO seen {QUERY}",
    ]

def key(number):
    return number * 2654435761 % (1 << 40)

def line(number, value):
    return f'{{"k":{key(number)},"v":{value},"note":"{key(number):064x}"}}\n'

def write_input(folder, keys):
    """Two files; the last row of each repeats its first key, which tells that all has been read."""
    os.makedirs(folder)
    for part in range(2):
        numbers = range(part, keys, 2)
        with open(f"{folder}/{part}.json", "w") as file:
            for at in range(0, len(numbers), 100_000):
                file.write("".join(line(it, it % 1000) for it in numbers[at:at + 100_000]))
            file.write(line(numbers[0], 7))

def add_rows(place, keys):
    """What comes while nobody is there: known keys, from the middle on."""
    middle = keys // 2
    with open(f"{place}/new", "w") as file:
        file.write("".join(line(middle + it, 7) for it in range(1000)))
    os.rename(f"{place}/new", f"{place}/input/new.json")

def size(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)

class Engine:
    """Processes that run the job in `place`; what they print goes into `place/printed*`."""
    def __init__(self, place, keys):
        self.place, self.keys, self.runs, self.starts = place, keys, [], 0

    def spawn(self, command, **environment):
        self.starts += 1
        with open(f"{self.place}/printed{self.starts}", "wb") as out, open(f"{self.place}/log{self.starts}", "wb") as log:
            run = subprocess.Popen(command, cwd=self.place, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                   start_new_session=True, env={**os.environ, "TZ": "UTC", **environment})
        self.runs.append(run)
        return run

    def kill(self, run):
        try:
            os.killpg(run.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        run.wait()

    def close(self):
        for run in self.runs:
            self.kill(run)

    def printed(self, number):
        """How many of these keys have been printed with a count of two."""
        wanted, found = {f"[{key(it)}, 2," for it in number}, set()
        for file in self.outputs():
            with open(file, errors="replace") as lines:
                for row in lines:
                    found |= {it for it in wanted if it in row}
        return len(found)

    def outputs(self):
        return glob.glob(f"{self.place}/printed*")

    def wait(self, what, limit=600.0, pause=0.01):
        end = time.monotonic() + limit
        while not what():
            if time.monotonic() > end:
                sys.exit(f"{type(self).__name__}: waited too long in {self.place}")
            for run in self.runs[-1:]:
                if run.poll() is not None and run.returncode > 0:
                    sys.exit(f"{type(self).__name__} ended with {run.returncode}: {self.place}/log{self.starts}")
            time.sleep(pause)

    def load(self):
        """Starts the job and waits until a checkpoint holds all keys; seconds until all were read."""
        begin = time.monotonic()
        self.start()
        self.wait(lambda: self.printed([0, 1]) == 2, pause=0.1)
        seconds = time.monotonic() - begin
        # The first that completes may have begun before the last row.
        for _ in range(2):
            before = self.checkpoints()
            self.wait(lambda: self.checkpoints() > before, pause=0.1)
        return seconds

    def measure(self):
        loaded = self.load()
        self.prepare()
        state = size(self.checkpoint_folder())
        begin = time.monotonic()
        self.fail()
        add_rows(self.place, self.keys)
        middle = self.keys // 2
        self.wait(lambda: self.printed(range(middle, middle + 1000)) > 0)
        seconds = time.monotonic() - begin
        self.wait(lambda: self.printed(range(middle, middle + 1000)) == 1000, limit=60)
        return {"seconds": seconds, "state": state, "loaded": loaded}

    def prepare(self):
        pass

class Flott(Engine):
    def start(self, *more):
        options = ["execution.checkpointing.interval=2 s", "execution.checkpointing.dir=checkpoints",
                   "parallelism.default=2", "pipeline.name=recovery"]
        command = [os.environ.get("FLOTT", "flott"), "run", "--quiet", *more, "-e", ";\n".join(tables(self.place))]
        for option in options:
            command += ["-D", option]
        self.primary = self.spawn(command)

    def checkpoint_folder(self):
        return f"{self.place}/checkpoints"

    def checkpoints(self):
        marks = glob.glob(f"{self.place}/checkpoints/recovery/sequence/*.confirmed")
        return max((int(os.path.basename(it).split(".")[0]) for it in marks), default=0)

    def fail(self):
        self.kill(self.primary)
        self.start()

class FlottStandby(Flott):
    def prepare(self):
        primary = self.primary
        self.start("--standby")
        self.primary = primary
        # Until it has read what there is.
        time.sleep(float(os.environ.get("WARM", "10")))

    def fail(self):
        self.kill(self.primary)

class Flink(Engine):
    def options(self):
        return {"execution.target": "local", "rest.port": "0", "taskmanager.numberOfTaskSlots": "2",
                "taskmanager.memory.network.min": "160mb", "taskmanager.memory.network.max": "160mb",
                "restart-strategy.type": "none"}

    def start(self):
        options = self.options() | {
            "parallelism.default": "2", "pipeline.object-reuse": "true", "state.backend.type": "hashmap",
            "execution.checkpointing.interval": "2 s", "execution.checkpointing.dir": f"file://{self.place}/checkpoints",
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        }
        if self.metadata():
            options["execution.state-recovery.path"] = "file://" + os.path.dirname(self.metadata()[-1])
        with open(f"{self.place}/job.json", "w") as file:
            json.dump({"options": options, "statements": tables(self.place)}, file)
        self.primary = self.spawn([os.environ["FLOTT_FLINK_PYTHON"], os.path.abspath(__file__), "--work", self.place])

    def metadata(self):
        found = glob.glob(f"{self.place}/checkpoints/*/chk-*/_metadata")
        return sorted(found, key=lambda it: os.stat(it).st_mtime_ns)

    def checkpoint_folder(self):
        return os.path.dirname(self.metadata()[-1])

    def checkpoints(self):
        return int(self.checkpoint_folder().rsplit("-", 1)[1]) if self.metadata() else 0

    def fail(self):
        self.kill(self.primary)
        self.start()

class FlinkCluster(Flink):
    """A job manager and two task managers of two slots each."""
    def options(self):
        return {"execution.target": "remote", "rest.address": "localhost", "rest.port": "18081",
                "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "100000",
                "restart-strategy.fixed-delay.delay": "100 ms"}

    def start(self):
        ask = [os.environ["FLOTT_FLINK_PYTHON"], "-c", "import pyflink, os; print(os.path.dirname(pyflink.__file__))"]
        self.home = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
        os.makedirs(f"{self.place}/conf")
        os.makedirs(f"{self.place}/log")
        with open(f"{self.place}/conf/config.yaml", "w") as file:
            file.write("\n".join(["jobmanager.rpc.address: localhost", "jobmanager.bind-host: localhost",
                "jobmanager.rpc.port: 16123", "taskmanager.bind-host: localhost", "taskmanager.host: localhost",
                "rest.port: 18081", "jobmanager.memory.process.size: 1600m", "taskmanager.memory.task.heap.size: 6g",
                "taskmanager.memory.managed.size: 128m", "taskmanager.memory.jvm-metaspace.size: 256m",
                "taskmanager.numberOfTaskSlots: 2"]) + "\n")
        for name in glob.glob(f"{self.home}/conf/log4j*"):
            shutil.copy(name, f"{self.place}/conf")
        self.serve("jobmanager")
        self.working = self.serve("taskmanager")
        time.sleep(12)
        super().start()

    def serve(self, what):
        return self.spawn(["bash", f"{self.home}/bin/{what}.sh", "start-foreground"], FLINK_HOME=self.home,
                          FLINK_CONF_DIR=f"{self.place}/conf", FLINK_LOG_DIR=f"{self.place}/log")

    def prepare(self):
        # The other comes only now, so that the first has the job.
        self.serve("taskmanager")
        time.sleep(15)

    def fail(self):
        self.kill(self.working)

ENGINES = {"flott": Flott, "flott-standby": FlottStandby, "flink": Flink, "flink-cluster": FlinkCluster}

def main():
    if sys.argv[1:2] == ["--work"]:
        return work(sys.argv[2])
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--keys", type=int, default=9_000_000)
    arguments.add_argument("--runs", type=int, default=1)
    arguments.add_argument("--engines", default="flott,flott-standby,flink")
    arguments.add_argument("--work", dest="directory")
    given = arguments.parse_args()
    root = tempfile.mkdtemp(prefix="recovery-", dir=given.directory)
    write_input(f"{root}/input", given.keys)
    found = {name: [] for name in given.engines.split(",")}
    for at in range(given.runs):
        for name in found:
            place = f"{root}/{name}-{at}"
            os.makedirs(f"{place}/input")
            for file in os.listdir(f"{root}/input"):
                os.link(f"{root}/input/{file}", f"{place}/input/{file}")
            engine = ENGINES[name](place, given.keys)
            try:
                found[name].append(engine.measure())
            finally:
                engine.close()
            print(name, json.dumps(found[name][-1]), file=sys.stderr, flush=True)
            shutil.rmtree(place)
    shutil.rmtree(root)
    print("| | seconds from the kill to the next row | all runs | checkpoint |\n|---|---|---|---|")
    for name, runs in found.items():
        seconds = sorted(it["seconds"] for it in runs)
        every = ", ".join(f"{it:.2f}" for it in seconds)
        print(f"| {name} | {statistics.median(seconds):.2f} | {every} | {runs[0]['state'] / 1e6:,.0f} MB |")

main()
