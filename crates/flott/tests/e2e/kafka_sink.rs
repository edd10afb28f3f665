//! Kafka as a sink, on a real broker: what stands in messages, what a kill and a cut connection leave behind,
//! what is said when brokers refuse.
//!
//! ```text
//!   g  0 1 2 … ─► kafka, exactly once ─► a reader of committed transactions sees each number once
//!                  ▲ kill -9 at any moment; the end of a transaction goes, its answer never comes
//! ```

use std::time::Duration;

use flott_testkit::{
    need,
    services::{self, Broker, Proxy, proxy::Moment, wire::Request},
};

use crate::{
    support::{Lab, Running, wait_until},
    topics::{self, Message},
};

const PATIENCE: Duration = Duration::from_secs(15);
const NUMBERS: usize = 20_000;

/// A table of this topic, with further options.
pub fn kafka_table(
    connector: &str,
    name: &str,
    columns: &str,
    topic: &str,
    bootstrap: &str,
    options: &str,
) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = '{connector}', 'topic' = '{topic}',
         'properties.bootstrap.servers' = '{bootstrap}', {options});\n"
    )
}

/// Numbers that come in two seconds, written exactly once, with a checkpoint every 50 ms.
pub fn numbers(topic: &str, bootstrap: &str) -> String {
    let last = NUMBERS - 1;
    let table = kafka_table(
        "kafka",
        "k",
        "id BIGINT",
        topic,
        bootstrap,
        &format!(
            "'format' = 'csv', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{topic}'"
        ),
    );
    format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '50 ms';
         SET 'pipeline.name' = 'job'; SET 'parallelism.default' = '2';
         CREATE TABLE g (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10000',
         'fields.a.kind' = 'sequence', 'fields.a.start' = '0', 'fields.a.end' = '{last}');
         {table} INSERT INTO k SELECT a FROM g"
    )
}

fn confirmed(lab: &Lab) -> usize {
    let entries = std::fs::read_dir(lab.path("ckpt/job/sequence")).into_iter().flatten().flatten();
    entries.filter(|it| it.file_name().to_string_lossy().ends_with(".confirmed")).count()
}

/// The newest checkpoint's number: it only rises.
pub fn newest(lab: &Lab) -> u64 {
    let entries = std::fs::read_dir(lab.path("ckpt/job/sequence")).into_iter().flatten().flatten();
    let number = |name: String| name.strip_suffix(".confirmed")?.parse().ok();
    entries.filter_map(|it| number(it.file_name().into_string().ok()?)).max().unwrap_or(0)
}

pub fn each_once(broker: &Broker, topic: &str) {
    let mut read: Vec<usize> =
        topics::lines(broker, topic).iter().map(|line| line.parse().unwrap()).collect();
    read.sort_unstable();
    assert_eq!(read.len(), NUMBERS);
    assert!(read.into_iter().eq(0..NUMBERS));
}

#[test]
fn a_message_has_key_value_headers_time_and_partition() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    // Brokers drop what is too old, and refuse what is of tomorrow.
    kafka.create_topic_with("sink-parts", 3, 1, &[("retention.ms", "-1")]).unwrap();
    let table = kafka_table(
        "kafka",
        "k",
        "k_id BIGINT, name STRING, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', \
         h MAP<STRING, BYTES> METADATA FROM 'headers'",
        "sink-parts",
        kafka.bootstrap(),
        "'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_', 'value.format' = 'json',
         'value.fields-include' = 'EXCEPT_KEY', 'sink.partitioner' = 'fixed', 'sink.parallelism' = '2'",
    );
    lab.run(&format!(
        "SET 'parallelism.default' = '1'; {table} INSERT INTO k VALUES
         (1, 'a', TO_TIMESTAMP_LTZ(1767225600000, 3), MAP['x', ENCODE('y', 'UTF-8')]),
         (2, CAST(NULL AS STRING), TO_TIMESTAMP_LTZ(1767225600001, 3), CAST(NULL AS MAP<STRING, BYTES>))"
    ));
    let properties = [
        "print.key=true",
        "print.headers=true",
        "print.timestamp=true",
        "print.partition=true",
        "key.separator=|",
    ];
    let mut lines = kafka.consume_with("sink-parts", 2, PATIENCE, &properties).unwrap();
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"CreateTime:1767225600000|Partition:0|x:y|{"id":1}|{"name":"a"}"#,
            r#"CreateTime:1767225600001|Partition:0|NO_HEADERS|{"id":2}|{"name":null}"#,
        ]
    );
}

