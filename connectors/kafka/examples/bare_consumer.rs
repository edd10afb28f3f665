//! What the client can fetch here: messages of a topic are taken in batches and thrown away.
//!
//! `cargo run --release --example bare_consumer -- BOOTSTRAP TOPIC SECONDS [NAME=VALUE …]`
//!
//! From the first message to the end of the topic or for so many seconds; the client's options behind. Prints
//! messages and bytes a second and the CPU seconds per million messages, as one line of JSON. It is the bar for
//! the connector's reader: the same client, the same call, and nothing else.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    ptr,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList, bindings as client,
    consumer::{BaseConsumer, Consumer},
};

const BATCH: usize = 10_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, seconds, options @ ..] = args.as_slice() else {
        eprintln!("usage: bare_consumer BOOTSTRAP TOPIC SECONDS [NAME=VALUE …]");
        std::process::exit(2);
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "bare").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed");
    for (name, value) in options.iter().filter_map(|it| it.split_once('=')) {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let backlog = assign(&consumer, topic);
    let read = fetch(&consumer, backlog, Duration::from_secs_f64(seconds.parse().expect("seconds")));
    println!(
        "{{\"rows\": {}, \"seconds\": {:.2}, \"rate\": {:.0}, \"mb_per_second\": {:.0}, \"cpu\": {:.3}}}",
        read.messages,
        read.seconds,
        read.messages as f64 / read.seconds,
        read.bytes as f64 / read.seconds / 1e6,
        read.cpu / (read.messages as f64 / 1e6),
    );
}

/// All partitions from their beginnings; how many messages that is.
fn assign(consumer: &BaseConsumer, topic: &str) -> u64 {
    let wait = Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(Some(topic), wait).expect("metadata");
    let (mut list, mut backlog) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).expect("watermarks");
        backlog += (high - low) as u64;
    }
    consumer.assign(&list).expect("an assignment");
    backlog
}

struct Read {
    messages: u64,
    bytes: u64,
    seconds: f64,
    cpu: f64,
}

fn fetch(consumer: &BaseConsumer, backlog: u64, limit: Duration) -> Read {
    let mut batch = vec![ptr::null_mut(); BATCH];
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let mut begin: Option<(Instant, f64)> = None;
    // SAFETY: the consumer outlives the queue, which is given back below.
    let queue = unsafe { client::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    while messages < backlog && begin.is_none_or(|(it, _)| it.elapsed() < limit) {
        // SAFETY: the batch has room for as many pointers as are asked for.
        let count = unsafe { client::rd_kafka_consume_batch_queue(queue, 100, batch.as_mut_ptr(), BATCH) };
        if count > 0 && begin.is_none() {
            begin = Some((Instant::now(), cpu_seconds()));
        }
        for message in batch.iter().take(count.max(0) as usize) {
            // SAFETY: the client has filled in so many messages, each of which is ours until it is destroyed.
            unsafe {
                bytes += (**message).len as u64;
                client::rd_kafka_message_destroy(*message);
            }
        }
        messages += count.max(0) as u64;
    }
    // SAFETY: ours, and used no more.
    unsafe { client::rd_kafka_queue_destroy(queue) };
    let (began, cpu) = begin.expect("no message came");
    Read { messages, bytes, seconds: began.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu }
}

/// Of this process, all its threads.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
