//! The formats of messages, each with tables of all types that it holds.

#![allow(dead_code, reason = "not every test uses all of it")]

pub mod registry;
pub mod samples;
pub mod targets;

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{ColumnKind, Format, TableColumn, TableDescription};
use flott_expr::EvalContext;
use flott_formats::{
    avro::{Avro, AvroConfluent, DebeziumAvroConfluent},
    cdc::CdcJsonFormat,
    conformance::Case,
    csv::Csv,
    json::{ChangelogJsonFormat, JsonFormat},
    protobuf::{Protobuf, ProtobufConfluent},
    raw::RawFormat,
};
use flott_types::{DataType, Span, TypeKind};
use samples::Kinds;
use serde_json::json;

/// A case, and rows for it.
pub struct Sample {
    pub case: Case,
    pub kinds: Kinds,
    /// What rows do as they are written and as they are read again.
    pub changes: Option<(Vec<i8>, Vec<i8>)>,
}

impl Sample {
    pub fn batch(&self, seed: u64) -> RecordBatch {
        let rows = self.changes.as_ref().map_or(6, |(written, _)| written.len());
        samples::batch(&self.case.schema(), rows, seed, self.kinds)
    }
    pub fn written(&self) -> Option<Int8Array> {
        self.changes.as_ref().map(|(written, _)| Int8Array::from(written.clone()))
    }
}

/// Maps and arrays that are empty can't be told from NULL, elements can't be NULL.
const PROTOBUF: Kinds = Kinds { nulls: true, inner_nulls: false, wild_text: true, not_finite: true };
const PROTO_MESSAGE: &str = "flott.conformance.Everything";
const PROTO: &str = include_str!("conformance.proto");

/// The schema of [`PROTO`] as a file: beside this one, wherever it is compiled.
fn proto_file() -> String {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/conformance.proto");
    let fuzzed =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/flott-formats/tests/cases/conformance.proto");
    if std::path::Path::new(own).exists() { own.into() } else { fuzzed.into() }
}

const ANY: Kinds = Kinds { nulls: true, inner_nulls: true, wild_text: true, not_finite: true };

fn case(name: &str, format: Arc<dyn Format>, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Case {
    let mut table = TableDescription { name: "t".into(), ..TableDescription::default() };
    for (name, data_type) in columns {
        let (name, data_type, kind) = (name.to_string(), data_type.clone(), ColumnKind::Physical);
        table.columns.push(TableColumn { name, data_type, kind, span: Span::default() });
    }
    for (key, value) in options {
        table.options.set(*key, *value);
    }
    let context = EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };
    Case { name: name.into(), format, table, context, rewritable: true }
}

/// Types that nearly every format holds.
fn simple() -> Vec<(&'static str, DataType)> {
    vec![
        ("bool", DataType::boolean()),
        ("tiny", TypeKind::TinyInt.into()),
        ("small", TypeKind::SmallInt.into()),
        ("int", DataType::int()),
        ("big", DataType::bigint()),
        ("float", TypeKind::Float.into()),
        ("double", DataType::double()),
        ("text", DataType::string()),
        ("bytes", DataType::bytes()),
        ("decimal", TypeKind::Decimal(18, 4).into()),
        ("date", TypeKind::Date.into()),
        ("time", TypeKind::Time(3).into()),
        ("millis", TypeKind::Timestamp(3).into()),
        ("micros", TypeKind::Timestamp(6).into()),
        ("instant", TypeKind::TimestampLtz(3).into()),
    ]
}

fn nested() -> Vec<(&'static str, DataType)> {
    let row = DataType::row([("a", DataType::bigint()), ("b", DataType::string())]);
    vec![
        ("row", row.clone()),
        ("texts", DataType::array(DataType::string())),
        ("rows", DataType::array(row.clone())),
        ("counts", DataType::map(DataType::string(), DataType::bigint())),
        ("by_name", DataType::map(DataType::string(), row)),
    ]
}

fn protobuf() -> Vec<(&'static str, DataType)> {
    let inner = DataType::row([
        ("c", DataType::array(DataType::int())),
        ("a", DataType::bigint()),
        ("b", DataType::string()),
    ]);
    vec![
        ("int64", DataType::bigint()),
        ("bool", DataType::boolean()),
        ("int32", DataType::int()),
        ("sint32", DataType::int()),
        ("sfixed32", DataType::int()),
        ("uint32", DataType::int()),
        ("fixed32", DataType::int()),
        ("sint64", DataType::bigint()),
        ("sfixed64", DataType::bigint()),
        ("uint64", TypeKind::Decimal(20, 0).into()),
        ("fixed64", DataType::bigint()),
        ("float", TypeKind::Float.into()),
        ("double", DataType::double()),
        ("string", DataType::string()),
        ("bytes", DataType::bytes()),
        ("row", inner.clone()),
        ("ints", DataType::array(DataType::int())),
        ("packed", DataType::array(DataType::bigint())),
        ("doubles", DataType::array(DataType::double())),
        ("strings", DataType::array(DataType::string())),
        ("rows", DataType::array(inner.clone())),
        ("numbers", DataType::map(DataType::string(), DataType::bigint())),
        ("messages", DataType::map(DataType::int(), inner)),
        ("far", DataType::bytes()),
    ]
}

