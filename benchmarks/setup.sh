#!/usr/bin/env bash
# Installs the engines to compare with under $PEERS (default: "peers" in the temp directory) and compiles the generator.
# usage: setup.sh [tools | flink | duckdb | datafusion …]   (default: all)
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
PEERS=${PEERS:-${TMPDIR:-/tmp}/peers}
mkdir -p "$PEERS/logs" "$PEERS/bin"
PY=${PY:-python3.11}
mk() { # mk NAME PACKAGE...
  local name=$1; shift
  [ -x "$PEERS/$name/bin/python" ] || "$PY" -m venv "$PEERS/$name"
  "$PEERS/$name/bin/pip" install -q --upgrade pip 'setuptools<80' wheel >"$PEERS/logs/$name.log" 2>&1
  if "$PEERS/$name/bin/pip" install -q "$@" >>"$PEERS/logs/$name.log" 2>&1
  then echo "ok   $name: $*"; else echo "FAIL $name: $* (see $PEERS/logs/$name.log)"; fi
}
one() {
  case $1 in
    tools)      rustc -O -o "$PEERS/bin/nexgen" "$HERE/gen/nexgen.rs" && echo "ok   nexgen" ;;
    flink)      mk flink apache-flink==2.3.0 ;;
    duckdb)     mk duckdb duckdb==2.0.0 ;;
    datafusion) mk datafusion datafusion==55.0.0 pyarrow ;;
    *) echo "unknown: $1"; return 2 ;;
  esac
}
for e in "${@:-tools}"; do one "$e"; done
if [ $# = 0 ]; then for e in duckdb datafusion flink; do one "$e"; done; fi
