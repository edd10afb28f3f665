//! What `datagen` generates.

use std::sync::Arc;

use flott_connector::{Payload, SplitInfo, TableColumn};
use flott_expr::Value;
use flott_types::{ColumnKind, DataType, Options, Schema, Span, TypeKind};

use super::*;

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescription {
    let columns = columns.iter().enumerate().map(|(i, (name, data_type))| TableColumn {
        name: name.to_string(),
        data_type: data_type.clone(),
        kind: ColumnKind::Physical,
        span: Span::new(i, i + 1),
    });
    let mut all = Options::new();
    all.set("connector", "datagen");
    options.iter().for_each(|(key, value)| all.set(*key, *value));
    TableDescription {
        name: "t".into(),
        columns: columns.collect(),
        options: all,
        ..TableDescription::default()
    }
}

fn rows(table: &TableDescription, range: std::ops::Range<u64>) -> Vec<Vec<Value>> {
    let scan = ScanRequest {
        projection: (0..table.columns.len()).collect(),
        schema: Schema::new(table.schema().fields),
        filter: None,
        batch_rows: 3,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let source = Datagen.source(table, scan, &Registry::new()).unwrap();
    let split = Arc::new(SplitInfo::default());
    let chunk = Chunk {
        split,
        sequence: 0,
        offset: 0,
        payload: Payload::Rows(range),
        bytes_in: 0,
        time: Default::default(),
    };
    let context =
        EvalContext { now_micros: 0, time_zone: "UTC".parse().unwrap(), random_seed: 0, watermark: None };
    let mut all = Vec::new();
    let mut keep = |decoded: Decoded| {
        for row in 0..decoded.batch.num_rows() {
            let columns = decoded.batch.columns().iter().zip(&table.columns);
            all.push(columns.map(|(array, it)| Value::from_array(array, row, &it.data_type)).collect());
        }
        Ok(())
    };
    source.decoder().unwrap().decode(&chunk, &context, &mut keep).unwrap();
    all
}

fn errors(table: &TableDescription) -> Vec<String> {
    let mut errors = Vec::new();
    Datagen.validate(table, &Registry::new(), &mut errors);
    errors
        .into_iter()
        .map(|error| {
            [error.message.as_str()]
                .into_iter()
                .chain(error.help.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" | ")
        })
        .collect()
}

#[test]
fn every_type_has_values_that_depend_on_the_row_number_alone() {
    let kinds = [
        TypeKind::Boolean,
        TypeKind::Char(3),
        TypeKind::Varchar(5),
        TypeKind::Binary(3),
        TypeKind::Varbinary(4),
        TypeKind::Decimal(5, 2),
        TypeKind::Decimal(38, 0),
        TypeKind::TinyInt,
        TypeKind::SmallInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(9),
        TypeKind::TimestampLtz(3),
        TypeKind::Map(Box::new(DataType::boolean()), Box::new(DataType::int())),
        TypeKind::Multiset(Box::new(DataType::string())),
        TypeKind::Array(Box::new(DataType::row([("a", DataType::int()), ("b", DataType::string())]))),
    ];
    let columns: Vec<(String, DataType)> =
        kinds.into_iter().enumerate().map(|(i, kind)| (format!("c{i}"), kind.into())).collect();
    let columns: Vec<_> = columns.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect();
    let table = table(&columns, &[("fields.c9.null-rate", "0.5"), ("number-of-rows", "9")]);
    assert_eq!(errors(&table), [] as [&str; 0]);
    let whole = rows(&table, 0..9);
    assert_eq!(whole[7..8], rows(&table, 7..8));
    assert!(whole.iter().any(|row| row[9] == Value::Null));
    assert!(whole.iter().flatten().filter(|value| value.is_null()).count() < 9);
}

#[test]
fn sequences_end_the_table_and_bounds_hold() {
    let columns = [("n", DataType::string()), ("d", TypeKind::Decimal(5, 2).into()), ("r", DataType::int())];
    let mut options = vec![("fields.n.kind", "sequence"), ("fields.n.start", "5"), ("fields.n.end", "7")];
    options.extend([("fields.d.kind", "sequence"), ("fields.d.start", "-1"), ("fields.d.end", "9")]);
    options.extend([("fields.r.min", "4"), ("fields.r.max", "4")]);
    let table = table(&columns, &options);
    assert_eq!(Settings::read(&table, &mut Vec::new()).rows, Some(3));
    assert!(Datagen.is_bounded(&table));
    let row = |n: &str, d: i128| vec![Value::String(n.into()), Value::Decimal(d), Value::Int(4)];
    assert_eq!(rows(&table, 0..3), [row("5", -100), row("6", 0), row("7", 100)]);
}

#[test]
fn mistakes_are_all_reported() {
    let columns = [
        ("price", DataType::int()),
        ("at", TypeKind::Timestamp(3).into()),
        ("v", TypeKind::Varchar(3).into()),
    ];
    let options = [
        ("fields.prize.min", "1"),
        ("fields.price.min", "9"),
        ("fields.price.max", "3"),
        ("fields.at.length", "3"),
        ("fields.v.length", "9"),
    ];
    assert_eq!(
        errors(&table(&columns, &options)),
        [
            "option 'fields.price.max' = '3': 'min' is greater than 'max'",
            "option 'fields.v.length' = '9': longer than VARCHAR(3)",
            "option 'fields.at.length' means nothing for column 'at' of type TIMESTAMP(3)",
            "no column 'prize' for option 'fields.prize.min' | did you mean 'fields.price.min'?",
        ]
    );
    let sequence =
        table(&[("b", DataType::boolean())], &[("fields.b.kind", "sequence"), ("fields.b.start", "1")]);
    assert_eq!(
        errors(&sequence),
        [
            "option 'fields.b.kind' = 'sequence': a column of type BOOLEAN cannot count",
            "a sequence needs the option 'fields.b.end'",
        ]
    );
}

#[test]
fn the_same_rows_come_again_behind_any_row() {
    let columns = [("n", DataType::bigint()), ("text", DataType::string())];
    let options = [("number-of-rows", "60"), ("rows-per-second", "20000"), ("fields.n.null-rate", "0.3")];
    let table = table(&columns, &options);
    let scan = ScanRequest {
        projection: vec![0, 1],
        schema: Schema::new(table.schema().fields),
        filter: None,
        batch_rows: 7,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let source = Datagen.source(&table, scan, &Registry::new()).unwrap();
    let context =
        EvalContext { now_micros: 0, time_zone: "UTC".parse().unwrap(), random_seed: 0, watermark: None };
    let reading = flott_connector::ReadContext {
        buffers: Default::default(),
        stop: Default::default(),
        clock: Arc::new(flott_connector::SystemClock::new()),
        idle_timeout: None,
    };
    flott_connector::conformance::source_resumes(source.as_ref(), &reading, &context).unwrap();
    let middle = serde_json::json!({"row": 30});
    let mut reader = source.reader(Some(&middle)).unwrap();
    let chunk = reader.next_chunk(&reading).unwrap().unwrap();
    assert_eq!((chunk.offset, chunk.time.finished), (30, true));
    assert!(source.reader(Some(&serde_json::json!("?"))).is_err());
}
