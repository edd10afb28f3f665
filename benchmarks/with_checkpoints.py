#!/usr/bin/env python3
"""Run one script with several checkpoint settings in turn, and print rows per second of each.

usage: with_checkpoints.py NAME RUNS INTERVALS SCRIPT -- FLOTT-RUN-OPTION...

NAME heads the lines. INTERVALS is a list such as 'off,10 s,1 s'; the first is what the others are held
against. Every interval gets RUNS runs, one after the other in rounds, so that a machine that slows down
slows all of them; the median of each is printed. FLOTT names the binary (default: on PATH), WORK the
directory for checkpoints (default: a temporary one; it is emptied after every run), LIMIT the share of
throughput that each may cost, as a list ('0.05,0.15'): beyond it the exit code is 1.
Standard library only.
"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time

def run(interval, script, options, work):
    if work:
        os.makedirs(work, exist_ok=True)
    place = tempfile.mkdtemp(prefix="checkpoints-", dir=work)
    command = [os.environ.get("FLOTT", "flott"), "run", "--json", *options, script]
    if interval != "off":
        command[3:3] = ["-D", f"execution.checkpointing.interval={interval}",
                        "-D", f"execution.checkpointing.dir={place}"]
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - begin
    shutil.rmtree(place)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    summary = json.loads(done.stderr.strip().splitlines()[-1])
    rows = sum(source["read"] for source in summary["sources"])
    return {"seconds": seconds, "rate": rows / seconds, "rows": rows, **(summary.get("checkpoints") or {})}

def main():
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    if split != 5:
        sys.exit(__doc__)
    name, runs, intervals, script = sys.argv[1:5]
    intervals, options = intervals.split(","), sys.argv[split + 1:]
    limits = [float(it) for it in os.environ.get("LIMIT", "").split(",") if it]
    found = {interval: [] for interval in intervals}
    for _ in range(int(runs)):
        for interval in intervals:
            found[interval].append(run(interval, script, options, os.environ.get("WORK")))
            print(f"{name} {interval}: {found[interval][-1]['seconds']:.1f} s", file=sys.stderr)
    print("| job | checkpoints | rows | seconds | rows/s | cost | completed | failed | longest stall ms | MB written | MB per checkpoint |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    middle = {it: statistics.median(run["rate"] for run in found[it]) for it in intervals}
    broken = False
    for at, interval in enumerate(intervals):
        # The counts are those of the run in the middle.
        one = min(found[interval], key=lambda it: abs(it["rate"] - middle[interval]))
        cost = 1 - middle[interval] / middle[intervals[0]]
        stall = max(it.get("longest_stall_micros", 0) for it in found[interval]) / 1000
        written = one.get("bytes", 0) / 1e6
        line = [name, interval, f"{one['rows']:,}", f"{one['seconds']:.1f}", f"{middle[interval]:,.0f}"]
        line += ["" if at == 0 else f"{cost:.1%}"]
        line += [one.get("completed", 0), one.get("failed", 0), f"{stall:.1f}", f"{written:.1f}", f"{written / max(one.get('completed', 0), 1):.2f}"]
        print("| " + " | ".join(map(str, line)) + " |")
        broken |= 0 < at <= len(limits) and cost > limits[at - 1]
    sys.exit(1 if broken else 0)

main()
