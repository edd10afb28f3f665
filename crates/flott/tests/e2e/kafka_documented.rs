//! The examples of Flink's documentation of its Kafka connectors and of the formats that travel on Kafka: they
//! run as they stand there.
//!
//! ```text
//!   the page's statements ─► own topic, this broker and registry instead of localhost ─► flott
//!   the page's queries ─► … FROM t /*+ OPTIONS(from the beginning to what is there now) */, so that they end
//! ```
//!
//! What can't run here is refused with what to do instead: a key store of Java's, a message class of Java's.

use std::{collections::BTreeMap, fs};

use flott_testkit::{need, services};
use serde_json::Value;

use crate::{
    support::{Lab, visible_files},
    topics::{self, Message},
};

mod formats;

/// Where the pages' brokers are, and their registries.
const BROKER: &str = "localhost:9092";
const REGISTRIES: [&str; 2] = ["http://localhost:8081", "http://localhost:8082"];

/// Reads what there is.
const ALL: &str =
    "/*+ OPTIONS('scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset') */";
const END: &str = "/*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */";

/// A page's example with a broker, a registry and topics of its own.
struct Page {
    lab: Lab,
    kafka: services::Kafka,
    /// Before each topic's name.
    prefix: &'static str,
}

impl Page {
    fn new(prefix: &'static str, kafka: services::Kafka) -> Self {
        Self { lab: Lab::new(), kafka, prefix }
    }

    /// A topic with messages, by the page's name of it.
    fn topic(&self, name: &str, messages: &[Message]) -> String {
        let topic = format!("{}-{name}", self.prefix);
        topics::make(&self.kafka, &topic);
        topics::send(&self.kafka, None, &topic, messages);
        topic
    }

    /// A statement as the page has it, here.
    fn here(&self, sql: &str) -> String {
        let mut sql = sql.replace(BROKER, self.kafka.bootstrap());
        sql = sql.replace("'topic' = '", &format!("'topic' = '{}-", self.prefix));
        if REGISTRIES.iter().any(|it| sql.contains(it)) {
            let registry = services::registry().unwrap();
            REGISTRIES.iter().for_each(|it| sql = sql.replace(it, &registry.url()));
        }
        sql
    }

    fn run(&self, sql: &str) {
        self.lab.run(&self.here(sql));
    }

    fn query(&self, sql: &str) -> Vec<String> {
        self.lab.query(&self.here(sql))
    }

    /// The rows of a table written with `changelog-json`, after all its changes.
    fn rows(&self, table: &str) -> Vec<String> {
        let mut rows = BTreeMap::<String, i64>::new();
        for file in visible_files(&self.lab.path(table)) {
            for line in fs::read_to_string(file).unwrap().lines() {
                let change: Value = serde_json::from_str(line).unwrap();
                let comes = matches!(change["op"].as_str(), Some("+I" | "+U"));
                *rows.entry(change["data"].to_string()).or_default() += if comes { 1 } else { -1 };
            }
        }
        assert!(rows.values().all(|it| matches!(it, 0 | 1)), "{rows:?}");
        rows.into_iter().filter(|(_, count)| *count == 1).map(|(row, _)| row).collect()
    }
}

fn values(lines: &[&str]) -> Vec<Message> {
    lines.iter().map(|line| Message::new(None, Some(line))).collect()
}

fn texts(messages: &[Message]) -> Vec<(String, String)> {
    let text = |it: &Option<Vec<u8>>| String::from_utf8(it.clone().unwrap_or_default()).unwrap();
    messages.iter().map(|it| (text(&it.key), text(&it.value))).collect()
}

/// Kafka: how to create a table.
const KAFKA_TABLE: &str = "
CREATE TABLE KafkaTable (
  `user_id` BIGINT,
  `item_id` BIGINT,
  `behavior` STRING,
  `ts` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = 'user_behavior',
  'properties.bootstrap.servers' = 'localhost:9092',
  'properties.group.id' = 'testGroup',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'csv'
);";

