#!/usr/bin/env python3
"""State larger than its memory: one GROUP BY over many keys, in memory and spilled, Flott and Flink with RocksDB.

usage: spill.py [--keys 20000000] [--budget 256mb] [--engines flott,flott-budget,flink-rocksdb] [--runs 1] [--work DIR]

Input: two JSON files of two columns; every key comes once in random order, and half of them once more. The
job counts and sums per key into a `print` sink that lets one sum in ten thousand through: every result is
held against the exact one, which this script computes.

  flott          everything in memory
  flott-budget   state.memory.budget = --budget, state.dir on the disk of --work
  flink-heap     state in the heap of the JVM (MAXHEAP, default 6g)
  flink-rocksdb  RocksDB with taskmanager.memory.managed.size = --budget and a heap of 1 GB (MAXHEAP)

Without checkpoints. Whole process: seconds from start to exit, CPU seconds, peak resident memory of the tree and
of the largest process (measure.py). FLOTT names the binary, FLOTT_FLINK_PYTHON a Python with apache-flink.
Linux only; standard library only.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile

from flink_job import work

HERE = os.path.dirname(os.path.abspath(__file__))
PART = 9973

def key(number, keys):
    """A permutation of the numbers below `keys`, spread wide."""
    return number * 1_000_003 % keys * 977

def rows(keys):
    """(k, v): all keys, then every second one again."""
    for number in range(keys):
        yield key(number, keys), number % 1000
    for number in range(0, keys, 2):
        yield key(keys - 1 - number, keys), number % 777

def write_input(folder, keys):
    os.makedirs(folder)
    files = [open(f"{folder}/{part}.json", "w", buffering=1 << 20) for part in range(2)]
    lines = [[], []]
    for at, (k, v) in enumerate(rows(keys)):
        lines[at & 1].append(f'{{"k":{k},"v":{v}}}\n')
        if len(lines[1]) == 50_000:
            for part in range(2):
                files[part].write("".join(lines[part]))
                lines[part].clear()
    for part in range(2):
        files[part].write("".join(lines[part]))
        files[part].close()

def expected(keys):
    """The rows that the filter lets through at the end: {k: (n, total)}."""
    found = {}
    for number in range(keys):
        again = keys - 1 - number
        n, total = (2, number % 1000 + again % 777) if again % 2 == 0 else (1, number % 1000)
        if passes(key(number, keys), n, total):
            found[key(number, keys)] = n, total
    return found

def passes(k, n, total):
    return (total * 7919 + k) % PART == 0

def statements(place):
    return [
        f"CREATE TABLE readings (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = 'file://{place}/input', 'format' = 'json')",
        "CREATE TABLE found (k BIGINT, n BIGINT, total BIGINT) WITH ('connector' = 'print')",
        f"INSERT INTO found SELECT * FROM (SELECT k, COUNT(*) AS n, SUM(v) AS total FROM readings GROUP BY k) WHERE MOD(total * 7919 + k, {PART}) = 0",
    ]

def table(file):
    """What the printed changes come to."""
    rows = {}
    with open(file, errors="replace") as lines:
        for line in lines:
            change = re.search(r"([+-])[IUD]\[(\d+), (\d+), (\d+)\]$", line.strip())
            if change and change[1] == "+":
                rows[int(change[2])] = int(change[3]), int(change[4])
            elif change:
                rows.pop(int(change[2]), None)
    return rows

def flott(place, root, budget):
    command = [os.environ.get("FLOTT", "flott"), "run", "--json", "-D", "parallelism.default=2", "-e", ";\n".join(statements(root))]
    if budget:
        command += ["-D", f"state.memory.budget={budget}", "-D", f"state.dir={place}/state"]
    return command

def flink(place, root, options):
    with open(f"{place}/job.json", "w") as file:
        json.dump({"options": options, "statements": statements(root)}, file)
    return [os.environ["FLOTT_FLINK_PYTHON"], os.path.abspath(__file__), "--work-at", place]

def command(engine, place, root, budget):
    if engine == "flott":
        return flott(place, root, None)
    if engine == "flott-budget":
        return flott(place, root, budget)
    options = {"execution.target": "local", "rest.port": "0", "taskmanager.numberOfTaskSlots": "2", "parallelism.default": "2",
               "pipeline.object-reuse": "true", "taskmanager.memory.network.min": "160mb", "taskmanager.memory.network.max": "160mb"}
    if engine == "flink-rocksdb":
        options |= {"state.backend.type": "rocksdb", "taskmanager.memory.managed.size": budget,
                    "state.backend.rocksdb.localdir": f"{place}/rocksdb"}
    else:
        options |= {"state.backend.type": "hashmap"}
    return flink(place, root, options)

def measure(engine, root, budget):
    place = f"{root}/{engine}"
    os.makedirs(f"{place}/state")
    heap = os.environ.get("MAXHEAP", "1g" if engine == "flink-rocksdb" else "6g")
    environment = {**os.environ, "TZ": "UTC", "JVM_ARGS": f"-Xmx{heap}"}
    run = [sys.executable, f"{HERE}/measure.py", "--timeout", "3600", "--log", f"{place}/out", "--", *command(engine, place, root, budget)]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=place)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    found["rows"] = table(f"{place}/out")
    if found["rc"]:
        sys.exit(f"{engine} failed: {place}/out")
    shutil.rmtree(place)
    return found

def main():
    if sys.argv[1:2] == ["--work-at"]:
        return work(sys.argv[2])
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--keys", type=int, default=20_000_000)
    arguments.add_argument("--budget", default="256mb")
    arguments.add_argument("--engines", default="flott,flott-budget,flink-rocksdb")
    arguments.add_argument("--runs", type=int, default=1)
    arguments.add_argument("--work", dest="directory")
    given = arguments.parse_args()
    root = tempfile.mkdtemp(prefix="spill-", dir=given.directory)
    write_input(f"{root}/input", given.keys)
    right = expected(given.keys)
    found = {name: [] for name in given.engines.split(",")}
    for _ in range(given.runs):
        for name in found:
            one = measure(name, root, given.budget)
            one["right"] = one.pop("rows") == right
            found[name].append(one)
            print(name, json.dumps(one), file=sys.stderr, flush=True)
    shutil.rmtree(root)
    first = None
    print(f"{given.keys:,} keys, {len(right):,} results held against the exact ones\n")
    print("| | seconds | of the first | CPU seconds | peak memory MiB, largest process | results |\n|---|---|---|---|---|---|")
    for name, runs in found.items():
        wall = statistics.median(it["wall"] for it in runs)
        first = first or wall
        cpu = statistics.median(it["cpu"] for it in runs)
        peak = max(it["proc_mib"] for it in runs)
        right_all = "right" if all(it["right"] for it in runs) else "WRONG"
        print(f"| {name} | {wall:.1f} | {wall / first:.2f} | {cpu:.0f} | {peak:,.0f} | {right_all} |")

main()
