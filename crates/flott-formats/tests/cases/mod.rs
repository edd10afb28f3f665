//! The formats of messages, each with tables of all types that it holds.

pub mod samples;

use std::sync::Arc;

use arrow::{array::Int8Array, record_batch::RecordBatch};
use flott_connector::{ColumnKind, Format, TableColumn, TableDescription};
use flott_expr::EvalContext;
use flott_formats::{
    avro::Avro,
    cdc::CdcJsonFormat,
    conformance::Case,
    csv::Csv,
    json::{ChangelogJsonFormat, JsonFormat},
    protobuf::Protobuf,
    raw::RawFormat,
};
use flott_types::{DataType, Span, TypeKind};
use samples::Kinds;

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
    Case { name: name.into(), format, table, context }
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

    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/conformance.proto");
    let options =
        [("protobuf.schema-file", schema), ("protobuf.message-name", "flott.conformance.Everything")];
    // Maps and arrays that are empty can't be told from NULL, elements can't be NULL.
    let kinds = Kinds { nulls: true, inner_nulls: false, wild_text: true, not_finite: true };
    out.push(plain(case("protobuf", Arc::new(Protobuf), &protobuf(), &options), kinds));

    let finite = Kinds { not_finite: false, ..ANY };
    let options = [("avro.timestamp_mapping.legacy", "false")];
    out.push(plain(case("avro", Arc::new(Avro), &both, &options), finite));
    out
}
