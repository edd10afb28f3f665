//! All that the formats do, from the outside.

mod changes;
mod evolution;
mod files;
mod flink;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int8Array},
    record_batch::RecordBatch,
};
use flott_connector::{
    Blocks, Chunk, ColumnKind, Decoded, Format, FormatRequest, Messages, Payload, ScanRequest, Slices,
    SplitInfo, TableColumn, TableDescription,
};
use flott_types::{DataType, Options, Span, TypeKind};
use proptest::prelude::*;

use super::{Avro, resolve, schema::Schema};
use crate::json::{JsonFormat, test_context};

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescription {
    let column = |(name, data_type): &(&str, DataType)| TableColumn {
        name: (*name).into(),
        data_type: data_type.clone(),
        kind: ColumnKind::Physical,
        span: Span::default(),
    };
    let mut table =
        TableDescription { columns: columns.iter().map(column).collect(), ..TableDescription::default() };
    options.iter().for_each(|(key, value)| table.options.set(*key, *value));
    table
}

fn scan(table: &TableDescription, projection: &[usize]) -> ScanRequest {
    ScanRequest {
        projection: projection.to_vec(),
        schema: table.schema().project(projection),
        filter: None,
        batch_rows: 1000,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    }
}

fn chunk(payload: Payload) -> Chunk {
    let split = Arc::new(SplitInfo { name: "here".into(), ..SplitInfo::default() });
    Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() }
}

/// What a decoder of these columns makes of a payload, in one batch.
fn decode(
    format: &dyn Format,
    table: &TableDescription,
    projection: &[usize],
    payload: Payload,
) -> flott_types::Result<Decoded> {
    let request = FormatRequest { table, schema: table.schema() };
    let mut decoder = format.decoder(&request, &scan(table, projection), Vec::new())?;
    let mut all = Vec::new();
    let mut emit = |decoded| {
        all.push(decoded);
        Ok(())
    };
    let chunk = chunk(payload);
    match &chunk.payload {
        Payload::Messages(messages) => {
            decoder.decode_messages(&messages.values, &chunk, &test_context(), &mut emit)?;
        }
        _ => decoder.decode(&chunk, &test_context(), &mut emit)?,
    }
    assert_eq!(all.len(), 1);
    let it = all.remove(0);
    let parts = it.batch.num_rows() + it.rejected.len();
    assert_eq!(it.read, parts as u64 + it.skipped + it.filtered);
    assert_eq!(it.rows.len(), it.batch.num_rows());
    Ok(it)
}

fn messages<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>) -> Payload {
    let mut slices = Slices::default();
    values.into_iter().for_each(|value| assert!(slices.push(value)));
    Payload::Messages(Box::new(Messages { values: slices, ..Messages::default() }))
}

fn encode(
    format: &dyn Format,
    table: &TableDescription,
    batch: &RecordBatch,
    kinds: Option<&Int8Array>,
) -> flott_types::Result<Slices> {
    let request = FormatRequest { table, schema: table.schema() };
    let mut encoder = format.encoder(&request, &test_context())?;
    let mut out = Slices::default();
    encoder.encode_messages(batch, kinds, &mut out)?;
    Ok(out)
}

/// Rows from JSON lines, by another format.
fn rows(table: &TableDescription, lines: &str) -> RecordBatch {
    let projection: Vec<usize> = (0..table.columns.len()).collect();
    let payload = Payload::Bytes(lines.as_bytes().to_vec());
    let decoded = decode(&JsonFormat, table, &projection, payload).unwrap();
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    decoded.batch
}

fn of(kind: TypeKind) -> DataType {
    kind.into()
}

