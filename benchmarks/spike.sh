#!/usr/bin/env bash
# The worst case for checkpoints, as a benchmark: spike.sql, two shards, an exchange of one message,
# checkpoints off and every second. usage: [FLOTT=binary] [ROWS=…] [KEYS=…] [RUNS=1] [WORK=dir] spike.sh
# Takes a minute or two per run on a machine where the default ROWS take 60 s.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
exec python3 "$HERE/with_checkpoints.py" spike "${RUNS:-1}" 'off,1 s' "$HERE/spike.sql" -- \
  -v "ROWS=${ROWS:-300000000}" -v "KEYS=${KEYS:-20000000}" \
  -D pipeline.name=spike -D parallelism.default=2 -D table.local-time-zone=UTC \
  -D taskmanager.network.memory.buffers-per-channel=1
