//! Does the client hold the protocol of deciding sinks? Kills, stops and cut connections around each step.
//!
//! ```text
//!   parent ─ kills ─► child ── producer ──► proxy ── cuts, swallows or delays EndTxn ──► broker
//!      │                └─ claims and manifests: files, put if absent
//!      └─ at the end: a read_committed consumer must see 0, 1, 2, … each once
//! ```
//!
//! `cargo run --example spike -- --kills 1000 --direct HOST:PORT --behind HOST:PORT --proxy PORT`
//!
//! The broker has two listeners: `--direct`, and `--behind`, which is advertised as the proxy's port.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use serde_json::{Value, json};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: &str| {
        let at = args.iter().position(|it| it == name);
        at.and_then(|at| args.get(at + 1)).map_or(default, String::as_str).to_owned()
    };
    let topic = option("--topic", &format!("spike-{}", std::process::id()));
    let store = PathBuf::from(option("--store", &format!("/tmp/flott-spike-{}", std::process::id())));
    if args.first().is_some_and(|it| it == "child") {
        let mut job = Job {
            store,
            topic,
            bootstrap: option("--direct", ""),
            random: Random(std::process::id().into()),
        };
        std::process::exit(job.run());
    }
    let (direct, behind) = (option("--direct", "127.0.0.1:29192"), option("--behind", "127.0.0.1:29194"));
    let port: u16 = option("--proxy", "29195").parse().unwrap();
    let number = |name: &str, default: &str| -> u64 { option(name, default).parse().unwrap() };
    let (jobs, kills, seed) = (number("--jobs", "3"), number("--kills", "1000"), number("--seed", "1"));
    let (start, faults) = (Instant::now(), Arc::new(Faults::default()));
    faults.seed.store(seed << 32, SeqCst);
    proxy(port, behind, &faults, start);
    let job = |number: u64| {
        let (store, topic, direct) =
            (store.join(number.to_string()), format!("{topic}-{number}"), direct.clone());
        thread::spawn(move || parent(&store, &topic, &direct, port, kills / jobs + 1, seed + number))
    };
    let running: Vec<_> = (0..jobs).map(job).collect();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for job in running {
        job.join().unwrap().into_iter().for_each(|(name, count)| *counts.entry(name).or_default() += count);
    }
    println!("{:?}: {counts:#?}", start.elapsed());
    let [before, after, late, swallowed, outages] =
        [&faults.cut_before, &faults.cut_after, &faults.late, &faults.swallowed, &faults.outages]
            .map(|it| it.load(SeqCst));
    println!(
        "EndTxn: {before} cut before, {after} cut after, {late} late, {swallowed} swallowed; {outages} outages"
    );
}

/// xorshift64*
struct Random(u64);
impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % bound
    }
}

// ─── the child: one incarnation ─────────────────────────────────────────────────────────────────────────

struct Job {
    store: PathBuf,
    topic: String,
    bootstrap: String,
    random: Random,
}

/// What recovery goes on from.
struct Tip {
    number: u64,
    end: u64,
}

enum Ended {
    /// A newer incarnation has the job.
    Replaced,
    /// What decides the last epoch is unknown: fence again and ask.
    Uncertain,
}

/// Counts the answers to ends of transactions, which librdkafka tells of with `debug=eos`. It sends the
/// request again when a connection breaks; the first one may arrive later, and would end the next
/// transaction, which has the same producer id and epoch.
#[derive(Default)]
struct Watch {
    clear: AtomicU64,
    unclear: AtomicU64,
}

impl ClientContext for Watch {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "ENDTXN" {
            let clear = message.contains("EndTxn returned NO_ERROR");
            (if clear { &self.clear } else { &self.unclear }).fetch_add(1, SeqCst);
        }
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &DeliveryResult<'_>, _: ()) {}
}

type Sender = BaseProducer<Watch>;

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}");
    let _ = out.flush();
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