/// A table with a column of every type.
fn every_type() -> TableDescription {
    let row = DataType::row([("x", DataType::int().not_null()), ("y", DataType::array(DataType::string()))]);
    table(
        &[
            ("b", DataType::boolean()),
            ("i1", of(TypeKind::TinyInt)),
            ("i2", of(TypeKind::SmallInt)),
            ("i4", DataType::int()),
            ("i8", DataType::bigint()),
            ("f4", of(TypeKind::Float)),
            ("f8", DataType::double()),
            ("s", DataType::string()),
            ("bytes", DataType::bytes()),
            ("day", of(TypeKind::Date)),
            ("at", of(TypeKind::Time(3))),
            ("ms", of(TypeKind::Timestamp(3))),
            ("us", of(TypeKind::TimestampLtz(6))),
            ("ns", of(TypeKind::Timestamp(9))),
            ("price", of(TypeKind::Decimal(38, 4))),
            ("list", DataType::array(DataType::array(DataType::int()))),
            ("map", DataType::map(DataType::string(), row.clone())),
            ("bag", of(TypeKind::Multiset(Box::new(DataType::string())))),
            ("row", row),
        ],
        &[("avro.timestamp_mapping.legacy", "false")],
    )
}

const EVERYTHING: &str = r#"
{"b":true,"i1":-128,"i2":32767,"i4":-2147483648,"i8":9223372036854775807,"f4":1.5,"f8":-2.25,"s":"ü","bytes":"AAEC","day":"1969-12-31","at":"23:59:59.999","ms":"2026-01-01 00:00:00.001","us":"1900-01-01 00:00:00.000001Z","ns":"2026-01-01 00:00:00.000000001","price":-1234567890123456789012345678901234.5678,"list":[[1,null],null,[]],"map":{"k":{"x":1,"y":["a",null]},"l":null},"bag":{"e":2},"row":{"x":7,"y":[]}}
{"b":null,"i1":null,"i2":null,"i4":null,"i8":null,"f4":null,"f8":null,"s":null,"bytes":null,"day":null,"at":null,"ms":null,"us":null,"ns":null,"price":null,"list":null,"map":null,"bag":null,"row":null}
{"b":false,"i1":0,"i2":0,"i4":0,"i8":0,"f4":0,"f8":0,"s":"","bytes":"","day":"0001-01-01","at":"00:00:00","ms":"0001-01-01 00:00:00","us":"2026-01-01 00:00:00Z","ns":"1970-01-01 00:00:00","price":0,"list":[],"map":{},"bag":{},"row":{"x":-1,"y":null}}
"#;

#[test]
fn what_is_written_is_read_back() {
    let table = every_type();
    let batch = rows(&table, EVERYTHING);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let written = encode(&Avro, &table, &batch, None).unwrap();
    let decoded = decode(&Avro, &table, &all, messages(written.iter())).unwrap();
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    assert_eq!(decoded.batch, batch);
    assert_eq!(decoded.rows, [0..0, 1..1, 2..2]);
    // Any two columns, the others skipped.
    for pair in [[0, 18], [18, 3], [7, 15]] {
        let decoded = decode(&Avro, &table, &pair, messages(written.iter())).unwrap();
        assert_eq!(decoded.batch.columns(), [batch.column(pair[0]).clone(), batch.column(pair[1]).clone()]);
    }
    let none = decode(&Avro, &table, &[], messages(written.iter())).unwrap();
    assert_eq!(none.batch.num_rows(), 3);
}

#[test]
fn a_bad_message_costs_only_itself() {
    let table = every_type();
    let batch = rows(&table, EVERYTHING);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let written = encode(&Avro, &table, &batch, None).unwrap();
    let good = written.get(0).unwrap();
    for cut in 0..good.len() {
        let payload = messages([Some(good), Some(&good[..cut]), None, Some(good)]);
        let decoded = decode(&Avro, &table, &all, payload).unwrap();
        assert_eq!(decoded.rejected.len(), 1, "cut at {cut}");
        assert_eq!(decoded.rejected[0].record, 1..1);
        assert_eq!((decoded.skipped, &decoded.rows), (1, &vec![0..0, 3..3]));
        assert_eq!(decoded.batch.slice(1, 1), batch.slice(0, 1));
    }
    let text = super::Avro;
    let names = self::table(&[("s", DataType::string().not_null())], &[]);
    let decoded =
        decode(&text, &names, &[0], messages([Some(&[4, 0xff, 0xfe][..]), Some(&[2, b'a'])])).unwrap();
    assert_eq!(decoded.rejected[0].message, "field 's': at byte 0 of the record: invalid UTF-8");
    assert_eq!(decoded.batch.num_rows(), 1);
}

