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


def seconds(flink, name, select, source):
    """The time of a job with these columns into a blackhole; the faster of two runs."""
    java = flink.sql_query(f"SELECT {select} FROM {source}")._j_table.getResolvedSchema()
    types = [column.getDataType().getLogicalType().asSerializableString() for column in java.getColumns()]
    columns = ", ".join(f"c{at} {of}" for at, of in enumerate(types))
    flink.execute_sql(f"CREATE TABLE {name} ({columns}) WITH ('connector' = 'blackhole')")
    best = None
    for _ in range(2):
        start = time.perf_counter()
        flink.execute_sql(f"INSERT INTO {name} SELECT {select} FROM {source}").wait()
        took = time.perf_counter() - start
        best = took if best is None else min(best, took)
    return best


def main():
    rows = int(sys.argv[1])
    flink = environment(rows)
    plain = {}
    for at, line in enumerate(sys.stdin):
        call = json.loads(line)
        columns = [column(place, values) for place, values in enumerate(call["columns"])]
        key = tuple(columns)
        rate = None
        try:
            source = f"source{at}"
            flink.execute_sql(f"CREATE VIEW {source} AS SELECT id, {', '.join(columns)} FROM numbers")
            if key not in plain:
                names = ", ".join(f"p{place}" for place in range(len(columns)))
                plain[key] = seconds(flink, f"plain{at}", names, source)
            took = seconds(flink, f"call{at}", call["expression"], source) - plain[key]
            rate = rows / took if took > rows / RATE_MAX else None
        except Exception as error:
            print(f"{call['function']}: {str(error).splitlines()[0]}", file=sys.stderr)
        print(json.dumps({"function": call["function"], "rows_per_second": rate}), flush=True)


main()