#[test]
fn kafka_a_table() {
    let page = Page::new("documented-table", need!(services::kafka()));
    let topic = page.topic("user_behavior", &values(&["1,10,buy", "2,20,\"look, again\""]));
    page.run(&format!(
        "{KAFKA_TABLE} INSERT INTO KafkaTable VALUES (3, 30, 'pay', TO_TIMESTAMP_LTZ(1700000000007, 3))"
    ));
    assert_eq!(texts(&topics::read(&page.kafka, &topic))[2].1, "3,30,pay");
    let rows = page.query(&format!("{KAFKA_TABLE} SELECT * FROM KafkaTable {END}"));
    let expected = [
        "1,10,buy,2023-11-14 22:13:20.000",
        "2,20,\"look, again\",2023-11-14 22:13:20.001",
        "3,30,pay,2023-11-14 22:13:20.007",
    ];
    assert_eq!(rows, expected);
}

/// Kafka: metadata of messages, and of the format.
fn with_metadata(metadata: &str, format: &str) -> String {
    format!(
        "CREATE TABLE KafkaTable (
           {metadata}
           `offset` BIGINT METADATA VIRTUAL,  -- from Kafka connector
           `user_id` BIGINT,
           `item_id` BIGINT,
           `behavior` STRING
         ) WITH (
           'connector' = 'kafka',
           'topic' = 'user_behavior',
           'properties.bootstrap.servers' = 'localhost:9092',
           'properties.group.id' = 'testGroup',
           'scan.startup.mode' = 'earliest-offset',
           {format}
         );
         SELECT * FROM KafkaTable {END}"
    )
}

#[test]
fn kafka_metadata() {
    let page = Page::new("documented-metadata", need!(services::kafka()));
    page.topic("user_behavior", &values(&["1,10,buy", "2,20,look"]));
    let metadata = "`event_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
           `partition` BIGINT METADATA VIRTUAL,";
    let rows = page.query(&with_metadata(metadata, "'format' = 'csv'"));
    assert_eq!(rows, ["2023-11-14 22:13:20.000,0,0,1,10,buy", "2023-11-14 22:13:20.001,0,1,2,20,look"]);
}

/// A change of `user_behavior` as Debezium tells it.
const BEHAVIOR: &str = r#"{"before":null,"after":{"user_id":1,"item_id":10,"behavior":"buy"},
 "source":{"version":"2.7","db":"shop","schema":"public","table":"behaviors","ts_ms":1589362330000},
 "op":"c","ts_ms":1589362330904,"transaction":null}"#;

#[test]
fn kafka_metadata_of_the_format() {
    let page = Page::new("documented-format-metadata", need!(services::kafka()));
    page.topic("user_behavior", &values(&[BEHAVIOR]));
    let metadata =
        "`event_time` TIMESTAMP_LTZ(3) METADATA FROM 'value.source.timestamp' VIRTUAL,  -- from Debezium format
           `origin_table` STRING METADATA FROM 'value.source.table' VIRTUAL, -- from Debezium format
           `partition_id` BIGINT METADATA FROM 'partition' VIRTUAL,  -- from Kafka connector";
    let rows = page.query(&with_metadata(metadata, "'value.format' = 'debezium-json'"));
    assert_eq!(rows, ["+I,2020-05-13 09:32:10.000,behaviors,0,0,1,10,buy"]);
}

