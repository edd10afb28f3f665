//! Living with Kafka: brokers die, leaders move, topics go, transactions expire, sinks are slow, on real brokers.
//!
//! ```text
//!   numbers ─► in ─► flott, exactly once ─► out ─► a reader of committed transactions sees each number once
//!              ▲                            ▲
//!              └─ what can happen to them ──┘      and what is said meanwhile
//! ```

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use flott_connector::{Clock, SystemClock};
use flott_testkit::{
    need,
    services::{self, Broker, Cluster, Port, Skipped},
};
use serde_json::Value;

use crate::{
    kafka_sink::kafka_table,
    support::{Lab, Running, summary_of, wait_for, wait_until},
    topics,
};

/// Three brokers, which tests of this process have in turn; whoever stops one starts it again.
fn cluster() -> Result<MutexGuard<'static, Cluster>, Skipped> {
    static SHARED: OnceLock<Result<Mutex<Cluster>, Skipped>> = OnceLock::new();
    match SHARED.get_or_init(|| Cluster::start(3).map(Mutex::new)) {
        Ok(cluster) => Ok(cluster.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(skipped) => Err(skipped.clone()),
    }
}

/// Brokers, a topic to be read and one to be written.
struct Pair {
    bootstrap: String,
    from: String,
    to: String,
}

impl Pair {
    fn new(bootstrap: impl Into<String>, name: &str) -> Self {
        Self { bootstrap: bootstrap.into(), from: format!("{name}-in"), to: format!("{name}-out") }
    }

    fn make(&self, broker: &Broker, partitions: i32) {
        broker.create_topic(&self.from, partitions).unwrap();
        broker.create_topic(&self.to, partitions).unwrap();
    }

    /// Numbers from 0 on into the first topic, so many a second.
    fn feed(&self, numbers: usize, per_second: usize) -> String {
        let Self { bootstrap, from, .. } = self;
        let last = numbers - 1;
        format!(
            "CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{per_second}',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{last}');
             CREATE TABLE k (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{from}', 'format' = 'csv',
               'properties.bootstrap.servers' = '{bootstrap}');
             INSERT INTO k SELECT n FROM g"
        )
    }

    /// The second topic, written exactly once, with checkpoints so often.
    fn sink(&self, interval: &str, options: &str) -> String {
        let Self { bootstrap, to, .. } = self;
        format!(
            "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '{interval}';
             SET 'pipeline.name' = 'job'; SET 'parallelism.default' = '2';
             CREATE TABLE k_out (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{to}', 'format' = 'csv',
               'properties.bootstrap.servers' = '{bootstrap}', 'sink.delivery-guarantee' = 'exactly-once',
               'sink.transactional-id-prefix' = '{to}', 'sink.token-topic' = '{to}-tokens'{options});\n"
        )
    }

    /// From the first topic to the second, with further options of the first.
    fn copy(&self, options: &str) -> String {
        let Self { bootstrap, from, .. } = self;
        format!(
            "{} CREATE TABLE k_in (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{from}', 'format' = 'csv',
               'properties.bootstrap.servers' = '{bootstrap}', 'scan.startup.mode' = 'earliest-offset'{options});
             INSERT INTO k_out SELECT n FROM k_in",
            self.sink("100 ms", "")
        )
    }

    /// What is in the second topic, in order.
    fn written(&self, broker: &Broker) -> Vec<usize> {
        let mut read: Vec<usize> =
            topics::lines(broker, &self.to).iter().map(|line| line.parse().unwrap()).collect();
        read.sort_unstable();
        read
    }

    fn each_once(&self, broker: &Broker, numbers: usize) {
        let read = self.written(broker);
        assert!(read.iter().copied().eq(0..numbers), "{} of {numbers} numbers", read.len());
    }
}

/// The newest checkpoint's number: it only rises.
fn newest(lab: &Lab) -> u64 {
    let entries = fs::read_dir(lab.path("ckpt/job/sequence")).into_iter().flatten().flatten();
    let number = |name: String| name.strip_suffix(".confirmed")?.parse().ok();
    entries.filter_map(|it| number(it.file_name().into_string().ok()?)).max().unwrap_or(0)
}

/// Waits until there are so many more checkpoints.
fn checkpoints(lab: &Lab, run: &mut Running, more: u64) {
    let before = newest(lab);
    wait_until("more checkpoints", || {
        assert!(run.is_running(), "it ended by itself: {}", run.last_words());
        newest(lab) >= before + more
    });
}

