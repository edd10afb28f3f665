#!/usr/bin/env bash
# One run of one engine. usage: run.sh ENGINE QUERY DATADIR OUTDIR
# ENGINE: flott (FLOTT=binary) duckdb datafusion flink ; SINK=file (default) or blackhole ; PAR=2 threads or slots
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
PEERS=${PEERS:-${TMPDIR:-/tmp}/peers}
E=$1 Q=$2 DATA=$(cd "$3" && pwd) OUT=$4
mkdir -p "$OUT"; OUT=$(cd "$OUT" && pwd)
export SINK=${SINK:-file} PAR=${PAR:-2} TZ=UTC
case $E in
  flott)             exec "$HERE/engines/flott.sh" "$Q" "$DATA" "$OUT" ;;
  duckdb|datafusion) exec "$PEERS/$E/bin/python" "$HERE/engines/run_$E.py" "$Q" "$DATA" "$OUT" ;;
  flink)             MODE=stream exec "$PEERS/flink/bin/python" "$HERE/engines/run_flink.py" "$Q" "$DATA" "$OUT" ;;
  *) echo "unknown engine $E"; exit 2 ;;
esac
