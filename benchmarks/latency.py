#!/usr/bin/env python3
"""How long after its watermark a window's result leaves Flott, under a steady load with checkpoints.

usage: latency.py [--rate 100000] [--seconds 30] [--keys 1000] [--checkpoints '1 s'|off] [--buffer '5 ms']
                  [--parallelism 2] [--limit MS]

Rows come at a steady rate; their time is the wall clock when they are made; windows are one second
long; results are printed as JSON into a pipe. A result's latency is the wall-clock time at which its
line is read here, minus the last millisecond of its window: the watermark follows the rows without delay,
and a window closes when it has reached that millisecond, so this is the earliest moment at which it can. The time
until the next row comes is in it.
The first two windows (start-up) and the last (cut off) are left out. FLOTT names the binary.
With --limit, a p99 above that many milliseconds ends with exit code 1. Standard library only.
"""
import argparse, datetime, json, os, subprocess, sys, tempfile, time

SQL = """
CREATE TABLE input (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'datagen', 'rows-per-second' = '{rate}', 'number-of-rows' = '{rows}',
  'fields.k.min' = '1', 'fields.k.max' = '{keys}');
CREATE TABLE output (window_end TIMESTAMP(3), k BIGINT, n BIGINT, total BIGINT) WITH ('connector' = 'stdout', 'format' = 'json');
INSERT INTO output
SELECT window_end, k, COUNT(*) AS n, SUM(v) AS total
FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
"""

def options():
    parser = argparse.ArgumentParser()
    for name, default in [("rate", 100_000), ("seconds", 30), ("keys", 1000), ("parallelism", 2)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--checkpoints", default="1 s")
    parser.add_argument("--buffer", default="5 ms")
    parser.add_argument("--limit", type=float)
    return parser.parse_args()

def command(given, place):
    sql = SQL.format(rate=given.rate, rows=given.rate * given.seconds, keys=given.keys)
    settings = {"execution.buffer-timeout.interval": given.buffer, "parallelism.default": given.parallelism,
                "table.local-time-zone": "UTC", "pipeline.name": "latency"}
    if given.checkpoints != "off":
        settings |= {"execution.checkpointing.interval": given.checkpoints, "execution.checkpointing.dir": place}
    line = [os.environ.get("FLOTT", "flott"), "run", "--json", "-e", sql]
    for key, value in settings.items():
        line += ["-D", f"{key}={value}"]
    return line

def results(pipe):
    """Pairs of arrival and line."""
    rest = b""
    while chunk := os.read(pipe.fileno(), 1 << 20):
        now = time.time()
        *lines, rest = (rest + chunk).split(b"\n")
        yield from ((now, line) for line in lines)
    if rest:
        yield now, rest

def closing(text):
    """The wall-clock time of a window's last millisecond."""
    return -0.001 + datetime.datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=datetime.timezone.utc).timestamp()

def main():
    given = options()
    with tempfile.TemporaryDirectory() as place:
        run = subprocess.Popen(command(given, place), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        arrivals = list(results(run.stdout))
        errors = run.stderr.read().decode()
        if run.wait():
            sys.exit(errors)
    windows = {}
    for now, line in arrivals:
        end = json.loads(line)["window_end"]
        windows.setdefault(end, []).append(now)
    kept = sorted(windows)[2:-1]
    late = sorted((now - closing(end)) * 1000 for end in kept for now in windows[end])
    if not late:
        sys.exit("no windows: give it more --seconds")
    at = lambda share: late[min(len(late) - 1, int(share * len(late)))]
    slowest = max(kept, key=lambda end: max(windows[end]) - closing(end))
    print(f"slowest: the window that ends {slowest}, number {kept.index(slowest) + 1}: its first result after "
          f"{(min(windows[slowest]) - closing(slowest)) * 1000:.1f} ms, its last after "
          f"{(max(windows[slowest]) - closing(slowest)) * 1000:.1f} ms", file=sys.stderr)
    checkpoints = json.loads(errors.strip().splitlines()[-1]).get("checkpoints") or {}
    print("| rate | checkpoints | windows | results | p50 ms | p99 ms | max ms | completed | longest stall ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(f"| {given.rate:,} | {given.checkpoints} | {len(kept)} | {len(late):,} | {at(0.5):.1f} | {at(0.99):.1f} | {late[-1]:.1f} "
          f"| {checkpoints.get('completed', 0)} | {checkpoints.get('longest_stall_micros', 0) / 1000:.1f} |")
    sys.exit(1 if given.limit and at(0.99) > given.limit else 0)

main()