/// What the run says of itself.
fn sample(lab: &Lab) -> Option<Value> {
    let answer = lab.flott.run(["why", "ckpt", "--json"]).ok()?;
    Some(serde_json::from_str::<Value>(&answer.stdout).ok()?["sample"].take()).filter(Value::is_object)
}

/// Asks `flott why` until it says this; all that it says.
fn until_why(lab: &Lab, run: &mut Running, what: &str) -> String {
    wait_for(what, || {
        let said = lab.flott.run(["why", "ckpt"]).unwrap().stdout;
        assert!(run.is_running(), "it ended by itself: {said}");
        if said.contains(what) { Ok(said) } else { Err(said) }
    })
}

/// Waits until the run has read so many rows, and ends it.
fn ends_with(lab: &Lab, run: Running, rows: usize) -> Value {
    let mut run = run;
    wait_until("all rows to be read", || {
        if !run.is_running() {
            return true;
        }
        let read = sample(lab).and_then(|it| it["sources"][0]["rows"].as_u64());
        read.is_some_and(|read| read >= rows as u64)
    });
    run.signal("TERM");
    let outcome = run.outcome();
    summary_of(&outcome)
}

// --- brokers ------------------------------------------------------------------------------------

/// Whether all three brokers have all of these topics.
fn in_sync(cluster: &mut Cluster, topics: &[&str]) -> bool {
    let Some(broker) = cluster.any() else { return false };
    topics.iter().all(|topic| {
        let partitions = broker.partitions(topic).ok().flatten().unwrap_or_default();
        !partitions.is_empty() && partitions.iter().all(|it| it.in_sync.len() == 3)
    })
}

/// Kills the leader of the topic's first partition, and waits until it has another one. Who it was.
fn kill_leader(cluster: &mut Cluster, topic: &str) -> i32 {
    let leader = cluster.leader(topic, 0).unwrap().unwrap();
    let lost = leader.node();
    leader.server_mut().kill();
    wait_until("another leader", || {
        cluster.leader(topic, 0).ok().flatten().is_some_and(|it| it.node() != lost)
    });
    lost
}

#[test]
fn a_lost_broker_and_new_leaders_cost_nothing() {
    let mut cluster = need!(cluster());
    let pair = Pair::new(cluster.bootstrap(), "lost");
    for topic in [&pair.from, &pair.to] {
        let safe = [("min.insync.replicas", "2")];
        cluster.any().unwrap().create_topic_with(topic, 3, 3, &safe).unwrap();
    }
    let (lab, feeding) = (Lab::new(), Lab::new());
    let feed = feeding.start(&pair.feed(1_000_000, 1000));
    let mut run = lab.start(&pair.copy(""));
    checkpoints(&lab, &mut run, 3);
    let topics = [pair.from.as_str(), pair.to.as_str(), "__transaction_state"];

    wait_until("replicas in sync", || in_sync(&mut cluster, &topics));
    let lost = kill_leader(&mut cluster, &pair.from);
    checkpoints(&lab, &mut run, 3);
    cluster.broker(lost).unwrap().server_mut().restart().unwrap();
    wait_until("replicas in sync", || in_sync(&mut cluster, &topics));
    // This one stays away.
    let lost = kill_leader(&mut cluster, &pair.to);
    checkpoints(&lab, &mut run, 3);

    feed.signal("TERM");
    let numbers = summary_of(&feed.outcome())["sinks"][0]["written"].as_u64().unwrap() as usize;
    let summary = ends_with(&lab, run, numbers);
    pair.each_once(cluster.any().unwrap(), numbers);
    assert_eq!(summary["restarts"].as_u64().unwrap_or(0), 0, "{summary}");
    cluster.broker(lost).unwrap().server_mut().restart().unwrap();
}

