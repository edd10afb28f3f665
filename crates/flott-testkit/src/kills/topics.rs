//! Kills a job between topics, its broker, or the connection between them, and reads what it wrote with
//! Kafka's own consumer.
//!
//! ```text
//!   lines ─┬─► files ──► flott, undisturbed ─────────────────────────────► rows
//!          │                                                                 │ the same, each once?
//!          └─► topics ─► flott ═══════ proxy ═══ broker ─► topics ─► console consumer, read_committed
//!                         ✗ kill -9     ✗ cut      ✗ kill -9, again
//!                                       ✗ silent, slow
//!                                       ✗ cut before, or after, the end of a transaction
//! ```
//!
//! Invariants
//! - What is expected comes from files, or is counted here: no line of it has been through a topic.
//! - Of the table of changes, readers see the newest row of each key: how often it changed is not compared.
//! - Each job has topics, checkpoints and a transactional id of its own.
//! - The same seed draws the same disturbances; what they hit depends on the machine.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use super::{Random, Rows, rows_below, surplus};
use crate::{
    Flott,
    services::{Broker, Proxy, proxy::Moment, wire::Request},
};

/// Disturbances of one job before it may end.
const AT_A_TIME: u64 = 8;
/// Partitions of each topic.
const PARTITIONS: i32 = 3;
/// How long the console consumer waits for another message.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a run that nothing disturbs is looked at, and how many milliseconds lie between: two minutes.
const LOOKS: u64 = 2400;
const LOOK_MILLIS: u64 = 50;
/// Lines of what a run said that a failure shows.
const SHOWN_LINES: usize = 40;

/// What was done, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that were brought to their end.
    pub jobs: u64,
    /// `kill -9` of Flott.
    pub kills: u64,
    /// `kill -9` of the broker, which is started again.
    pub broker_kills: u64,
    /// Connections cut at a random moment.
    pub cuts: u64,
    /// Connections cut just before, or just after, the broker was asked to end a transaction.
    pub ends_cut: u64,
    /// Connections that were silent, or slow, for a while.
    pub silences: u64,
    /// Runs that gave up by themselves; they are started again.
    pub gave_up: u64,
    /// Rows that readers should see.
    pub rows: u64,
    /// Rows that they don't see.
    pub lost: u64,
    /// Rows that they see too often, or should not see.
    pub doubled: u64,
}

impl Tally {
    /// Disturbances in all.
    pub fn rounds(&self) -> u64 {
        self.kills + self.broker_kills + self.cuts + self.ends_cut + self.silences
    }
}

/// What is done in a round.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    Kill,
    KillBroker,
    Cut,
    CutBeforeEnd,
    CutAfterEnd,
    Silence,
    Slowness,
}

impl Disturbance {
    fn draw(random: &mut Random) -> Self {
        match random.below(20) {
            0..=9 => Self::Kill,
            10..=11 => Self::KillBroker,
            12..=13 => Self::Cut,
            14..=15 => Self::CutBeforeEnd,
            16..=17 => Self::CutAfterEnd,
            18 => Self::Silence,
            _ => Self::Slowness,
        }
    }
}

/// A job between topics, a broker behind a proxy, and the binary.
#[derive(Debug)]
pub struct Tormentor {
    binary: PathBuf,
    directory: PathBuf,
    broker: Broker,
    proxy: Proxy,
    events: u64,
    /// Per sink: what readers should see.
    expected: Vec<Rows>,
    /// Never written to: waiting on it is a pause.
    never: (SyncSender<()>, Receiver<()>),
}

/// Sinks: name, columns, query.
const SINKS: [(&str, &str, &str); 3] = [
    (
        "windows",
        "auction BIGINT, n BIGINT, top BIGINT, window_end TIMESTAMP(3)",
        "SELECT auction, COUNT(*), MAX(price), window_end
           FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end",
    ),
    (
        "pairs",
        "id BIGINT, price BIGINT, bid BIGINT",
        "SELECT a.id, b.price, b.id FROM auctions a JOIN bids b
           ON a.id = b.auction AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND",
    ),
    ("few", "id BIGINT, price BIGINT", "SELECT id, price FROM bids WHERE MOD(price, 7) = 3"),
];

/// A table of changes, with the newest row of each key.
const COUNTS: (&str, &str, &str) = (
    "counts",
    "auction BIGINT, n BIGINT, PRIMARY KEY (auction) NOT ENFORCED",
    "SELECT auction, COUNT(*) FROM bids GROUP BY auction",
);

/// A run of a job.
struct Run {
    child: Child,
    /// Where what it says begins, in the file that all runs of the job write to.
    said_from: usize,
}