impl Job {
    /// The numbered objects: `None` is a claim.
    fn list(&self) -> (BTreeMap<u64, Option<Value>>, u64) {
        let (mut objects, mut confirmed) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(&self.store).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(number) = name.strip_suffix(".confirmed").and_then(|it| it.parse().ok()) {
                confirmed = confirmed.max(number);
            } else if let Ok(number) = name.parse() {
                // Retention may have removed it meanwhile.
                let Ok(text) = fs::read_to_string(self.store.join(&name)) else { continue };
                let value: Value = serde_json::from_str(&text).unwrap();
                objects.insert(number, value.get("end").is_some().then_some(value));
            }
        }
        (objects, confirmed)
    }
    /// Puts if absent: a link is made or not, with all its bytes.
    fn put(&self, number: u64, content: &Value) -> bool {
        let hidden = self.store.join(format!("tmp-{}-{number}", std::process::id()));
        fs::write(&hidden, content.to_string()).unwrap();
        let made = fs::hard_link(&hidden, self.store.join(number.to_string())).is_ok();
        let _ = fs::remove_file(hidden);
        made
    }
    fn newer_claim(&self, mine: u64) -> bool {
        self.list().0.range(mine + 1..).any(|(_, it)| it.is_none())
    }
    fn claim(&self) -> Option<u64> {
        loop {
            let last = self.list().0.last_key_value().map_or(0, |(number, _)| *number);
            if !self.put(last + 1, &json!({"claim": std::process::id()})) {
                continue;
            }
            say("claimed");
            let above = self.list().0.split_off(&(last + 2));
            if above.values().any(Option::is_none) {
                return None;
            }
            if above.is_empty() {
                return Some(last + 1);
            }
        }
    }
    /// Initialises a producer with the job's one transactional id.
    fn fence(&self) -> Sender {
        loop {
            let made: Result<Sender, _> = client(&self.bootstrap)
                .set("transactional.id", format!("{}-txn", self.topic))
                .set("transaction.timeout.ms", "20000")
                .set("message.timeout.ms", "8000")
                .set("debug", "eos")
                .set_log_level(RDKafkaLogLevel::Debug)
                .set("linger.ms", "0")
                .create_with_context(Watch::default());
            let producer = made.unwrap();
            match producer.init_transactions(Duration::from_secs(10)) {
                Ok(()) => return producer,
                Err(error) => say(&format!("again fence: {error}")),
            }
        }
    }
    /// The newest token that is committed, up to the end of the log as it stands now.
    fn token(&self) -> Option<u64> {
        let topic = format!("{}-tokens", self.topic);
        let consumer = |level: &str| -> BaseConsumer {
            let mut config = client(&self.bootstrap);
            config
                .set("group.id", "unused")
                .set("isolation.level", level)
                .set("enable.partition.eof", "true");
            config.set("enable.auto.commit", "false").set("fetch.wait.max.ms", "5").create().unwrap()
        };
        let (all, committed) = (consumer("read_uncommitted"), consumer("read_committed"));
        let wait = Duration::from_secs(5);
        let high = loop {
            if let Ok((_, high)) = all.fetch_watermarks(&topic, 0, wait) {
                break high;
            }
        };
        while !committed.fetch_watermarks(&topic, 0, wait).is_ok_and(|(_, stable)| stable >= high) {
            thread::sleep(Duration::from_millis(5));
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        committed.assign(&assignment).unwrap();
        let mut token = None;
        loop {
            match committed.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    let value: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
                    token = value["token"].as_u64();
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return token,
                _ => {}
            }
        }
    }
    /// A producer that was fenced, or whose messages weren't delivered, takes nothing any more.
    fn refused(&self, claim: u64) -> Ended {
        say("refused");
        if self.newer_claim(claim) { Ended::Replaced } else { Ended::Uncertain }
    }
    fn write_token(&self, producer: &Sender, number: u64, claim: u64) -> Result<(), Ended> {
        let (topic, value) = (format!("{}-tokens", self.topic), json!({"token": number}).to_string());
        producer
            .send(BaseRecord::to(&topic).key("job").partition(0).payload(&value))
            .map_err(|_| self.refused(claim))
    }

    fn run(&mut self) -> i32 {
        let Some(claim) = self.claim() else { return 3 };
        let mut last = claim;
        loop {
            match self.incarnation(claim, &mut last) {
                Ok(()) => return 0,
                Err(Ended::Replaced) => return 3,
                Err(Ended::Uncertain) => {}
            }
        }
    }

    /// Fences, decides, and goes on until told to stop, or until a commit is uncertain.
    fn incarnation(&mut self, claim: u64, last: &mut u64) -> Result<(), Ended> {
        let mut producer = self.fence();
        say("fenced");
        let mut token = self.token();
        if token.is_none() {
            if self.list().1 > 0 {
                say("LOST the token");
                std::process::exit(9);
            }
            producer.begin_transaction().map_err(|_| Ended::Uncertain)?;
            self.write_token(&producer, 0, claim)?;
            self.commit(&mut producer, claim)?;
            token = Some(0);
        }
        say("token");
        let mut tip = self.decide(claim, token.unwrap_or(0))?;
        while !self.store.join("stop").exists() {
            let end = tip.end + 1 + self.random.below(5);
            producer.begin_transaction().map_err(|_| Ended::Uncertain)?;
            for number in tip.end..end {
                let value = number.to_string();
                let record = BaseRecord::<(), str>::to(&self.topic).partition(0).payload(&value);
                producer.send(record).map_err(|_| self.refused(claim))?;
            }
            producer.flush(Duration::from_secs(10)).map_err(|_| Ended::Uncertain)?;
            say("prepared");
            let number = *last + 1;
            if !self.put(number, &json!({"parent": tip.number, "end": end})) {
                return Err(Ended::Replaced);
            }
            *last = number;
            say("pending");
            self.write_token(&producer, number, claim)?;
            self.commit(&mut producer, claim)?;
            say("committed");
            self.confirm(number, tip.number);
            tip = Tip { number, end };
            say("confirmed");
        }
        Ok(())
    }
    fn commit(&self, producer: &mut Sender, claim: u64) -> Result<(), Ended> {
        say("committing");
        let watch = producer.context();
        watch.clear.store(0, SeqCst);
        watch.unclear.store(0, SeqCst);
        let Err(error) = producer.commit_transaction(Duration::from_millis(1500)) else {
            if (watch.clear.load(SeqCst), watch.unclear.load(SeqCst)) != (1, 0) {
                say("repeated");
                *producer = self.fence();
            }
            return Ok(());
        };
        if let KafkaError::Transaction(it) = &error
            && [
                RDKafkaErrorCode::Fenced,
                RDKafkaErrorCode::ProducerFenced,
                RDKafkaErrorCode::InvalidProducerEpoch,
            ]
            .contains(&it.code())
        {
            say("told-fenced");
            return Err(if self.newer_claim(claim) { Ended::Replaced } else { Ended::Uncertain });
        }
        say(&format!("uncertain {error}"));
        Err(Ended::Uncertain)
    }
    fn confirm(&self, number: u64, parent: u64) {
        fs::write(self.store.join(format!("{number}.confirmed")), "").unwrap();
        if parent > 0 {
            let _ = fs::remove_file(self.store.join(parent.to_string()));
            let _ = fs::remove_file(self.store.join(format!("{parent}.confirmed")));
        }
    }
    fn decide(&self, claim: u64, token: u64) -> Result<Tip, Ended> {
        let (objects, confirmed) = self.list();
        if objects.range(claim + 1..).any(|(_, it)| it.is_none()) {
            return Err(Ended::Replaced);
        }
        let manifest = |number: u64| objects.get(&number).and_then(Option::as_ref);
        if token < confirmed || (token > 0 && manifest(token).is_none()) {
            if self.newer_claim(claim) {
                return Err(Ended::Replaced);
            }
            say(&format!("LOST: token {token}, confirmed {confirmed}"));
            std::process::exit(9);
        }
        if objects.range(token + 1..).any(|(_, it)| it.is_some()) {
            say("decided discard");
        } else if token > confirmed {
            say("decided finish");
        } else {
            say("decided resume");
        }
        if token > confirmed {
            self.confirm(token, 0);
        }
        Ok(Tip { number: token, end: manifest(token).map_or(0, |it| it["end"].as_u64().unwrap()) })
    }
}

