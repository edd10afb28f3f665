#!/usr/bin/env bash
# Runs the Nexmark queries q0 to q22 and prints a table: rows, seconds, memory, and whether each ran to its end.
# usage: nexmark.sh [EVENTS] [QUERY…]     FLOTT=path of the binary; LIMIT=seconds for a query; KEEP=1 keeps scripts
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
FLOTT=${FLOTT:-flott}
EVENTS=${1:-1000000}
shift || true
OUT=$(mktemp -d)
[ -n "${KEEP:-}" ] && echo "scripts are in $OUT" || trap 'rm -rf "$OUT"' EXIT
seq 0 9999 | awk '{ print $1 ",value " $1 }' > "$OUT/side_input.csv"
[ $# -gt 0 ] || set -- $(seq -f 'q%g' 0 22)
printf '%-5s %14s %14s %14s %9s %9s  %s\n' query 'rows read' 'rows out' 'of them new' seconds MiB status
failed=0
for query in "$@"; do
  cat "$HERE/nexmark/tables.sql" "$HERE/nexmark/$query.sql" > "$OUT/$query.sql"
  log="$OUT/$query.log"
  measured=$(python3 "$HERE/measure.py" --timeout "${LIMIT:-600}" --log "$log" -- \
    "$FLOTT" run --json -v "EVENTS=${EVENTS//_/}" -v "OUT=$OUT" "$OUT/$query.sql")
  python3 - "$query" "$log" "$measured" <<'PY' || failed=1
import json, sys
query, log, measured = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
lines = [line.strip() for line in open(log, errors="replace") if line.strip()]
summary = next((json.loads(line) for line in reversed(lines) if line.startswith("{")), {})
read = sum(it["read"] for it in summary.get("sources", []))
out = sum(it["written"] for it in summary.get("sinks", []))
new = sum(it.get("changes", {}).get("+I", it["written"]) for it in summary.get("sinks", []))
status = "time limit" if measured.get("timeout") else summary.get("status", "failed")
if status != "finished":
    status += ": " + next((line for line in lines if "error" in line), "")
print(f"{query:5} {read:14,} {out:14,} {new:14,} {measured['wall']:9.2f} {measured['rss_mib']:9,}  {status}")
sys.exit(0 if status == "finished" else 1)
PY
  rm -rf "$OUT/q10"
done
exit $failed
