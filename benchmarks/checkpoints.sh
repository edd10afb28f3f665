#!/usr/bin/env bash
# What checkpoints cost: Nexmark q12 and q5 over generated events, checkpoints off, every 10 s, every 1 s.
# usage: [FLOTT=binary] [EVENTS=…] [RUNS=3] [WORK=dir] checkpoints.sh [q12|q5 …]
# EVENTS (or EVENTS_q12, EVENTS_q5) so that a run takes at least a minute.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
script=$(mktemp --suffix=.sql)
trap 'rm -f "$script"' EXIT
failed=0
for query in ${*:-q12 q5}; do
  own=EVENTS_$query
  cat "$HERE/checkpoints.sql" "$HERE/checkpoints-$query.sql" > "$script"
  LIMIT=${LIMIT:-0.05,0.15} python3 "$HERE/with_checkpoints.py" "$query" "${RUNS:-3}" 'off,10 s,1 s' "$script" -- \
    -v "EVENTS=${!own:-${EVENTS:-700000000}}" -D "pipeline.name=$query" \
    -D "parallelism.default=${PAR:-2}" -D table.local-time-zone=UTC || failed=1
done
exit $failed
