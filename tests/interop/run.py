#!/usr/bin/env python3
"""Other programs' topics, read by Flott; Flott's topics, read by other programs.

usage: run.py [--bootstrap ADDRESS] [--registry URL] [--record] [--work DIR] [FILTER …]

Others are: Kafka's console producer and consumer (KAFKA_LIBS names the broker's jars; default: those that the service
launcher has installed), confluent-kafka with the registry's serializers and deserializers for Avro, Protobuf and
JSON Schema, and events as Debezium writes them, tombstones included. FLOTT names the binary. Runs with a Python that
has confluent-kafka[avro,json,protobuf,schemaregistry]. The exit code says whether every row was right.

--record keeps the messages of each case that was right in recorded/NAME.ndjson: what the others wrote, and what they
have read of Flott's. `cargo test` holds Flott against these where there is no Python. `schema` in such a line: the
value begins with the id that this schema has in a registry.
"""
import argparse, datetime, decimal, glob, json, os, subprocess, sys, tempfile

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = datetime.timezone.utc
ORDERS = [
    {"id": 1, "name": "scooter", "price": decimal.Decimal("12.50"), "placed": datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, UTC),
     "tags": ["a", "b"], "paid": True},
    {"id": 2, "name": "größer 🦀", "price": decimal.Decimal("-0.01"), "placed": datetime.datetime(1970, 1, 1, tzinfo=UTC), "tags": [], "paid": False},
    {"id": 3, "name": None, "price": None, "placed": None, "tags": [], "paid": None},
]
# What Flott makes of them.
ROWS = [
    {"id": 1, "name": "scooter", "price": 12.50, "placed": "2024-02-29 12:34:56.789", "tags": ["a", "b"], "paid": True},
    {"id": 2, "name": "größer 🦀", "price": -0.01, "placed": "1970-01-01 00:00:00", "tags": [], "paid": False},
    {"id": 3, "name": None, "price": None, "placed": None, "tags": [], "paid": None},
]
AVRO = json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "int"}, {"name": "name", "type": ["null", "string"]},
    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}]},
    {"name": "placed", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "tags", "type": {"type": "array", "items": "string"}}, {"name": "paid", "type": ["null", "boolean"]}]})
COLUMNS = "id INT, name STRING, price DECIMAL(10, 2), placed TIMESTAMP(3), tags ARRAY<STRING>, paid BOOLEAN"
with open(f"{HERE}/order.proto", encoding="utf-8") as file:
    PROTO = file.read()