// ─── the proxy ──────────────────────────────────────────────────────────────────────────────────────────

#[derive(Default)]
struct Faults {
    seed: AtomicU64,
    /// No connection holds before this moment, milliseconds since the start.
    down_until: AtomicU64,
    cut_before: AtomicU64,
    cut_after: AtomicU64,
    late: AtomicU64,
    swallowed: AtomicU64,
    outages: AtomicU64,
}

/// API key of the request that ends a transaction.
const END_TXN: [u8; 2] = [0, 26];

fn proxy(port: u16, behind: String, faults: &Arc<Faults>, start: Instant) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let faults = faults.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&behind)) else { continue };
            if (start.elapsed().as_millis() as u64) < faults.down_until.load(SeqCst) {
                continue;
            }
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let muted = Arc::new(AtomicBool::new(false));
            let (mut down, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let silent = muted.clone();
            thread::spawn(move || {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(got @ 1..) = down.read(&mut bytes) {
                    if silent.load(SeqCst) {
                        break; // what was sent up has been answered: that is all that was waited for
                    }
                    if back.write_all(&bytes[..got]).is_err() {
                        break;
                    }
                }
                let _ = (back.shutdown(Shutdown::Both), down.shutdown(Shutdown::Both));
            });
            let faults = faults.clone();
            thread::spawn(move || {
                let _ = up(client.try_clone().unwrap(), server.try_clone().unwrap(), &muted, &faults, start);
                let _ = client.shutdown(Shutdown::Both);
                if !muted.load(SeqCst) {
                    let _ = server.shutdown(Shutdown::Both);
                }
            });
        }
    });
}

