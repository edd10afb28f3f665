//! Messages that name their schema, and envelopes, with a registry of a few lines.

use arrow::array::AsArray;
use flott_types::{Code, RowKind};

use super::*;
use crate::avro::{AvroConfluent, DebeziumAvroConfluent};

#[path = "../../../tests/cases/registry.rs"]
mod server;

fn registry() -> String {
    server::registry(Vec::new())
}

fn registered(
    prefix: &str,
    url: &str,
    columns: &[(&str, DataType)],
    more: &[(&str, &str)],
) -> TableDescription {
    let mut table = table(columns, &[]);
    table.options.set(format!("{prefix}.url"), url);
    table.options.set(format!("{prefix}.subject"), "t-value");
    more.iter().for_each(|(key, value)| table.options.set(format!("{prefix}.{key}"), *value));
    table
}

#[test]
fn each_message_is_read_in_the_schema_it_names() {
    let url = registry();
    let writer = |columns: &[(&str, DataType)], line: &str| {
        let table = registered("avro-confluent", &url, columns, &[]);
        encode(&AvroConfluent, &table, &rows(&table, line), None).unwrap().get(0).unwrap().to_vec()
    };
    let old = writer(&[("id", DataType::int()), ("gone", DataType::string())], r#"{"id":1,"gone":"x"}"#);
    let new = writer(&[("n", DataType::string()), ("id", DataType::bigint())], r#"{"id":2,"n":"b"}"#);
    let other = writer(&[("id", DataType::string())], r#"{"id":"three"}"#);
    assert_eq!((&old[..5], &new[..5]), (&[0, 0, 0, 0, 0][..], &[0, 0, 0, 0, 1][..]));
    let columns = [("id", DataType::bigint()), ("n", DataType::string())];
    let table = registered("avro-confluent", &url, &columns, &[]);
    let unknown = [0, 0, 0, 0, 99, 2];
    let longer = [new.clone(), vec![0]].concat();
    let all: [&[u8]; 7] = [&old, &new, &unknown, &other, b"{}", &longer, &old];
    let decoded = decode(&AvroConfluent, &table, &[0, 1], messages(all.map(Some))).unwrap();
    let expected = rows(&table, "{\"id\":1}\n{\"id\":2,\"n\":\"b\"}\n{\"id\":1}");
    assert_eq!(decoded.batch, expected);
    let problems: Vec<&str> = decoded.rejected.iter().map(|it| it.message.as_str()).collect();
    assert!(problems[0].ends_with("has no schema 99"), "{problems:?}");
    assert_eq!(problems[1], "schema 2 of the registry: field 'id': 'string' can't be read as BIGINT");
    assert_eq!(problems[2], "2 bytes are too few for the id of a schema");
    assert_eq!(problems[3], "1 bytes are left behind the record");
}

#[test]
fn a_schema_that_is_given_is_registered_and_written() {
    let url = registry();
    let schema = r#"{"type":"record","name":"r","fields":[
        {"name":"e","type":[{"type":"enum","name":"e","symbols":["A","B"]},"null"]},
        {"name":"id","type":"long"}]}"#;
    let columns = [("id", DataType::bigint().not_null()), ("e", DataType::string())];
    let table = registered("avro-confluent", &url, &columns, &[("schema", schema)]);
    let batch = rows(&table, "{\"id\":1,\"e\":\"B\"}\n{\"id\":2}");
    let written = encode(&AvroConfluent, &table, &batch, None).unwrap();
    assert_eq!(written.get(0).unwrap()[5..], [0, 2, 2]);
    assert_eq!(written.get(1).unwrap()[5..], [2, 4]);
    let decoded = decode(&AvroConfluent, &table, &[0, 1], messages(written.iter())).unwrap();
    assert_eq!(decoded.batch, batch);
    let wrong = rows(&table, "{\"id\":1,\"e\":\"C\"}");
    let error = encode(&AvroConfluent, &table, &wrong, None).unwrap_err();
    assert_eq!(error.message, "column 'e': 'C' is no symbol of the enum");
}

#[test]
fn changes_in_their_envelopes() {
    let url = registry();
    let columns = [("id", DataType::bigint().not_null()), ("n", DataType::string())];
    let table = registered("debezium-avro-confluent", &url, &columns, &[]);
    let format = DebeziumAvroConfluent;
    let batch =
        rows(&table, "{\"id\":1,\"n\":\"a\"}\n{\"id\":1,\"n\":\"a\"}\n{\"id\":1,\"n\":\"b\"}\n{\"id\":1}");
    let kinds = Int8Array::from(RowKind::ALL.map(RowKind::number).to_vec());
    let written = encode(&format, &table, &batch, Some(&kinds)).unwrap();
    // Union with the record, no row before, a row after it, op.
    assert_eq!(written.get(0).unwrap()[5..], [2, 0, 2, 2, 2, 2, b'a', 2, 2, b'c']);
    // An update as a database tells it, in the schema that has just been registered.
    let update = [0, 0, 0, 0, 0, 2, 2, 2, 0, 2, 2, 2, 2, b'z', 2, 2, b'u'];
    let no_before = [0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 2, 2, b'u'];
    let odd = [0, 0, 0, 0, 0, 2, 0, 0, 2, 2, b'x'];
    let all = written.iter().chain([Some(&update[..]), Some(&no_before), Some(&[]), None, Some(&odd)]);
    let decoded = decode(&format, &table, &[1, 0], messages(all)).unwrap();
    let kinds: Vec<&str> =
        decoded.kinds.iter().flat_map(|it| it.values()).map(|it| RowKind::of(*it).unwrap().short()).collect();
    assert_eq!(kinds, ["+I", "-D", "+I", "-D", "-U", "+U"]);
    let names: Vec<Option<&str>> = first_column(&decoded).as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("a"), Some("a"), Some("b"), None, None, Some("z")]);
    assert_eq!(decoded.rows, [0..0, 1..1, 2..2, 3..3, 4..4, 4..4]);
    assert_eq!(decoded.skipped, 2);
    let problems: Vec<&str> = decoded.rejected.iter().map(|it| it.message.as_str()).collect();
    assert!(problems[0].contains("REPLICA IDENTITY"), "{problems:?}");
    assert_eq!(problems[1], "field 'op': 'x' is none of c, r, u, d");
}