/// Every format, by name.
pub fn all() -> Vec<Sample> {
    let plain = |case, kinds| Sample { case, kinds, changes: None };
    let mut out = Vec::new();
    let both: Vec<_> = simple().into_iter().chain(nested()).collect();
    out.push(plain(case("json", Arc::new(JsonFormat), &both, &[]), ANY));

    // Each kind twice; captured changes are written as deletions and insertions.
    let all_kinds = vec![0, 1, 2, 3, 1, 2, 3, 0];
    let split: Vec<i8> = all_kinds.iter().map(|kind| if kind % 2 == 1 { 3 } else { 0 }).collect();
    let mut changes = |name, format: Arc<dyn Format>, read: &[i8]| {
        let case = case(name, format, &both, &[]);
        out.push(Sample { case, kinds: ANY, changes: Some((all_kinds.clone(), read.to_vec())) });
    };
    changes("changelog-json", Arc::new(ChangelogJsonFormat), &all_kinds);
    changes("debezium-json", Arc::new(CdcJsonFormat::debezium()), &split);
    changes("canal-json", Arc::new(CdcJsonFormat::canal()), &split);
    changes("maxwell-json", Arc::new(CdcJsonFormat::maxwell()), &split);
    changes("ogg-json", Arc::new(CdcJsonFormat::ogg()), &split);

    let options = [("avro.timestamp_mapping.legacy", "false")];
    out.push(plain(case("avro", Arc::new(Avro), &both, &options), ANY));

    let mut columns = simple();
    columns.push(("texts", DataType::array(DataType::string())));
    columns.push(("row", DataType::row([("a", DataType::bigint()), ("b", DataType::string())])));
    let tame = Kinds { nulls: true, inner_nulls: false, wild_text: false, not_finite: true };
    let options = [("csv.null-literal", "NULL")];
    out.push(plain(case("csv", Arc::new(Csv), &columns, &options), tame));
    let texts = [("int", DataType::int()), ("text", DataType::string())];
    let wild = Kinds { wild_text: true, ..tame };
    out.push(plain(case("csv", Arc::new(Csv), &texts, &options), wild));

    for (name, data_type) in simple() {
        let held = data_type.is_character() || data_type.is_binary() || data_type.is_integer();
        if held || data_type.is_approximate() || data_type.kind == TypeKind::Boolean {
            out.push(plain(case("raw", Arc::new(RawFormat), &[(name, data_type)], &[]), ANY));
        }
    }

    let schema = proto_file();
    let options = [("protobuf.schema-file", schema.as_str()), ("protobuf.message-name", PROTO_MESSAGE)];
    out.push(plain(case("protobuf", Arc::new(Protobuf), &protobuf(), &options), PROTOBUF));

    let finite = Kinds { not_finite: false, ..ANY };
    let options = [("avro.timestamp_mapping.legacy", "false")];
    out.push(plain(case("avro", Arc::new(Avro), &both, &options), finite));
    out
}