/// Hands requests on, frame by frame; the end of a transaction may fare badly.
fn up(
    mut client: TcpStream,
    mut server: TcpStream,
    muted: &AtomicBool,
    faults: &Faults,
    start: Instant,
) -> std::io::Result<()> {
    let mut frame = Vec::new();
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        frame.resize(u32::from_be_bytes(length) as usize, 0);
        client.read_exact(&mut frame)?;
        let mut random = Random(faults.seed.fetch_add(1, SeqCst));
        let fault = if frame[..2] == END_TXN { random.below(100) } else { 100 };
        if fault < 12 && random.below(3) == 0 {
            // Longer than the commit is waited for.
            faults.outages.fetch_add(1, SeqCst);
            let until = start.elapsed().as_millis() as u64 + 500 + random.below(2000);
            faults.down_until.store(until, SeqCst);
        }
        match fault {
            0..4 => {
                faults.cut_before.fetch_add(1, SeqCst);
                return Ok(());
            }
            4..8 => {
                faults.cut_after.fetch_add(1, SeqCst);
                muted.store(true, SeqCst);
            }
            8..12 => {
                // The client sees its connection cut; the request arrives when others may have fenced.
                faults.late.fetch_add(1, SeqCst);
                muted.store(true, SeqCst);
                let _ = client.shutdown(Shutdown::Both);
                thread::sleep(Duration::from_millis(random.below(2500)));
            }
            12 => {
                faults.swallowed.fetch_add(1, SeqCst);
                continue;
            }
            _ => {}
        }
        server.write_all(&length)?;
        server.write_all(&frame)?;
        if muted.load(SeqCst) {
            return Ok(());
        }
    }
}

// ─── the parent ─────────────────────────────────────────────────────────────────────────────────────────