#[test]
fn a_partition_that_nobody_leads_is_waited_for() {
    let mut cluster = need!(cluster());
    let pair = Pair::new(cluster.bootstrap(), "unled");
    // Whoever has the only replica of a partition takes it along.
    cluster.any().unwrap().create_topic_with(&pair.from, 3, 1, &[]).unwrap();
    cluster.any().unwrap().create_topic_with(&pair.to, 1, 3, &[]).unwrap();
    let lab = Lab::new();
    let keyed: Vec<String> = (0..40).map(|number| format!("{number}|{number}")).collect();
    let part = |from: usize, to: usize| keyed[from..to].iter().map(String::as_str).collect::<Vec<_>>();
    cluster.any().unwrap().produce_keyed(&pair.from, &part(0, 20)).unwrap();
    let mut run = lab.start(&pair.copy(""));
    checkpoints(&lab, &mut run, 2);
    let lost = cluster.leader(&pair.from, 1).unwrap().unwrap().node();
    cluster.broker(lost).unwrap().server_mut().kill();
    let said = until_why(&lab, &mut run, "has no leader");
    assert!(said.contains("source 'k_in' waits: 'unled-in[1]' has no leader"), "{said}");
    checkpoints(&lab, &mut run, 1);
    cluster.broker(lost).unwrap().server_mut().restart().unwrap();
    cluster.any().unwrap().produce_keyed(&pair.from, &part(20, 40)).unwrap();
    ends_with(&lab, run, 40);
    pair.each_once(cluster.any().unwrap(), 40);
}

fn makes_topics() -> services::kafka::Settings {
    services::kafka::Settings::default().property("auto.create.topics.enable", true)
}

fn warns_of_a_topic_that_is_made(broker: &Broker) {
    let job = format!(
        "CREATE TABLE k (x STRING) WITH ('connector' = 'kafka', 'topic' = 'misspelt', 'format' = 'raw',
         'properties.bootstrap.servers' = '{}'); INSERT INTO k VALUES ('a')",
        broker.bootstrap()
    );
    for (begins, warnings) in [("is made", 1), ("is there", 0)] {
        let outcome = Lab::new().start(&job).outcome();
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let said = outcome.stderr.matches("there was no topic 'misspelt': the brokers have made it").count();
        assert_eq!(said, warnings, "when the topic {begins}: {}", outcome.stderr);
    }
}

#[test]
fn a_broker_that_hangs_is_told_though_nothing_is_to_be_read() {
    let mut broker = need!(Broker::start(&makes_topics()));
    warns_of_a_topic_that_is_made(&broker);
    let pair = Pair::new(broker.bootstrap(), "hangs");
    pair.make(&broker, 1);
    let lab = Lab::new();
    let job = pair.copy("").replace(
        "INSERT INTO k_out",
        "CREATE TABLE b (n BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO b",
    );
    let mut run = lab.start(&job);
    checkpoints(&lab, &mut run, 3);
    broker.server_mut().pause();
    // It counts its questions, unless the client itself has lost patience with a connection before.
    until_why(&lab, &mut run, "can be reached (");
    broker.server_mut().go_on();
    until_why(&lab, &mut run, "has given nothing yet");
    run.signal("INT");
    assert_eq!(run.outcome().status, Some(0));
}

#[test]
fn all_brokers_go_away_and_come_back() {
    let mut broker = need!(Broker::start(&services::kafka::Settings::default()));
    let pair = Pair::new(broker.bootstrap(), "away");
    pair.make(&broker, 2);
    let (lab, feeding) = (Lab::new(), Lab::new());
    let feed = feeding.start(&pair.feed(1_000_000, 1000));
    let mut run = lab.start(&pair.copy(""));
    checkpoints(&lab, &mut run, 3);
    broker.server_mut().kill();
    let said = until_why(&lab, &mut run, "can be reached");
    assert!(said.contains("source 'k_in' waits: no Kafka broker of '"), "{said}");
    broker.server_mut().restart().unwrap();
    checkpoints(&lab, &mut run, 3);
    feed.signal("TERM");
    let feed = feed.outcome();
    assert!(feed.stderr.contains("no Kafka broker of '"), "who only writes says so too: {}", feed.stderr);
    let numbers = summary_of(&feed)["sinks"][0]["written"].as_u64().unwrap() as usize;
    ends_with(&lab, run, numbers);
    pair.each_once(&broker, numbers);
}

// --- transactions -------------------------------------------------------------------------------