/// The formats whose messages name a schema in a registry; each has a registry of its own, with schemas of others
/// in it, which have all or some of the columns, or none of any use.
pub fn registered() -> Vec<Sample> {
    let avro = [
        ("timestamp_mapping.legacy", "false".to_string()),
        (
            "url",
            registry::registry(vec![
                json!({"schema": OTHER_RECORD}),
                json!({"schema": format!("[\"null\",{OTHER_RECORD}]")}),
                json!({"schema": r#"{"type":"record","name":"n","fields":[
                {"name":"next","type":["null","n"]},{"name":"int","type":"int"}]}"#}),
                json!({"schema": "no schema"}),
                json!({"schema": PROTO, "schemaType": "PROTOBUF"}),
            ]),
        ),
    ];
    let envelope = |sides: &str| {
        format!(
            r#"{{"type":"record","name":"Envelope","fields":[{{"name":"before","type":["null",{OTHER_RECORD}]}},
            {{"name":"after","type":["null","Other"]}},{{"name":"source","type":{sides}}},
            {{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"],"default":null}}]}}"#
        )
    };
    let debezium = [
        ("timestamp_mapping.legacy", "false".to_string()),
        (
            "url",
            registry::registry(vec![
                json!({"schema": envelope("\"string\"")}),
                json!({"schema": envelope(r#"{"type":"array","items":["null","double"]}"#)}),
                json!({"schema": OTHER_RECORD}),
            ]),
        ),
    ];
    let protobuf_options = [
        ("schema-file", proto_file()),
        ("message-name", PROTO_MESSAGE.to_string()),
        (
            "url",
            registry::registry(vec![
                json!({"schema": OTHER_PROTO, "schemaType": "PROTOBUF"}),
                json!({"schema": "message {", "schemaType": "PROTOBUF"}),
                json!({"schema": "\"int\""}),
            ]),
        ),
    ];
    let both: Vec<_> = simple().into_iter().chain(nested()).collect();
    let sample = |format: Arc<dyn Format>, columns: &[(&str, DataType)], options: &[(&str, String)]| {
        let name = format.name();
        let mut case = case(name, format, columns, &[]);
        for (key, value) in options.iter().chain([&("subject", "t-value".to_string())]) {
            case.table.options.set(format!("{name}.{key}"), value.as_str());
        }
        Sample { case, kinds: ANY, changes: None }
    };
    let plain = sample(Arc::new(AvroConfluent), &both, &avro);
    let mut captured = sample(Arc::new(DebeziumAvroConfluent), &both, &debezium);
    captured.changes = Some((vec![0, 1, 2, 3], vec![0, 3, 0, 3]));
    let mut messages = sample(Arc::new(ProtobufConfluent), &protobuf(), &protobuf_options);
    messages.kinds = PROTOBUF;
    vec![plain, captured, messages]
}

/// What another program calls the columns' types.
const OTHER_RECORD: &str = r#"{"type":"record","name":"Other","fields":[
    {"name":"row","type":{"type":"record","name":"Inner","fields":[
        {"name":"b","type":["string","null"]},{"name":"more","type":"double"},{"name":"a","type":"int"}]}},
    {"name":"tree","type":{"type":"record","name":"Tree","fields":[
        {"name":"value","type":"int"},{"name":"children","type":{"type":"array","items":"Tree"}}]}},
    {"name":"int","type":["string","int","null"]},
    {"name":"big","type":"int"},
    {"name":"double","type":["float","null","long"]},
    {"name":"text","type":{"type":"enum","name":"Colour","symbols":["RED","GREEN"]}},
    {"name":"bytes","type":{"type":"fixed","name":"Four","size":4}},
    {"name":"decimal","type":{"type":"fixed","name":"Price","size":8,"logicalType":"decimal","precision":18,"scale":4}},
    {"name":"nothing","type":{"type":"array","items":"null"}},
    {"name":"texts","type":["null",{"type":"array","items":["null","string"]}]},
    {"name":"rows","type":{"type":"array","items":["null","Inner"]}},
    {"name":"counts","type":{"type":"map","values":"int"}}]}"#;

/// A schema with some of the columns of [`PROTO`], in other places and of other types.
const OTHER_PROTO: &str = r#"syntax = "proto3";
message First { message Inner { repeated Second all = 1; } Inner row = 1; string string = 2; int64 int64 = 3; }
message Second { int32 int32 = 16; repeated string strings = 1; map<string, int64> numbers = 2; Second more = 3;
  repeated int32 ints = 4 [packed = false]; bytes bytes = 5; float float = 6; uint64 uint64 = 7; }
"#;

/// A table of the files in `tests/fixtures/avro`.
pub fn of_files() -> Sample {
    let columns = [
        ("id", DataType::bigint()),
        ("flag", DataType::boolean()),
        ("small", TypeKind::SmallInt.into()),
        ("f", TypeKind::Float.into()),
        ("d", DataType::double()),
        ("text", DataType::string()),
        ("raw", DataType::bytes()),
        ("colour", DataType::string()),
        ("four", DataType::bytes()),
        ("price", TypeKind::Decimal(12, 2).into()),
        ("total", TypeKind::Decimal(20, 4).into()),
        ("day", TypeKind::Date.into()),
        ("at", TypeKind::Time(3).into()),
        ("millis", TypeKind::Timestamp(3).into()),
        ("micros", TypeKind::Timestamp(6).into()),
        ("numbers", DataType::array(DataType::int())),
        ("counts", DataType::map(DataType::string(), DataType::bigint())),
        ("inner", DataType::row([("x", DataType::int())])),
        ("mixed", DataType::string()),
        ("missing", DataType::bigint()),
    ];
    let options = [("avro.timestamp_mapping.legacy", "false"), ("connector", "filesystem")];
    Sample { case: case("avro-file", Arc::new(Avro), &columns, &options), kinds: ANY, changes: None }
}
