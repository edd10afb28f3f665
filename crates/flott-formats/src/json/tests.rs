//! The `json` format as a whole: lines in, rows out, and back.

use std::sync::Arc;

use arrow::{array::RecordBatch, util::display::array_value_to_string};
use flott_connector::{
    Chunk, ColumnKind, Decoded, Format, FormatRequest, Origin, Payload, ScanRequest, SplitInfo, TableColumn,
    TableDescription,
};
use flott_expr::{CastMode, Expr, ExprKind, Program};
use flott_types::{Code, DataType, Options, Span, TypeKind};
use proptest::prelude::*;

use super::{JsonFormat, test_context};

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescription {
    let mut table = TableDescription::default();
    for (name, data_type) in columns {
        let (name, data_type) = (name.to_string(), data_type.clone());
        let (kind, span) = (ColumnKind::Physical, Span::default());
        table.columns.push(TableColumn { name, data_type, kind, span });
    }
    for (key, value) in options {
        table.options.set(*key, *value);
    }
    table
}

fn decode_payload(table: &TableDescription, payload: Payload, batch_rows: usize) -> Vec<Decoded> {
    let schema = table.physical_schema();
    let request = FormatRequest { table, schema: schema.clone() };
    let projection = (0..schema.len()).collect();
    let job_options = Options::new();
    let scan = ScanRequest {
        projection,
        schema,
        filter: None,
        batch_rows,
        parallelism: 1,
        even_time: false,
        job_options,
    };
    let split = Arc::new(SplitInfo::default());
    let chunk = Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() };
    let mut out = Vec::new();
    let mut decoder = JsonFormat.decoder(&request, &scan, Vec::new()).unwrap();
    let mut emit = |decoded| {
        out.push(decoded);
        Ok(())
    };
    decoder.decode(&chunk, &test_context(), &mut emit).unwrap();
    for decoded in &out {
        let parts = decoded.batch.num_rows() + decoded.rejected.len();
        assert_eq!(decoded.read, parts as u64 + decoded.skipped + decoded.filtered);
    }
    out
}

