//! The sink against a real broker: what every deciding sink holds to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, StringArray},
    record_batch::RecordBatch,
};
use flott_connector::{
    Clock, ColumnKind, Connector, Decider, DeciderRequest, LastCommit, Outcome, Registry, Sink, SinkRequest,
    StopSignal, SystemClock, TableColumn, TableDescription, conformance::deciding::DecidingSink,
    disk::LocalDisk,
};
use flott_expr::EvalContext;
use flott_testkit::{
    need,
    services::{
        self, Broker, Proxy,
        proxy::Moment,
        secured::{CLIENT, PASSWORD, SECRET, Secured, USER},
        wire::Request,
    },
};
use flott_types::{DataType, Options, Result, Span};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

fn registry() -> Registry {
    let mut registry = Registry::new();
    flott_formats::all().into_iter().for_each(|format| registry.add_format(format));
    registry
}

fn connector() -> Arc<dyn Connector> {
    flott_connector_kafka::connectors().into_iter().find(|it| it.name() == "kafka").unwrap()
}

fn table(bootstrap: &str, topic: &str, options: &[(&str, &str)]) -> TableDescription {
    let mut all = Options::new();
    let own = [
        ("connector", "kafka"),
        ("topic", topic),
        ("format", "raw"),
        ("properties.bootstrap.servers", bootstrap),
    ];
    own.iter().chain(options).for_each(|(key, value)| all.set(*key, *value));
    let column = TableColumn {
        name: "text".into(),
        data_type: DataType::string(),
        kind: ColumnKind::Physical,
        span: Span::default(),
    };
    TableDescription { name: "t".into(), columns: vec![column], options: all, ..TableDescription::default() }
}

fn request(decider: Option<Arc<dyn Decider>>) -> SinkRequest {
    SinkRequest {
        job_options: Options::new(),
        pipeline_name: "conformance".into(),
        run_id: "r".into(),
        context: EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 1, watermark: None },
        clock: Arc::new(SystemClock::new()),
        disk: Arc::new(LocalDisk),
        stop: flott_connector::StopSignal::new(),
        overwrite: false,
        checkpoints: true,
        generation: 1,
        first_generation: 1,
        first_epoch: 2,
        job_id: "j".into(),
        sink_number: 0,
        decider,
    }
}

/// What readers of committed transactions see.
fn visible(bootstrap: &str, topic: &str) -> Vec<String> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "look")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.set("enable.partition.eof", "true").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut rows = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => rows.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap()),
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            other => panic!("{other:?}"),
        }
    }
    rows.sort();
    rows
}

/// What decides the epochs of a job that writes this table.
fn decider(table: &TableDescription, stop: &StopSignal) -> Arc<dyn Decider> {
    let request = DeciderRequest {
        job_options: Options::new(),
        pipeline_name: "conformance".into(),
        run_id: "r".into(),
        checkpoints: true,
        interval: Duration::from_secs(1),
        clock: Arc::new(SystemClock::new()),
        stop: stop.clone(),
    };
    connector().decider(&[table], &request).unwrap()
}

/// What every deciding sink holds to. `plain` is where readers ask, without proof.
fn check(bootstrap: &str, plain: &str, topic: &str, client: &[(&str, &str)]) {
    let own = [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", topic)];
    let table = table(bootstrap, topic, &[&own[..], client].concat());
    let open = || {
        let decider = decider(&table, &StopSignal::new());
        let (shared, table) = (decider.clone(), table.clone());
        let sink: Box<dyn Fn() -> Result<Arc<dyn Sink>>> =
            Box::new(move || connector().sink(&table, &request(Some(shared.clone())), &registry()));
        Ok((decider, sink))
    };
    let sink = DecidingSink {
        open: &open,
        row: &|text| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
            RecordBatch::try_from_iter([("text", column)]).unwrap()
        },
        visible: &|| visible(plain, topic),
    };
    sink.check().unwrap();
}

#[test]
fn holds_to_what_deciding_sinks_hold_to() {
    let kafka = need!(services::kafka());
    kafka.create_topic("conformance", 1).unwrap();
    check(kafka.bootstrap(), kafka.bootstrap(), "conformance", &[]);
}

/// Every client of it proves itself: the producer, who asks for settings, who reads the topic of tokens.
fn check_secured(secured: &Secured, bootstrap: &str, topic: &str, client: &[(&str, &str)]) {
    secured.broker().create_topic(topic, 1).unwrap();
    check(bootstrap, secured.broker().bootstrap(), topic, client);
}

