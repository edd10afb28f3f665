//! Kafka: brokers that are their own controllers (KRaft).
//!
//! ```text
//!   client ──► CLIENT    what clients see; advertised as a proxy's address if one stands in front
//!   tests  ──► INTERNAL  brokers among themselves, and tests that want to pass by the proxy
//!              CONTROLLER
//! ```
//!
//! A fresh data directory has two files: who the broker is, and the features that its cluster begins with.
//! The second one is the same for all; Kafka's own tool writes it once per version.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    Skipped,
    install::{self, Package},
    java,
    ports::Port,
    process::{self, Server, Spec},
    proxy::Proxy,
    wire::{Client, Partition},
};

/// What a broker consists of. Not 4.3 or 4.4: started again, those may leave out a partition when they end a
/// transaction that was being committed (KAFKA-20734), and its rows stay hidden.
pub(super) const PACKAGE: Package =
    Package { name: "kafka", version: "4.2.1", lock: include_str!("kafka.lock") };

/// Every cluster here has this id.
const CLUSTER: &str = "flottflottflottflott0w";

/// What makes Java start fast.
const FAST: [&str; 4] = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable"];

/// What suits tests: small, quick, and nothing happens by itself.
const PROPERTIES: [(&str, &str); 19] = [
    ("auto.create.topics.enable", "false"),
    ("broker.heartbeat.interval.ms", "500"),
    ("broker.session.timeout.ms", "3000"),
    ("controlled.shutdown.enable", "true"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.segment.delete.delay.ms", "0"),
    ("num.io.threads", "2"),
    ("num.network.threads", "2"),
    ("num.partitions", "1"),
    ("offsets.topic.num.partitions", "2"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
    ("transaction.max.timeout.ms", "3600000"),
    ("transaction.state.log.num.partitions", "2"),
    ("unclean.leader.election.enable", "false"),
];

/// How a broker differs from the usual one.
#[derive(Debug, Clone)]
pub struct Settings {
    properties: BTreeMap<String, String>,
    heap: u32,
    advertised: Option<String>,
    pub(super) listeners: Vec<Listener>,
    pub(super) scram: Vec<String>,
}

/// A listener besides the usual ones.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) name: &'static str,
    pub(super) protocol: &'static str,
    pub(super) port: Port,
}

impl Default for Settings {
    fn default() -> Self {
        let properties = PROPERTIES.map(|(name, value)| (name.to_string(), value.to_string()));
        Self { properties: properties.into(), heap: 256, advertised: None, listeners: vec![], scram: vec![] }
    }
}

impl Settings {
    /// Sets one of the broker's properties.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.insert(name.into(), value.to_string());
        self
    }

    /// Java's heap in megabytes.
    #[must_use]
    pub fn heap(mut self, megabytes: u32) -> Self {
        self.heap = megabytes;
        self
    }

    /// Clients reach it through that proxy alone.
    #[must_use]
    pub fn behind(mut self, proxy: &Proxy) -> Self {
        self.advertised = Some(proxy.address());
        self
    }
}

/// The ports of a broker, and its number in its cluster.
#[derive(Debug, Clone)]
struct Place {
    node: usize,
    client: Port,
    internal: Port,
    controller: Port,
}

impl Place {
    fn free(node: usize) -> Result<Self, Skipped> {
        let [client, internal, controller] = [Port::free()?, Port::free()?, Port::free()?];
        Ok(Self { node, client, internal, controller })
    }
}

/// A broker, and what belongs to it.
#[derive(Debug)]
pub struct Broker {
    server: Server,
    place: Place,
    bootstrap: String,
    // After the server: it is gone when its directory goes.
    directory: TempDir,
}