/// Holds a run up in the middle of a transaction, until the broker has aborted that.
fn expires(kafka: &Broker, topic: &str, lab: &Lab, run: &mut Running) {
    let ends = topics::Ends::of(kafka, topic);
    checkpoints(lab, run, 1);
    loop {
        wait_until("a transaction", || {
            assert!(run.is_running(), "it ended by itself: {}", run.last_words());
            ends.are_open()
        });
        run.signal("STOP");
        let before = topics::seen(kafka, topic).len();
        if ends.are_open() {
            wait_until("the end of a transaction", || !ends.are_open());
            // More of them: its commit was on the way, and it hasn't expired.
            if topics::seen(kafka, topic).len() == before {
                return run.signal("CONT");
            }
        }
        run.signal("CONT");
    }
}

#[test]
fn a_transaction_that_expires_is_written_again() {
    let kafka = need!(services::kafka());
    let numbers = 20_000;
    let job = |name: &str, settings: &str| {
        let pair = Pair::new(kafka.bootstrap(), name);
        kafka.create_topic(&pair.to, 2).unwrap();
        let sink = pair.sink("50 ms", ", 'properties.transaction.timeout.ms' = '3000'");
        let job = format!(
            "{settings} {sink} CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen',
               'rows-per-second' = '2000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0',
               'fields.n.end' = '{}');
             INSERT INTO k_out SELECT n FROM g",
            numbers - 1
        );
        (pair, Lab::new(), job)
    };
    let (restarted, lab, sql) = job("restarted", "");
    let (ended, other_lab, other_sql) = job("ended", "SET 'restart-strategy.type' = 'none';");
    let mut run = lab.start(&sql);
    expires(&kafka, &restarted.to, &lab, &mut run);
    let mut other = other_lab.start(&other_sql);
    expires(&kafka, &ended.to, &other_lab, &mut other);
    let (outcome, other) = (run.outcome(), other.outcome());
    assert!(summary_of(&outcome)["restarts"].as_u64() > Some(0), "{}", outcome.stderr);
    restarted.each_once(&kafka, numbers);

    assert_eq!(other.status, Some(1), "{}", other.stderr);
    // Whichever is noticed first: that its messages are too old, or that the broker has aborted it.
    assert!(other.stderr.contains("FLT-2204") || other.stderr.contains("FLT-2202"), "{}", other.stderr);
    other_lab.run(&other_sql.replace("'2000'", "'20000'"));
    ended.each_once(&kafka, numbers);
}

#[test]
fn checkpoints_that_come_later_than_transactions_expire_are_refused() {
    let lab = Lab::new();
    let pair = Pair::new("localhost:1", "seldom");
    let sink = pair.sink("3 s", ", 'properties.transaction.timeout.ms' = '2000'");
    let said = lab.fails(2, &format!("{sink} INSERT INTO k_out VALUES (1)"));
    assert!(said.contains("checkpoints come every 3 s, but transactions last 2 s at the most"), "{said}");
    assert!(said.contains("make 'execution.checkpointing.interval' smaller"), "{said}");
}

// --- topics -------------------------------------------------------------------------------------

#[test]
fn a_topic_that_goes_while_it_is_used_ends_the_run() {
    let kafka = need!(services::kafka());
    let start = |name: &str| {
        let (pair, lab) = (Pair::new(kafka.bootstrap(), name), Lab::new());
        pair.make(&kafka, 1);
        kafka.produce(&pair.from, &["0", "1", "2"]).unwrap();
        let sql = pair.copy("");
        let mut run = lab.start(&sql);
        checkpoints(&lab, &mut run, 2);
        (pair, lab, run, sql)
    };
    let [read, anew, written] = ["gone-read", "gone-anew", "gone-written"].map(start);
    kafka.delete_topic(&read.0.from).unwrap();
    kafka.delete_topic(&anew.0.from).unwrap();
    wait_until("a new topic", || kafka.create_topic(&anew.0.from, 1).is_ok());
    // Longer than the old one was: offsets alone would lead behind messages that nobody has read.
    kafka.produce(&anew.0.from, &["10", "11", "12", "13", "14"]).unwrap();
    kafka.delete_topic(&written.0.to).unwrap();
    kafka.produce(&written.0.from, &["3"]).unwrap();

    let ends = |(pair, lab, mut run, sql): (Pair, Lab, Running, String), words: &[&str]| {
        wait_until("its end", || !run.is_running());
        let outcome = run.outcome();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        for part in words {
            assert!(outcome.stderr.contains(part), "no {part} in {}", outcome.stderr);
        }
        (pair, lab, sql)
    };
    ends(read, &["FLT-2201", "'gone-read-in[0]' is gone: the topic was deleted while it was read"]);
    let (pair, lab, _) =
        // Whichever is noticed first: that it is gone, or that there is another one.
        ends(anew, &["FLT-2201", "'gone-anew-in", "deleted"]);
    assert_eq!(pair.written(&kafka), [0, 1, 2], "nothing of the new one");
    let run = lab.start(&pair.copy(", 'scan.lost-offsets' = 'continue'"));
    ends_with(&lab, run, 8);
    assert_eq!(pair.written(&kafka), [0, 1, 2, 10, 11, 12, 13, 14]);
    ends(written, &["FLT-2201", "gone-written-out"]);
}