def order_class():
    """The class that a compiler would make of PROTO."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    order = file.message_type.add(name="Order")
    order.enum_type.add(name="Kind").value.extend(
        [descriptor_pb2.EnumValueDescriptorProto(name=name, number=at) for at, name in enumerate(("NEW", "OLD"))])
    buyer = order.nested_type.add(name="Buyer")
    buyer.field.add(name="city", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    buyer.field.add(name="number", number=2, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL)
    order.field.add(name="id", number=1, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    for name, number, kind in (("name", 2, kinds.TYPE_STRING), ("paid", 4, kinds.TYPE_BOOL)):
        order.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL, proto3_optional=True,
                        oneof_index=len(order.oneof_decl))
        order.oneof_decl.add(name="_" + name)
    order.field.add(name="tags", number=3, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    order.field.add(name="buyer", number=5, type=kinds.TYPE_MESSAGE, type_name=".shop.Order.Buyer", label=kinds.LABEL_OPTIONAL)
    order.field.add(name="kind", number=6, type=kinds.TYPE_ENUM, type_name=".shop.Order.Kind", label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))

def text(data):
    """Bytes as JSON can hold them."""
    try:
        found = None if data is None else data.decode()
        return found if found is None or found.isprintable() else {"hex": data.hex()}
    except UnicodeDecodeError:
        return {"hex": data.hex()}

class World:
    def __init__(self, given):
        self.given, self.work, self.made = given, given.work, []
        self.admin = AdminClient({"bootstrap.servers": given.bootstrap})
        self.registry = SchemaRegistryClient({"url": given.registry}) if given.registry else None

    def topic(self, name, partitions=1):
        topic = f"interop-{os.getpid()}-{name}"
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        self.made.append(topic)
        return topic

    def close(self):
        for done in (self.admin.delete_topics(self.made) if self.made else {}).values():
            done.result()

    def send(self, topic, messages):
        producer = Producer({"bootstrap.servers": self.given.bootstrap})
        for key, value in messages:
            producer.produce(topic, key=key, value=value)
        producer.flush()

    def read(self, topic):
        consumer = Consumer({"bootstrap.servers": self.given.bootstrap, "group.id": "interop", "enable.auto.commit": False,
                             "enable.partition.eof": True, "isolation.level": "read_committed"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while (message := consumer.poll(10)) is not None and not message.error():
            found.append((message.key(), message.value()))
        consumer.close()
        return found

    def keep(self, name, messages):
        """Records the messages of a case that was right."""
        if not self.given.record:
            return
        os.makedirs(f"{HERE}/recorded", exist_ok=True)
        with open(f"{HERE}/recorded/{name}.ndjson", "w", encoding="utf-8") as file:
            for key, value in messages:
                line = {"key": text(key)}
                if value and value[0] == 0:
                    schema = self.registry.get_schema(int.from_bytes(value[1:5], "big"))
                    parsed = schema.schema_type != "PROTOBUF"
                    line |= {"schema": json.loads(schema.schema_str) if parsed else schema.schema_str, "kind": schema.schema_type}
                    value = value[5:]
                file.write(json.dumps(line | {"value": text(value)}, ensure_ascii=False) + "\n")

    def tool(self, name, arguments, lines=None):
        """One of Kafka's own programs."""
        home = os.environ.get("KAFKA_LIBS") or max(glob.glob(os.path.expanduser("~/.cache/flott/services/kafka*/**/libs"), recursive=True)
                                                   + glob.glob(os.path.expanduser("~/.cache/flott/services/kafka-*")))
        run = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/*", name, "--bootstrap-server", self.given.bootstrap, *arguments]
        done = subprocess.run(run, input=lines, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(done.stderr[-2000:])
        return done.stdout.splitlines()

    def flott(self, *statements):
        path = f"{self.work}/script.sql"
        with open(path, "w", encoding="utf-8") as file:
            file.write(";\n".join(statements) + ";\n")
        done = subprocess.run([os.environ.get("FLOTT", "flott"), "run", "--quiet", path], capture_output=True, text=True,
                              cwd=self.work, env={**os.environ, "TZ": "UTC"}, timeout=120)
        if done.returncode:
            raise AssertionError((done.stderr or done.stdout)[-2000:])

    def connection(self, topic):
        return f"'connector'='kafka','properties.bootstrap.servers'='{self.given.bootstrap}','topic'='{topic}'"

    def rows(self, topic, columns, options, names="*"):
        """What Flott reads there, as JSON."""
        out = tempfile.mkdtemp(dir=self.work)
        self.flott(f"CREATE TABLE source ({columns}) WITH ({self.connection(topic)},'scan.startup.mode'='earliest-offset',"
                   f"'scan.bounded.mode'='latest-offset',{options})",
                   f"CREATE TABLE target WITH ('connector'='filesystem','path'='{out}','format'='changelog-json') AS "
                   f"SELECT {names} FROM source")
        found = []
        for path in sorted(glob.glob(f"{out}/**/*", recursive=True)):
            if os.path.isfile(path) and not os.path.basename(path).startswith((".", "_")):
                with open(path, encoding="utf-8") as file:
                    found += [json.loads(line) for line in file]
        return found

    def write(self, topic, columns, options, values):
        self.flott(f"CREATE TABLE target ({columns}) WITH ({self.connection(topic)},{options})",
                   f"INSERT INTO target SELECT * FROM (VALUES {values}) AS v")

def inserts(rows):
    return [{"op": "+I", "data": it} for it in rows]

def same(found, right):
    order = lambda rows: sorted(json.dumps(it, sort_keys=True, ensure_ascii=False) for it in rows)
    if order(found) != order(right):
        raise AssertionError(f"expected {order(right)}\nfound    {order(found)}")

VALUES = """(1, 'scooter', CAST(12.50 AS DECIMAL(10, 2)), TIMESTAMP '2024-02-29 12:34:56.789', ARRAY['a', 'b'], TRUE),
 (2, 'größer 🦀', CAST(-0.01 AS DECIMAL(10, 2)), TIMESTAMP '1970-01-01 00:00:00.000', ARRAY['x'], FALSE)"""