struct Run {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Run {
    fn start(store: &Path, topic: &str, port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--topic", topic, "--direct", &format!("127.0.0.1:{port}"), "--store"])
            .arg(store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = mpsc::sync_channel(1 << 16);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| say.send(line).unwrap_or(())));
        Self { child, said }
    }
    fn signal(&self, name: &str) {
        let _ =
            Command::new("kill").args([name, &self.child.id().to_string()]).stderr(Stdio::null()).status();
    }
    /// Counts what it says, until it says `step` for the `times`th time; false: it has ended, or takes too long.
    fn until(&mut self, step: &str, mut times: u64, counts: &mut BTreeMap<String, u64>) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Ok(line) = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            assert!(!line.contains("LOST"), "{line}");
            count(&line, counts);
            if line == step {
                times -= 1;
                if times == 0 {
                    return true;
                }
            }
        }
        false
    }
    fn end(mut self, counts: &mut BTreeMap<String, u64>) -> bool {
        let killed = self.child.try_wait().unwrap().is_none();
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        assert!(killed || status.code() == Some(3), "ended by itself: {status}");
        while let Ok(line) = self.said.recv_timeout(Duration::from_millis(100)) {
            assert!(!line.contains("LOST"), "{line}");
            count(&line, counts);
        }
        killed
    }
}

fn count(line: &str, counts: &mut BTreeMap<String, u64>) {
    let name = if line.starts_with("decided") { line } else { line.split(' ').next().unwrap_or("") };
    if line.starts_with("uncertain") || line.starts_with("again") {
        *counts.entry(format!("  {line}")).or_default() += 1;
    }
    *counts.entry(name.to_owned()).or_default() += 1;
}

const STEPS: [&str; 9] =
    ["claimed", "fenced", "token", "prepared", "pending", "pending", "committing", "committed", "confirmed"];

fn parent(
    store: &Path,
    topic: &str,
    direct: &str,
    port: u16,
    kills: u64,
    seed: u64,
) -> BTreeMap<String, u64> {
    fs::create_dir_all(store).unwrap();
    let mut random = Random(seed);
    let (mut counts, mut killed, mut stopped) = (BTreeMap::new(), 0, 0);
    let mut zombie: Option<Run> = None;
    while killed < kills {
        let mut run = Run::start(store, topic, port);
        if let Some(zombie) = &zombie {
            thread::sleep(Duration::from_millis(random.below(150)));
            zombie.signal("-CONT");
        }
        let step = STEPS[random.below(STEPS.len() as u64) as usize];
        let times = if STEPS[..3].contains(&step) { 1 } else { 1 + random.below(6) };
        run.until(step, times, &mut counts);
        thread::sleep(Duration::from_micros(random.below(4000)));
        *counts.entry(format!("at {step}")).or_default() += 1;
        if let Some(zombie) = zombie.take() {
            killed += u64::from(zombie.end(&mut counts));
        }
        if random.below(6) == 0 {
            run.signal("-STOP");
            stopped += 1;
            zombie = Some(run);
        } else {
            killed += u64::from(run.end(&mut counts));
        }
        if random.below(50) == 0 {
            println!("{topic}: {killed} kills");
        }
    }
    if let Some(zombie) = zombie.take() {
        zombie.end(&mut counts);
    }
    fs::write(store.join("stop"), "").unwrap();
    let mut last = Run::start(store, topic, port);
    last.until("no such step", 1, &mut counts);
    assert_eq!(last.child.wait().unwrap().code(), Some(0));
    let job = Job { store: store.to_owned(), topic: topic.to_owned(), bootstrap: direct.to_owned(), random };
    let (objects, confirmed) = job.list();
    let tip = objects.get(&confirmed).and_then(Option::as_ref);
    check(topic, direct, tip.map_or(0, |it| it["end"].as_u64().unwrap()));
    counts.insert("kills".into(), killed);
    counts.insert("stops".into(), stopped);
    counts
}

fn check(topic: &str, direct: &str, end: u64) {
    let mut config = client(direct);
    config
        .set("group.id", "unused")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let (mut seen, mut wrong, mut read) = (BTreeSet::new(), 0, 0);
    loop {
        match consumer.poll(Duration::from_secs(5)) {
            Some(Ok(message)) => {
                let number: u64 = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
                wrong += u64::from(number != read);
                read += 1;
                seen.insert(number);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            other => panic!("{other:?}"),
        }
    }
    println!("{read} numbers read, {} distinct, {wrong} out of place; {end} decided", seen.len());
    assert!(wrong == 0 && read == end, "the protocol does not hold");
}
