//! Files: those of others, and what is written.

use flott_types::TypeKind;

use super::*;
use crate::avro::{
    container::{Codec, Header, MARKER_BYTES},
    wire::put_long,
};

/// The columns of the files in `tests/fixtures/avro` (see `make.py` there).
fn others() -> TableDescription {
    table(
        &[
            ("id", DataType::bigint()),
            ("flag", DataType::boolean()),
            ("small", of(TypeKind::SmallInt)),
            ("f", of(TypeKind::Float)),
            ("d", DataType::double()),
            ("text", DataType::string()),
            ("raw", DataType::bytes()),
            ("colour", DataType::string()),
            ("four", DataType::bytes()),
            ("price", of(TypeKind::Decimal(12, 2))),
            ("total", of(TypeKind::Decimal(20, 4))),
            ("day", of(TypeKind::Date)),
            ("at", of(TypeKind::Time(3))),
            ("millis", of(TypeKind::Timestamp(3))),
            ("micros", of(TypeKind::Timestamp(6))),
            ("numbers", DataType::array(DataType::int())),
            ("counts", DataType::map(DataType::string(), DataType::bigint())),
            ("inner", DataType::row([("x", DataType::int())])),
        ],
        &[("avro.timestamp_mapping.legacy", "false")],
    )
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/avro");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

#[test]
fn files_of_other_programs() {
    let table = others();
    let expected = rows(&table, &String::from_utf8(fixture("expected.ndjson")).unwrap());
    let all: Vec<usize> = (0..table.columns.len()).collect();
    for name in ["null", "deflate", "snappy", "zstandard"].map(|codec| format!("fastavro-{codec}.avro")) {
        let (_, blocks) = blocks(&fixture(&name));
        let decoded = decode(&Avro, &table, &all, Payload::Blocks(blocks.into())).unwrap();
        assert_eq!(decoded.rejected, [], "{name}");
        assert_eq!(decoded.batch, expected, "{name}");
    }
    let (_, blocks) = blocks(&fixture("apache.avro"));
    let some = [17, 0, 14];
    let decoded = decode(&Avro, &table, &some, Payload::Blocks(blocks.into())).unwrap();
    assert_eq!(decoded.batch.columns(), some.map(|at| expected.column(at).clone()));
}

#[test]
fn a_file_that_does_not_fit_is_an_error_and_a_bad_record_is_not() {
    let (_, whole) = blocks(&fixture("fastavro-null.avro"));
    let read = |columns: &[(&str, DataType)], blocks: &Blocks| {
        decode(&Avro, &table(columns, &[]), &[0], Payload::Blocks(Box::new(blocks.clone())))
    };
    let error = read(&[("text", DataType::int())], &whole).unwrap_err();
    assert!(error.message.contains("field 'text': 'string' can't be read as INT"), "{error}");
    // Branches that don't fit are found where they are taken.
    let mixed = read(&[("mixed", DataType::bigint())], &whole).unwrap();
    assert_eq!((mixed.batch.num_rows(), mixed.rejected.len()), (150, 50));
    let message = &mixed.rejected[0].message;
    assert!(
        message.contains("field 'mixed'") && message.contains("'string' can't be read as BIGINT"),
        "{message}"
    );
    let place = mixed.rows[1].clone();
    assert!(place.start > 0 && place.end > place.start);
    let tiny = read(&[("id", of(TypeKind::TinyInt))], &whole).unwrap_err();
    assert!(tiny.message.contains("'long' can't be read as TINYINT"), "{tiny}");
}

#[test]
fn a_small_block_does_not_become_many_items() {
    // Each record announces 100,000 nulls in three bytes.
    let schema =
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#;
    let header = Header { schema: schema.into(), codec: Codec::Null, marker: [7; MARKER_BYTES], bytes: 0 };
    let mut record = Vec::new();
    put_long(100_000, &mut record);
    record.push(0);
    let mut file = Vec::new();
    header.write(&mut file);
    header.write_block(1000, &record.repeat(1000), &mut file).unwrap();
    header.write_block(2, &[6, 0, 0], &mut file).unwrap();
    let (_, blocks) = blocks(&file);
    let table = table(&[("a", DataType::array(DataType::int()))], &[]);
    let decoded = decode(&Avro, &table, &[0], Payload::Blocks(blocks.into())).unwrap();
    assert_eq!((decoded.batch.num_rows(), decoded.rejected.len()), (2, 1000));
    assert!(decoded.rejected[0].message.contains("100000 items without a byte"), "{:?}", decoded.rejected[0]);
}

#[test]
fn every_file_has_a_marker_of_its_own() {
    let table = table(&[("id", DataType::bigint())], &[]);
    let marker = |random_seed| {
        let request = FormatRequest { table: &table, schema: table.schema() };
        let context = flott_expr::EvalContext { random_seed, ..test_context() };
        let mut out = Vec::new();
        Avro.encoder(&request, &context).unwrap().finish(&mut out).unwrap();
        Header::parse(&out).unwrap().unwrap().marker
    };
    assert!(marker(1) != marker(2) && marker(1) == marker(1));
}

#[test]
fn what_is_written_is_a_file() {
    let table = every_type();
    let batch = rows(&table, EVERYTHING);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let mut table = table.clone();
        table.options.set("avro.codec", codec);
        let request = FormatRequest { table: &table, schema: table.schema() };
        let mut encoder = Avro.encoder(&request, &test_context()).unwrap();
        let mut out = Vec::new();
        encoder.encode(&batch, &mut out).unwrap();
        assert!(encoder.buffered() > 0);
        encoder.flush_group(&mut out).unwrap();
        encoder.encode(&batch.slice(1, 1), &mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        let (_, blocks) = blocks(&out);
        let decoded = decode(&Avro, &table, &all, Payload::Blocks(blocks.into())).unwrap();
        assert_eq!(decoded.batch.slice(0, 3), batch);
        assert_eq!(decoded.batch.slice(3, 1), batch.slice(1, 1));
    }
    // Without a row it is a file, too.
    let request = FormatRequest { table: &table, schema: table.schema() };
    let mut out = Vec::new();
    Avro.encoder(&request, &test_context()).unwrap().finish(&mut out).unwrap();
    assert!(blocks(&out).1.bytes.is_empty());
}