def console_producer(world):
    """Kafka's console producer: keys and JSON."""
    topic = world.topic("console")
    world.tool("org.apache.kafka.tools.ConsoleProducer", ["--topic", topic, "--reader-property", "parse.key=true", "--reader-property",
               "key.separator=|"], 'k1|{"id":1,"name":"scooter"}\nk2|{"id":2,"name":"größer"}\n')
    found = world.rows(topic, "k STRING, id INT, name STRING",
                       "'key.format'='raw','key.fields'='k','value.format'='json','value.fields-include'='EXCEPT_KEY'")
    same(found, inserts([{"k": "k1", "id": 1, "name": "scooter"}, {"k": "k2", "id": 2, "name": "größer"}]))

def console_consumer(world):
    """What Flott writes in a transaction, with Kafka's console consumer."""
    topic = world.topic("consumed")
    world.write(topic, "k STRING, id INT", "'key.format'='raw','key.fields'='k','value.format'='json','value.fields-include'='EXCEPT_KEY',"
                f"'sink.delivery-guarantee'='exactly-once','sink.transactional-id-prefix'='{topic}'", "('a', 1), ('b', 2)")
    arguments = ["--topic", topic, "--from-beginning", "--max-messages", "2", "--timeout-ms", "20000", "--formatter-property",
                 "print.key=true", "--isolation-level", "read_committed"]
    found = world.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", arguments)
    if found != ['a\t{"id":1}', 'b\t{"id":2}']:
        raise AssertionError(str(found))

def avro_read(world):
    """confluent-kafka's Avro serializer, an older schema of the writer included."""
    topic = world.topic("avro")
    serializer, context = AvroSerializer(world.registry, AVRO), SerializationContext(topic, MessageField.VALUE)
    messages = [(None, serializer(it, context)) for it in ORDERS]
    evolved = json.loads(AVRO)
    evolved["fields"].append({"name": "note", "type": ["null", "string"], "default": None})
    newer = AvroSerializer(world.registry, json.dumps(evolved))
    messages.append((None, newer({**ORDERS[0], "id": 4, "note": "new"}, context)))
    world.send(topic, messages)
    found = world.rows(topic, COLUMNS.replace("id INT", "id INT NOT NULL"), f"'format'='avro-confluent','avro-confluent.url'='{world.given.registry}'")
    same(found, inserts(ROWS + [{**ROWS[0], "id": 4}]))
    world.keep("avro", messages)

def avro_written(world):
    """Flott's avro-confluent, with confluent-kafka's deserializer."""
    topic = world.topic("avro-out")
    world.write(topic, COLUMNS, f"'format'='avro-confluent','avro-confluent.url'='{world.given.registry}'", VALUES)
    read, context = AvroDeserializer(world.registry), SerializationContext(topic, MessageField.VALUE)
    messages = world.read(topic)
    same([json.loads(json.dumps(read(value, context), default=str)) for _, value in messages],
         [json.loads(json.dumps({**it, "tags": it["tags"] or ["x"]}, default=str)) for it in ORDERS[:2]])
    world.keep("avro_written", messages)

def protobuf_read(world):
    """confluent-kafka's Protobuf serializer."""
    topic, order = world.topic("protobuf"), order_class()
    serializer = ProtobufSerializer(order, world.registry, {"use.deprecated.format": False})
    context = SerializationContext(topic, MessageField.VALUE)
    messages = [order(id=1, name="scooter", tags=["a", "b"], paid=True, buyer=order.Buyer(city="Köln", number=2**63), kind=1), order(id=2)]
    messages = [(None, serializer(it, context)) for it in messages]
    world.send(topic, messages)
    found = world.rows(topic, PROTO_COLUMNS, f"'format'='protobuf-confluent','protobuf-confluent.url'='{world.given.registry}'")
    same(found, inserts([
        {"id": 1, "name": "scooter", "tags": ["a", "b"], "paid": True, "buyer": {"city": "Köln", "number": 9223372036854775808}, "kind": "OLD"},
        # As in Flink: scalars of proto3 that aren't there are their defaults, also `optional` ones; all else is NULL.
        {"id": 2, "name": "", "tags": None, "paid": False, "buyer": None, "kind": "NEW"}]))
    world.keep("protobuf", messages)

PROTO_COLUMNS = ("id INT, name STRING, tags ARRAY<STRING>, paid BOOLEAN, buyer ROW<city STRING, number DECIMAL(20, 0)>, kind STRING")

