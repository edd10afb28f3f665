//! Jobs between topics are checked, started twice, changed, stopped, on a real broker: what is refused, and when; what
//! is said of rows whose commit nobody answered.
//!
//! ```text
//!   script ─► validate ─► run ─► checkpoint ─► stop ─┬─► upgrade ─┐
//!                          ▲                         │            │ say the same
//!                          └── another one, ✗        └─► run  ◄───┘
//! ```

use std::time::Duration;

use flott_connector::StopSignal;
use flott_testkit::{
    need,
    services::{self, Broker, Proxy, proxy::Moment, wire::Request},
};
use serde_json::Value;

use crate::{
    kafka_sink::{each_once, kafka_table, newest, numbers},
    support::{Lab, wait_until},
    topics,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of a topic to another one, exactly once, without end.
struct Lines<'a> {
    bootstrap: &'a str,
    from: &'a str,
    to: &'a str,
    /// Further options of the tables.
    source: &'a str,
    sink: &'a str,
    /// `SET`s.
    settings: &'a str,
}

const SETTINGS: &str = "SET 'pipeline.name' = 'job'; SET 'execution.checkpointing.interval' = '100 ms';
    SET 'execution.checkpointing.dir' = 'ckpt';";

impl<'a> Lines<'a> {
    /// From the first line on, with checkpoints.
    fn new(bootstrap: &'a str, from: &'a str, to: &'a str) -> Self {
        Self { bootstrap, from, to, source: EARLIEST, sink: "", settings: SETTINGS }
    }

    fn sql(&self) -> String {
        let Self { bootstrap, from, to, source, sink, settings } = self;
        let raw = |more: &str| format!("'format' = 'raw'{more}");
        let t = kafka_table("kafka", "t", "x STRING", from, bootstrap, &raw(source));
        let k = kafka_table("kafka", "k", "x STRING", to, bootstrap, &raw(sink));
        format!("{settings} SET 'parallelism.default' = '1'; {t} {k} INSERT INTO k SELECT x FROM t")
    }
}

const EARLIEST: &str = ", 'scan.startup.mode' = 'earliest-offset'";

fn exactly_once(prefix: &str) -> String {
    format!(", 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{prefix}'")
}

/// Runs a job until a reader of its topic sees so many rows, and stops it.
fn play(lab: &Lab, kafka: &Broker, sql: &str, arguments: &[&str], topic: &str, rows: usize) {
    let run = lab.start_with(arguments, sql);
    assert_eq!(kafka.consume(topic, rows, PATIENCE).unwrap().len(), rows);
    run.signal("TERM");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn a_second_job_of_the_same_name_is_refused_and_harms_nobody() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("jobs-twice", 2).unwrap();
    let job = numbers("jobs-twice", kafka.bootstrap());
    let run = lab.start(&job);
    wait_until("checkpoints", || newest(&lab) > 3);
    for _ in 0..2 {
        let said = lab.fails(1, &job.replace("'ckpt'", "'elsewhere'"));
        assert!(said.contains("FLT-2101") && said.contains("another job commits"), "{said}");
        assert!(said.contains("sink.transactional-id-prefix") && said.contains("--resume never"), "{said}");
    }
    assert!(!lab.path("elsewhere").exists(), "nothing is claimed, either");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.summary.unwrap()["restarts"], Value::Null, "{}", outcome.stderr);
    each_once(&kafka, "jobs-twice");
}