#[test]
fn upserts_are_the_newest_rows_of_their_keys_and_tombstones() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("sink-upserts", 1).unwrap();
    lab.write("changes.json", "{\"op\":\"+I\",\"k\":1,\"v\":10}\n");
    let table = kafka_table(
        "upsert-kafka",
        "k",
        "word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED",
        "sink-upserts",
        kafka.bootstrap(),
        "'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY',
         'sink.buffer-flush.max-rows' = '1000', 'sink.buffer-flush.interval' = '1 h'",
    );
    // A count that comes and goes before anything is told is never heard of.
    lab.run(&format!(
        "SET 'parallelism.default' = '1'; {table}
         INSERT INTO k SELECT word, n FROM (SELECT word, COUNT(*) AS n FROM (VALUES ('a'), ('b'), ('a'), ('c'))
         AS t(word) GROUP BY word) WHERE n < 2"
    ));
    // What was told is deleted by a message without a value.
    lab.run(&format!(
        "SET 'parallelism.default' = '1'; SET 'table.exec.mini-batch.enabled' = 'false'; {table}
         INSERT INTO k SELECT word, n FROM (SELECT word, COUNT(*) AS n FROM (VALUES ('d'), ('e'), ('d'))
         AS t(word) GROUP BY word) WHERE n < 2"
    ));
    let mut messages = topics::read(&kafka, "sink-upserts");
    messages.sort_by(|a, b| a.key.cmp(&b.key));
    let one = Some(r#"{"n":1}"#);
    let expected = [("b", one), ("c", one), ("d", None), ("e", one)];
    assert_eq!(messages, expected.map(|(key, value)| Message::new(Some(key), value)));
}

#[test]
fn killed_again_and_again_it_writes_each_row_once() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("sink-kills", 3).unwrap();
    let job = numbers("sink-kills", kafka.bootstrap());
    for round in 0..6 {
        let before = newest(&lab);
        let run = lab.start(&job);
        wait_until("a checkpoint", || newest(&lab) > before + round % 3);
        run.signal("KILL");
        run.outcome();
    }
    lab.run(&job);
    each_once(&kafka, "sink-kills");
}

#[test]
fn a_commit_whose_answer_never_comes_is_neither_lost_nor_doubled() {
    for moment in [Moment::Before(Request::EndTransaction), Moment::BeforeAnswer(Request::EndTransaction)] {
        let proxy = need!(Proxy::start());
        let broker = need!(Broker::behind(&proxy));
        broker.create_topic("sink-cut", 2).unwrap();
        let lab = Lab::new();
        let job = numbers("sink-cut", broker.bootstrap());
        let run = lab.start(&job);
        wait_until("a checkpoint", || confirmed(&lab) > 0 && newest(&lab) > 3);
        proxy.cut_at(moment);
        assert!(proxy.wait_for_cut(PATIENCE));
        run.signal("KILL");
        run.outcome();
        proxy.heal();
        lab.run(&job);
        each_once(&broker, "sink-cut");
    }
}

/// Goes on from this checkpoint; the first commit never comes to its broker, and the run is taken up again.
fn resume_with_a_lost_commit(lab: &Lab, proxy: &Proxy, job: &str, path: &str) {
    let restarts =
        "SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.attempts' = '9';
         SET 'restart-strategy.fixed-delay.delay' = '100 ms';";
    proxy.cut_at(Moment::Before(Request::EndTransaction));
    let job = job.replace("'format' = 'csv'", "'format' = 'csv', 'properties.max.block.ms' = '3000'");
    let run = lab.start_with(&["--resume", path], &format!("{restarts} {job}"));
    assert!(proxy.wait_for_cut(PATIENCE));
    // Long enough for the transaction to be given up.
    flott_connector::StopSignal::new().wait(Duration::from_secs(5));
    proxy.heal();
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(super::support::summary_of(&outcome)["restarts"].as_u64() > Some(0), "{}", outcome.stderr);
}