def protobuf_written(world):
    """Flott's protobuf-confluent, with confluent-kafka's deserializer."""
    topic, order = world.topic("protobuf-out"), order_class()
    with open(f"{world.work}/order.proto", "w", encoding="utf-8") as file:
        file.write(PROTO)
    world.write(topic, "id INT, name STRING, tags ARRAY<STRING>, paid BOOLEAN, kind STRING",
                f"'format'='protobuf-confluent','protobuf-confluent.url'='{world.given.registry}',"
                f"'protobuf-confluent.schema-file'='{world.work}/order.proto','protobuf-confluent.message-name'='shop.Order'",
                "(1, 'scooter', ARRAY['a', 'b'], TRUE, 'OLD'), (2, CAST(NULL AS STRING), ARRAY['x'], CAST(NULL AS BOOLEAN), 'NEW')")
    read, context = ProtobufDeserializer(order, {"use.deprecated.format": False}), SerializationContext(topic, MessageField.VALUE)
    messages = world.read(topic)
    found = [read(value, context) for _, value in messages]
    right = [order(id=1, name="scooter", tags=["a", "b"], paid=True, kind=1), order(id=2, tags=["x"])]
    if found != right:
        raise AssertionError(f"expected {right}\nfound {found}")
    world.keep("protobuf_written", messages)

def json_schema_read(world):
    """confluent-kafka's JSON Schema serializer: five bytes, then JSON."""
    topic = world.topic("json-schema")
    schema = {"title": "Order", "type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
    serializer, context = JSONSerializer(json.dumps(schema), world.registry), SerializationContext(topic, MessageField.VALUE)
    messages = [(None, serializer({"id": 1, "name": "scooter"}, context))]
    world.send(topic, messages)
    # There is no format for it, in Flink neither: the five bytes are cut off in SQL. (Ids of a fresh registry are text.)
    found = world.rows(topic, "m STRING", "'format'='raw'", "CAST(JSON_VALUE(SUBSTRING(m FROM 6), '$.id') AS INT) AS id")
    same(found, inserts([{"id": 1}]))
    world.keep("json_schema", messages)

def debezium(world):
    """Events as Debezium writes them: schemas, a key, a tombstone after each delete."""
    topic = world.topic("debezium")
    schema = {"type": "struct", "fields": [], "optional": False, "name": "inventory.products.Envelope"}
    def event(op, before, after):
        return json.dumps({"schema": schema, "payload": {"before": before, "after": after, "op": op, "ts_ms": 1700000000000,
            "transaction": None, "source": {"version": "2.7.0.Final", "connector": "mysql", "name": "inventory", "ts_ms": 1700000000000,
            "snapshot": "false", "db": "inventory", "table": "products", "server_id": 1, "file": "binlog.000001", "pos": 4, "row": 0}}}).encode()
    key = lambda id: json.dumps({"schema": schema, "payload": {"id": id}}).encode()
    one, two, other = {"id": 1, "name": "scooter"}, {"id": 2, "name": "battery"}, {"id": 1, "name": "bike"}
    messages = [(key(1), event("r", None, one)), (key(2), event("c", None, two)), (key(1), event("u", one, other)),
                (key(2), event("d", two, None)), (key(2), None)]
    world.send(topic, messages)
    found = world.rows(topic, "id INT, name STRING", "'format'='debezium-json','debezium-json.schema-include'='true'")
    same(found, [{"op": "+I", "data": one}, {"op": "+I", "data": two}, {"op": "-U", "data": one}, {"op": "+U", "data": other},
                 {"op": "-D", "data": two}])
    world.keep("debezium", messages)

TESTS = [console_producer, console_consumer, avro_read, avro_written, protobuf_read, protobuf_written, json_schema_read, debezium]
REGISTRY = {avro_read, avro_written, protobuf_read, protobuf_written, json_schema_read}

def main():
    arguments = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    arguments.add_argument("filter", nargs="*")
    arguments.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    arguments.add_argument("--registry", default=os.environ.get("SCHEMA_REGISTRY_URL"))
    arguments.add_argument("--record", action="store_true")
    arguments.add_argument("--work")
    given = arguments.parse_args()
    given.work = tempfile.mkdtemp(prefix="interop-", dir=given.work)
    world, passed, failed, skipped = World(given), 0, 0, 0
    for test in TESTS:
        if given.filter and not any(it in test.__name__ for it in given.filter):
            continue
        if test in REGISTRY and not given.registry:
            print(f"skipped  {test.__name__}: no schema registry")
            skipped += 1
            continue
        try:
            test(world)
            passed += 1
            print(f"ok       {test.__name__}: {test.__doc__}", flush=True)
        except Exception as error:  # The others shall still run.
            failed += 1
            print(f"FAILED   {test.__name__}: {type(error).__name__} {error}", flush=True)
    world.close()
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)

if __name__ == "__main__":
    main()