#[test]
fn a_schema_that_may_be_null_as_a_whole_is_written_with_its_branch() {
    let url = registry();
    let schema = r#"["null",{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}]"#;
    let columns = [("id", DataType::bigint().not_null())];
    let table = registered("avro-confluent", &url, &columns, &[("schema", schema)]);
    let batch = rows(&table, "{\"id\":7}");
    let written = encode(&AvroConfluent, &table, &batch, None).unwrap();
    assert_eq!(written.get(0).unwrap()[5..], [2, 14]);
    let decoded = decode(&AvroConfluent, &table, &[0], messages(written.iter())).unwrap();
    assert_eq!((decoded.batch, decoded.rejected), (batch, vec![]));
}

#[test]
fn an_envelope_is_written_as_its_schema_says() {
    let url = registry();
    let columns = [("id", DataType::bigint().not_null()), ("n", DataType::string())];
    let format = DebeziumAvroConfluent;
    let envelope = |after: &str, op: &str| {
        let before = r#"{"type":"record","name":"b","fields":[
            {"name":"id","type":"long"},{"name":"n","type":["null","string"]}]}"#;
        let schema = format!(
            r#"{{"type":"record","name":"e","fields":[{{"name":"before","type":["null",{before}]}},
            {{"name":"after","type":["null",{after}]}},{{"name":"op","type":{op}}}]}}"#
        );
        registered("debezium-avro-confluent", &url, &columns, &[("schema", &schema)])
    };
    let other = r#"{"type":"record","name":"a","fields":[
        {"name":"n","type":["string","null"]},{"name":"id","type":"long"}]}"#;
    let symbols = |all: &str| format!(r#"{{"type":"enum","name":"o","symbols":[{all}]}}"#);
    // Both sides in records of their own, and the symbols of an enum by their numbers.
    let table = envelope(other, &symbols(r#""r","u","c","d""#));
    let batch = rows(&table, "{\"id\":1,\"n\":\"x\"}\n{\"id\":2}");
    let kinds = Int8Array::from(vec![RowKind::Insert.number(), RowKind::Delete.number()]);
    let written = encode(&format, &table, &batch, Some(&kinds)).unwrap();
    assert_eq!(written.get(0).unwrap()[5..], [0, 2, 0, 2, b'x', 2, 4]);
    assert_eq!(written.get(1).unwrap()[5..], [2, 4, 0, 0, 6]);
    let decoded = decode(&format, &table, &[0, 1], messages(written.iter())).unwrap();
    assert_eq!((decoded.batch, decoded.kinds), (batch.clone(), Some(kinds)));
    for (after, op, why) in [
        ("\"b\"", symbols("\"c\""), "has no symbol 'd'"),
        ("\"b\"", "\"bytes\"".to_string(), "'bytes' where text is written"),
        ("{\"type\":\"record\",\"name\":\"a\",\"fields\":[]}", "\"string\"".to_string(), "field 'after'"),
    ] {
        let error = encode(&format, &envelope(after, &op), &batch, None).unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let columns = [("id", DataType::bigint())];
    let mut errors = Vec::new();
    let bare = table(&columns, &[]);
    AvroConfluent.validate(&FormatRequest { table: &bare, schema: bare.schema() }, &mut errors);
    assert_eq!(errors.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::MissingOption]);
    let timestamps = registered("avro-confluent", "http://x", &[("t", of(TypeKind::Timestamp(6)))], &[]);
    errors.clear();
    AvroConfluent.validate(&FormatRequest { table: &timestamps, schema: timestamps.schema() }, &mut errors);
    assert_eq!(errors[0].help, ["set 'avro-confluent.timestamp_mapping.legacy' = 'false'"]);
    let schema = [("schema", r#"{"type":"record","name":"r","fields":[{"name":"id","type":"string"}]}"#)];
    let unfit = registered("avro-confluent", "http://x", &columns, &schema);
    errors.clear();
    AvroConfluent.validate(&FormatRequest { table: &unfit, schema: unfit.schema() }, &mut errors);
    assert!(errors[0].message.contains("'string' can't be read as BIGINT"), "{errors:?}");
    assert!(AvroConfluent.framing(&Options::new()).is_err());
}