/// How a client proves itself by this mechanism, with a login module of Kafka's and what that is given.
fn sasl(
    protocol: &str,
    mechanism: &str,
    module: &str,
    given: [(&str, &str); 2],
) -> [(&'static str, String); 3] {
    let [one, other] = given.map(|(name, value)| format!("{name}=\"{value}\""));
    let jaas = format!("org.apache.kafka.common.security.{module} required {one} {other};");
    [
        ("properties.security.protocol", protocol.to_string()),
        ("properties.sasl.mechanism", mechanism.to_string()),
        ("properties.sasl.jaas.config", jaas),
    ]
}

#[test]
fn holds_to_it_with_a_token() {
    let secured = need!(services::secured());
    let endpoint = secured.token_endpoint();
    let given = [("clientId", CLIENT), ("clientSecret", SECRET)];
    let sasl = sasl("SASL_PLAINTEXT", "OAUTHBEARER", "oauthbearer.OAuthBearerLoginModule", given);
    let place = [("properties.sasl.oauthbearer.token.endpoint.url", endpoint.as_str())];
    let client = [&sasl.each_ref().map(|(key, value)| (*key, value.as_str()))[..], &place].concat();
    check_secured(secured, &secured.sasl(), "by-token", &client);
}

#[test]
fn holds_to_it_with_a_password_and_tls() {
    let secured = need!(services::secured());
    let given = [("username", USER), ("password", PASSWORD)];
    let sasl = sasl("SASL_SSL", "SCRAM-SHA-512", "scram.ScramLoginModule", given);
    let trust = [
        ("properties.ssl.truststore.type", "PEM"),
        ("properties.ssl.truststore.location", secured.certificates().authority.to_str().unwrap()),
    ];
    let client = [&sasl.each_ref().map(|(key, value)| (*key, value.as_str()))[..], &trust].concat();
    check_secured(secured, &secured.sasl_tls(), "by-password", &client);
}

#[test]
fn holds_to_it_with_a_certificate() {
    let secured = need!(services::secured());
    let files = secured.certificates();
    let read = |path| std::fs::read_to_string(path).unwrap();
    let (certificate, key) = (read(&files.client), read(&files.client_key));
    let client = [
        ("properties.security.protocol", "SSL"),
        ("properties.ssl.truststore.type", "PEM"),
        ("properties.ssl.truststore.location", files.authority.to_str().unwrap()),
        ("properties.ssl.keystore.type", "PEM"),
        ("properties.ssl.keystore.certificate.chain", &certificate),
        ("properties.ssl.keystore.key", &key),
    ];
    check_secured(secured, &secured.mutual_tls(), "by-certificate", &client);
}

fn exactly_once(bootstrap: &str, topic: &str, more: &[(&str, &str)]) -> TableDescription {
    let own = [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", topic)];
    table(bootstrap, topic, &[&own[..], more].concat())
}

#[test]
fn who_only_looks_fences_nobody() {
    let kafka = need!(services::kafka());
    kafka.create_topic("looked-at", 1).unwrap();
    let table = exactly_once(kafka.bootstrap(), "looked-at", &[("sink.token-topic", "looked-at-tokens")]);
    let (one, other) = (decider(&table, &StopSignal::new()), decider(&table, &StopSignal::new()));
    assert_eq!(other.look().unwrap(), None, "there is no topic of tokens yet");
    one.is_of("me");
    one.fence().unwrap();
    assert!(matches!(one.commit(3, 1).unwrap(), Outcome::Committed));
    let last = |number| Some(LastCommit { number, owner: Some("me".into()) });
    assert_eq!(other.look().unwrap(), last(3));
    assert!(matches!(one.commit(5, 2).unwrap(), Outcome::Committed));
    assert_eq!(other.look().unwrap(), last(5));
    other.is_of("you");
    other.fence().unwrap();
    assert_eq!((other.token().unwrap(), other.owner()), (Some(5), Some("me".into())));
    assert!(matches!(one.commit(6, 3).unwrap(), Outcome::Fenced(_)));
}

/// What becomes of a commit when the brokers fall silent at this moment, and how long that takes to say. `end` ends the
/// silence; the token that the next one finds.
fn silenced(
    moment: Moment,
    more: &[(&str, &str)],
    stops: bool,
    end: &dyn Fn(&Proxy),
) -> (Duration, Option<u64>) {
    let proxy = Proxy::start().unwrap();
    let broker = Broker::behind(&proxy).unwrap();
    broker.create_topic("silenced", 1).unwrap();
    let table = exactly_once(broker.bootstrap(), "silenced", more);
    let (stop, clock) = (StopSignal::new(), SystemClock::new());
    let first = decider(&table, &stop);
    first.fence().unwrap();
    assert!(matches!(first.commit(3, 1).unwrap(), Outcome::Committed));
    proxy.silent_at(moment);
    let began = clock.monotonic();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(proxy.wait_for_silence(Duration::from_secs(20)));
            if stops {
                stop.stop();
            }
        });
        first.commit(7, 2).unwrap()
    });
    let took = clock.monotonic() - began;
    assert!(matches!(outcome, Outcome::Uncertain(_)), "{outcome:?}");
    assert!(first.commit(8, 3).is_err(), "its producer is given up");
    end(&proxy);
    let next = decider(&table, &StopSignal::new());
    next.fence().unwrap();
    (took, next.token().unwrap())
}

#[test]
fn a_commit_without_an_answer_is_uncertain_and_the_token_says_what_came_of_it() {
    let _ = need!(services::kafka());
    let end = Request::EndTransaction;
    // The request never arrives.
    let drops = |proxy: &Proxy| (proxy.drop_connections(), proxy.heal()).1;
    let (took, token) = silenced(Moment::Before(end), &[], true, &drops);
    assert_eq!(token, Some(3));
    assert!(took < Duration::from_secs(15), "a stop ends the wait, but it took {took:?}");
    // It has been done, and nobody said so.
    let short = [("properties.max.block.ms", "2000")];
    let (took, token) = silenced(Moment::BeforeAnswer(end), &short, false, &drops);
    assert_eq!(token, Some(7));
    assert!(took < Duration::from_secs(10), "'max.block.ms' ends the wait, but it took {took:?}");
    // It arrives late, before the next one's fence or behind it.
    let (_, token) = silenced(Moment::Before(end), &short, false, &Proxy::heal);
    assert!(token == Some(3) || token == Some(7), "{token:?}");
}