impl Broker {
    /// A broker of one's own, with its own data.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn start(settings: &Settings) -> Result<Self, Skipped> {
        let mut brokers = spawn(std::slice::from_ref(settings))?;
        let mut broker = brokers.pop().ok_or_else(|| Skipped::failed("no broker"))?;
        broker.server.wait()?;
        Ok(broker)
    }

    /// A broker that clients reach through that proxy alone.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn behind(proxy: &Proxy) -> Result<Self, Skipped> {
        let broker = Self::start(&Settings::default().behind(proxy))?;
        proxy.lead_to(&broker.listens_at());
        Ok(broker)
    }

    /// `host:port` for `bootstrap.servers`: the proxy's, if it is behind one.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` that leads past any proxy.
    pub fn direct(&self) -> String {
        self.place.internal.address()
    }

    /// Where it listens for clients, behind the proxy.
    pub fn listens_at(&self) -> String {
        self.place.client.address()
    }

    /// Its number in its cluster.
    pub fn node(&self) -> i32 {
        i32::try_from(self.place.node).unwrap_or_default()
    }

    /// Where it keeps its log segments.
    pub fn data(&self) -> PathBuf {
        data(self.directory.path())
    }

    /// The process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The process, to stop, kill or start it again.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A connection for a request of one's own.
    ///
    /// # Errors
    /// It does not run.
    pub fn client(&self) -> io::Result<Client> {
        Client::connect(&self.direct())
    }

    /// Makes a topic with one replica per partition, and waits until it can be written.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic(&self, name: &str, partitions: i32) -> io::Result<()> {
        self.create_topic_with(name, partitions, 1, &[])
    }

    /// Makes a topic, and waits until it can be written.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configuration: &[(&str, &str)],
    ) -> io::Result<()> {
        self.client()?.create_topic(name, partitions, replicas, configuration)?;
        self.wait_for(name, |it| it.is_some_and(|it| usize::try_from(partitions) == Ok(it.len())))
    }

    /// Gives a topic more partitions, so many in all.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_partitions(&self, name: &str, partitions: i32) -> io::Result<()> {
        self.client()?.create_partitions(name, partitions)?;
        self.wait_for(name, |it| it.is_some_and(|it| usize::try_from(partitions) == Ok(it.len())))
    }

    /// Removes a topic, and waits until it is gone.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topic(&self, name: &str) -> io::Result<()> {
        self.client()?.delete_topic(name)?;
        self.wait_for(name, |it| it.is_none())
    }

    /// Removes the records of a partition before that offset, as retention does.
    ///
    /// # Errors
    /// The broker refuses, or isn't the partition's leader.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> io::Result<()> {
        self.client()?.delete_records(topic, partition, before)
    }

    /// The partitions of a topic, if it exists.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn partitions(&self, topic: &str) -> io::Result<Option<Vec<Partition>>> {
        Ok(self.client()?.metadata(&[topic])?.topics.pop().map(|it| it.1))
    }

    fn wait_for(&self, topic: &str, is_so: impl Fn(Option<&[Partition]>) -> bool) -> io::Result<()> {
        for _ in 0..1500 {
            let partitions = self.partitions(topic)?;
            let led = partitions.iter().flatten().all(|it| it.leader >= 0);
            if led && is_so(partitions.as_deref()) {
                return Ok(());
            }
            process::pause(Duration::from_millis(20));
        }
        Err(io::Error::other(format!("the broker has other partitions of '{topic}' after 30 s")))
    }

    /// One of Kafka's own command line tools, by its class: `org.apache.kafka.tools.ConsoleProducer`.
    ///
    /// # Errors
    /// There is no Java.
    pub fn tool(&self, class: &str) -> Result<Command, Skipped> {
        let mut tool = self.program(class)?;
        tool.args(["--bootstrap-server", self.bootstrap()]);
        Ok(tool)
    }

    fn program(&self, class: &str) -> Result<Command, Skipped> {
        let mut program = Command::new(java::java()?);
        program.args(java_arguments(
            &PACKAGE.install()?,
            class,
            128,
            &["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"],
        ));
        Ok(program)
    }

    /// Writes these lines with Kafka's console producer: a program that isn't the one under test.
    ///
    /// # Errors
    /// The tool fails.
    pub fn produce(&self, topic: &str, lines: &[&str]) -> io::Result<()> {
        self.produce_with(topic, lines, &[])
    }

    /// The same with keys: `key|value`; `gone` is null.
    ///
    /// # Errors
    /// The tool fails.
    pub fn produce_keyed(&self, topic: &str, lines: &[&str]) -> io::Result<()> {
        self.produce_with(topic, lines, &["parse.key=true", "key.separator=|", "null.marker=gone"])
    }

    /// The same with properties of its reader, as `parse.key=true`.
    ///
    /// # Errors
    /// The tool fails.
    pub fn produce_with(&self, topic: &str, lines: &[&str], properties: &[&str]) -> io::Result<()> {
        let mut tool = self.tool("org.apache.kafka.tools.ConsoleProducer").map_err(io::Error::other)?;
        tool.args(["--topic", topic]);
        properties.iter().for_each(|it| _ = tool.args(["--reader-property", it]));
        let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut to) = tool.stdin.take() {
            lines.iter().try_for_each(|line| writeln!(to, "{line}"))?;
        }
        let ended = tool.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        // It says what went wrong, and ends well all the same.
        if ended.status.success() && !said.contains("ERROR") { Ok(()) } else { Err(io::Error::other(said)) }
    }

    /// Reads so many messages from the beginning with Kafka's console consumer, as a reader of committed
    /// transactions; fewer if no more come within `patience`.
    ///
    /// # Errors
    /// The tool fails.
    pub fn consume(&self, topic: &str, messages: usize, patience: Duration) -> io::Result<Vec<String>> {
        self.consume_with(topic, messages, patience, &[])
    }

    /// The same with properties of its formatter, as `print.key=true`.
    ///
    /// # Errors
    /// The tool fails.
    pub fn consume_with(
        &self,
        topic: &str,
        messages: usize,
        patience: Duration,
        properties: &[&str],
    ) -> io::Result<Vec<String>> {
        let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let mut tool = self.tool(class).map_err(io::Error::other)?;
        tool.args(["--topic", topic, "--from-beginning", "--isolation-level", "read_committed"]);
        tool.args(["--max-messages", &messages.to_string()]);
        tool.args(["--timeout-ms", &patience.as_millis().to_string()]);
        properties.iter().for_each(|it| _ = tool.args(["--formatter-property", it]));
        let ended = tool.output()?;
        Ok(String::from_utf8_lossy(&ended.stdout).lines().map(str::to_string).collect())
    }
}

