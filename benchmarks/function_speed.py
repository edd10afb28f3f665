"""How many rows a second Flink's functions do on one core.

    function_speed.py ROWS < CALLS > RATES

CALLS has one JSON object a line: {"function", "expression", "columns"}, a column being the values it
takes in turn. A job with the call (datagen to blackhole, parallelism 1, object reuse) is timed, and the
same job with the call's columns alone; the difference is the call's. Prints {"function",
"rows_per_second"} a line, null where Flink refuses the call or the difference is lost in the noise.
"""

import json
import sys
import time

# A rate that can't be told from none, in rows per second.
RATE_MAX = 1e9
# How often each job is timed.
RUNS = 3


def environment(rows):
    from pyflink.table import EnvironmentSettings, TableEnvironment

    found = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for key, value in {
        "parallelism.default": "1",
        "pipeline.object-reuse": "true",
        "restart-strategy.type": "none",
        "table.local-time-zone": "UTC",
    }.items():
        found.get_config().set(key, value)
    found.execute_sql(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence',"
        f" 'fields.id.start' = '1', 'fields.id.end' = '{rows}', 'rows-per-second' = '1000000000')"
    )
    return found


def column(at, values):
    """A column that takes the values in turn."""
    if len(values) == 1:
        return f"CASE WHEN id > 0 THEN {values[0]} END AS p{at}"
    parts = " ".join(f"WHEN {n} THEN {value}" for n, value in enumerate(values))
    return f"CASE MOD(id, {len(values)}) {parts} END AS p{at}"


def job(flink, name, select, source):
    """A job with these columns into a blackhole, to be run several times; gives its seconds."""
    schema = flink.sql_query(f"SELECT {select} FROM {source}")._j_table.getResolvedSchema()
    types = [column.getDataType().getLogicalType().asSerializableString() for column in schema.getColumns()]
    columns = ", ".join(f"c{at} {of}" for at, of in enumerate(types))
    flink.execute_sql(f"CREATE TABLE {name} ({columns}) WITH ('connector' = 'blackhole')")

    def run():
        start = time.perf_counter()
        flink.execute_sql(f"INSERT INTO {name} SELECT {select} FROM {source}").wait()
        return time.perf_counter() - start

    return run


def difference(plain, call):
    """How much longer the call's job takes: run in turn, the fastest of each, after one to warm up."""
    plain()
    times = [(plain(), call()) for _ in range(RUNS)]
    return min(took for _, took in times) - min(took for took, _ in times)


def main():
    rows = int(sys.argv[1])
    flink = environment(rows)
    for at, line in enumerate(sys.stdin):
        call = json.loads(line)
        columns = [column(place, values) for place, values in enumerate(call["columns"])]
        rate = None
        try:
            source = f"source{at}"
            flink.execute_sql(f"CREATE VIEW {source} AS SELECT id, {', '.join(columns)} FROM numbers")
            names = ", ".join(f"p{place}" for place in range(len(columns)))
            plain = job(flink, f"plain{at}", names, source)
            took = difference(plain, job(flink, f"call{at}", call["expression"], source))
            rate = rows / took if took > rows / RATE_MAX else None
        except Exception as error:
            print(f"{call['function']}: {str(error).splitlines()[0]}", file=sys.stderr)
        print(json.dumps({"function": call["function"], "rows_per_second": rate}), flush=True)


main()