#[test]
fn upgrade_says_what_run_will_do() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    for topic in ["jobs-a", "jobs-b", "jobs-to", "jobs-to-b"] {
        kafka.create_topic(topic, 1).unwrap();
    }
    kafka.produce("jobs-a", &["1", "2", "3"]).unwrap();
    let once = exactly_once("jobs-up");
    let job = Lines { sink: &once, ..Lines::new(kafka.bootstrap(), "jobs-a", "jobs-to") };
    play(&lab, &kafka, &job.sql(), &[], "jobs-to", 3);
    let upgrade = |sql: &str| {
        let outcome = lab.flott.run(["upgrade", "ckpt", "--json", "-e", sql]).unwrap();
        let json: Value =
            serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}", outcome.stderr));
        (outcome.status, json.to_string())
    };
    let (code, said) = upgrade(&job.sql());
    assert_eq!(code, Some(0), "{said}");
    let refused = |job: &Lines<'_>, words: &str| {
        let (code, said) = upgrade(&job.sql());
        assert!(code == Some(1) && said.contains(words), "{code:?} {said}");
        let said = lab.fails(1, &job.sql());
        assert!(said.contains(words), "{said}");
    };
    refused(&Lines { from: "jobs-b", ..job }, "has read topic 'jobs-a', which the table no longer names");
    refused(&Lines { to: "jobs-to-b", ..job }, "rows go to kafka topic 'jobs-to-b' from here on");
    refused(
        &Lines { sink: &exactly_once("other"), ..job },
        "was committed under 'sink.transactional-id-prefix'",
    );
    let tokens = format!("{once}, 'sink.token-topic' = 'jobs-tokens'");
    refused(&Lines { sink: &tokens, ..job }, "with tokens in 'jobs-tokens'");
    // One more topic is no other table, and what is no longer written in transactions has been committed.
    kafka.produce("jobs-b", &["4"]).unwrap();
    let more = Lines { from: "jobs-a;jobs-b", ..job };
    let (code, said) = upgrade(&more.sql());
    assert_eq!(code, Some(0), "{said}");
    play(&lab, &kafka, &more.sql(), &[], "jobs-to", 4);
    let plain = Lines { sink: "", ..more };
    assert_eq!(upgrade(&plain.sql()).0, Some(0));
    kafka.produce("jobs-b", &["5"]).unwrap();
    play(&lab, &kafka, &plain.sql(), &[], "jobs-to", 5);
    // Back again nothing says so: the checkpoint is named, and a new token begins.
    refused(&more, "was made without a transaction");
    kafka.produce("jobs-b", &["6"]).unwrap();
    let anew = Lines { sink: &exactly_once("anew"), ..more };
    play(&lab, &kafka, &anew.sql(), &["--resume", "ckpt/job"], "jobs-to", 6);
    kafka.produce("jobs-b", &["7"]).unwrap();
    play(&lab, &kafka, &anew.sql(), &[], "jobs-to", 7);
    let mut lines = topics::lines(&kafka, "jobs-to");
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4", "5", "6", "7"]);
    // What was given up is read from its start.
    let dropped = Lines { from: "jobs-b", ..anew };
    play(&lab, &kafka, &dropped.sql(), &["--allow-drop", "source:t"], "jobs-to", 11);
}

#[test]
fn the_directory_that_upgrade_looks_at_need_not_stand_in_the_script() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("jobs-in", 1).unwrap();
    kafka.create_topic("jobs-out", 1).unwrap();
    kafka.produce("jobs-in", &["1"]).unwrap();
    let once = exactly_once("jobs-dir");
    let job = Lines {
        sink: &once,
        settings: "SET 'pipeline.name' = 'job'; SET 'execution.checkpointing.interval' = '100 ms';
                   SET 'sink.guarantee' = 'exactly-once';",
        ..Lines::new(kafka.bootstrap(), "jobs-in", "jobs-out")
    };
    play(&lab, &kafka, &job.sql(), &["-D", "execution.checkpointing.dir=ckpt"], "jobs-out", 1);
    for directory in ["ckpt", "ckpt/job"] {
        let outcome = lab.flott.run(["upgrade", directory, "-e", &job.sql()]).unwrap();
        assert_eq!(outcome.status, Some(0), "{}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.contains("kept      source t"), "{}", outcome.stdout);
    }
}

#[test]
fn pipelines_of_one_script_commit_one_by_one() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("jobs-pipelines", 1).unwrap();
    let options = format!("'format' = 'raw'{}", exactly_once("jobs-pipelines"));
    let table = |name| kafka_table("kafka", name, "x STRING", "jobs-pipelines", kafka.bootstrap(), &options);
    let (one, other) = (table("one"), table("other"));
    let sql =
        format!("{SETTINGS} {one} {other} INSERT INTO one VALUES ('a'); INSERT INTO other VALUES ('b');");
    lab.run(&sql);
    lab.run(&sql);
    assert_eq!(topics::lines(&kafka, "jobs-pipelines"), ["a", "b"]);
}

#[test]
fn validate_refuses_what_run_would_refuse() {
    let lab = Lab::new();
    let job = Lines::new("localhost:1", "a", "b");
    let both = |job: &Lines<'_>, words: &str| {
        for command in [["validate", "--offline"], ["explain", "--offline"], ["run", "--quiet"]] {
            let outcome = lab.flott.run(command.into_iter().chain(["-e", &job.sql()])).unwrap();
            assert!(
                outcome.status == Some(2) && outcome.stderr.contains(words),
                "{command:?}: {}",
                outcome.stderr
            );
        }
    };
    both(&Lines { source: "", ..job }, "there is no 'properties.group.id'");
    both(
        &Lines { source: ", 'scan.startup.mode' = 'group-offsets'", ..job },
        "there is no 'properties.group.id'",
    );
    let end = format!("{EARLIEST}, 'scan.bounded.mode' = 'group-offsets'");
    both(&Lines { source: &end, ..job }, "the end of 't'");
    let slow = format!("{}, 'properties.transaction.timeout.ms' = '9000'", exactly_once("p"));
    let default = SETTINGS.replace("SET 'execution.checkpointing.interval' = '100 ms';", "");
    both(&Lines { sink: &slow, settings: &default, ..job }, "none would ever be committed");
    let typo = format!("{EARLIEST}, 'properties.isolation.level' = 'read_comitted'");
    both(&Lines { source: &typo, ..job }, "did you mean 'read_committed'");
    // Flink overrides it as well: it is told, and nothing else.
    let class = format!("{EARLIEST}, 'properties.value.deserializer' = 'org.example.Mine'");
    let outcome =
        lab.flott.run(["validate", "--offline", "-e", &Lines { source: &class, ..job }.sql()]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("'properties.value.deserializer' has no effect"), "{}", outcome.stderr);
}