/// A job into this topic, with some checkpoints behind it.
fn begun(broker: &Broker, topic: &str) -> (Lab, String, Running) {
    broker.create_topic(topic, 1).unwrap();
    let lab = Lab::new();
    let job = numbers(topic, broker.bootstrap());
    let run = lab.start(&job);
    wait_until("a checkpoint", || newest(&lab) > 3);
    (lab, job, run)
}

#[test]
fn a_run_from_its_own_directory_whose_first_commit_fails_takes_only_what_is_decided() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    let (lab, job, run) = begun(&broker, "sink-own");
    run.signal("KILL");
    run.outcome();
    resume_with_a_lost_commit(&lab, &proxy, &job, "ckpt/job");
    each_once(&broker, "sink-own");

    // Nor does it with somebody else's tokens, which don't tell what is decided: then rows may come twice.
    let (lab, job, run) = begun(&broker, "sink-own-untold");
    run.signal("KILL");
    run.outcome();
    let prefix = |of: &str| format!("'sink.transactional-id-prefix' = '{of}'");
    let job = job.replace(&prefix("sink-own-untold"), &prefix("sink-own"));
    resume_with_a_lost_commit(&lab, &proxy, &job, "ckpt/job");
    let mut lines: Vec<usize> =
        topics::lines(&broker, "sink-own-untold").iter().map(|it| it.parse().unwrap()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert!(lines.iter().copied().eq(0..NUMBERS), "{} of {NUMBERS} numbers", lines.len());
}

#[test]
fn a_run_from_another_checkpoint_whose_first_commit_fails_begins_from_there_again() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    let (lab, job, run) = begun(&broker, "sink-anew");
    // Whoever copies a directory that lives copies half of a checkpoint.
    run.signal("STOP");
    let copied =
        std::process::Command::new("cp").arg("-r").args([lab.path("ckpt"), lab.path("old")]).status();
    assert!(copied.unwrap().success());
    run.signal("CONT");
    assert_eq!(run.outcome().status, Some(0));

    resume_with_a_lost_commit(&lab, &proxy, &job, "old/job");

    // What lies behind the old checkpoint is written twice, as was asked for: nothing of it is left out.
    let lines = broker.consume("sink-anew", 2 * NUMBERS, Duration::from_secs(5)).unwrap();
    let mut times = vec![0; NUMBERS];
    lines.iter().for_each(|line| times[line.parse::<usize>().unwrap()] += 1);
    let from = times.iter().position(|it| *it == 2).unwrap();
    assert!(times[..from].iter().all(|it| *it == 1) && times[from..].iter().all(|it| *it == 2), "{from}");
    assert!(from > 0);
}

#[test]
fn a_commit_that_is_answered_at_once_keeps_its_producer() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    broker.create_topic("sink-calm", 2).unwrap();
    let lab = Lab::new();
    lab.run(&numbers("sink-calm", broker.bootstrap()));
    let (producers, ends) =
        (proxy.requests(Request::InitProducerId), proxy.requests(Request::EndTransaction));
    assert!(ends > 8 && producers < ends / 2, "{producers} producers for {ends} transactions");
    each_once(&broker, "sink-calm");
}

#[test]
fn a_cut_connection_that_heals_costs_nothing() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    broker.create_topic("sink-heals", 2).unwrap();
    let lab = Lab::new();
    let run = lab.start(&numbers("sink-heals", broker.bootstrap()));
    for request in [Request::EndTransaction, Request::Produce, Request::EndTransaction] {
        let before = newest(&lab);
        wait_until("a checkpoint", || newest(&lab) > before);
        proxy.cut_at(Moment::BeforeAnswer(request));
        assert!(proxy.wait_for_cut(PATIENCE));
        proxy.heal();
    }
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    each_once(&broker, "sink-heals");
}

/// What a run says that fails, with its summary.
fn failure(lab: &Lab, sql: &str) -> String {
    let outcome = lab.start(sql).outcome();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    outcome.stderr
}

