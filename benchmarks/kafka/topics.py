"""Topics of the benchmark: made, filled, counted, summed up. Needs confluent-kafka from PyPI."""
import hashlib, multiprocessing, os, subprocess, sys, tempfile, time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

PARTITIONS = 2

class Broker:
    """A broker's administration."""
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, *topics, **config):
        new = [NewTopic(it, num_partitions=PARTITIONS, replication_factor=1, config=config) for it in topics]
        for done in self.admin.create_topics(new).values():
            done.result()

    def delete(self, *topics):
        known = self.admin.list_topics(timeout=10).topics
        gone = [it for it in topics if it in known]
        if not gone:
            return
        for done in self.admin.delete_topics(gone, operation_timeout=30).values():
            done.result()
        while set(gone) & set(self.admin.list_topics(timeout=10).topics):
            time.sleep(0.2)

    def fresh(self, *topics, **config):
        self.delete(*topics)
        for _ in range(50):
            try:
                return self.create(*topics, **config)
            except Exception:  # The broker still deletes.
                time.sleep(0.2)
        self.create(*topics, **config)

    def exists(self, topic):
        return topic in self.admin.list_topics(timeout=10).topics

    def ends(self, topic, committed=True):
        """One more than the last offset of each partition; committed: what a `read_committed` reader gets to."""
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(topic, it): OffsetSpec.latest() for it in range(PARTITIONS)}
        for patience in reversed(range(100)):
            found = self.admin.list_offsets(asked, isolation_level=level, request_timeout=20)
            try:
                return [it.result().offset for it in found.values()]
            except KafkaException:  # A topic just made has no leaders yet.
                if not patience:
                    raise
                time.sleep(0.1)

    def rows(self, topic):
        return sum(self.ends(topic))

    def committed(self, group, topic):
        """How far a consumer group has got, summed over the partitions."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, it) for it in range(PARTITIONS)])
        try:
            found = self.admin.list_consumer_group_offsets([asked])[group].result()
        except Exception:  # Nobody has committed yet.
            return 0
        return sum(max(it.offset, 0) for it in found.topic_partitions)

def producer(bootstrap):
    return Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "batch.size": 1 << 20, "linger.ms": 50,
                     "queue.buffering.max.messages": 500_000, "queue.buffering.max.kbytes": 256 << 10})

def _send_file(bootstrap, topic, partition, path):
    """Every line of the file a message."""
    out = producer(bootstrap)
    with open(path, "rb", buffering=1 << 20) as file:
        for at, line in enumerate(file):
            while True:
                try:
                    out.produce(topic, value=line[:-1], partition=partition)
                    break
                except BufferError:
                    out.poll(0.05)
            if at & 1023 == 0:
                out.poll(0)
    out.flush()

def fill(bootstrap, topic, events, generator):
    """The bids of `events` Nexmark events, generated on the way: partition k has part k in its order."""
    with tempfile.TemporaryDirectory() as place:
        for kind in ("bids", "auctions", "persons"):
            os.makedirs(f"{place}/{kind}")
            for part in range(PARTITIONS):
                if kind == "bids":
                    os.mkfifo(f"{place}/{kind}/part-{part}.ndjson")
                else:
                    os.symlink("/dev/null", f"{place}/{kind}/part-{part}.ndjson")
        senders = [multiprocessing.Process(target=_send_file, args=(bootstrap, topic, it, f"{place}/bids/part-{it}.ndjson"))
                   for it in range(PARTITIONS)]
        for it in senders:
            it.start()
        made = subprocess.run([generator, str(events), place, str(PARTITIONS)], stdout=subprocess.DEVNULL)
        for it in senders:
            it.join()
        if made.returncode or any(it.exitcode for it in senders):
            sys.exit("the topic couldn't be filled")

def digest(bootstrap, topic, canonical=lambda it: it):
    """(rows, an order-independent sum over their keys and values), as a `read_committed` reader sees the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "digest", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, it, 0) for it in range(PARTITIONS)])
    rows, total, open_partitions = 0, 0, PARTITIONS
    while open_partitions:
        for message in consumer.consume(10_000, timeout=1.0):
            if message.error():
                open_partitions -= 1
                continue
            rows += 1
            key, value = message.key() or b"", message.value()
            text = key + b"\0" + (b"\1" if value is None else canonical(value))
            total = (total + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")) & (1 << 64) - 1
    consumer.close()
    return rows, f"{total:016x}"
