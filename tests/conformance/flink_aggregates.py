"""Asks a real Flink what aggregate calls are worth, in batch and in streaming mode.

    flink_aggregates.py < aggregates.txt > recorded/aggregates.tsv

Prints a line per question: call, columns, rows, type, answer in batch, answer in streaming mode (the
last row). `=text` is what CAST(… AS STRING) gives; `NULL`; `-`: no row; `!`: an error.
"""

import sys
from importlib.metadata import version

from pyflink.table import EnvironmentSettings, TableEnvironment


def environment(settings):
    made = TableEnvironment.create(settings)
    made.get_config().set("table.local-time-zone", "UTC").set("parallelism.default", "1")
    return made


def source(columns, rows):
    where = " WHERE a > 5" if rows == "none" else ""
    values = "(1, 1)" if rows == "none" else rows
    return f"FROM (SELECT {columns} FROM (VALUES {values}) AS v (a, b){where})"


def answer(flink, call, rows):
    last = None
    try:
        with flink.execute_sql(f"SELECT CAST({call} AS STRING) {rows}").collect() as results:
            for row in results:
                last = row
    except Exception:
        return "!"
    if last is None:
        return "-"
    return "NULL" if last[0] is None else f"={last[0]}"


def type_of(flink, call, rows):
    try:
        with flink.execute_sql(f"SELECT TYPEOF({call}) {rows}").collect() as results:
            return next(iter(results))[0]
    except Exception:
        return ""


def main():
    batch = environment(EnvironmentSettings.in_batch_mode())
    streaming = environment(EnvironmentSettings.in_streaming_mode())
    print(f"# Flink {version('apache-flink')}", flush=True)
    for line in sys.stdin:
        if not line.strip() or line.startswith("#"):
            continue
        call, columns, rows = line.rstrip("\n").split(" | ")[:3]
        over = source(columns, rows)
        answers = [type_of(batch, call, over), answer(batch, call, over), answer(streaming, call, over)]
        print("\t".join([call, columns, rows, *answers]), flush=True)


main()