/// Several brokers.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
}

impl Cluster {
    /// A cluster of so many brokers.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn start(brokers: usize) -> Result<Self, Skipped> {
        Self::of(&vec![Settings::default(); brokers])
    }

    /// A cluster of brokers with these settings.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn of(settings: &[Settings]) -> Result<Self, Skipped> {
        let mut brokers = spawn(settings)?;
        brokers.iter_mut().try_for_each(|it| it.server.wait())?;
        Ok(Self { brokers })
    }

    /// The brokers' addresses for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// The brokers; their numbers begin with 1.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The broker with that number.
    pub fn broker(&mut self, node: i32) -> Option<&mut Broker> {
        self.brokers.iter_mut().find(|it| it.node() == node)
    }

    /// A broker that runs.
    pub fn any(&mut self) -> Option<&mut Broker> {
        self.brokers.iter_mut().find(|it| it.server.id().is_some())
    }

    /// The broker that leads a partition.
    ///
    /// # Errors
    /// No broker answers.
    pub fn leader(&mut self, topic: &str, partition: i32) -> io::Result<Option<&mut Broker>> {
        let Some(broker) = self.any() else { return Ok(None) };
        let partitions = broker.partitions(topic)?.unwrap_or_default();
        let leader = partitions.into_iter().find(|it| it.number == partition).map(|it| it.leader);
        Ok(leader.and_then(|node| self.broker(node)))
    }
}

/// The broker that all tests of this process share.
#[derive(Debug, Clone, Copy)]
pub struct Kafka(&'static Broker);

impl Deref for Kafka {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        self.0
    }
}

/// The broker that all tests of this process share; topics keep them apart.
///
/// # Errors
/// It can't be had here, or does not start.
pub fn kafka() -> Result<Kafka, Skipped> {
    static SHARED: OnceLock<Result<Broker, Skipped>> = OnceLock::new();
    match SHARED.get_or_init(|| Broker::start(&Settings::default())) {
        Ok(broker) => Ok(Kafka(broker)),
        Err(skipped) => Err(skipped.clone()),
    }
}

/// Starts the brokers of a cluster, without waiting for them.
fn spawn(settings: &[Settings]) -> Result<Vec<Broker>, Skipped> {
    let places: Vec<Place> = (1..=settings.len()).map(Place::free).collect::<Result<_, _>>()?;
    let told = |error: io::Error| Skipped::failed(format!("no directory for a broker: {error}"));
    let mut brokers = vec![];
    for (place, settings) in places.iter().zip(settings) {
        let directory = tempfile::Builder::new().prefix("flott-kafka-").tempdir().map_err(told)?;
        let spec = spec(settings, place, &places, directory.path())?;
        let bootstrap = settings.advertised.clone().unwrap_or_else(|| place.client.address());
        let server = Server::spawn(spec)?;
        brokers.push(Broker { server, place: place.clone(), bootstrap, directory });
    }
    Ok(brokers)
}