#[test]
fn what_retention_took_from_under_a_job_is_counted() {
    let kafka = need!(services::kafka());
    let (pair, lab) = (Pair::new(kafka.bootstrap(), "retention"), Lab::new());
    pair.make(&kafka, 1);
    kafka.produce(&pair.from, &["0", "1", "2"]).unwrap();
    let run = lab.start(&pair.copy(""));
    ends_with(&lab, run, 3);
    kafka.produce(&pair.from, &["3", "4", "5", "6"]).unwrap();
    kafka.delete_records(&pair.from, 0, 5).unwrap();
    // Where a group without offsets begins has nothing to do with it.
    for options in ["", ", 'properties.auto.offset.reset' = 'latest'"] {
        let said = lab.fails(1, &pair.copy(options));
        for part in ["FLT-2001", "2 messages of 'retention-in[0]' are lost", "'scan.lost-offsets'"] {
            assert!(said.contains(part), "no {part} in {said}");
        }
    }
    let run = lab.start(&pair.copy(", 'scan.lost-offsets' = 'continue'"));
    ends_with(&lab, run, 5);
    assert_eq!(pair.written(&kafka), [0, 1, 2, 5, 6]);
}

#[test]
fn partitions_that_come_while_a_job_runs_are_read_once() {
    let kafka = need!(services::kafka());
    let (pair, lab) = (Pair::new(kafka.bootstrap(), "grows"), Lab::new());
    pair.make(&kafka, 1);
    let keyed: Vec<String> = (0..60).map(|number| format!("{number}|{number}")).collect();
    let part = |from: usize, to: usize| keyed[from..to].iter().map(String::as_str).collect::<Vec<_>>();
    kafka.produce_keyed(&pair.from, &part(0, 20)).unwrap();
    let sql = pair.copy(", 'scan.topic-partition-discovery.interval' = '100 ms'");
    let mut run = lab.start(&sql);
    checkpoints(&lab, &mut run, 1);
    kafka.create_partitions(&pair.from, 4).unwrap();
    kafka.produce_keyed(&pair.from, &part(20, 40)).unwrap();
    wait_until("rows of new partitions", || {
        sample(&lab).is_some_and(|it| it["sources"][0]["rows"].as_u64() == Some(40))
    });
    checkpoints(&lab, &mut run, 1);
    run.signal("KILL");
    run.outcome();
    kafka.produce_keyed(&pair.from, &part(40, 60)).unwrap();
    let run = lab.start(&sql);
    ends_with(&lab, run, 60);
    pair.each_once(&kafka, 60);
}

// --- lag and back-pressure ----------------------------------------------------------------------

/// Messages of ten kilobytes.
const LARGE: u64 = 24_000;
/// What the client may read ahead.
const AHEAD_KIB: u64 = 4096;
/// All that a run may need: the process itself, what the client reads ahead, chunks on their way. The topic is
/// larger.
const MEMORY: u64 = 220 << 20;