#[test]
fn what_brokers_refuse_is_said_in_words() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("sink-small", 1).unwrap();
    let table = |topic, options| kafka_table("kafka", "k", "t STRING", topic, kafka.bootstrap(), options);
    let absent = table("sink-absent", "'format' = 'raw'");
    let said = lab.fails(1, &format!("{absent} INSERT INTO k VALUES ('x')"));
    assert!(said.contains("FLT-2201") && said.contains("sink-absent"), "{said}");

    let nowhere = table("sink-absent", "'format' = 'raw', 'properties.max.block.ms' = '2000'")
        .replace(kafka.bootstrap(), "flott.invalid:9092");
    let said = lab.fails(1, &format!("{nowhere} INSERT INTO k VALUES ('x')"));
    assert!(said.contains("FLT-2202") && said.contains("Failed to resolve 'flott.invalid:9092'"), "{said}");

    let large = table("sink-small", "'format' = 'raw', 'properties.max.request.size' = '2000'");
    let said = failure(&lab, &format!("{large} INSERT INTO k VALUES (REPEAT('x', 3000))"));
    assert!(said.contains("FLT-2007") && said.contains("3000 bytes"), "{said}");
    assert!(said.contains(r#""written":1,"published":0}"#), "nothing of it is there: {said}");

    let one = table("sink-small", "'format' = 'raw', 'properties.acks' = '1'");
    lab.run(&format!("{one} INSERT INTO k VALUES ('x')"));

    kafka.create_topic_with("sink-compact", 1, 1, &[("cleanup.policy", "compact")]).unwrap();
    let keyless = table("sink-compact", "'format' = 'raw'");
    let said = lab.fails(1, &format!("{keyless} INSERT INTO k VALUES ('x')"));
    assert!(said.contains("FLT-2205") && said.contains("cleanup.policy"), "{said}");

    // The brokers refuse it themselves, with all that comes in one batch.
    kafka.create_topic_with("sink-times", 1, 1, &[("message.timestamp.after.max.ms", "1000")]).unwrap();
    let times = kafka_table(
        "kafka",
        "k",
        "id INT, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
        "sink-times",
        kafka.bootstrap(),
        "'format' = 'json'",
    );
    let said = failure(
        &lab,
        &format!(
            "{times} INSERT INTO k SELECT id, TO_TIMESTAMP_LTZ(t, 3) FROM (VALUES (1, 1795000000000), (4, 253402300799999)) AS v(id, t)"
        ),
    );
    assert!(said.contains("FLT-2205") && said.contains(r#""written":2,"published":0}"#), "{said}");
    assert!(
        said.contains("message.timestamp.after.max.ms") && said.contains("a message of the batch"),
        "{said}"
    );

    let long = table(
        "sink-small",
        "'format' = 'raw', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'long',
         'properties.transaction.timeout.ms' = '7200000'",
    );
    let said = lab.fails(2, &format!("{long} INSERT INTO k VALUES ('x')"));
    assert!(said.contains("transaction.max.timeout.ms"), "{said}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let lab = Lab::new();
    let refused = |options: &str, words: &str| {
        let table = kafka_table(
            "kafka",
            "k",
            "t STRING",
            "x",
            "localhost:1",
            &format!("'format' = 'raw', {options}"),
        );
        let said = lab.fails(2, &format!("{table} INSERT INTO k VALUES ('x')"));
        assert!(said.contains(words), "{options}: {said}");
    };
    refused("'sink.delivery-guarantee' = 'exactly-once'", "sink.transactional-id-prefix");
    refused("'sink.partitioner' = 'org.mycompany.MyPartitioner'", "not supported yet: the partitioner class");
    refused("'sink.partitioner' = 'fixd'", "did you mean 'fixed'");
    refused(
        "'key.format' = 'raw', 'key.fields' = 't', 'sink.partitioner' = 'round-robin'",
        "works only without",
    );
    refused("'properties.acks' = '2'", "one of all, -1, 0, 1");
    refused(
        "'properties.acks' = '1', 'properties.enable.idempotence' = 'true'",
        "'properties.enable.idempotence' needs 'properties.acks' = 'all'",
    );
    refused(
        "'properties.acks' = '1', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'p'",
        "'sink.delivery-guarantee' = 'exactly-once' needs 'properties.acks' = 'all'",
    );
}