impl Run {
    fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
    /// What it has said.
    fn said(&self, place: &Path) -> String {
        let all = fs::read(place.join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.said_from..).unwrap_or_default()).into_owned()
    }
}

/// The last lines.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n")
}

impl Tormentor {
    /// Starts a broker behind a proxy, fills its topics, finds out what is right.
    ///
    /// # Errors
    /// There is no broker, or a run fails.
    pub fn new(binary: impl Into<PathBuf>, directory: impl Into<PathBuf>, events: u64) -> io::Result<Self> {
        let (binary, directory) = (binary.into(), directory.into());
        let proxy = Proxy::start().map_err(io::Error::other)?;
        let broker = Broker::behind(&proxy).map_err(io::Error::other)?;
        let (expected, never) = (Vec::new(), sync_channel(0));
        let mut this = Self { binary, directory, broker, proxy, events, expected, never };
        this.fill()?;
        this.expect()?;
        Ok(this)
    }

    /// Writes the same lines to files and to topics.
    fn fill(&self) -> io::Result<()> {
        let bids = (0..self.events).map(|it| {
            let price = it.wrapping_mul(0xC2B2_AE3D_27D4_EB4F) >> 45;
            let ts = time(it * 10);
            format!(r#"{{"id":{it},"auction":{},"price":{price},"ts":"{ts}"}}"#, self.auction_of(it))
        });
        let auctions =
            (0..=self.events / 100).map(|it| format!(r#"{{"id":{it},"ts":"{}"}}"#, time(it * 1000)));
        for (name, lines) in [("bids", bids.collect::<Vec<_>>()), ("auctions", auctions.collect())] {
            let below = self.directory.join("input").join(name);
            fs::create_dir_all(&below)?;
            fs::write(below.join("lines.json"), lines.join("\n") + "\n")?;
            self.broker.create_topic(name, PARTITIONS)?;
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            self.broker.produce(name, &lines)?;
        }
        Ok(())
    }

    /// The auction that a bid is for.
    fn auction_of(&self, bid: u64) -> u64 {
        (bid.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % (1 + self.events / 100)
    }

    fn expect(&mut self) -> io::Result<()> {
        let place = self.directory.join("expected");
        fs::create_dir_all(&place)?;
        let input = self.directory.join("input");
        let source = |name: &str| {
            format!(
                "'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'",
                input.join(name).display()
            )
        };
        let sink = |name: &str| format!("'connector' = 'filesystem', 'path' = '{name}', 'format' = 'json'");
        let outcome = Flott::new(&self.binary, &place).run_sql(&script(&source, &sink, None))?;
        if !outcome.is_success() {
            return Err(io::Error::other(outcome.stderr));
        }
        for (name, ..) in SINKS {
            self.expected.push(rows_below(&place.join(name))?);
        }
        let mut counts: HashMap<u64, u64> = HashMap::new();
        (0..self.events).for_each(|bid| *counts.entry(self.auction_of(bid)).or_default() += 1);
        let row = |(auction, n): (u64, u64)| (format!(r#"{{"auction":{auction},"n":{n}}}"#), 1);
        self.expected.push(counts.into_iter().map(row).collect());
        Ok(())
    }

    /// Rows that readers should see, of all sinks.
    pub fn rows(&self) -> u64 {
        self.expected.iter().flat_map(HashMap::values).sum()
    }

    /// Disturbs job after job until there were so many rounds. `told` hears of each job's end.
    ///
    /// # Errors
    /// A run ends with something that can't pass, or a tool fails.
    pub fn torment(&mut self, rounds: u64, seed: u64, told: &mut dyn FnMut(&Tally)) -> io::Result<Tally> {
        let mut random = Random::new(seed);
        let mut all = Tally::default();
        let mut number = 0;
        while all.rounds() < rounds {
            let wanted = AT_A_TIME.min(rounds - all.rounds());
            number += 1;
            self.job(&format!("job{number}"), wanted, &mut random, &mut all)?;
            told(&all);
            if all.lost + all.doubled > 0 {
                break;
            }
        }
        Ok(all)
    }

    fn job(&mut self, name: &str, rounds: u64, random: &mut Random, all: &mut Tally) -> io::Result<()> {
        let place = self.directory.join(name);
        fs::create_dir_all(&place)?;
        for (sink, ..) in SINKS.into_iter().chain([COUNTS]) {
            self.broker.create_topic(&format!("{name}-{sink}"), PARTITIONS)?;
        }
        let enough = all.rounds() + rounds;
        let mut run = self.start(name, &place, random)?;
        loop {
            if all.rounds() >= enough {
                break;
            }
            self.pause(random.below(1500));
            if let Some(status) = run.child.try_wait()? {
                if status.success() {
                    break;
                }
                Self::gave_up(&run.said(&place), status, all)?;
                run = self.start(name, &place, random)?;
                continue;
            }
            match Disturbance::draw(random) {
                Disturbance::Kill => {
                    run.kill()?;
                    all.kills += 1;
                    run = self.start(name, &place, random)?;
                }
                Disturbance::KillBroker => {
                    all.broker_kills += 1;
                    self.broker.server_mut().kill();
                    self.pause(random.below(1000));
                    self.broker.server_mut().respawn().map_err(io::Error::other)?;
                }
                Disturbance::Cut => {
                    all.cuts += 1;
                    self.proxy.cut();
                    self.pause(random.below(2000));
                }
                Disturbance::CutBeforeEnd | Disturbance::CutAfterEnd if random.below(3) == 0 => {
                    // Both at once: its end is cut, and it dies before it can ask again.
                    self.proxy.cut_at(Moment::BeforeAnswer(Request::EndTransaction));
                    if self.proxy.wait_for_cut(Duration::from_secs(5)) {
                        all.ends_cut += 1;
                        all.kills += 1;
                        run.kill()?;
                        self.proxy.heal();
                        run = self.start(name, &place, random)?;
                    }
                }
                Disturbance::CutBeforeEnd => {
                    self.cut_end(Moment::Before(Request::EndTransaction), random, all)
                }
                Disturbance::CutAfterEnd => {
                    self.cut_end(Moment::BeforeAnswer(Request::EndTransaction), random, all)
                }
                Disturbance::Silence => {
                    all.silences += 1;
                    self.proxy.black_hole();
                    self.pause(random.below(4000));
                }
                Disturbance::Slowness => {
                    all.silences += 1;
                    self.proxy.delay(Duration::from_millis(1 + random.below(150)));
                    self.pause(random.below(3000));
                }
            }
            self.proxy.heal();
        }
        self.proxy.heal();
        self.let_end(name, &place, run, random, all)?;
        self.conclude(name, all)
    }

    fn cut_end(&self, moment: Moment, random: &mut Random, all: &mut Tally) {
        self.proxy.cut_at(moment);
        if self.proxy.wait_for_cut(Duration::from_secs(5)) {
            all.ends_cut += 1;
            self.pause(random.below(1500));
        }
    }

    /// Nothing disturbs it any more.
    fn let_end(
        &self,
        name: &str,
        place: &Path,
        mut run: Run,
        random: &mut Random,
        all: &mut Tally,
    ) -> io::Result<()> {
        for _ in 0..4 {
            let Some(status) = self.wait(&mut run)? else {
                let said = tail(&run.said(place));
                run.kill()?;
                let much = LOOKS * LOOK_MILLIS / 1000;
                let message =
                    format!("{name} hasn't ended after {much} s, though nothing disturbs it:\n{said}");
                return Err(io::Error::other(message));
            };
            if status.success() {
                all.jobs += 1;
                return Ok(());
            }
            Self::gave_up(&run.said(place), status, all)?;
            run = self.start(name, place, random)?;
        }
        let said = tail(&run.said(place));
        run.kill()?;
        Err(io::Error::other(format!("{name} doesn't come to its end, though nothing disturbs it:\n{said}")))
    }

    /// How it ended, if it did in time.
    fn wait(&self, run: &mut Run) -> io::Result<Option<ExitStatus>> {
        for _ in 0..LOOKS {
            if let Some(status) = run.child.try_wait()? {
                return Ok(Some(status));
            }
            self.pause(LOOK_MILLIS);
        }
        Ok(None)
    }

    /// A run may give up when it is disturbed for long, but it must say why.
    fn gave_up(said: &str, status: ExitStatus, all: &mut Tally) -> io::Result<()> {
        all.gave_up += 1;
        let is_clear = status.code().is_some() && said.contains("FLT-") && !said.contains("FLT-9");
        if is_clear { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}:\n{said}"))) }
    }

    /// What readers see.
    fn conclude(&self, name: &str, all: &mut Tally) -> io::Result<()> {
        for ((sink, ..), expected) in SINKS.iter().zip(&self.expected) {
            let wanted: u64 = expected.values().sum();
            // Asks for more than there should be: what is too much is seen too.
            let mut rows = Rows::new();
            // On a busy machine the reader may give up before it has seen all: then it reads once more.
            for patience in [PATIENCE, PATIENCE * 6] {
                let lines =
                    self.broker.consume(&format!("{name}-{sink}"), wanted as usize + 1000, patience)?;
                rows.clear();
                lines.into_iter().for_each(|line| *rows.entry(line).or_default() += 1);
                if surplus(expected, &rows) == 0 {
                    break;
                }
                println!("{name}-{sink}: {} rows short after {patience:?}", surplus(expected, &rows));
            }
            all.rows += wanted;
            all.lost += surplus(expected, &rows);
            all.doubled += surplus(&rows, expected);
        }
        self.conclude_counts(name, all)
    }

    /// What readers see of the table of changes: the newest row of each key.
    fn conclude_counts(&self, name: &str, all: &mut Tally) -> io::Result<()> {
        let (Some(expected), (sink, ..)) = (self.expected.last(), COUNTS) else { return Ok(()) };
        // What is computed again after a kill is in transactions that were aborted; no more than each change.
        let most = usize::try_from(self.events).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(1000);
        let mut newest: HashMap<String, String> = HashMap::new();
        for line in self.broker.consume(&format!("{name}-{sink}"), most, PATIENCE)? {
            let key = line.split_once(r#","n":"#).map_or(line.as_str(), |(key, _)| key).to_string();
            newest.insert(key, line);
        }
        let mut rows = Rows::new();
        newest.into_values().for_each(|line| *rows.entry(line).or_default() += 1);
        all.rows += expected.values().sum::<u64>();
        all.lost += surplus(expected, &rows);
        all.doubled += surplus(&rows, expected);
        Ok(())
    }

    fn start(&self, name: &str, place: &Path, random: &mut Random) -> io::Result<Run> {
        let servers = self.broker.bootstrap();
        let source = |topic: &str| {
            format!(
                "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{servers}', \
                 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'json'"
            )
        };
        let written = |connector: &str, sink: &str, formats: &str| {
            format!(
                "'connector' = '{connector}', 'topic' = '{name}-{sink}', {formats}, \
                 'properties.bootstrap.servers' = '{servers}', \
                 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{name}'"
            )
        };
        let sink = |sink: &str| written("kafka", sink, "'format' = 'json'");
        let counts = written("upsert-kafka", COUNTS.0, "'key.format' = 'json', 'value.format' = 'json'");
        let options = [
            format!("pipeline.name={name}"),
            format!("parallelism.default={}", 1 + random.below(3)),
            format!("execution.checkpointing.interval={} ms", 40 + random.below(300)),
            format!("execution.checkpointing.dir={}", place.join("checkpoints").display()),
            "restart-strategy.type=fixed-delay".into(),
            "restart-strategy.fixed-delay.attempts=100".into(),
            "restart-strategy.fixed-delay.delay=200 ms".into(),
            "high-availability.lease.interval=50 ms".into(),
            "high-availability.lease.timeout=300 ms".into(),
        ];
        let mut command = Flott::new(&self.binary, place).command([
            "run",
            "--quiet",
            "-e",
            &script(&source, &sink, Some(&counts)),
        ]);
        options.iter().for_each(|option| _ = command.args(["-D", option]));
        let errors = File::options().create(true).append(true).open(place.join("stderr"))?;
        let said_from = usize::try_from(errors.metadata()?.len()).unwrap_or(usize::MAX);
        let child = command.stdout(errors.try_clone()?).stderr(errors).spawn()?;
        Ok(Run { child, said_from })
    }

    fn pause(&self, millis: u64) {
        // Nobody sends: this waits, and that is all it is for.
        let _ = self.never.1.recv_timeout(Duration::from_millis(millis));
    }
}

/// `counts`: the options of the table of changes, if there is one.
fn script(source: &dyn Fn(&str) -> String, sink: &dyn Fn(&str) -> String, counts: Option<&str>) -> String {
    let time = "ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND";
    let mut text = format!(
        "CREATE TABLE bids (id BIGINT, auction BIGINT, price BIGINT, {time}) WITH ({});
         CREATE TABLE auctions (id BIGINT, {time}) WITH ({});\n",
        source("bids"),
        source("auctions")
    );
    let counts = counts.map(|options| (COUNTS, options.to_string()));
    let all = || SINKS.into_iter().map(|it| (it, sink(it.0))).chain(counts.clone());
    for ((name, columns, _), options) in all() {
        text += &format!("CREATE TABLE {name} ({columns}) WITH ({options});\n");
    }
    text += "EXECUTE STATEMENT SET BEGIN\n";
    for ((name, _, query), _) in all() {
        text += &format!("INSERT INTO {name} {query};\n");
    }
    text + "END;"
}

/// So many milliseconds after the beginning of 2026, as a timestamp.
fn time(millis: u64) -> String {
    let seconds = millis / 1000;
    let (day, hour, minute) = (1 + seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("2026-01-{day:02} {hour:02}:{minute:02}:{:02}.{:03}", seconds % 60, millis % 1000)
}