#[test]
fn a_pattern_without_topics_is_waited_for_or_refused() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("jobs-pattern-out", 1).unwrap();
    let job = |source: &str| {
        let lines = Lines { source, ..Lines::new(kafka.bootstrap(), "", "jobs-pattern-out") };
        lines.sql().replace("'topic' = ''", "'topic-pattern' = 'jobs-pattern-in-.*'")
    };
    for never in ["'scan.bounded.mode' = 'latest-offset'", "'scan.topic-partition-discovery.interval' = '0'"]
    {
        let said = lab.fails(1, &job(&format!("{EARLIEST}, {never}")));
        assert!(
            said.contains("FLT-2201") && said.contains("matches 'topic-pattern' = 'jobs-pattern-in-.*'"),
            "{said}"
        );
    }
    let waits = job(&format!("{EARLIEST}, 'scan.topic-partition-discovery.interval' = '200 ms'"));
    let validated = lab.flott.run(["validate", "-e", &waits]).unwrap();
    assert_eq!(validated.status, Some(0), "{}", validated.stderr);
    assert!(validated.stderr.contains("looked for again every 0.2 s"), "{}", validated.stderr);
    let run = lab.start(&waits);
    wait_until("a checkpoint", || newest(&lab) > 0);
    kafka.create_topic("jobs-pattern-in-1", 1).unwrap();
    kafka.produce("jobs-pattern-in-1", &["x"]).unwrap();
    assert_eq!(kafka.consume("jobs-pattern-out", 1, PATIENCE).unwrap(), ["x"]);
    run.signal("TERM");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("looked for again"), "{}", outcome.stderr);
}

#[test]
fn a_stop_does_not_wait_for_brokers_that_are_silent() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    broker.create_topic("jobs-silent", 2).unwrap();
    let lab = Lab::new();
    let job = numbers("jobs-silent", broker.bootstrap()).replace("'10000'", "'2500'");
    let silenced = |twice: bool| {
        let before = newest(&lab);
        let run = lab.start(&job);
        wait_until("checkpoints", || newest(&lab) > before + 1);
        proxy.silent_at(Moment::BeforeAnswer(Request::EndTransaction));
        assert!(proxy.wait_for_silence(PATIENCE));
        run.signal("TERM");
        if twice {
            StopSignal::new().wait(Duration::from_millis(300));
            run.signal("TERM");
        }
        let outcome = run.outcome();
        proxy.drop_connections();
        proxy.heal();
        outcome
    };
    let outcome = silenced(false);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("was committed to Kafka is unknown"), "{}", outcome.stderr);
    // The rows up to the last checkpoint are there; of those of the next one nobody knows.
    let sink = &outcome.summary.unwrap()["sinks"][0];
    let count = |key: &str| sink[key].as_u64().unwrap();
    assert!(count("published") > 0 && count("uncertain") > 0, "{sink}");
    assert!(count("published") + count("uncertain") <= count("written"), "{sink}");
    let seen = topics::read(&broker, "jobs-silent").len() as u64;
    assert!(seen == count("published") || seen == count("published") + count("uncertain"), "{seen} {sink}");
    // Who is told so twice doesn't wait for them.
    let outcome = silenced(true);
    assert_eq!(outcome.status, Some(143), "{}", outcome.stderr);
    lab.run(&job);
    each_once(&broker, "jobs-silent");
}

#[test]
fn of_a_run_that_fails_the_rows_that_were_committed_are_counted() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("jobs-counted", 1).unwrap();
    // Tokens of its own: who is shut out may leave a transaction open, which others would wait for.
    let (prefix, tokens) = ("'sink.transactional-id-prefix'", "'sink.token-topic' = 'jobs-counted-tokens'");
    let job = numbers("jobs-counted", kafka.bootstrap()).replace(prefix, &format!("{tokens}, {prefix}"));
    // Slow enough that it is there still when the other one comes.
    let job = job.replace("'10000'", "'1000'");
    let run = lab.start(&job);
    wait_until("checkpoints", || newest(&lab) > 5);
    // Somebody who was told to take the name over.
    let other = job.replace("'ckpt'", "'elsewhere'");
    let taker = lab.start_with(&["--resume", "never"], &other);
    let outcome = run.outcome();
    taker.signal("TERM");
    taker.outcome();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    let sink = outcome.summary.unwrap()["sinks"][0].clone();
    assert!(
        sink["published"].as_u64() < sink["written"].as_u64() && sink["published"].as_u64() > Some(0),
        "{sink}"
    );
}