/// One broker alone, at a port that is given.
pub(super) fn spec_at(settings: &Settings, port: Port, directory: &Path) -> Result<Spec, Skipped> {
    let place = Place { client: port, ..Place::free(1)? };
    spec(settings, &place, std::slice::from_ref(&place), directory)
}

/// How that broker is started in that directory, which becomes a broker's data directory.
fn spec(settings: &Settings, place: &Place, all: &[Place], directory: &Path) -> Result<Spec, Skipped> {
    let (java, kafka) = (java::java()?, PACKAGE.install()?);
    let told = |error: io::Error| Skipped::failed(format!("{}: {error}", directory.display()));
    let file = directory.join("server.properties");
    fs::write(&file, properties(settings, place, all, directory)).map_err(told)?;
    format(settings, place, &kafka, &file, directory)?;
    let archive = archive(&kafka);
    let sharing = format!("-XX:SharedArchiveFile={}", archive.display());
    let shared: &[&str] = if archive.exists() { &[&sharing] } else { &[] };
    let options = [shared, &["-Dorg.slf4j.simpleLogger.logFile=System.out"]].concat();
    let mut arguments = java_arguments(&kafka, "kafka.Kafka", settings.heap, &options);
    arguments.push(file.display().to_string());
    let (address, node) = (place.internal.address(), i32::try_from(place.node).unwrap_or_default());
    Ok(Spec {
        name: format!("Kafka broker {}", place.node),
        program: java,
        arguments,
        directory: directory.into(),
        answers: Arc::new(move || answers(&address, node)),
    })
}

/// Whether the broker knows itself as one that lives.
fn answers(address: &str, node: i32) -> Result<(), String> {
    let metadata = Client::connect(address).and_then(|mut it| it.metadata(&[]));
    let metadata = metadata.map_err(|error| error.to_string())?;
    let lives = metadata.nodes.iter().any(|it| it.id == node);
    if lives { Ok(()) } else { Err("it isn't part of its cluster yet".into()) }
}

fn java_arguments(kafka: &Path, class: &str, heap: u32, options: &[&str]) -> Vec<String> {
    let mut arguments = vec![format!("-Xmx{heap}m")];
    arguments.extend(FAST.iter().chain(options).map(ToString::to_string));
    arguments.extend(["-cp".into(), kafka.join("*").display().to_string(), class.into()]);
    arguments
}

fn properties(settings: &Settings, place: &Place, all: &[Place], directory: &Path) -> String {
    let (client, internal) = (place.client.address(), place.internal.address());
    let voters = all.iter().map(|it| format!("{}@{}", it.node, it.controller.address()));
    let replicas = all.len().min(3).to_string();
    let in_sync = if all.len() > 2 { "2" } else { "1" }.to_string();
    let more = |each: &dyn Fn(&Listener) -> String| -> String {
        settings.listeners.iter().map(|it| format!(",{}", each(it))).collect()
    };
    let advertised = settings.advertised.as_ref().unwrap_or(&client);
    let beyond = more(&|it| format!("{}://{}", it.name, it.port.address()));
    let mut properties = BTreeMap::from([
        ("process.roles", "broker,controller".to_string()),
        ("node.id", place.node.to_string()),
        ("controller.quorum.voters", voters.collect::<Vec<_>>().join(",")),
        ("controller.listener.names", "CONTROLLER".into()),
        ("inter.broker.listener.name", "INTERNAL".into()),
        (
            "listeners",
            format!(
                "CLIENT://{client},INTERNAL://{internal},CONTROLLER://{}{beyond}",
                place.controller.address()
            ),
        ),
        ("advertised.listeners", format!("CLIENT://{advertised},INTERNAL://{internal}{beyond}")),
        (
            "listener.security.protocol.map",
            format!(
                "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT{}",
                more(&|it| format!("{}:{}", it.name, it.protocol))
            ),
        ),
        ("log.dirs", data(directory).display().to_string()),
        ("default.replication.factor", replicas.clone()),
        ("offsets.topic.replication.factor", replicas.clone()),
        ("share.coordinator.state.topic.replication.factor", replicas.clone()),
        ("share.coordinator.state.topic.min.isr", in_sync.clone()),
        ("transaction.state.log.replication.factor", replicas),
        ("transaction.state.log.min.isr", in_sync),
    ]);
    properties.extend(settings.properties.iter().map(|(name, value)| (name.as_str(), value.clone())));
    properties.iter().map(|(name, value)| format!("{name}={}\n", value.replace('\\', "\\\\"))).collect()
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// Makes the data directory, if it isn't there.
fn format(
    settings: &Settings,
    place: &Place,
    kafka: &Path,
    properties: &Path,
    directory: &Path,
) -> Result<(), Skipped> {
    let data = data(directory);
    if data.join("meta.properties").exists() {
        return Ok(());
    }
    if !settings.scram.is_empty() {
        return run_format(kafka, properties, &settings.scram).map_err(Skipped::failed);
    }
    let template = template(kafka)?;
    let hash = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let id = URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default());
    let meta = format!("version=1\nnode.id={}\ndirectory.id={id}\ncluster.id={CLUSTER}\n", place.node);
    fs::create_dir_all(&data)
        .and_then(|()| fs::copy(template, data.join("bootstrap.checkpoint")))
        .and_then(|_| fs::write(data.join("meta.properties"), meta))
        .map_err(|error| Skipped::failed(format!("{}: {error}", data.display())))
}

