#!/usr/bin/env bash
# Installs the engines to compare with under $PEERS (default: "peers" in the temp directory) and compiles the generator.
# usage: setup.sh [tools | flink | duckdb | datafusion …]   (default: all)
#        setup.sh kafka     Flink with its Kafka connector and formats, and a Kafka client for Python (needs mvn and javac)
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
# The newest connector, the Flink it is made for, and the formats' jars nearest to that.
jars() { # jars HOME
  local lib; lib=$(echo "$1"/lib/python*/site-packages/pyflink/lib) && rm -f "$lib"/flink-sql-*
  for it in flink-sql-connector-kafka:5.0.0-2.2 flink-sql-avro-confluent-registry:2.2.0 flink-sql-protobuf:2.3.0; do
    mvn -q -B dependency:copy -Dartifact="org.apache.flink:$it" -DoutputDirectory="$lib" || return 1
  done
  # Flink's protobuf format needs the compiled class; its jar has the classes of protobuf under a name of its own.
  local work; work=$(mktemp -d)
  mvn -q -B dependency:copy -Dartifact=com.google.protobuf:protoc:4.32.1:exe:linux-x86_64 -DoutputDirectory="$work" || return 1
  chmod +x "$work"/protoc* && mkdir "$work/java" "$work/classes"
  "$work"/protoc* -I "$HERE/kafka" --java_out="$work/java" bid.proto || return 1
  find "$work/java" -name '*.java' -exec sed -i 's/com\.google\.protobuf/org.apache.flink.formats.protobuf.shaded.com.google.protobuf/g' {} +
  find "$work/java" -name '*.java' -exec javac -cp "$lib/flink-sql-protobuf-2.3.0.jar" -d "$work/classes" {} + || return 1
  python3 -c "import shutil, sys; shutil.make_archive(*sys.argv[1:])" "$work/bid" zip "$work/classes" && mv "$work/bid.zip" "$lib/flink-sql-bid.jar"
  rm -r "$work"
}
kafka() {
  mk flink-kafka apache-flink==2.2.1 && jars "$PEERS/flink-kafka" >>"$PEERS/logs/flink-kafka.log" 2>&1 \
    && echo "ok   jars of flink-kafka" || echo "FAIL jars of flink-kafka (see $PEERS/logs/flink-kafka.log)"
  mk kafka-client 'confluent-kafka[avro,json,protobuf,schemaregistry]'
}
one() {
  case $1 in
    tools)      rustc -O -o "$PEERS/bin/nexgen" "$HERE/gen/nexgen.rs" && echo "ok   nexgen" ;;
    flink)      mk flink apache-flink==2.3.0 ;;
    duckdb)     mk duckdb duckdb==2.0.0 ;;
    kafka)      kafka ;;
    datafusion) mk datafusion datafusion==55.0.0 pyarrow ;;
    *) echo "unknown: $1"; return 2 ;;
  esac
}
for e in "${@:-tools}"; do one "$e"; done
if [ $# = 0 ]; then for e in duckdb datafusion flink; do one "$e"; done; fi
