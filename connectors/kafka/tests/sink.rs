//! The sink against a real broker: what every deciding sink holds to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, StringArray},
    record_batch::RecordBatch,
};
use flott_connector::{
    ColumnKind, Connector, Decider, DeciderRequest, Registry, Sink, SinkRequest, SystemClock, TableColumn,
    TableDescription, conformance::deciding::DecidingSink, disk::LocalDisk,
};
use flott_expr::EvalContext;
use flott_testkit::{
    need,
    services::{
        self,
        secured::{CLIENT, PASSWORD, SECRET, Secured, USER},
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

/// What every deciding sink holds to. `plain` is where readers ask, without proof.
fn check(bootstrap: &str, plain: &str, topic: &str, client: &[(&str, &str)]) {
    let own = [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", topic)];
    let table = table(bootstrap, topic, &[&own[..], client].concat());
    let open = || {
        let decider_request = DeciderRequest {
            job_options: Options::new(),
            pipeline_name: "conformance".into(),
            run_id: "r".into(),
            checkpoints: true,
            clock: Arc::new(SystemClock::new()),
        };
        let decider = connector().decider(&[&table], &decider_request)?;
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

#[test]
fn holds_to_it_with_a_token() {
    let secured = need!(services::secured());
    let endpoint = secured.token_endpoint();
    let jaas = format!(
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"{CLIENT}\" \
         clientSecret=\"{SECRET}\";"
    );
    let client = [
        ("properties.security.protocol", "SASL_PLAINTEXT"),
        ("properties.sasl.mechanism", "OAUTHBEARER"),
        ("properties.sasl.jaas.config", &jaas),
        ("properties.sasl.oauthbearer.token.endpoint.url", &endpoint),
    ];
    check_secured(secured, &secured.sasl(), "by-token", &client);
}

#[test]
fn holds_to_it_with_a_password_and_tls() {
    let secured = need!(services::secured());
    let jaas = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{USER}\" \
         password=\"{PASSWORD}\";"
    );
    let client = [
        ("properties.security.protocol", "SASL_SSL"),
        ("properties.sasl.mechanism", "SCRAM-SHA-512"),
        ("properties.sasl.jaas.config", &jaas),
        ("properties.ssl.truststore.type", "PEM"),
        ("properties.ssl.truststore.location", secured.certificates().authority.to_str().unwrap()),
    ];
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
