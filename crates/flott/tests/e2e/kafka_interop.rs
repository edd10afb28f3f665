//! Other programs' topics, read by Flott; Flott's, read by other programs.
//!
//! ```text
//!   console producer ─► topic ─► flott ─► topic ─► console consumer       both at hand: Kafka's own programs
//!   tests/interop/recorded/NAME.ndjson ─► topic ─► flott ─► rows          what confluent-kafka's serializers wrote
//!   flott ─► topic = tests/interop/recorded/NAME_written.ndjson           what its deserializers have read
//! ```
//!
//! Recordings are made by tests/interop/run.py, which runs the same with Python and confluent-kafka at hand.

use std::{path::Path, time::Duration};

use flott_testkit::{
    need,
    services::{self, Kafka},
};

use crate::{
    support::Lab,
    topics::{self, Message},
};

const ALL: &str = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";

const ORDER: &str = include_str!("../../../../tests/interop/order.proto");

fn recorded(name: &str) -> Vec<Message> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/recorded");
    topics::recorded(&folder.join(format!("{name}.ndjson")))
}

/// A table `t` of this topic.
fn table(kafka: &Kafka, columns: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
         'properties.bootstrap.servers' = '{}', {options});\n",
        kafka.bootstrap()
    )
}

/// What Flott reads of a recording.
fn read(name: &str, kafka: &Kafka, columns: &str, options: &str, select: &str) -> Vec<String> {
    let topic = format!("interop-{name}");
    topics::make(kafka, &topic);
    let registry = if name == "debezium" { None } else { Some(services::registry().unwrap()) };
    topics::send(kafka, registry, &topic, &recorded(name));
    let table = table(kafka, columns, &topic, &format!("{options}, {ALL}"));
    Lab::new().query(&format!("{table} SELECT {select} FROM t"))
}

#[test]
fn from_the_console_producer_to_the_console_consumer() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("interop-console", 1).unwrap();
    kafka.create_topic("interop-consumed", 1).unwrap();
    let lines = [r#"k1|{"id":1,"name":"scooter"}"#, r#"k2|{"id":2,"name":"größer"}"#];
    kafka.produce_keyed("interop-console", &lines).unwrap();
    let formats = "'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'";
    let columns = "k STRING, id INT, name STRING";
    let from = table(&kafka, columns, "interop-console", &format!("{formats}, {ALL}"));
    let to = "'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'interop'";
    let to =
        table(&kafka, columns, "interop-consumed", &format!("{formats}, {to}")).replace("TABLE t", "TABLE o");
    lab.run(&format!("{from} {to} INSERT INTO o SELECT k, id, UPPER(name) FROM t"));
    let found =
        kafka.consume_with("interop-consumed", 2, Duration::from_secs(20), &["print.key=true"]).unwrap();
    assert_eq!(found, ["k1\t{\"id\":1,\"name\":\"SCOOTER\"}", "k2\t{\"id\":2,\"name\":\"GRÖSSER\"}"]);
}

const AVRO: &str = "id INT NOT NULL, name STRING, price DECIMAL(10, 2), placed TIMESTAMP(3), tags ARRAY<STRING>, paid BOOLEAN";

