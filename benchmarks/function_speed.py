"""How much processor time Flink's functions take, many in one process.

    function_speed.py ROWS ANSWERS < CALLS

CALLS has one JSON object a line: {"function", "expression", "columns"}, a column being the values it
takes in turn. For each call two jobs run in turn, each a single thread from a sequence to a blackhole:

    sequence ─► columns ─► SELECT id ───► blackhole        the plain job
    sequence ─► columns ─► SELECT call ─► blackhole        the call's job

The difference of their processor time is the call's. The time is that of the job's own thread: of the
process, less what its compiler, its garbage collector and its other threads took, and whatever else the
machine does doesn't count. Appends {"function", "expression", "columns", "rows", "seconds"} to ANSWERS,
"seconds" null where Flink refuses the call; and, once for columns of the same values, the plain job's
{"plain": "id", "columns", "rows", "seconds"}. What ANSWERS has already isn't measured again, so a run that
was stopped goes on where it was.
"""

import json
import os
import subprocess
import sys
import time

# A call that takes less than this part of its plain job is measured again, up to RUNS times.
CLEAR = 0.3
RUNS = 2
# Calls of one process: classes that Flink generates stay in its memory.
CALLS = 40
# Says that the calls are those of one process.
PART = "--part"
# The job's thread, as the kernel cuts its name.
NAME = "Source: Sequence Source"[:15]
# Threads that come and go would be counted as the job's.
JAVA = "-XX:-UseDynamicNumberOfCompilerThreads -XX:-UseDynamicNumberOfGCThreads -XX:ReservedCodeCacheSize=512m -Xmx2g"


class TaskTime:
    """Processor time of the threads that run a job's task, and end with it."""

    def __init__(self, process):
        self.tasks = f"/proc/{process}/task"
        # What the kernel calls the clock of all threads of a process, those that ended included.
        self.clock = (~process << 3) | 2
        self.start = None

    def take(self):
        """Seconds since the last time this was asked."""
        now = time.clock_gettime(self.clock), self.lasting()
        before, self.start = self.start, now
        if before is None:
            return 0
        others = sum(seconds - before[1].get(thread, 0) for thread, seconds in now[1].items())
        return now[0] - before[0] - others

    def lasting(self):
        """The seconds of each thread that isn't a job's; a job's may outlast it a little."""
        found = {}
        for thread in os.listdir(self.tasks):
            try:
                if self.read(thread, "comm").strip() != NAME:
                    found[thread] = int(self.read(thread, "schedstat").split()[0]) / 1e9
            except OSError:
                pass
        return found

    def read(self, thread, what):
        with open(f"{self.tasks}/{thread}/{what}", encoding="utf-8") as file:
            return file.read()


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
        self.java = get_gateway().jvm
        self.time = TaskTime(self.java.java.lang.ProcessHandle.current().pid())
        self.views, self.sinks = {}, 0

    def source(self, columns):
        """A view with these columns and `id`, which are there before a query begins."""
        key = json.dumps(columns)
        if key not in self.views:
            name = self.views[key] = f"source{len(self.views)}"
            parts = ", ".join(column(place, values) for place, values in enumerate(columns))
            table = self.tables.sql_query(f"SELECT f0 AS id, {parts} FROM numbers")._j_table
            row = table.getResolvedSchema().toPhysicalRowDataType()
            internal = self.java.org.apache.flink.table.types.utils.DataTypeUtils.toInternalDataType(row)
            stream = self.tables._j_tenv.toDataStream(table, internal)
            self.tables._j_tenv.createTemporaryView(name, stream)
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

    def plain(self, columns):
        """What the plain job takes."""
        source = self.source(columns)
        return min(self.job("id", source) for _ in range(RUNS))

    def seconds(self, call):
        """What the call alone takes."""
        source = self.source(call["columns"])
        plain = took = None
        for _ in range(RUNS):
            plain = least(plain, self.job("id", source))
            took = least(took, self.job(call["expression"], source))
            if took - plain > CLEAR * plain:
                break
        return took - plain


def least(known, new):
    return new if known is None else min(known, new)


def column(at, values):
    """A column that takes the values in turn."""
    if len(values) == 1:
        return f"CASE WHEN f0 > 0 THEN {values[0]} END AS p{at}"
    parts = " ".join(f"WHEN {n} THEN {value}" for n, value in enumerate(values))
    return f"CASE MOD(f0, {len(values)}) {parts} END AS p{at}"


def question(call):
    """What tells one measurement from another."""
    if "plain" in call:
        return json.dumps(["plain", call["columns"]])
    return json.dumps([call["function"], call["expression"], call["columns"]])


def answered(path):
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as lines:
        return {question(json.loads(line)) for line in lines}


def with_plain_jobs(calls):
    """The calls, and the plain job of each set of columns that they have."""
    plain = {json.dumps(call["columns"]): call["columns"] for call in calls if "plain" not in call}
    return calls + [{"plain": "id", "columns": columns} for columns in plain.values()]


def measure(calls, rows, path):
    flink = Flink(rows)
    flink.job("p0", flink.source([["'a'", "'b'"]]))  # starts everything
    with open(path, "a", encoding="utf-8") as answers:
        for call in calls:
            start, seconds = time.time(), None
            name = call.get("function") or f"the plain job of {call['columns']}"
            try:
                seconds = flink.plain(call["columns"]) if "plain" in call else flink.seconds(call)
            except Exception as error:
                print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
            answers.write(json.dumps(call | {"rows": rows, "seconds": seconds}) + "\n")
            answers.flush()
            print(f"{name}: {seconds} s, in {time.time() - start:.0f} s", file=sys.stderr)


def main():
    rows, path = int(sys.argv[1]), sys.argv[2]
    calls = [json.loads(line) for line in sys.stdin]
    if PART in sys.argv:
        measure(calls, rows, path)
        return
    done = answered(path)
    calls = [call for call in with_plain_jobs(calls) if question(call) not in done]
    command = [sys.executable, *sys.argv, PART]
    for start in range(0, len(calls), CALLS):
        part = "\n".join(json.dumps(call) for call in calls[start : start + CALLS])
        subprocess.run(command, input=part, text=True, env=os.environ | {"JVM_ARGS": JAVA}, check=False)


main()
