"""How much processor time Flink's functions take, all in one process.

    function_speed.py ROWS ANSWERS < CALLS

CALLS has one JSON object a line: {"function", "expression", "columns"}, a column being the values it
takes in turn. For each call two jobs run, each a single thread from a sequence to a blackhole:

    sequence ─► columns ─► call ─► blackhole        the call's job
    sequence ─► columns ─────────► blackhole        the plain job, shared by calls over the same columns

The difference of the processor time of their threads is the call's: what else the machine does, the
compiler and the garbage collector don't count. Appends {"function", "expression", "columns", "rows",
"seconds"} to ANSWERS, "seconds" null where Flink refuses the call. What ANSWERS has already isn't
measured again, so a run that was stopped goes on where it was.
"""

import json
import os
import sys
import threading
import time

# A call that is less than this part of its plain job is measured again, up to RUNS times.
CLEAR = 0.3
RUNS = 4
# Where the kernel cuts the names of threads.
NAME = "Source: Sequence Source"[:15]


class TaskTime:
    """Processor time of the threads that run a job's task."""

    POLL = 0.004

    def __init__(self, process):
        self.tasks = f"/proc/{process}/task"
        self.nanos, self.others, self.taken = {}, set(), 0
        self.living = []
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        turn = 0
        while True:
            for thread in self.living:
                self.look(thread)
            if turn % 10 == 0:
                self.find()
            turn += 1
            time.sleep(self.POLL)

    def find(self):
        """New threads; a thread gets its name a little after it starts."""
        there = set(os.listdir(self.tasks))
        self.living = [thread for thread in self.nanos if thread in there]
        for thread in there - self.others - set(self.nanos):
            name = self.read(thread, "comm")
            if name and name.strip() == NAME:
                self.living.append(thread)
                self.look(thread)
            elif name and self.read(thread, "schedstat", "0").split()[0] > "0" and name.strip() != "java":
                self.others.add(thread)

    def look(self, thread):
        found = self.read(thread, "schedstat")
        if found:
            self.nanos[thread] = int(found.split()[0])

    def read(self, thread, what, otherwise=None):
        try:
            with open(f"{self.tasks}/{thread}/{what}", encoding="utf-8") as file:
                return file.read()
        except OSError:
            return otherwise

    def take(self):
        """Seconds since the last time this was asked."""
        so_far = sum(self.nanos.copy().values())
        seconds, self.taken = (so_far - self.taken) / 1e9, so_far
        return seconds


class Flink:
    def __init__(self, rows):
        from pyflink.datastream import StreamExecutionEnvironment
        from pyflink.java_gateway import get_gateway
        from pyflink.table import StreamTableEnvironment

        stream = StreamExecutionEnvironment.get_execution_environment()
        stream.set_parallelism(1)
        self.tables = StreamTableEnvironment.create(stream)
        for key, value in {
            "parallelism.default": "1",
            "pipeline.object-reuse": "true",
            "restart-strategy.type": "none",
            "table.local-time-zone": "UTC",
        }.items():
            self.tables.get_config().set(key, value)
        numbers = stream._j_stream_execution_environment.fromSequence(1, rows)
        self.tables._j_tenv.createTemporaryView("numbers", numbers)
        self.time = TaskTime(get_gateway().jvm.java.lang.ProcessHandle.current().pid())
        self.views, self.sinks, self.plain = {}, 0, {}

    def source(self, columns):
        """A view with these columns."""
        key = json.dumps(columns)
        if key not in self.views:
            name = self.views[key] = f"source{len(self.views)}"
            parts = ", ".join(column(place, values) for place, values in enumerate(columns))
            self.tables.execute_sql(f"CREATE TEMPORARY VIEW {name} AS SELECT f0 AS id, {parts} FROM numbers")
        return self.views[key]

    def job(self, select, source):
        """The seconds of a job with these columns into a blackhole."""
        schema = self.tables.sql_query(f"SELECT {select} FROM {source}")._j_table.getResolvedSchema()
        types = [it.getDataType().getLogicalType().asSerializableString() for it in schema.getColumns()]
        columns = ", ".join(f"c{at} {of}" for at, of in enumerate(types))
        self.sinks += 1
        sink = f"sink{self.sinks}"
        self.tables.execute_sql(f"CREATE TEMPORARY TABLE {sink} ({columns}) WITH ('connector' = 'blackhole')")
        self.time.take()
        self.tables.execute_sql(f"INSERT INTO {sink} SELECT {select} FROM {source}").wait()
        return self.time.take()

    def plain_seconds(self, columns, again=False):
        source = self.source(columns)
        if again or source not in self.plain:
            names = ", ".join(f"p{place}" for place in range(len(columns)))
            took = self.job(names, source)
            self.plain[source] = min(took, self.plain.get(source, took))
        return self.plain[source]

    def seconds(self, call):
        """What the call alone takes."""
        columns = call["columns"]
        plain = self.plain_seconds(columns)
        took = self.job(call["expression"], self.source(columns))
        for _ in range(RUNS - 1):
            if took - plain > CLEAR * plain:
                break
            plain = self.plain_seconds(columns, again=True)
            took = min(took, self.job(call["expression"], self.source(columns)))
        return took - plain


def column(at, values):
    """A column that takes the values in turn."""
    if len(values) == 1:
        return f"CASE WHEN f0 > 0 THEN {values[0]} END AS p{at}"
    parts = " ".join(f"WHEN {n} THEN {value}" for n, value in enumerate(values))
    return f"CASE MOD(f0, {len(values)}) {parts} END AS p{at}"


def question(call):
    return json.dumps([call["function"], call["expression"], call["columns"]])


def answered(path):
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as lines:
        return {question(json.loads(line)) for line in lines}


def main():
    rows, path = int(sys.argv[1]), sys.argv[2]
    done = answered(path)
    calls = [call for call in map(json.loads, sys.stdin) if question(call) not in done]
    if not calls:
        return
    flink = Flink(rows)
    flink.plain_seconds([["'a'"]])  # starts everything
    with open(path, "a", encoding="utf-8") as answers:
        for at, call in enumerate(calls):
            start, seconds = time.time(), None
            try:
                seconds = flink.seconds(call)
            except Exception as error:
                print(f"{call['function']}: {str(error).splitlines()[0]}", file=sys.stderr)
            answers.write(json.dumps(call | {"rows": rows, "seconds": seconds}) + "\n")
            answers.flush()
            took = time.time() - start
            print(f"{at + 1} of {len(calls)}: {call['function']} {seconds} ({took:.0f} s)", file=sys.stderr)


main()