/// Kafka's own tool: it makes a data directory, and users who prove themselves by SCRAM.
fn run_format(kafka: &Path, properties: &Path, scram: &[String]) -> Result<(), String> {
    let java = java::java().map_err(|it| it.to_string())?;
    let mut tool = Command::new(java);
    tool.args(java_arguments(kafka, "kafka.tools.StorageTool", 64, &[]));
    tool.args(["format", "--cluster-id", CLUSTER, "--config"]).arg(properties);
    tool.args(scram.iter().flat_map(|it| ["--add-scram", it]));
    install::run(&mut tool)
}

/// The features that a cluster begins with, as Kafka's tool writes them; and, because that is done once per
/// version, an archive of the classes that a broker loads, which halves the time that it takes to start.
fn template(kafka: &Path) -> Result<PathBuf, Skipped> {
    let template = kafka.join("template");
    let checkpoint = template.join("data/bootstrap.checkpoint");
    if checkpoint.exists() {
        return Ok(checkpoint);
    }
    let failed = |why: String| Skipped::failed(format!("Kafka's first data directory: {why}"));
    let _lock = install::lock(&install::with_suffix(kafka, "lock")).map_err(failed)?;
    if checkpoint.exists() {
        return Ok(checkpoint);
    }
    let part = tempfile::Builder::new().prefix("template-").tempdir_in(kafka);
    let part = part.map_err(|error| failed(error.to_string()))?;
    let place = Place::free(1)?;
    let all = std::slice::from_ref(&place);
    let file = part.path().join("server.properties");
    fs::write(&file, properties(&Settings::default(), &place, all, part.path()))
        .map_err(|error| failed(error.to_string()))?;
    run_format(kafka, &file, &[]).map_err(failed)?;
    if let Err(why) = write_archive(kafka, &place, &file, part.path()) {
        eprintln!("Kafka starts slowly: {why}");
    }
    // Only what the tool wrote is kept, not what the first start made of it.
    fs::create_dir_all(template.join("data"))
        .and_then(|()| fs::rename(part.path().join("data/bootstrap.checkpoint"), &checkpoint))
        .map_err(|error| failed(error.to_string()))?;
    Ok(checkpoint)
}

fn archive(kafka: &Path) -> PathBuf {
    kafka.join("classes.jsa")
}

/// Starts a broker once, to see which classes it loads.
fn write_archive(kafka: &Path, place: &Place, properties: &Path, directory: &Path) -> Result<(), Skipped> {
    let archive = archive(kafka);
    let option = format!("-XX:ArchiveClassesAtExit={}", archive.display());
    let mut arguments = java_arguments(kafka, "kafka.Kafka", 256, &[&option]);
    arguments.push(properties.display().to_string());
    let address = place.internal.address();
    let spec = Spec {
        name: "Kafka's first broker".into(),
        program: java::java()?,
        arguments,
        directory: directory.into(),
        answers: Arc::new(move || answers(&address, 1)),
    };
    let mut server = Server::start(spec)?;
    server.stop();
    if archive.exists() { Ok(()) } else { Err(Skipped::failed("Java wrote no archive of classes")) }
}
