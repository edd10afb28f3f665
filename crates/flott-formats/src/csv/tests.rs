//! What Flink 2.3 answered for the same bytes is what these tests expect.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, StringArray},
    compute::cast,
    datatypes::DataType as ArrowType,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use flott_connector::{
    Chunk, Decoded, Format as _, FormatRequest, Origin, Payload, ScanRequest, Slices, SplitInfo,
    TableDescription,
};
use flott_expr::{EvalContext, Value};
use flott_types::{DataType, Field, Options, Schema, TypeKind};
use proptest::prelude::*;

use super::{
    Csv,
    scan::{Dialect, Scan},
};

fn context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None }
}

fn table(options: &[(&str, &str)]) -> TableDescription {
    let mut table = TableDescription { name: "t".into(), ..TableDescription::default() };
    for (key, value) in options {
        table.options.set(format!("csv.{key}"), *value);
    }
    table
}

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone())).collect())
}

/// All columns, two rows a batch.
fn everything(schema: &Schema) -> ScanRequest {
    ScanRequest {
        projection: (0..schema.len()).collect(),
        schema: schema.clone(),
        filter: None,
        batch_rows: 2,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    }
}

fn chunk(payload: Payload) -> Chunk {
    Chunk {
        split: Arc::new(SplitInfo::default()),
        sequence: 0,
        offset: 0,
        payload,
        bytes_in: 0,
        time: Default::default(),
    }
}

fn decode_payload(options: &[(&str, &str)], schema: &Schema, payload: Payload) -> Vec<Decoded> {
    let table = table(options);
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let mut decoder = Csv.decoder(&request, &everything(schema), Vec::new()).unwrap();
    let chunk = chunk(payload);
    let mut all = Vec::new();
    decoder
        .decode(&chunk, &context(), &mut |decoded| {
            all.push(decoded);
            Ok(())
        })
        .unwrap();
    all
}

/// Rows of messages, and the numbers of those that were rejected with the reasons.
fn read_messages(messages: &[String], schema: &Schema) -> (Vec<String>, Vec<(u32, String)>) {
    let table = table(&[]);
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let mut decoder = Csv.decoder(&request, &everything(schema), Vec::new()).unwrap();
    let mut slices = Slices::default();
    for message in messages {
        assert!(slices.push(Some(message.as_bytes())));
    }
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    let chunk = chunk(Payload::Messages(Box::default()));
    decoder
        .decode_messages(&slices, &chunk, &context(), &mut |decoded| {
            rows.extend(show(&decoded.batch));
            rejected.extend(decoded.rejected.into_iter().map(|it| (it.record.start, it.message)));
            Ok(())
        })
        .unwrap();
    rejected.sort();
    (rows, rejected)
}

/// Rows as text, NULL as `∅`, fields divided by `|`; then what was rejected.
fn read(options: &[(&str, &str)], schema: &Schema, text: &str) -> (Vec<String>, Vec<String>) {
    let decoded = decode_payload(options, schema, Payload::Bytes(text.into()));
    let rows = decoded.iter().flat_map(|decoded| show(&decoded.batch)).collect();
    let reject = |reject: &flott_connector::Reject| {
        format!("{}..{}: {}", reject.record.start, reject.record.end, reject.message)
    };
    (rows, decoded.iter().flat_map(|decoded| decoded.rejected.iter().map(reject)).collect())
}