#[test]
fn kafka_formats_of_keys_and_values() {
    let page = Page::new("documented-formats", need!(services::kafka()));
    let table = |columns: &str, formats: &str| {
        format!(
            "CREATE TABLE KafkaTable ({columns}) WITH ('connector' = 'kafka', 'topic' = 'user_behavior',
             'properties.bootstrap.servers' = 'localhost:9092', {formats});"
        )
    };
    let columns = "`ts` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', `user_id` BIGINT, `item_id` BIGINT, `behavior` STRING";

    let topic =
        page.topic("user_behavior", &values(&[r#"{"user_id":1,"item_id":"?","behavior":"a"}"#, "no JSON"]));
    let value_alone = table(columns, "'format' = 'json', 'json.ignore-parse-errors' = 'true'");
    let rows = page.query(&format!("{value_alone} SELECT * FROM KafkaTable {ALL}"));
    assert_eq!(rows, ["2023-11-14 22:13:20.000,1,,a"]);

    let both = table(
        columns,
        "'key.format' = 'json', 'key.json.ignore-parse-errors' = 'true', 'key.fields' = 'user_id;item_id',
         'value.format' = 'json', 'value.json.fail-on-missing-field' = 'false', 'value.fields-include' = 'ALL'",
    );
    page.run(&format!(
        "{both} INSERT INTO KafkaTable VALUES (TO_TIMESTAMP_LTZ(1700000000009, 3), 7, 8, 'b')"
    ));
    let written = texts(&topics::read(&page.kafka, &topic)).pop().unwrap();
    let (key, value) = (r#"{"user_id":7,"item_id":8}"#, r#"{"user_id":7,"item_id":8,"behavior":"b"}"#);
    assert_eq!(written, (key.to_string(), value.to_string()));
    let rows = page.query(&format!("{both} SELECT * FROM KafkaTable {ALL} WHERE behavior = 'b'"));
    assert_eq!(rows, ["2023-11-14 22:13:20.009,7,8,b"]);
}

#[test]
fn kafka_keys_and_values_with_fields_of_the_same_name() {
    let page = Page::new("documented-overlap", need!(services::kafka()));
    let key = r#"{"version":1,"user_id":2,"item_id":3}"#;
    let topic = page.topic("t", &[Message::new(Some(key), Some(r#"{"version":4,"behavior":"buy"}"#))]);
    let table = "CREATE TABLE KafkaTable (
           `k_version` INT,
           `k_user_id` BIGINT,
           `k_item_id` BIGINT,
           `version` INT,
           `behavior` STRING
         ) WITH (
           'connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'localhost:9092',
           'key.format' = 'json',
           'key.fields-prefix' = 'k_',
           'key.fields' = 'k_version;k_user_id;k_item_id',
           'value.format' = 'json',
           'value.fields-include' = 'EXCEPT_KEY'
         );";
    assert_eq!(page.query(&format!("{table} SELECT * FROM KafkaTable {ALL}")), ["1,2,3,4,buy"]);
    page.run(&format!("{table} INSERT INTO KafkaTable VALUES (1, 2, 3, 4, 'buy')"));
    let messages = texts(&topics::read(&page.kafka, &topic));
    assert_eq!(messages[0], messages[1]);
}

/// What `flott validate --offline` says of a table with these options.
fn validated(lab: &Lab, columns: &str, options: &str) -> (Option<i32>, String) {
    let sql = format!(
        "CREATE TABLE KafkaTable ({columns}) WITH ('connector' = 'kafka', 'topic' = 'user_behavior',
         'properties.bootstrap.servers' = 'localhost:9092', 'properties.group.id' = 'testGroup', {options});
         SELECT * FROM KafkaTable;"
    );
    let outcome = lab.flott.run(["validate", "--offline", "-e", &sql]).unwrap();
    (outcome.status, outcome.stderr)
}

#[test]
fn kafka_security() {
    let lab = Lab::new();
    let columns = "`user_id` BIGINT, `item_id` BIGINT, `behavior` STRING, `ts` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'";
    for package in ["org.apache.kafka", "org.apache.flink.kafka.shaded.org.apache.kafka"] {
        let plain = format!(
            r#"'format' = 'csv', 'properties.security.protocol' = 'SASL_PLAINTEXT', 'properties.sasl.mechanism' = 'PLAIN',
            'properties.sasl.jaas.config' = '{package}.common.security.plain.PlainLoginModule required
              username=\"username\" password=\"password\";'"#
        );
        assert_eq!(validated(&lab, columns, &plain), (Some(0), String::new()));
    }
    let scram = r#"
  'format' = 'csv',
  'properties.security.protocol' = 'SASL_SSL',
  /* SSL configurations */
  'properties.ssl.truststore.location' = '/path/to/kafka.client.truststore.jks',
  'properties.ssl.truststore.password' = 'test1234',
  'properties.ssl.keystore.location' = '/path/to/kafka.client.keystore.jks',
  'properties.ssl.keystore.password' = 'test1234',
  /* SASL configurations */
  'properties.sasl.mechanism' = 'SCRAM-SHA-256',
  'properties.sasl.jaas.config' = 'org.apache.kafka.common.security.scram.ScramLoginModule required
    username=\"username\" password=\"password\";'"#;
    let (status, said) = validated(&lab, columns, scram);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("FLT-1002") && said.contains("`keytool -importkeystore -srckeystore /path/to"),
        "{said}"
    );
    // All else is as it should be.
    let converted =
        scram.replace("truststore.jks'", "truststore.pem', 'properties.ssl.truststore.type' = 'PEM'");
    let converted =
        converted.replace("keystore.jks'", "keystore.p12', 'properties.ssl.keystore.type' = 'PKCS12'");
    let converted = converted.replace("  'properties.ssl.truststore.password' = 'test1234',\n", "");
    let (status, said) = validated(&lab, columns, &converted);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn upsert_kafka_page_views_per_region() {
    let page = Page::new("documented-views", need!(services::kafka()));
    let view = |user: u32, second: u32, region: &str| {
        let time = format!("2024-01-01 00:00:{second:02}.000");
        format!(r#"{{"user_id":{user},"page_id":9,"viewtime":"{time}","user_region":"{region}"}}"#)
    };
    let views = [view(1, 1, "north"), view(2, 2, "north"), view(1, 3, "north"), view(3, 4, "south")];
    page.topic("pageviews", &values(&views.each_ref().map(String::as_str)));
    let topic = page.topic("pageviews_per_region", &[]);
    let region = "CREATE TABLE pageviews_per_region (
           user_region STRING,
           pv BIGINT,
           uv BIGINT,
           PRIMARY KEY (user_region) NOT ENFORCED
         ) WITH (
           'connector' = 'upsert-kafka',
           'topic' = 'pageviews_per_region',
           'properties.bootstrap.servers' = 'localhost:9092',
           'key.format' = 'avro',
           'value.format' = 'avro'
         );";
    // The page says TIMESTAMP, which is TIMESTAMP(6): Flink has watermarks of up to TIMESTAMP(3) alone.
    let views = "CREATE TABLE pageviews (
           user_id BIGINT,
           page_id BIGINT,
           viewtime TIMESTAMP(3),
           user_region STRING,
           WATERMARK FOR viewtime AS viewtime - INTERVAL '2' SECOND
         ) WITH (
           'connector' = 'kafka',
           'topic' = 'pageviews',
           'properties.bootstrap.servers' = 'localhost:9092',
           'format' = 'json'
         );";
    page.run(&format!(
        "{region} {views}
         -- calculate the pv, uv and insert into the upsert-kafka sink
         INSERT INTO pageviews_per_region
         SELECT
           user_region,
           COUNT(*),
           COUNT(DISTINCT user_id)
         FROM pageviews {ALL}
         GROUP BY user_region;"
    ));
    // A text that can't be NULL, of five bytes.
    let written = topics::read(&page.kafka, &topic);
    assert!(written.iter().any(|it| it.key.as_deref() == Some(b"\x0asouth")));
    page.run(&format!(
        "{region} CREATE TABLE found WITH ('connector' = 'filesystem', 'path' = 'found', 'format' = 'changelog-json')
         AS SELECT * FROM pageviews_per_region {END}"
    ));
    let expected = [r#"{"pv":1,"user_region":"south","uv":1}"#, r#"{"pv":3,"user_region":"north","uv":2}"#];
    assert_eq!(page.rows("found"), expected);
}

#[test]
fn upsert_kafka_formats_of_keys_and_values() {
    let page = Page::new("documented-upserts", need!(services::kafka()));
    let message = |user: &str, value| Message::new(Some(user), value);
    let (one, two) = (r#"{"user_id":1}"#, r#"{"user_id":2}"#);
    page.topic(
        "t",
        &[
            message(one, Some(r#"{"item_id":1,"behavior":"a"}"#)),
            message(two, Some(r#"{"item_id":1,"behavior":"b"}"#)),
            message(one, Some(r#"{"item_id":2}"#)),
            message(two, None),
        ],
    );
    for time in ["TIMESTAMP(3)", "TIMESTAMP_LTZ(3)"] {
        let table = format!(
            "CREATE TABLE KafkaTable (
               `ts` {time} METADATA FROM 'timestamp',
               `user_id` BIGINT,
               `item_id` BIGINT,
               `behavior` STRING,
               PRIMARY KEY (`user_id`) NOT ENFORCED
             ) WITH (
               'connector' = 'upsert-kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'localhost:9092',
               'key.format' = 'json',
               'key.json.ignore-parse-errors' = 'true',
               'value.format' = 'json',
               'value.json.fail-on-missing-field' = 'false',
               'value.fields-include' = 'EXCEPT_KEY'
             );"
        );
        let path = time.len();
        page.run(&format!(
            "{table} CREATE TABLE found WITH ('connector' = 'filesystem', 'path' = 'found-{path}',
             'format' = 'changelog-json') AS SELECT user_id, item_id, behavior, EXTRACT(SECOND FROM ts) AS s
             FROM KafkaTable {END}"
        ));
        assert_eq!(
            page.rows(&format!("found-{path}")),
            [r#"{"behavior":null,"item_id":2,"s":20,"user_id":1}"#]
        );
    }
}