#[test]
fn avro_of_confluents_serializer() {
    let kafka = need!(services::kafka());
    let url = need!(services::registry()).url();
    let options = format!("'format' = 'avro-confluent', 'avro-confluent.url' = '{url}'");
    let select = "id, name, price, placed, CARDINALITY(tags), tags[1], paid";
    let rows = read("avro", &kafka, AVRO, &options, select);
    let expected = [
        "1,scooter,12.50,2024-02-29 12:34:56.789,2,a,TRUE",
        "2,größer 🦀,-0.01,1970-01-01 00:00:00.000,0,,FALSE",
        "3,,,,0,,",
        // Of a newer schema, with a field more.
        "4,scooter,12.50,2024-02-29 12:34:56.789,2,a,TRUE",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn protobuf_of_confluents_serializer() {
    let kafka = need!(services::kafka());
    let url = need!(services::registry()).url();
    let columns = "id INT, name STRING, tags ARRAY<STRING>, paid BOOLEAN,
         buyer ROW<city STRING, number DECIMAL(20, 0)>, kind STRING";
    let options = format!("'format' = 'protobuf-confluent', 'protobuf-confluent.url' = '{url}'");
    let select = "id, name, CARDINALITY(tags), tags[2], paid, buyer.city, buyer.number, kind";
    let rows = read("protobuf", &kafka, columns, &options, select);
    // As in Flink: scalars of proto3 that aren't there are their defaults, also `optional` ones; all else is NULL.
    assert_eq!(rows, ["1,scooter,2,b,TRUE,Köln,9223372036854775808,OLD", "2,\"\",,,FALSE,,,NEW"]);
}

#[test]
fn json_of_confluents_serializer() {
    let kafka = need!(services::kafka());
    need!(services::registry());
    // There is no format for it, in Flink neither: the five bytes are cut off in SQL.
    let select = "CAST(JSON_VALUE(SUBSTRING(m FROM 6), '$.id') AS INT)";
    assert_eq!(read("json_schema", &kafka, "m STRING", "'format' = 'raw'", select), ["1"]);
}

#[test]
fn events_of_debezium() {
    let kafka = need!(services::kafka());
    let options = "'format' = 'debezium-json', 'debezium-json.schema-include' = 'true'";
    let rows = read("debezium", &kafka, "id INT, name STRING", options, "id, name");
    assert_eq!(rows, ["+I,1,scooter", "+I,2,battery", "-U,1,scooter", "+U,1,bike", "-D,2,battery"]);
}

/// What Flott writes there, with these options and rows.
fn written(name: &str, kafka: &Kafka, lab: &Lab, columns: &str, options: &str, rows: &str) -> Vec<Message> {
    let topic = format!("interop-{name}");
    topics::make(kafka, &topic);
    let table = table(kafka, columns, &topic, options);
    lab.run(&format!("{table} INSERT INTO t SELECT * FROM (VALUES {rows}) AS v"));
    let registry = services::registry().unwrap();
    topics::read(kafka, &topic).iter().map(|it| it.unframed(registry)).collect()
}

#[test]
fn avro_for_confluents_deserializer() {
    let kafka = need!(services::kafka());
    let url = need!(services::registry()).url();
    let rows = "
        (1, 'scooter', CAST(12.50 AS DECIMAL(10, 2)), TIMESTAMP '2024-02-29 12:34:56.789', ARRAY['a', 'b'], TRUE),
        (2, 'größer 🦀', CAST(-0.01 AS DECIMAL(10, 2)), TIMESTAMP '1970-01-01 00:00:00.000', ARRAY['x'], FALSE)";
    let options = format!("'format' = 'avro-confluent', 'avro-confluent.url' = '{url}'");
    let columns = AVRO.replace(" NOT NULL", "");
    let found = written("avro_written", &kafka, &Lab::new(), &columns, &options, rows);
    assert_eq!(found, recorded("avro_written"));
}

#[test]
fn protobuf_for_confluents_deserializer() {
    let kafka = need!(services::kafka());
    let url = need!(services::registry()).url();
    let lab = Lab::new();
    lab.write("order.proto", ORDER);
    let options = format!(
        "'format' = 'protobuf-confluent', 'protobuf-confluent.url' = '{url}',
         'protobuf-confluent.schema-file' = 'order.proto', 'protobuf-confluent.message-name' = 'shop.Order'"
    );
    let rows = "(1, 'scooter', ARRAY['a', 'b'], TRUE, 'OLD'),
        (2, CAST(NULL AS STRING), ARRAY['x'], CAST(NULL AS BOOLEAN), 'NEW')";
    let columns = "id INT, name STRING, tags ARRAY<STRING>, paid BOOLEAN, kind STRING";
    let found = written("protobuf_written", &kafka, &lab, columns, &options, rows);
    assert_eq!(found, recorded("protobuf_written"));
}