fn show(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    // Arrow shows instants only with a time zone database: shown as in UTC, without a zone.
    let zoneless = |column: &ArrayRef| match column.data_type() {
        ArrowType::Timestamp(unit, Some(_)) => cast(column, &ArrowType::Timestamp(*unit, None)).unwrap(),
        _ => column.clone(),
    };
    let shown: Vec<ArrayRef> = batch.columns().iter().map(zoneless).collect();
    let columns: Vec<_> = shown.iter().map(|it| ArrayFormatter::try_new(it, &options).unwrap()).collect();
    let row = |row| columns.iter().map(|it| it.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

fn three() -> Schema {
    schema(&[("a", DataType::int()), ("b", DataType::string()), ("c", DataType::string())])
}

#[test]
fn fields_mean_what_they_mean_in_flink() {
    let cases: &[(TypeKind, &[(&str, &str)])] = &[
        (
            TypeKind::Int,
            &[(" +5 ", "5"), ("-00000000007", "-7"), ("2147483648", "∅"), ("1.0", "∅"), ("", "∅")],
        ),
        (TypeKind::TinyInt, &[("-128", "-128"), ("128", "∅")]),
        (TypeKind::BigInt, &[("9223372036854775807", "9223372036854775807"), ("12345678", "12345678")]),
        (
            TypeKind::Double,
            &[(" 1.5 ", "1.5"), ("1e400", "inf"), ("inf", "∅"), ("1.5d", "1.5"), (".5", "0.5")],
        ),
        (TypeKind::Boolean, &[(" TRUE ", "true"), ("t", "false"), ("", "false")]),
        (TypeKind::Decimal(5, 2), &[("1.565", "1.57"), ("1e2", "100.00"), ("1234.5", "∅"), (" 1", "∅")]),
        (TypeKind::Varbinary(9), &[("YWI=", "6162"), ("YWI", "∅"), ("", "")]),
        (TypeKind::Date, &[("2020-1-2", "2020-01-02"), ("2020-02-30", "2020-03-01"), ("20200102", "∅")]),
        (TypeKind::Time(3), &[("12:30", "12:30:00"), ("12:30:45.123", "12:30:45.123"), ("1:2:3", "∅")]),
        (
            TypeKind::Timestamp(3),
            &[
                (" 2020-01-02 03:04:05.123456789", "2020-01-02T03:04:05.123"),
                ("2020-02-30 03:04:05", "2020-02-29T03:04:05"),
                ("2013-01-01T10:00:00Z", "∅"),
                ("2020-01-02 03:04", "∅"),
            ],
        ),
        (
            TypeKind::TimestampLtz(3),
            &[("2020-01-02 03:04:05Z", "2020-01-02T03:04:05"), ("2020-01-02 03:04:05", "∅")],
        ),
        (
            TypeKind::Array(Box::new(DataType::int())),
            &[("1;2; 3", "[1, 2, 3]"), ("", "[]"), ("1;a;3", "[1, ∅, 3]"), (";", "[∅, ∅]")],
        ),
        (TypeKind::Varchar(3), &[("  a b ", "  a b "), ("", "")]),
    ];
    for (kind, fields) in cases {
        let schema = schema(&[("x", kind.clone().into()), ("end", DataType::string())]);
        for (text, expected) in *fields {
            let (rows, _) = read(&[("ignore-parse-errors", "true")], &schema, &format!("{text},.\n"));
            assert_eq!(rows, [format!("{expected}|.")], "{kind} {text:?}");
        }
    }
}

#[test]
fn a_bad_record_is_rejected_with_its_place_and_harms_no_other() {
    let (rows, rejected) = read(&[], &three(), "1,x,y\nabc,x,y\n3,x\n4,x,y,z\n5,\"q\"u,y\n6,x,y,\n7,\"x\n");
    assert_eq!(rows, ["1|x|y", "6|x|y"]);
    assert_eq!(
        rejected,
        [
            "6..13: column 'a': 'abc' is not an INT",
            "14..17: expected 3 fields but found 2",
            "18..25: expected 3 fields but found 4",
            "26..34: text after a closing quote",
            "42..47: a quote is never closed",
        ]
    );
}

#[test]
fn with_ignore_parse_errors_bad_fields_are_null_and_bad_rows_skipped() {
    let text = "1,x\nabc,x,y\n\n3,x,y,z\n5,\"q\"u,y\n";
    let decoded = decode_payload(&[("ignore-parse-errors", "true")], &three(), Payload::Bytes(text.into()));
    let rows: Vec<_> = decoded.iter().flat_map(|decoded| show(&decoded.batch)).collect();
    assert_eq!(rows, ["1|x|∅", "∅|x|y", "∅|∅|∅"]);
    assert_eq!(decoded.iter().map(|it| it.skipped).sum::<u64>(), 2);
    assert_eq!(decoded.iter().map(|it| it.nulled).sum::<u64>(), 2);
    assert_eq!(decoded.iter().map(|it| it.read).sum::<u64>(), 5);
}

#[test]
fn quotes_escapes_comments_and_line_ends() {
    let one = |options: &[(&str, &str)], text: &str| read(options, &three(), text).0;
    assert_eq!(
        one(&[], "\u{feff}1,x,y\r\n2,\"a,\"\"b\"\"\r\nc\" ,\r\n3, \"q\",z"),
        ["1|x|y", "2|a,\"b\"\r\nc|", "3| \"q\"|z"]
    );
    assert_eq!(one(&[("escape-character", "\\")], "1,\"x\\\"y\",a\\,\\n\n"), ["1|x\"y|a,\n"]);
    assert_eq!(one(&[("allow-comments", "true")], "#no\n1,#x,y\n#1,2,3\n2,x,#\n"), ["1|#x|y", "2|x|#"]);
    assert_eq!(
        one(&[("field-delimiter", "\\t"), ("quote-character", "'")], "1\t'a\tb'\t\"\n"),
        ["1|a\tb|\""]
    );
    assert_eq!(one(&[("disable-quote-character", "true")], "1,\"x,y\"\n"), ["1|\"x|y\""]);
    assert_eq!(one(&[("null-literal", "NA")], "NA,\"NA\", NA\n"), ["∅|∅| NA"]);
    assert_eq!(one(&[("null-literal", "")], ",\"\",x\n"), ["∅|∅|x"]);
}

#[test]
fn invalid_utf8_rejects_its_record_only() {
    let payload = Payload::Bytes(b"1,\xff,y\n2,\xc3,\xa9\n3,x,y\n".to_vec());
    let decoded = decode_payload(&[], &three(), payload);
    let rejected: Vec<_> = decoded.iter().flat_map(|it| &it.rejected).map(|it| it.record.clone()).collect();
    assert_eq!(rejected, [0..5, 6..11]);
    assert_eq!(show(&decoded.last().unwrap().batch), ["3|x|y"]);
}

#[test]
fn replayed_records_keep_their_numbers() {
    let record = |text: &str| (text.as_bytes().to_vec(), Origin::default());
    let payload = Payload::Records(vec![record("1,x,y"), record("bad,x,y"), record("3,x,y")]);
    let decoded = decode_payload(&[], &three(), payload);
    assert_eq!(decoded[0].rows.first(), Some(&(0..0)));
    assert_eq!(decoded[0].rejected[0].record, 1..1);
    assert_eq!(decoded[1].rows.first(), Some(&(2..2)));
}

fn write(options: &[(&str, &str)], schema: &Schema, columns: Vec<ArrayRef>) -> String {
    let table = table(options);
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let mut out = Vec::new();
    let batch = RecordBatch::try_new(schema.arrow_schema(), columns).unwrap();
    Csv.encoder(&request, &context()).unwrap().encode(&batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn texts_are_quoted_where_flink_quotes_them() {
    let texts = |options: &[(&str, &str)], texts: &[&str]| {
        let schema = schema(&[("a", DataType::string())]);
        write(options, &schema, vec![Arc::new(StringArray::from(texts.to_vec()))])
    };
    let all = [
        "a b",
        "a\"b",
        "a\\b",
        "é",
        "a-b",
        "(a)",
        "日本日本日本日本日本日本日本日本日本日本日本日本",
        "x".repeat(25).leak(),
    ];
    assert_eq!(
        texts(&[], &all),
        "\"a b\"\n\"a\"\"b\"\n\"a\\b\"\né\na-b\n\"(a)\"\n日本日本日本日本日本日本日本日本日本日本日本日本\n\"xxxxxxxxxxxxxxxxxxxxxxxxx\"\n"
    );
    assert_eq!(
        texts(&[("field-delimiter", ";"), ("array-element-delimiter", "|")], &["5x", "<"]),
        "\"5x\"\n<\n"
    );
    assert_eq!(texts(&[("escape-character", "\\")], &["a\\\"b"]), "\"a\\\\\"\"b\"\n");
    assert_eq!(texts(&[("disable-quote-character", "true")], &["a\"b,"]), "a\"b,\n");
}

#[test]
fn values_are_spelled_as_flink_spells_them() {
    let line = |options: &[(&str, &str)], values: &[(DataType, Value)]| {
        let schema = Schema::new(values.iter().map(|(kind, _)| Field::new("x", kind.clone())).collect());
        write(options, &schema, values.iter().map(|(kind, value)| value.to_array(kind, 1)).collect())
    };
    let decimal = |value| (TypeKind::Decimal(20, 10).into(), Value::Decimal(value));
    let numbers =
        [decimal(15_000_000_000), decimal(1_000), decimal(10_000_000_000_000), decimal(-12_300), decimal(0)];
    assert_eq!(line(&[], &numbers), "1.5,1E-7,1E+3,-0.00000123,0\n");
    let plain = [("write-bigdecimal-in-scientific-notation", "false")];
    assert_eq!(line(&plain, &numbers), "1.5,0.0000001,1000,-0.00000123,0\n");
    let double = |value| (DataType::double(), Value::Double(value));
    assert_eq!(
        line(&[], &[double(1e10), double(100.0), (DataType::boolean(), Value::Boolean(true))]),
        "1.0E10,100.0,true\n"
    );
    let row = DataType::row([("x", DataType::int()), ("y", DataType::string())]);
    let nested = [
        (TypeKind::Timestamp(3).into(), Value::Timestamp(1_577_934_245_120)),
        (TypeKind::TimestampLtz(3).into(), Value::Timestamp(1_577_934_245_000)),
        (TypeKind::Time(3).into(), Value::Time(45_045_120)),
        (TypeKind::Time(0).into(), Value::Time(36_000_000)),
        (DataType::bytes(), Value::Bytes(b"ab".to_vec())),
        (DataType::array(DataType::int()), Value::Array(vec![Value::Int(1), Value::Null])),
        (row, Value::Row(vec![Value::Int(1), Value::String("x y".into())])),
        (DataType::string(), Value::Null),
    ];
    let expected =
        "\"2020-01-02 03:04:05.12\",\"2020-01-02 03:04:05Z\",12:30:45.12,10:00:00,YWI=,1;NA,\"1;x y\",NA\n";
    assert_eq!(line(&[("null-literal", "NA")], &nested), expected);
}

#[test]
fn options_that_contradict_are_refused() {
    let check = |options: &[(&str, &str)]| {
        let table = table(options);
        let request = FormatRequest { table: &table, schema: three() };
        let mut errors = Vec::new();
        Csv.validate(&request, &mut errors);
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    assert!(check(&[("field-delimiter", "\\u0001")]).is_empty());
    assert_eq!(
        check(&[("field-delimiter", "ab")]),
        ["option 'csv.field-delimiter' = 'ab': expected a single character"]
    );
    assert_eq!(check(&[("disable-quote-character", "true"), ("quote-character", "'")]).len(), 1);
}

/// Records and refusals of one scan after the other, blocks of `limit`.
fn scanned(bytes: &[u8], dialect: Dialect, limit: usize) -> Vec<String> {
    let mut scan = Scan::new(dialect, 3, false);
    let (mut at, mut out) = (0, Vec::new());
    while at < bytes.len() {
        at = scan.block(bytes, at, limit);
        let mut found: Vec<(u32, String)> =
            scan.bad.iter().map(|bad| (bad.0.start, format!("{bad:?}"))).collect();
        for (row, place) in scan.rows.iter().enumerate() {
            let spans: Vec<_> = (0..3).map(|column| scan.span(row, column)).collect();
            found.push((place.start, format!("{place:?} {spans:?}")));
        }
        found.sort();
        out.extend(found.into_iter().map(|(_, text)| text));
    }
    out
}

proptest! {
    #[test]
    fn the_quick_path_agrees_with_the_rules(
        plain in proptest::collection::vec("[a1#]{0,30},[a]{0,3},[b]{0,9}(\r)?\n", 0..40),
        quoted in "(\"[a,\n]{0,70}(\"\"){0,2}\",){2}\"?[b]{0,9}\"?[ \r]{0,2}\n",
        wild in "[a,\"\\\\#\r\n]{0,80}",
        at in 0..40usize,
    ) {
        let mut lines = plain;
        lines.insert(at.min(lines.len()), wild);
        lines.insert((at / 2).min(lines.len()), quoted.clone());
        lines.insert((at / 3).min(lines.len()), quoted);
        let text = lines.concat();
        for escape in [None, Some(b'\\')] {
            let dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape, comments: at % 2 == 0 };
            // Less than a step of bytes at a time never takes the quick path.
            let slowly: Vec<String> = {
                let mut scan = Scan::new(dialect, 3, false);
                scan.never_quick();
                let mut out = Vec::new();
                let mut from = 0;
                while from < text.len() {
                    from = scan.block(text.as_bytes(), from, 1);
                    out.extend(scan.bad.iter().map(|bad| format!("{bad:?}")));
                    for (row, place) in scan.rows.iter().enumerate() {
                        let spans: Vec<_> = (0..3).map(|column| scan.span(row, column)).collect();
                        out.push(format!("{place:?} {spans:?}"));
                    }
                }
                out
            };
            for limit in [1, 7, 1000] {
                prop_assert_eq!(scanned(text.as_bytes(), dialect, limit), slowly.clone());
            }
        }
    }

    #[test]
    fn a_message_means_the_same_among_others_and_alone(
        messages in proptest::collection::vec("([1\"]{0,3},|[1],)[a\" \n]{0,9},\"?[b,\"]{0,9}\"?[\r\n]{0,1}", 0..20),
    ) {
        let together = read_messages(&messages, &three());
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        for (number, message) in (0u32..).zip(&messages) {
            let (row, why) = read_messages(std::slice::from_ref(message), &three());
            rows.extend(row);
            rejected.extend(why.into_iter().map(|(_, why)| (number, why)));
        }
        prop_assert_eq!(together, (rows, rejected));
    }

    #[test]
    fn what_is_written_is_read_back(
        rows in proptest::collection::vec((any::<Option<i32>>(), proptest::option::of(any::<String>())), 1..30),
        escape in any::<bool>(),
    ) {
        let mut options = vec![("null-literal", "\u{1}")];
        if escape {
            options.push(("escape-character", "\\"));
        }
        let schema = schema(&[("a", DataType::int()), ("b", DataType::string())]);
        let numbers: Int32Array = rows.iter().map(|row| row.0).collect();
        let texts: StringArray = rows.iter().map(|row| row.1.clone().filter(|it| it != "\u{1}")).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(texts)];
        let written = write(&options, &schema, columns.clone());
        let decoded = decode_payload(&options, &schema, Payload::Bytes(written.clone().into()));
        let batches: Vec<_> = decoded.iter().map(|decoded| &decoded.batch).collect();
        let back = arrow::compute::concat_batches(&schema.arrow_schema(), batches).unwrap();
        prop_assert_eq!(back.columns(), columns.as_slice(), "{}", written);
    }
}
