//! What Flink 2.3 answered for the same bytes is what these tests expect.
//!
//! `fixtures/flink.tsv` has, for messages of `flink2.proto` and `flink3.proto`: the syntax, whether
//! `read-default-values` was set, the message, the row that Flink read (as JSON, or `FAILS`), and the message
//! that it made of that row again.

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use flott_connector::{ColumnKind, FormatRequest, Slices, TableColumn, TableDescription};
use flott_types::{DataType, Span, TypeKind};
use proptest::prelude::*;

use super::*;
use crate::{
    conformance::{Case, Outcome},
    json::JsonFormat,
};

const FLINK: &str = include_str!("fixtures/flink.tsv");

fn columns() -> Vec<(&'static str, DataType)> {
    let inner = DataType::row([
        ("a", DataType::bigint()),
        ("b", DataType::string()),
        ("c", DataType::array(DataType::int())),
    ]);
    vec![
        ("i", DataType::int()),
        ("l", DataType::bigint()),
        ("s", DataType::string()),
        ("b", DataType::boolean()),
        ("d", DataType::double()),
        ("e", DataType::string()),
        ("en", DataType::int()),
        ("m", inner.clone()),
        ("r", DataType::array(DataType::int())),
        ("mp", DataType::map(DataType::string(), DataType::bigint())),
        ("mm", DataType::map(DataType::int(), inner.clone())),
        ("oi", DataType::int()),
        ("c1", DataType::int()),
        ("c2", DataType::string()),
        ("u", DataType::int()),
        ("by", DataType::bytes()),
        ("rs", DataType::array(DataType::string())),
        ("rm", DataType::array(inner)),
        ("os", DataType::string()),
        ("f", TypeKind::Float.into()),
    ]
}

fn file(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/protobuf/fixtures");
    folder.join(name).to_string_lossy().into_owned()
}

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescription {
    let mut table = TableDescription::default();
    for (name, data_type) in columns {
        let (name, data_type, kind) = (name.to_string(), data_type.clone(), ColumnKind::Physical);
        table.columns.push(TableColumn { name, data_type, kind, span: Span::default() });
    }
    for (key, value) in options {
        table.options.set(format!("protobuf.{key}"), *value);
    }
    table
}

fn case(table: TableDescription) -> Case {
    let context = crate::json::test_context();
    Case { name: "protobuf".into(), format: std::sync::Arc::new(Protobuf), table, context, rewritable: false }
}

fn flink_case(syntax: &str, defaults: &str) -> Case {
    let (schema, message) = match syntax {
        "proto3" => (file("flink3.proto"), "t.P3"),
        _ => (file("flink2.proto"), "t2.P2"),
    };
    let options = [
        ("schema-file", schema.as_str()),
        ("message-name", message),
        ("read-default-values", defaults),
        ("write-null-string-literal", "nul"),
    ];
    case(table(&columns(), &options))
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len() / 2).map(|at| digit(2 * at)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(case: &Case, message: &[u8]) -> Outcome {
    let mut messages = Slices::default();
    assert!(messages.push(Some(message)));
    case.decode(&messages).unwrap()
}

/// The rows as JSON. Keys of maps are text there.
fn json(case: &Case, outcome: &Outcome) -> String {
    let mut shown = columns();
    for (_, data_type) in &mut shown {
        if let TypeKind::Map(key, _) = &mut data_type.kind {
            **key = DataType::string();
        }
    }
    let table = table(&shown, &[]);
    let schema = table.physical_schema();
    let arrays = outcome.columns.iter().zip(&schema.fields);
    let arrays = arrays.map(|(it, field)| arrow::compute::cast(it, &field.data_type.arrow_type()).unwrap());
    let batch = RecordBatch::try_new(schema.arrow_schema(), arrays.collect()).unwrap();
    let request = FormatRequest { table: &table, schema };
    let mut out = Vec::new();
    JsonFormat.encoder(&request, &case.context).unwrap().encode(&batch, &mut out).unwrap();
    String::from_utf8(out).unwrap().trim_end().to_string()
}

#[test]
fn reads_and_writes_as_flink_does() {
    let mut compared = 0;
    for line in FLINK.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[syntax, defaults, message, row, again] = fields.as_slice() else { continue };
        let case = flink_case(syntax, defaults);
        let bytes = from_hex(message);
        let outcome = decode(&case, &bytes);
        match (row, message) {
            // Known differences: Flink refuses unknown numbers of an open enum, and replaces bytes that are
            // no text.
            (_, "30633863") if syntax == "proto3" => assert!(json(&case, &outcome).contains("\"en\":99")),
            (_, "1a02c328") => assert_eq!(outcome.rejected.len(), 1),
            ("FAILS", _) => assert_eq!(outcome.rejected.len(), 1, "{line}"),
            _ => {
                assert_eq!(outcome.rejected, [], "{line}");
                assert_eq!(json(&case, &outcome), row, "{line}");
                let batch =
                    RecordBatch::try_new(case.schema().arrow_schema(), outcome.columns.clone()).unwrap();
                let written = case.encode(&batch, None).unwrap();
                assert_eq!(hex(written.get(0).unwrap()), again, "{line}");
            }
        }
        let mut messages = Slices::default();
        assert!(messages.push(Some(&bytes)));
        case.cut_off(&messages).unwrap();
        compared += 1;
    }
    assert_eq!(compared, 100);
}