fn decode(table: &TableDescription, text: impl AsRef<[u8]>) -> Decoded {
    let mut all = decode_payload(table, Payload::Bytes(text.as_ref().to_vec()), 1_000_000);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let cell = |row, column: &arrow::array::ArrayRef| match column.is_null(row) {
        true => "NULL".to_string(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let row = |row| batch.columns().iter().map(|column| cell(row, column)).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(row).collect()
}

/// What each value becomes in a column of this type: its text, or the reject's message.
fn values(data_type: impl Into<DataType>, options: &[(&str, &str)], values: &[&str]) -> Vec<String> {
    let table = table(&[("v", data_type.into())], options);
    values
        .iter()
        .map(|value| {
            let decoded = decode(&table, format!("{{\"v\":{value}}}\n"));
            match decoded.rejected.first() {
                Some(reject) => reject.message.clone(),
                None => rows(&decoded.batch).concat(),
            }
        })
        .collect()
}

fn encode(table: &TableDescription, batch: &RecordBatch) -> String {
    let request = FormatRequest { table, schema: table.physical_schema() };
    let mut out = Vec::new();
    JsonFormat.encoder(&request, &test_context()).unwrap().encode(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The line that is written for what was read.
fn there_and_back(columns: &[(&str, DataType)], options: &[(&str, &str)], line: &str) -> String {
    let table = table(columns, options);
    let decoded = decode(&table, line);
    assert_eq!(decoded.rejected, []);
    encode(&table, &decoded.batch).trim_end().to_string()
}

fn bids() -> TableDescription {
    let timestamp = TypeKind::Timestamp(3).into();
    table(&[("auction", DataType::bigint()), ("at", timestamp), ("extra", DataType::string())], &[])
}

#[test]
fn lines_become_rows() {
    let text = concat!(
        "{\"auction\":1000,\"url\":\"x\",\"at\":\"2026-01-01 00:00:00.123\",\"extra\":\"one\"}\n",
        "{\"auction\":-7,\"url\":\"longer than sixteen bytes\",\"at\":\"2026-01-02 10:20:30\",\"extra\":null}\r\n",
        "\n   \n",
        "{ \"extra\" : \"t\\u0077o\\n\\ud83d\\ude00\" , \"auction\" : \"12\" }",
    );
    let decoded = decode(&bids(), text);
    assert_eq!(
        rows(&decoded.batch),
        ["1000 | 2026-01-01T00:00:00.123 | one", "-7 | 2026-01-02T10:20:30 | NULL", "12 | NULL | two\n😀"]
    );
    assert_eq!(decoded.rejected, []);
    let second = decoded.rows[1].start as usize..decoded.rows[1].end as usize;
    assert!(text[second].starts_with("{\"auction\":-7"));
}

#[test]
fn a_bad_record_leaves_its_neighbours_alone() {
    let lines = [
        r#"{"auction":1,"extra":"a"}"#,
        r#"{"auction":"abc","extra":"b"}"#,
        r#"{"auction":2,"extra":"b"#,
        r#"{"auction":3,"extra":"c"} x"#,
        r#"[1]"#,
        r#"{"auction":4,"other":tru}"#,
        r#"{"auction":5,"other":[1,}"#,
        r#"{"auction":6,"other":"\x"}"#,
        r#"{"auction":7,"other":"\ud83d"}"#,
        r#"{"auction":01}"#,
        r#"{"auction":8,}"#,
        r#"{"auction":9,"extra":"z"}"#,
    ];
    let text = lines.join("\n");
    let decoded = decode(&bids(), &text);
    assert_eq!(rows(&decoded.batch), ["1 | NULL | a", "9 | NULL | z"]);
    let found: Vec<(&str, &str)> = decoded
        .rejected
        .iter()
        .map(|it| (&text[it.record.start as usize..it.record.end as usize], it.message.as_str()))
        .collect();
    let malformed = |byte: usize, what: &str| format!("malformed JSON at byte {byte} of the record: {what}");
    let expected = [
        "field 'auction': 'abc' is not a BIGINT".to_string(),
        format!("field 'extra': {}", malformed(23, "a string that doesn't end")),
        "malformed JSON: more text behind the object".into(),
        "expected an object, found a number".into(),
        malformed(21, "a JSON value is missing or misspelt"),
        malformed(24, "a JSON value is missing or misspelt"),
        malformed(22, "an unknown escape in a string"),
        malformed(22, "half of a surrogate pair in a string"),
        format!("field 'auction': {}", malformed(11, "a malformed number")),
        malformed(13, "expected a key in double quotes"),
    ];
    assert_eq!(
        found,
        lines[1..11].iter().copied().zip(expected.iter().map(String::as_str)).collect::<Vec<_>>()
    );
}

#[test]
fn with_ignore_parse_errors_a_bad_field_is_null_and_a_bad_record_skipped() {
    let list = DataType::array(DataType::int());
    let table = table(&[("a", DataType::int()), ("b", list)], &[("json.ignore-parse-errors", "true")]);
    let decoded = decode(&table, "{\"a\":\"x\",\"b\":[1,\"y\",3]}\nnonsense\n{\"a\":5,\"b\":7}\n");
    assert_eq!(rows(&decoded.batch), ["NULL | [1, , 3]", "5 | NULL"]);
    assert_eq!((decoded.read, decoded.skipped, decoded.rejected.len()), (3, 1, 0));
    // "x", the element "y", and the 7 that is no array.
    assert_eq!(decoded.nulled, 3);
}

#[test]
fn missing_fields_are_null_unless_forbidden() {
    let columns = [("a", DataType::int()), ("A", DataType::int())];
    assert_eq!(rows(&decode(&table(&columns, &[]), r#"{"A":2}"#).batch), ["NULL | 2"]);
    let strict = table(&columns, &[("json.fail-on-missing-field", "true")]);
    assert_eq!(decode(&strict, r#"{"A":2}"#).rejected[0].message, "field 'a': the field is missing");
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    let decoded = decode(&bids(), "{\"auction\":1,\"auction\":2}\n{\"auction\":3,\"auction\":null}\n");
    assert_eq!(rows(&decoded.batch), ["2 | NULL | NULL", "NULL | NULL | NULL"]);
}

#[test]
fn numbers_as_flink_reads_them() {
    let given = ["1", "-1.9", "1e2", "\" 12 \"", "\"1.0\"", "9223372036854775808", "true", "{}"];
    assert_eq!(
        values(TypeKind::BigInt, &[], &given),
        [
            "1",
            "-1",
            "100",
            "12",
            "field 'v': '1.0' is not a BIGINT",
            "field 'v': '9223372036854775808' is not a BIGINT",
            "field 'v': 'true' is not a BIGINT",
            "field 'v': '{}' is not a BIGINT"
        ]
    );
    assert_eq!(
        values(TypeKind::TinyInt, &[], &["127", "128", "1.0", "\"+12\""]),
        ["127", "field 'v': '128' is not a TINYINT", "field 'v': '1.0' is not a TINYINT", "12"]
    );
    assert_eq!(
        values(TypeKind::Double, &[], &["1", "-0.5e1", "\"1.5f\"", "\"NaN\"", "1e999", "NaN"]),
        [
            "1.0",
            "-5.0",
            "1.5",
            "NaN",
            "field 'v': '1e999' is not a DOUBLE",
            "field 'v': malformed JSON at byte 5 of the record: a JSON value is missing or misspelt"
        ]
    );
    assert_eq!(
        values(TypeKind::Decimal(10, 2), &[], &["0.125", "-1", "1e2", "\"2.345\"", "99999999.999"]),
        ["0.13", "-1.00", "100.00", "2.35", "field 'v': '99999999.999' is not a DECIMAL(10, 2)"]
    );
    assert_eq!(
        values(TypeKind::Boolean, &[], &["true", "\" TRUE \"", "1", "false"]),
        ["true", "true", "false", "false"]
    );
}

#[test]
fn any_value_is_text() {
    let given = ["1.50", "true", "\"\"", "{\"a\": 1.50, \"b\":[ ]}", "[1, \"x\"]", "null"];
    let expected = ["1.50", "true", "", "{\"a\":1.5,\"b\":[]}", "[1,\"x\"]", "NULL"];
    assert_eq!(values(DataType::string(), &[], &given), expected);
}

#[test]
fn dates_and_times() {
    let date = ["\"2026-01-31\"", "\"2026-02-30\"", "\"2026-1-1\""];
    assert_eq!(
        values(TypeKind::Date, &[], &date),
        ["2026-01-31", "field 'v': '2026-02-30' is not a DATE", "field 'v': '2026-1-1' is not a DATE"]
    );
    assert_eq!(
        values(TypeKind::Time(3), &[], &["\"12:34:56.789\"", "\"12:34\""]),
        ["12:34:56.789", "field 'v': '12:34' is not a TIME(3)"]
    );
    let given = ["\"2026-01-01 00:00:00.123456789\"", "\"2026-01-01T00:00:00\"", "\"2026-01-01 00:00:00Z\""];
    assert_eq!(
        values(TypeKind::Timestamp(6), &[], &given),
        [
            "2026-01-01T00:00:00.123456",
            "field 'v': '2026-01-01T00:00:00' is not a TIMESTAMP(6)",
            "field 'v': '2026-01-01 00:00:00Z' is not a TIMESTAMP(6)"
        ]
    );
    assert_eq!(
        values(TypeKind::Timestamp(3), &[], &["\"2026-01-01 0a:00:00\"", "\"2026-13-01 00:00:00\"", "5"]),
        [
            "field 'v': '2026-01-01 0a:00:00' is not a TIMESTAMP(3)",
            "field 'v': '2026-13-01 00:00:00' is not a TIMESTAMP(3)",
            "field 'v': '5' is not a TIMESTAMP(3)"
        ]
    );
    let iso = [("json.timestamp-format.standard", "ISO-8601")];
    let instant = [("v", TypeKind::TimestampLtz(3).into())];
    let line = r#"{"v":"2026-01-01T00:00:00.5Z"}"#;
    assert_eq!(there_and_back(&instant, &iso, line), line);
}

#[test]
fn nested_values_there_and_back() {
    let address = DataType::row([("city", DataType::string()), ("zip", DataType::int())]);
    let columns = [
        ("tags", DataType::array(DataType::string())),
        ("home", address.clone()),
        ("counts", DataType::map(DataType::string(), DataType::bigint())),
        ("bag", TypeKind::Multiset(Box::new(DataType::string())).into()),
        ("all", DataType::array(address)),
        ("raw", DataType::bytes()),
    ];
    let line = r#"{"tags":["a",null],"home":{"city":"Oslo","zip":null},"counts":{"x":1,"y":null},"bag":{"q":2},"all":[{"city":"b","zip":1},null],"raw":"aGVsbG8="}"#;
    assert_eq!(there_and_back(&columns, &[], line), line);
    let empty = r#"{"tags":[],"home":null,"counts":{},"bag":null,"all":null,"raw":null}"#;
    assert_eq!(there_and_back(&columns, &[], empty), empty);
    let sparse = [("json.encode.ignore-null-fields", "true")];
    assert_eq!(there_and_back(&columns, &sparse, empty), r#"{"tags":[],"counts":{}}"#);
    let repeated = r#"{"counts":{"x":1,"y":2,"x":3}}"#;
    assert_eq!(there_and_back(&columns[2..3], &[], repeated), r#"{"counts":{"y":2,"x":3}}"#);
    let wrong = decode(&table(&columns, &[]), r#"{"home":{"zip":"north"}}"#);
    assert_eq!(wrong.rejected[0].message, "field 'home.zip': 'north' is not an INT");
}

#[test]
fn spelled_as_flink_spells_it() {
    let moments = [
        ("t", TypeKind::Timestamp(3).into()),
        ("z", TypeKind::TimestampLtz(9).into()),
        ("d", TypeKind::Date.into()),
        ("c", TypeKind::Time(3).into()),
    ];
    let line =
        r#"{"t":"2026-01-01 00:00:00","z":"2026-01-01 00:00:00.000001Z","d":"0001-01-01","c":"00:00:00.1"}"#;
    assert_eq!(there_and_back(&moments, &[], line), line);
    let shorter = r#"{"t":"1969-12-31 23:59:59.010","z":"2026-01-01 00:00:00.120Z","d":"2026-12-31","c":"23:59:59.000"}"#;
    let expected =
        r#"{"t":"1969-12-31 23:59:59.01","z":"2026-01-01 00:00:00.12Z","d":"2026-12-31","c":"23:59:59"}"#;
    assert_eq!(there_and_back(&moments, &[], shorter), expected);

    let decimal = [("d", TypeKind::Decimal(38, 10).into())];
    let plain = [("json.encode.decimal-as-plain-number", "true")];
    for (value, short, long) in [
        ("100", "1E+2", "100.0000000000"),
        ("-1000000.5", "-1000000.5", "-1000000.5000000000"),
        ("0.00000012", "1.2E-7", "0.0000001200"),
        ("0.000001", "0.000001", "0.0000010000"),
        ("0", "0", "0.0000000000"),
    ] {
        let line = format!("{{\"d\":{value}}}");
        assert_eq!(there_and_back(&decimal, &[], &line), format!("{{\"d\":{short}}}"));
        assert_eq!(there_and_back(&decimal, &plain, &line), format!("{{\"d\":{long}}}"));
    }
    let double = [("d", DataType::double())];
    assert_eq!(there_and_back(&double, &[], r#"{"d":1e7}"#), r#"{"d":1.0E7}"#);
    assert_eq!(there_and_back(&double, &[], r#"{"d":"NaN"}"#), r#"{"d":"NaN"}"#);
    let odd = [("a\"b\\c", DataType::int())];
    assert_eq!(there_and_back(&odd, &[], r#"{"a\"b\\c":1}"#), r#"{"a\"b\\c":1}"#);
}

#[test]
fn invalid_utf8_is_rejected_record_by_record() {
    let decoded = decode(&bids(), b"{\"auction\":1}\n{\"extra\":\"a\xffb\"}\n{\"auction\":3}\n");
    assert_eq!(rows(&decoded.batch), ["1 | NULL | NULL", "3 | NULL | NULL"]);
    assert_eq!(decoded.rejected[0].message, "invalid UTF-8 at byte 11 of the record");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_record() {
    assert_eq!(rows(&decode(&bids(), "\u{feff}{\"auction\":1}\n").batch), ["1 | NULL | NULL"]);
}

#[test]
fn deep_nesting_is_refused_and_long_lines_are_not() {
    let deep = |levels| format!("{{\"x\":{}{},\"auction\":1}}\n", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(decode(&bids(), deep(1000)).rejected, []);
    let decoded = decode(&bids(), deep(100_000));
    assert!(decoded.rejected[0].message.contains("more than 1000 levels"));
    let long = "x".repeat(50 << 20);
    let decoded = decode(&bids(), format!("{{\"auction\":1,\"extra\":\"{long}\"}}\n{{\"auction\":2}}\n"));
    assert_eq!(decoded.batch.num_rows(), 2);
    assert!(decoded.batch.column(2).get_array_memory_size() >= 50 << 20);
}

#[test]
fn replayed_records_are_known_by_number() {
    let record = |text: &str| (text.as_bytes().to_vec(), Origin::default());
    let records = vec![
        record("{\"auction\":1}"),
        record("{\"auction\":tru}"),
        record(" {\"auction\":2}\r\n"),
        record("{}\n{}"),
    ];
    let all = decode_payload(&bids(), Payload::Records(records), 100);
    let rejected: Vec<_> = all.iter().flat_map(|it| &it.rejected).map(|it| it.record.clone()).collect();
    assert_eq!(rejected, [1..1, 3..3]);
    let places: Vec<_> = all.iter().flat_map(|it| it.rows.clone()).collect();
    assert_eq!(places, [0..0, 2..2]);
}

#[test]
fn text_that_the_filter_does_not_read_is_copied_for_kept_rows_only() {
    let columns = [("keep", DataType::string()), ("note", DataType::string()), ("n", DataType::int())];
    let table = table(&columns, &[]);
    let schema = table.physical_schema();
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let input = Box::new(Expr::column(0, "keep", DataType::string()));
    let cast = ExprKind::Cast { input, mode: CastMode::Strict };
    let filter = Program::new(vec![Expr::new(cast, DataType::boolean(), Span::default())]);
    let scan = ScanRequest {
        projection: vec![0, 1, 2],
        schema,
        filter: Some(filter),
        batch_rows: 100,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let text = concat!(
        "{\"keep\":\"true\",\"note\":\"a\\nb\",\"n\":1}\n",
        "{\"keep\":\"false\",\"note\":\"dropped\",\"n\":2}\n",
        "{\"keep\":\"maybe\",\"note\":\"can't be evaluated\",\"n\":3}\n",
        "{\"keep\":\"true\",\"note\":\"twice\",\"note\":[1, 2],\"n\":4}\n",
        "{\"keep\":\"true\",\"note\":null,\"n\":\"x\"}\n",
        "{\"keep\":\"true\",\"n\":6}\n",
    );
    let bytes = Payload::Bytes(text.as_bytes().to_vec());
    let records = text.lines().map(|line| (line.as_bytes().to_vec(), Origin::default())).collect();
    for payload in [bytes, Payload::Records(records)] {
        let split = Arc::new(SplitInfo::default());
        let chunk = Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() };
        let (mut kept, mut read, mut filtered, mut codes) = (Vec::new(), 0, 0, Vec::new());
        let mut decoder = JsonFormat.decoder(&request, &scan, Vec::new()).unwrap();
        let mut emit = |decoded: Decoded| {
            assert_eq!(decoded.rows.len(), decoded.batch.num_rows());
            kept.extend(rows(&decoded.batch));
            read += decoded.read;
            filtered += decoded.filtered;
            codes.extend(decoded.rejected.iter().map(|it| it.code));
            Ok(())
        };
        decoder.decode(&chunk, &test_context(), &mut emit).unwrap();
        assert_eq!(kept, ["true | a\nb | 1", "true | [1,2] | 4", "true | NULL | 6"]);
        assert_eq!((read, filtered), (6, 1));
        codes.sort();
        assert_eq!(codes, [Code::DecodeFailed, Code::EvaluationFailed]);
    }
}

#[test]
fn batches_are_no_larger_than_asked() {
    let text = "{\"auction\":1}\n".repeat(25);
    let all = decode_payload(&bids(), Payload::Bytes(text.into_bytes()), 10);
    assert_eq!(all.iter().map(|it| it.batch.num_rows()).collect::<Vec<_>>(), [10, 10, 5]);
}

/// Any JSON value with keys from a small set.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,40}".prop_map(Into::into),
        "[\"\\\\\\x00-\\x1f a\u{10000}é]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[a-d]|\\PC{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever serde_json writes is read as serde_json reads it, in any order of keys and with
    /// any layout, and is written so that serde_json reads the same.
    #[test]
    fn reads_what_serde_json_reads(
        rows_in in proptest::collection::vec((any_json(), any::<i64>(), "\\PC{0,40}", any_json(), 0..3u8), 1..12)
    ) {
        let columns = [("a", DataType::string()), ("n", DataType::bigint()), ("s", DataType::string())];
        let table = table(&columns, &[]);
        let mut text = String::new();
        for (a, n, s, other, layout) in &rows_in {
            let (a, n) = (serde_json::to_string(a).unwrap(), n.to_string());
            let (s, other) = (serde_json::to_string(s).unwrap(), serde_json::to_string(other).unwrap());
            text += &match layout {
                0 => format!("{{\"a\":{a},\"n\":{n},\"other\":{other},\"s\":{s}}}\n"),
                1 => format!("{{\"other\":{other},\"s\":{s},\"n\":{n},\"a\":{a}}}\n"),
                _ => format!("{{ \"a\" : {a} ,\t\"n\": \"{n}\", \"o\" :{other} , \"\\u0073\" : {s} }}\r\n"),
            };
        }
        let decoded = decode(&table, &text);
        prop_assert_eq!(&decoded.rejected, &vec![]);
        let written = encode(&table, &decoded.batch);
        for (line, (a, n, s, ..)) in written.lines().zip(&rows_in) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(line["n"].as_i64(), Some(*n));
            prop_assert_eq!(line["s"].as_str(), Some(s.as_str()));
            match (a, line["a"].as_str()) {
                (serde_json::Value::Null, text) => prop_assert_eq!(text, None),
                (serde_json::Value::String(expected), text) => prop_assert_eq!(text, Some(expected.as_str())),
                (other, text) => {
                    let text: serde_json::Value = serde_json::from_str(text.unwrap()).unwrap();
                    prop_assert_eq!(&text, other);
                }
            }
        }
    }

    /// Damage anywhere is never a panic, and the outcome doesn't depend on what is read.
    #[test]
    fn damage_is_found_whatever_is_read(value in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = format!("{{\"a\":{value},\"n\":1}}").into_bytes();
        let place = at.index(text.len());
        text[place] = byte;
        if byte == b'\n' {
            return Ok(());
        }
        let read = |columns: &[(&str, DataType)]| {
            let all = decode_payload(&table(columns, &[]), Payload::Bytes(text.clone()), 10);
            all.iter().map(|it| it.batch.num_rows()).sum::<usize>()
        };
        prop_assert_eq!(read(&[("a", DataType::string())]), read(&[]));
        let valid = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        // Control characters in strings are accepted, as Flink does.
        prop_assert!(!valid || read(&[]) == 1);
    }
}