#[test]
fn null_cannot_be_written_where_it_cannot_be_read() {
    let nullable = table(&[("id", DataType::bigint())], &[]);
    let strict = table(&[("id", DataType::bigint().not_null())], &[]);
    let batch = rows(&nullable, "{\"id\":null}");
    let error = encode(&Avro, &strict, &batch, None).unwrap_err();
    assert_eq!(error.message, "column 'id': NULL, and its type in the schema isn't nullable");
}

fn cell() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![Just(serde_json::Value::Null), any::<i32>().prop_map(Into::into),];
    prop::collection::vec(leaf, 0..5).prop_map(Into::into)
}

fn line() -> impl Strategy<Value = String> {
    let number = prop_oneof![Just(None), any::<i64>().prop_map(Some)];
    let text = prop_oneof![Just(None), ".{0,40}".prop_map(Some)];
    let decimal = prop_oneof![Just(None), (-99_999_999i64..99_999_999).prop_map(Some)];
    (number, text, decimal, cell(), any::<f64>().prop_filter("finite", |it| it.is_finite())).prop_map(
        |(n, t, d, list, f)| {
            let d = d.map(|it| format!("{}.{:02}", it / 100, (it % 100).abs()));
            serde_json::json!({"n": n, "t": t, "d": d, "list": list, "f": f}).to_string()
        },
    )
}

fn random_table() -> TableDescription {
    table(
        &[
            ("n", DataType::bigint()),
            ("t", DataType::string()),
            ("d", of(TypeKind::Decimal(10, 2))),
            ("list", DataType::array(DataType::int())),
            ("f", DataType::double()),
        ],
        &[],
    )
}

proptest! {
    #[test]
    fn random_rows_there_and_back(lines in prop::collection::vec(line(), 1..30)) {
        let table = random_table();
        let batch = rows(&table, &lines.join("\n"));
        let written = encode(&Avro, &table, &batch, None).unwrap();
        let decoded = decode(&Avro, &table, &[0, 1, 2, 3, 4], messages(written.iter())).unwrap();
        prop_assert_eq!(decoded.batch, batch);
    }

    #[test]
    fn random_bytes_never_harm(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
        for table in [random_table(), every_type()] {
            let projection: Vec<usize> = (0..table.columns.len()).collect();
            let payload = messages(all.iter().map(|it| Some(it.as_slice())));
            decode(&Avro, &table, &projection, payload).unwrap();
        }
    }
}

/// The columns of records written in one schema and read as a table, or why they can't be.
fn plan(schema: &str, columns: &[(&str, DataType)]) -> Result<resolve::Node, String> {
    resolve::resolve(&Schema::parse(schema).unwrap(), &table(columns, &[]).schema().fields, None)
}

fn first_column(decoded: &Decoded) -> &ArrayRef {
    decoded.batch.column(0)
}

#[test]
fn a_block_that_lies_about_its_length_is_refused_by_whoever_reads_it() {
    let table = table(&[("numbers", DataType::array(DataType::int().not_null()).not_null())], &[]);
    // Two items in as many bytes; and the same in three, the third of which ends the array.
    for (message, reason) in
        [(&[3, 4, 2, 4, 0][..], None), (&[3, 6, 2, 4, 0], Some("a block of 2 bytes says that it has 3"))]
    {
        let read = decode(&Avro, &table, &[0], messages([Some(message)])).unwrap();
        let said = read.rejected.first().map(|it| it.message.as_str());
        match (said, reason) {
            (Some(said), Some(reason)) => assert!(said.contains(reason), "{said}"),
            _ => assert_eq!(said, reason),
        }
    }
}

/// Blocks as a reader of files hands them over.
fn blocks(file: &[u8]) -> (super::container::Header, Blocks) {
    let header = super::container::Header::parse(file).unwrap().unwrap();
    let (head, mut rest) = file.split_at(header.bytes);
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        let end = super::container::Header::block_end(rest).unwrap().unwrap();
        header.expand(&rest[..end], &mut bytes).unwrap();
        rest = &rest[end..];
    }
    let blocks = Blocks { header: head.into(), bytes };
    (header, blocks)
}