#[test]
fn null_in_arrays_is_written_as_flink_does_and_values_that_enums_lack_are_refused() {
    // Flink writes an enum's first value where it has none of the name or number.
    let row = r#"{"i":0,"l":0,"s":"","e":"ZERO","en":0,"r":[1,null,-1],"mp":{"k":null},"oi":0,"c1":4,"c2":"two",
        "rs":["x",null],"rm":[null,{"a":5}],"f":-0.0}"#;
    for line in FLINK.lines().filter(|line| line.starts_with("write")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let case = flink_case(fields[1], "false");
        // JSON has no maps from numbers.
        let kept: Vec<_> = columns().into_iter().filter(|(name, _)| *name != "mm").collect();
        let options = case.table.options.clone();
        let case = Case { table: TableDescription { options, ..table(&kept, &[]) }, ..case };
        let json = Case {
            name: "json".into(),
            format: std::sync::Arc::new(JsonFormat),
            table: table(&kept, &[]),
            context: crate::json::test_context(),
            rewritable: false,
        };
        let encode = |row: &str| {
            let rows = decode(&json, row.as_bytes());
            let batch = RecordBatch::try_new(json.schema().arrow_schema(), rows.columns).unwrap();
            case.encode(&batch, None)
        };
        assert_eq!(hex(encode(&row.replace('\n', "")).unwrap().get(0).unwrap()), fields[2], "{line}");
        let refused = encode(r#"{"e":"NOPE"}"#).unwrap_err();
        let message = refused.message.replace("t2.E", "t.E");
        assert_eq!(message, "field 'e': the enum t.E has no value 'NOPE'");
        match (encode(r#"{"en":99}"#), fields[1]) {
            // An open enum holds any number, and reads it again.
            (Ok(written), "proto3") => assert_eq!(hex(written.get(0).unwrap()), "3863"),
            (written, _) => assert!(written.unwrap_err().message.ends_with(".E has no value 99")),
        }
    }
}

#[test]
fn an_array_without_elements_is_missing_however_it_came() {
    // Nothing; a packed field of no bytes.
    for message in ["", "4a00"] {
        for (defaults, expected) in [("false", "null"), ("true", "[]")] {
            let case = flink_case("proto3", defaults);
            let read = json(&case, &decode(&case, &from_hex(message)));
            assert!(read.contains(&format!("\"r\":{expected}")), "{message} {read}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_record_is_said_with_its_place() {
    let case = flink_case("proto3", "false");
    let said = |bytes: &str| decode(&case, &from_hex(bytes)).rejected.remove(0).1;
    assert_eq!(said("080108"), "malformed protobuf at byte 3 of the record: a number is cut off");
    assert_eq!(
        said("1a0561"),
        "malformed protobuf at byte 1 of the record: a length of 5 bytes where 1 are left"
    );
    assert_eq!(said("1a02c328"), "field 's': the text is not valid UTF-8");
    assert_eq!(
        said("42020a05"),
        "field 'm': malformed protobuf at byte 3 of the record: a length of 5 bytes where 0 are left"
    );
    let deep = "fb07".repeat(200);
    assert_eq!(said(&deep), "malformed protobuf at byte 200 of the record: groups are nested too deeply");
}

fn refused(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> String {
    let table = table(columns, options);
    let mut errors = Vec::new();
    Protobuf.validate(&FormatRequest { table: &table, schema: table.physical_schema() }, &mut errors);
    errors.first().map_or("fine".into(), |error| format!("{}: {}", error.message, error.help.join("; ")))
}

#[test]
fn schemas_that_are_missing_or_dont_fit() {
    let schema = file("flink3.proto");
    let file = ("schema-file", schema.as_str());
    let int = [("i", DataType::int())];
    assert_eq!(refused(&int, &[file, ("message-name", "t.P3")]), "fine");
    assert_eq!(refused(&int, &[file, ("message-class-name", "com.example.Outer$P3")]), "fine");
    assert!(refused(&int, &[("message-class-name", "com.example.P3")]).contains(
        "the class 'com.example.P3' can't be loaded: there is no Java here, and the class's schema is needed \
         instead: add 'protobuf.schema-file' = "
    ));
    assert!(refused(&int, &[file]).contains("needs 'protobuf.message-name': the schema file has t.In, t.P3"));
    assert!(refused(&int, &[file, ("message-name", "t.P4")]).contains("the schema file has no message"));
    assert!(refused(&int, &[("schema-file", "nowhere.proto")]).contains("the schema file 'nowhere.proto'"));
    let said = |name, data_type| refused(&[(name, data_type)], &[file, ("message-name", "t.P3")]);
    assert!(said("x", DataType::int()).contains("column 'x': the message t.P3 has no field of this name"));
    assert!(
        said("i", DataType::bigint())
            .contains("column 'i': the field is a int32, which is no BIGINT: it must be INT")
    );
    assert!(
        said("m", DataType::row([("a", DataType::int())])).contains("column 'm.a': the field is a int64")
    );
}

/// A reader for these columns of `t.P3`, and columns for it.
fn reader(names: &[&str]) -> (MessageReader, Vec<builder::Column>) {
    let mut columns = columns();
    columns.retain(|(name, _)| names.contains(name));
    let schema = file("flink3.proto");
    let table = table(&columns, &[("schema-file", &schema), ("message-name", "t.P3")]);
    let message = schema::message(&table.options, PREFIX).unwrap();
    let plan =
        schema::plan(&FormatRequest { table: &table, schema: table.physical_schema() }, &message).unwrap();
    let settings = Settings::of(&table.options, PREFIX).unwrap();
    let columns = columns.iter().map(|(_, data_type)| builder::Column::new(data_type).unwrap()).collect();
    (MessageReader::new(&plan, settings.defaults(&message)), columns)
}

/// What is read of the messages, row by row or why not.
fn read_all(
    mut reader: MessageReader,
    mut columns: Vec<builder::Column>,
    messages: &[Vec<u8>],
) -> (Vec<arrow::array::ArrayRef>, Vec<Option<String>>) {
    let (mut failures, mut rows) = (Vec::new(), 0);
    for message in messages {
        let read = reader.read(message, &mut columns, &mut scanner::Pieces::default());
        match &read {
            Ok(()) => rows += 1,
            Err(_) => columns.iter_mut().for_each(|column| column.truncate(rows)),
        }
        failures.push(read.err().map(|fail| fail.message()));
    }
    (columns.iter_mut().map(|column| column.finish().unwrap()).collect(), failures)
}

/// A field of `t.P3`: its tag and a value of its wire type, or nearly.
fn any_field() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let field = |number: u32, wire: u64, value: Vec<u8>| {
        let mut out = Vec::new();
        wire::put_varint(&mut out, u64::from(number) << 3 | wire);
        out.extend(value);
        (number, out)
    };
    let varint = (prop::sample::select(vec![1u32, 2, 4, 6, 7, 12, 15, 16, 600]), any::<u64>(), 0..64u32);
    let bytes = (
        prop::sample::select(vec![3u32, 8, 14, 16, 17, 19, 1]),
        prop_oneof!["[a-zä]{0,70}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..4)],
    );
    prop_oneof![
        4 => varint.prop_map(move |(number, value, shift)| {
            let mut out = Vec::new();
            wire::put_varint(&mut out, value >> shift);
            field(number, 0, out)
        }),
        4 => bytes.prop_map(move |(number, value)| {
            let mut out = Vec::new();
            wire::put_with_length(&mut out, |out| out.extend(value));
            field(number, 2, out)
        }),
        1 => any::<f64>().prop_map(move |value| field(5, 1, value.to_le_bytes().to_vec())),
        1 => any::<f32>().prop_map(move |value| field(20, 5, value.to_le_bytes().to_vec())),
    ]
}

/// A message, most often with its fields in order and complete.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any_field(), 0..8), 0..4u8, any::<prop::sample::Index>()).prop_map(
        |(mut fields, how, cut)| {
            if how > 0 {
                fields.sort_by_key(|(number, _)| *number);
            }
            if how > 1 {
                fields.dedup_by_key(|(number, _)| *number);
            }
            let mut message: Vec<u8> = fields.into_iter().flat_map(|(_, bytes)| bytes).collect();
            if how == 1 {
                message.truncate(cut.index(message.len() + 1));
            }
            message
        },
    )
}

proptest! {
    #[test]
    fn the_straight_way_agrees_with_the_scan(
        messages in prop::collection::vec(any_message(), 1..6),
        narrow in any::<bool>(),
    ) {
        let names: &[&str] = match narrow {
            true => &["l", "os"],
            false => &["i", "l", "s", "b", "d", "e", "en", "oi", "u", "by", "os", "f"],
        };
        let (straight, columns) = reader(names);
        let read = read_all(straight, columns, &messages);
        let (other, columns) = reader(names);
        prop_assert_eq!(read, read_all(other.never_straight(), columns, &messages));
    }
}