/// The topic's partitions and how far they are behind, as the metrics tell it.
fn lag_in_metrics(address: &str, topic: &str) -> Vec<u64> {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: flott\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    assert!(asked.is_ok(), "{asked:?}");
    let gauge = format!("flott_source_lag_records{{source=\"t\",split=\"{topic}[");
    let lines = answer.lines().filter(|line| line.starts_with(&gauge));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

#[test]
fn a_slow_sink_pauses_partitions_and_the_lag_is_told() {
    let kafka = need!(services::kafka());
    kafka.create_topic("large", 2).unwrap();
    let lab = Lab::new();
    let bootstrap = kafka.bootstrap();
    let table = |options: &str| {
        format!(
            "CREATE TABLE t (n BIGINT, x STRING) WITH ('connector' = 'kafka', 'topic' = 'large', 'format' = 'csv',
               'properties.bootstrap.servers' = '{bootstrap}', 'scan.startup.mode' = 'earliest-offset'{options});\n"
        )
    };
    let last = LARGE - 1;
    lab.run(&format!(
        "CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '0', 'fields.n.end' = '{last}');
         {} INSERT INTO t SELECT n, REPEAT('x', 10000) FROM g",
        table("")
    ));
    // Nobody reads what it prints, so the pipe is soon full.
    let port = Port::free().unwrap();
    let address = port.address();
    let ahead = format!(", 'properties.queued.max.messages.kbytes' = '{AHEAD_KIB}'");
    let mut run = lab.start_with(
        &["--metrics", &address],
        &format!(
            "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'pipeline.name' = 'job';
             SET 'parallelism.default' = '1'; {}
             CREATE TABLE s (n BIGINT, x STRING) WITH ('connector' = 'print'); INSERT INTO s SELECT n, x FROM t",
            table(&ahead)
        ),
    );
    until_why(&lab, &mut run, "sink 's' pushes back");
    until_why(&lab, &mut run, " records behind: 'large[");
    let mut lag = 0;
    wait_until("figures that agree", || {
        let Some(sample) = sample(&lab) else { return false };
        let source = &sample["sources"][0];
        lag = source["lag"].as_u64().unwrap();
        assert!(lag > LARGE / 2, "{source}");
        let told: u64 = source["behind"].as_array().unwrap().iter().filter_map(|it| it["lag"].as_u64()).sum();
        let metrics = lag_in_metrics(&address, "large");
        told == lag && metrics.len() == 2 && metrics.iter().sum::<u64>() == lag
    });
    // What comes while the reader is held up counts.
    kafka.produce("large", &["1,more", "2,more", "3,more"]).unwrap();
    wait_until("a longer lag", || lag_in_metrics(&address, "large").iter().sum::<u64>() == lag + 3);
    let memory = run.memory_peak().unwrap();
    eprintln!("a topic of {} MB, {} MB of memory", (LARGE * 10_000) >> 20, memory >> 20);
    assert!(memory < MEMORY, "{} MB", memory >> 20);
    drop(run);

    live_line(
        &lab,
        &format!(
            "{} CREATE TABLE s (n BIGINT, x STRING) WITH ('connector' = 'blackhole'); INSERT INTO s SELECT n, x FROM t",
            table("")
        ),
    );
}

/// The live line is drawn on terminals only: `script` makes one. The job has no end, and is stopped when it is drawn.
fn live_line(lab: &Lab, sql: &str) {
    lab.write("job.sql", sql);
    let command = lab.flott.command(["run", "job.sql"]);
    let run = format!("echo $$ > id; exec '{}' run job.sql", command.get_program().to_string_lossy());
    let script = Command::new("script")
        .args(["-qfec", &run, "terminal"])
        .current_dir(lab.path(""))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let Ok(script) = script else {
        eprintln!("skipped: there is no `script` to make a terminal");
        return;
    };
    let mut script = Running::from(script);
    let drawn = || String::from_utf8_lossy(&fs::read(lab.path("terminal")).unwrap_or_default()).into_owned();
    wait_until("a live line", || {
        assert!(script.is_running(), "it ended by itself: {}", drawn());
        drawn().contains(" behind")
    });
    let id = fs::read_to_string(lab.path("id")).unwrap();
    assert!(Command::new("kill").args(["-s", "TERM", id.trim()]).status().unwrap().success());
    assert_eq!(script.outcome().status, Some(0), "{}", drawn());
}

#[test]
fn a_stop_while_the_script_is_looked_at_is_one() {
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lab = Lab::new();
    let bootstrap = silent.local_addr().unwrap().to_string();
    let table = kafka_table("kafka", "k", "a BIGINT", "faults-silent", &bootstrap, "'format' = 'json'");
    let run = lab.start(&format!("{table} INSERT INTO k VALUES (1)"));
    let _connection = silent.accept().unwrap();
    let clock = SystemClock::new();
    let began = clock.monotonic();
    run.signal("INT");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(r#""status":"stopped""#), "{}", outcome.stderr);
    let took = clock.monotonic() - began;
    assert!(took < Duration::from_secs(4), "{took:?}");
}
