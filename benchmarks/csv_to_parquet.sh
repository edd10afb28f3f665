#!/usr/bin/env bash
# CSV to Parquet: one month of flights repeated to 1 GB, all 19 columns typed. Flott and DuckDB in turn, results compared.
# usage: csv_to_parquet.sh [RUNS=5] ; FLOTT=binary, PEERS as in README.md
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
PEERS=${PEERS:-${TMPDIR:-/tmp}/peers}
RUNS=${1:-5}
PY=$PEERS/duckdb/bin/python
DATA=$PEERS/data/flights-1gb.csv
if [ ! -s "$DATA" ]; then
  zcat "$HERE/../examples/data/flights-2013-01.csv.gz" > "$PEERS/data/month.csv"
  head -1 "$PEERS/data/month.csv" > "$DATA"
  tail -n +2 "$PEERS/data/month.csv" > "$PEERS/data/rows.csv"
  while [ "$(stat -c %s "$DATA")" -lt 1000000000 ]; do cat "$PEERS/data/rows.csv" >> "$DATA"; done
fi
cat "$DATA" > /dev/null
COLS='`year` INT,`month` INT,`day` INT,dep_time INT,sched_dep_time INT,dep_delay INT,arr_time INT,sched_arr_time INT,arr_delay INT,carrier STRING,flight INT,tailnum STRING,origin STRING,dest STRING,air_time INT,distance INT,`hour` INT,`minute` INT,time_hour STRING'
script=$(mktemp --suffix=.sql) out=$(mktemp -d)
trap 'rm -rf "$script" "$out"' EXIT
cat > "$script" <<SQL
CREATE TABLE flights ($COLS) WITH ('connector'='filesystem','path'='$DATA','format'='csv','csv.ignore-first-line'='true','csv.null-literal'='NA');
CREATE TABLE sink ($COLS) WITH ('connector'='filesystem','path'='$out/flott','format'='parquet');
INSERT INTO sink SELECT * FROM flights;
SQL
cat > "$out/duck.py" <<PYTHON
import duckdb, re
columns = {n.strip('\`'): {'INT': 'INTEGER', 'STRING': 'VARCHAR'}[t] for n, t in (c.split() for c in '''$COLS'''.split(','))}
con = duckdb.connect(config={"threads": 2})
con.execute("SET preserve_insertion_order=false")
con.execute(f"COPY (SELECT * FROM read_csv('$DATA', header=true, nullstr='NA', columns={columns})) TO '$out/duckdb.parquet' (FORMAT parquet)")
PYTHON
for r in $(seq "$RUNS"); do
  rm -rf "$out/flott" "$out/duckdb.parquet"
  echo "flott  $(python3 "$HERE/measure.py" -- "${FLOTT:-flott}" run --quiet -D parallelism.default=2 "$script")"
  echo "duckdb $(python3 "$HERE/measure.py" -- "$PY" "$out/duck.py")"
done
"$PY" - <<PYTHON
import duckdb
q = "SELECT count(*), sum(dep_delay), sum(arr_delay), sum(air_time), count(tailnum), sum(hash(carrier, flight, tailnum, time_hour)::HUGEINT) FROM '{}'"
a, b = (duckdb.sql(q.format(p)).fetchall()[0] for p in ("$out/flott/*.parquet", "$out/duckdb.parquet"))
print("same" if a == b else "DIFFERENT", a, b)
PYTHON
