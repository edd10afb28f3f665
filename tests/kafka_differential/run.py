#!/usr/bin/env python3
"""The same input topic through Flott and through Flink: the same output topic?

usage: run.py [--bootstrap ADDRESS] [--registry URL] [--record] [--work DIR] [FILTER …]

Every script here reads one topic, bounded, and writes one. `${IN:FILE}` is a topic with a message for each line of
data/FILE (.tsv: key, TAB, value; nothing behind the TAB: no value); `${FLINK:NAME}` one with the messages that Flink
has written for NAME.sql; `${OUT}` is the script's own; `${REGISTRY}`, `${BOOTSTRAP}`, `${PROTO}` as they are called.
`/* flott */ … /* end */` isn't for Flink.

What Flink writes is recorded in expected/NAME.ndjson (--record runs it, with FLOTT_FLINK_PYTHON: a Python with
apache-flink and the connector's jars, see benchmarks/setup.sh); without --record only Flott runs, FLOTT names the
binary. Messages are held one against another: keys, values, headers, in their order, bytes first; where these differ,
JSON by what it means. `-- compare: latest` in a script: the last value of each key; `-- compare: table`: what changes
with before and after come to (Flott may leave out what is undone at once). An id of a registry stands for
its schema. Runs with a Python that has confluent-kafka. The exit code says whether all are equal.
"""
import argparse, glob, json, os, re, subprocess, sys, tempfile, urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HERE = os.path.dirname(os.path.abspath(__file__))

class Registry:
    def __init__(self, url):
        self.url, self.known = url, {}

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def schema(self, number):
        if number not in self.known:
            self.known[number] = json.loads(self.ask(f"/schemas/ids/{number}")["schema"])
        return self.known[number]

    def register(self, subject, schema):
        return self.ask(f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]

def text(data):
    """Bytes as JSON can hold them."""
    if data is None:
        return None
    try:
        found = data.decode()
        return found if found.isprintable() or "\t" in found else {"hex": data.hex()}
    except UnicodeDecodeError:
        return {"hex": data.hex()}

def data(it):
    return bytes.fromhex(it["hex"]) if isinstance(it, dict) else None if it is None else it.encode()

class Topics:
    def __init__(self, bootstrap):
        self.bootstrap, self.made = bootstrap, []
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.prefix = f"differential-{os.getpid()}-"

    def make(self, name):
        topic = self.prefix + name
        self.admin.create_topics([NewTopic(topic, 1, 1, config={"retention.ms": "-1"})])[topic].result()
        self.made.append(topic)
        return topic

    def send(self, topic, messages):
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for at, (key, value) in enumerate(messages):
            # Old times that don't change from run to run.
            producer.produce(topic, key=key, value=value, timestamp=1_700_000_000_000 + at)
        producer.flush()

    def read(self, topic):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "differential", "enable.auto.commit": False,
                             "enable.partition.eof": True, "isolation.level": "read_committed"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while True:
            message = consumer.poll(10)
            if message is None or message.error():
                consumer.close()
                return found
            found.append(message)

    def close(self):
        if self.made:
            for done in self.admin.delete_topics(self.made).values():
                done.result()

class Script:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-4]
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.compare = latest if "-- compare: latest" in self.text else table if "-- compare: table" in self.text else None
        self.framed = "${REGISTRY}" in self.text
        self.says = self.text.splitlines()[0][3:].rstrip(".")
        self.reads = re.findall(r"\$\{FLINK:(\w+)\}", self.text)

    def expected(self):
        return f"{HERE}/expected/{self.name}.ndjson"

