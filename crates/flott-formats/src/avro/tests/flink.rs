//! Beside what a real Flink wrote to topics (recorded in `tests/kafka_differential`).

use serde_json::Value;

use super::*;
use crate::avro::{AVRO, CONFLUENT, DEBEZIUM, own_schema};

fn recorded(path: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kafka_differential");
    let text = std::fs::read_to_string(format!("{folder}/{path}")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes(line: &Value) -> Vec<u8> {
    let hex = line["value"]["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn columns() -> Vec<(&'static str, DataType)> {
    let inner = DataType::row([("c", DataType::string())]);
    vec![
        ("id", DataType::int()),
        ("b", DataType::boolean()),
        ("l", DataType::bigint()),
        ("f", of(TypeKind::Float)),
        ("d", DataType::double()),
        ("num", of(TypeKind::Decimal(12, 3))),
        ("s", DataType::string()),
        ("bin", DataType::bytes()),
        ("dt", of(TypeKind::Date)),
        ("tm", of(TypeKind::Time(0))),
        ("ts", of(TypeKind::Timestamp(3))),
        ("arr", DataType::array(DataType::string())),
        ("m", DataType::map(DataType::string(), DataType::int())),
        ("r", DataType::row([("a", DataType::int()), ("n", inner)])),
    ]
}

#[test]
fn its_messages_are_read_and_written() {
    let table = table(&columns(), &[]);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let written: Vec<Vec<u8>> = recorded("expected/avro.ndjson").iter().map(bytes).collect();
    let decoded =
        decode(&Avro, &table, &all, messages(written.iter().map(|it| Some(it.as_slice())))).unwrap();
    assert_eq!((decoded.batch.num_rows(), decoded.rejected.len()), (written.len(), 0));
    let ours = encode(&Avro, &table, &decoded.batch, None).unwrap();
    assert_eq!(ours.iter().map(|it| it.unwrap().to_vec()).collect::<Vec<_>>(), written);
    let shown: Vec<String> = recorded("expected/avro_read.ndjson")
        .iter()
        .map(|line| line["value"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(rows(&table, &shown.join("\n")), decoded.batch);
}

#[test]
fn its_schemas_are_derived() {
    let derived = |table: &TableDescription, prefix| {
        let request = FormatRequest { table, schema: table.schema() };
        serde_json::from_str::<Value>(&own_schema(&request, prefix).unwrap().0).unwrap()
    };
    let rows = table(&columns(), &[]);
    assert_eq!(derived(&rows, CONFLUENT), recorded("expected/avro_confluent.ndjson")[0]["schema"]);
    assert_eq!(derived(&rows, AVRO), derived(&rows, CONFLUENT));
    let columns = [("id", DataType::int()), ("name", DataType::string()), ("weight", DataType::double())];
    let changes = table(&columns, &[]);
    assert_eq!(derived(&changes, DEBEZIUM), recorded("expected/debezium_avro.ndjson")[0]["schema"]);
}