class Runner:
    def __init__(self, given):
        self.given, self.topics = given, Topics(given.bootstrap)
        self.registry = Registry(given.registry) if given.registry else None

    def input(self, file):
        with open(f"{HERE}/data/{file}", "rb") as lines:
            rows = [line.rstrip(b"\n") for line in lines]
        if not file.endswith(".tsv"):
            return [(None, it) for it in rows]
        pairs = [it.split(b"\t", 1) for it in rows]
        return [(key, value or None) for key, value in pairs]

    def recorded(self, name, topic):
        """What Flink wrote, with the ids that its schemas have here."""
        messages = []
        with open(f"{HERE}/expected/{name}.ndjson", encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                value = data(line["value"])
                if "schema" in line:
                    number = self.registry.register(f"{topic}-value", line["schema"])
                    value = b"\0" + number.to_bytes(4, "big") + value
                messages.append((data(line["key"]), value))
        return messages

    def prepare(self, script, engine):
        out = self.topics.make(f"{engine}-{script.name}")
        found = script.text.replace("${OUT}", out)
        for kind, name in set(re.findall(r"\$\{(IN|FLINK):([\w.]+)\}", found)):
            topic = self.topics.make(f"{engine}-{script.name}-from-{name}")
            self.topics.send(topic, self.input(name) if kind == "IN" else self.recorded(name, topic))
            found = found.replace(f"${{{kind}:{name}}}", topic)
        variables = {"BOOTSTRAP": self.given.bootstrap, "REGISTRY": self.given.registry or "",
                     "PROTO": f"{HERE}/../../benchmarks/kafka/bid.proto"}
        for name, value in variables.items():
            found = found.replace(f"${{{name}}}", value)
        return out, found

    def lines(self, script, topic):
        """A topic as it is recorded."""
        found = []
        for message in self.topics.read(topic):
            value, line = message.value(), {"key": text(message.key())}
            if script.framed and value and value[0] == 0 and self.registry:
                line["schema"] = self.registry.schema(int.from_bytes(value[1:5], "big"))
                value = value[5:]
            line["value"] = text(value)
            if message.headers():
                line["headers"] = [[name, text(it)] for name, it in message.headers()]
                line["timestamp"] = message.timestamp()[1]
            found.append(line)
        return found

    def flink(self, scripts):
        """All in one session of the oracle; what they wrote is recorded."""
        jobs, topics = [], {}
        for script in scripts:
            topics[script.name], found = self.prepare(script, "flink")
            jobs.append({"name": script.name, "script": found, "data": "", "out": "", "generated": ""})
        path = f"{self.given.work}/jobs.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(jobs, file)
        oracle = os.path.join(HERE, "..", "differential", "flink.py")
        done = subprocess.run([os.environ["FLOTT_FLINK_PYTHON"], oracle, path], capture_output=True, text=True,
                              env={**os.environ, "TZ": "UTC"})
        answers = [json.loads(it) for it in done.stdout.splitlines() if it.startswith("{")]
        errors = {it["name"]: it["error"] for it in answers if "error" in it}
        for script in scripts:
            if script.name in errors:
                print(f"Flink, {script.name}: {errors[script.name]}", file=sys.stderr)
                continue
            with open(script.expected(), "w", encoding="utf-8") as file:
                for line in self.lines(script, topics[script.name]):
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        if not answers:
            sys.exit(done.stderr)

    def record(self, scripts):
        # Those that read what others have written come behind them.
        for part in ([it for it in scripts if not it.reads], [it for it in scripts if it.reads]):
            part = [it for it in part if all(os.path.exists(f"{HERE}/expected/{name}.ndjson") for name in it.reads)]
            if part:
                self.flink(part)

    def flott(self, script):
        topic, found = self.prepare(script, "flott")
        path = f"{self.given.work}/{script.name}.sql"
        with open(path, "w", encoding="utf-8") as file:
            file.write(found)
        done = subprocess.run([os.environ.get("FLOTT", "flott"), "run", "--quiet", path], capture_output=True, text=True,
                              cwd=self.given.work, env={**os.environ, "TZ": "UTC"}, timeout=120)
        if done.returncode:
            return None, (done.stderr or done.stdout)[-2000:]
        return self.lines(script, topic), None

def meaning(line):
    """JSON by what it means; numbers by their value."""
    def parsed(it):
        try:
            return json.loads(it) if isinstance(it, str) else it
        except ValueError:
            return it
    return {name: parsed(it) if name in ("key", "value") else it for name, it in line.items()}

def latest(lines):
    """The table that upserts come to."""
    last = {json.dumps(it["key"]): it for it in lines}
    return [last[key] for key in sorted(last) if last[key]["value"] is not None]

def table(lines):
    """The rows that changes with before and after come to."""
    rows = []
    for change in (json.loads(it["value"]) for it in lines):
        if change["before"] is not None:
            rows.remove(change["before"])
        if change["after"] is not None:
            rows.append(change["after"])
    return [{"key": None, "value": it} for it in sorted(json.dumps(it) for it in rows)]

def judge(script, right, found):
    if script.compare:
        right, found = script.compare(right), script.compare(found)
    if right == found:
        return ("equal results" if script.compare else "equal, byte for byte"), []
    right_means, found_means = [meaning(it) for it in right], [meaning(it) for it in found]
    if right_means == found_means:
        return "equal JSON", []
    rest = [(a, b) for a, b in zip(right_means, found_means) if a != b]
    if len(right) != len(found):
        rest.append((f"{len(right)} messages", f"{len(found)} messages"))
    return "DIFFERENT", rest[:3]

def main():
    arguments = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    arguments.add_argument("filter", nargs="*")
    arguments.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    arguments.add_argument("--registry", default=os.environ.get("SCHEMA_REGISTRY_URL"))
    arguments.add_argument("--record", action="store_true")
    arguments.add_argument("--work", default=None)
    given = arguments.parse_args()
    given.work = tempfile.mkdtemp(prefix="kafka-differential-", dir=given.work)
    scripts = [Script(it) for it in sorted(glob.glob(f"{HERE}/*.sql"))]
    scripts = [it for it in scripts if not given.filter or any(part in it.name for part in given.filter)]
    runner = Runner(given)
    passed, failed, skipped = 0, 0, 0
    try:
        usable = [it for it in scripts if given.registry or not it.framed]
        if given.record:
            return runner.record(usable)
        print("| script | what | |\n|---|---|---|")
        for script in scripts:
            if script not in usable or not os.path.exists(script.expected()):
                verdict = "skipped: no schema registry" if script not in usable else "skipped: Flink refuses it"
                differences, skipped = [], skipped + 1
            else:
                found, error = runner.flott(script)
                with open(script.expected(), encoding="utf-8") as lines:
                    right = [json.loads(it) for it in lines]
                verdict, differences = ("FAILED", [error]) if error else judge(script, right, found)
                passed, failed = passed + verdict.startswith("equal"), failed + (not verdict.startswith("equal"))
            print(f"| {script.name} | {script.says} | {verdict} |", flush=True)
            for it in differences:
                print(it if isinstance(it, str) else f"  Flink {it[0]}\n  Flott {it[1]}", file=sys.stderr, flush=True)
        print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
        sys.exit(1 if failed else 0)
    finally:
        runner.topics.close()

if __name__ == "__main__":
    main()
