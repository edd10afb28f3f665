//! Formats of captured changes as a whole: messages in, changes out, and back.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, make_array},
    util::display::array_value_to_string,
};
use flott_connector::{
    Chunk, ColumnKind, Decoded, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo, TableColumn,
    TableDescription,
};
use flott_types::{DataType, Options, RowKind, Span};

use super::CdcJsonFormat;
use crate::json::test_context;

const ALL: [CdcJsonFormat; 4] =
    [CdcJsonFormat::debezium(), CdcJsonFormat::canal(), CdcJsonFormat::maxwell(), CdcJsonFormat::ogg()];

/// A table of an id, a name, and these columns of metadata.
fn table(format: CdcJsonFormat, options: &[(&str, &str)], metadata: &[&str]) -> TableDescription {
    let column = |name: &str, data_type, kind| TableColumn {
        name: name.into(),
        data_type,
        kind,
        span: Span::default(),
    };
    let mut columns = vec![
        column("id", DataType::bigint(), ColumnKind::Physical),
        column("n", DataType::string(), ColumnKind::Physical),
    ];
    for key in metadata {
        let data_type = format.metadata().into_iter().find(|it| it.key == *key).unwrap().data_type;
        columns.push(column(key, data_type, ColumnKind::Metadata { key: key.to_string(), is_virtual: true }));
    }
    let mut table = TableDescription { columns, ..TableDescription::default() };
    options.iter().for_each(|(key, value)| table.options.set(*key, *value));
    table
}

fn messages(texts: &[impl AsRef<[u8]>]) -> Slices {
    let mut messages = Slices::default();
    assert!(texts.iter().all(|text| messages.push(Some(text.as_ref()))));
    messages
}

/// All that comes of these messages, in batches of this many rows.
fn decode_all(
    format: CdcJsonFormat,
    table: &TableDescription,
    batch_rows: usize,
    messages: &Slices,
) -> Vec<Decoded> {
    let projection: Vec<usize> = (0..table.columns.len()).collect();
    let request = FormatRequest { table, schema: table.physical_schema() };
    let scan = ScanRequest {
        schema: table.schema().project(&projection),
        projection,
        filter: None,
        batch_rows,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let chunk = Chunk {
        split: Arc::new(SplitInfo::default()),
        sequence: 0,
        offset: 0,
        payload: Payload::Messages(Box::default()),
        bytes_in: 0,
        time: Default::default(),
    };
    let mut decoder = format.decoder(&request, &scan, Vec::new()).unwrap();
    let mut all = Vec::new();
    let mut emit = |decoded: Decoded| {
        assert_eq!(decoded.rows.len(), decoded.batch.num_rows());
        assert_eq!(decoded.kinds.as_ref().unwrap().len(), decoded.batch.num_rows());
        let parts = decoded.batch.num_rows() + decoded.rejected.len();
        assert_eq!(decoded.read, parts as u64 + decoded.skipped + decoded.filtered);
        all.push(decoded);
        Ok(())
    };
    decoder.decode_messages(messages, &chunk, &test_context(), &mut emit).unwrap();
    all
}

fn decode(format: CdcJsonFormat, table: &TableDescription, texts: &[&str]) -> Decoded {
    let mut all = decode_all(format, table, 1000, &messages(texts));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Instants without their zone: it's UTC.
fn plain(array: &ArrayRef) -> ArrayRef {
    let arrow::datatypes::DataType::Timestamp(unit, Some(_)) = array.data_type() else {
        return array.clone();
    };
    let data_type = arrow::datatypes::DataType::Timestamp(*unit, None);
    make_array(array.to_data().into_builder().data_type(data_type).build().unwrap())
}

/// `number: kind cells` for each row.
fn shown(decoded: &Decoded) -> Vec<String> {
    let kinds = decoded.kinds.as_ref().unwrap();
    let row = |row: usize| {
        let cells = decoded.batch.columns().iter().map(|it| array_value_to_string(&plain(it), row).unwrap());
        let kind = RowKind::of(kinds.value(row)).unwrap().short();
        format!("{}: {kind} {}", decoded.rows[row].start, cells.collect::<Vec<_>>().join(" "))
    };
    (0..decoded.batch.num_rows()).map(row).collect()
}

fn problems(decoded: &Decoded) -> Vec<String> {
    decoded.rejected.iter().map(|it| format!("{}: {}", it.record.start, it.message)).collect()
}

#[test]
fn debezium_in_any_order() {
    let format = CdcJsonFormat::debezium();
    let decoded = decode(
        format,
        &table(format, &[], &[]),
        &[
            r#"{"before":null,"after":{"id":1,"n":"a"},"source":{"db":"x"},"op":"r"}"#,
            r#"{"before":{"id":1,"n":"a"},"after":{"id":1,"n":"b"},"source":{"db":"x"},"op":"u"}"#,
            r#"{"op":"u","after":{"id":1,"n":"c"},"before":{"id":1,"n":"b"}}"#,
            r#"{"before":{"id":1,"n":"c"},"after":null,"source":{"db":"x"},"op":"d"}"#,
            r#"{"before":{"id":"bad"},"after":{"id":2,"n":"d"},"op":"c"}"#,
            r#"{"before":{"id":2,"n":"d"},"after":[],"op":"d"}"#,
            "{\n \"after\": {\n \"id\": 3},\n \"op\": \"c\"\n}",
            r#"{"after":{"id":4},"op":"u","op":"c","after":{"id":5}}"#,
        ],
    );
    let expected = [
        "0: +I 1 a",
        "1: -U 1 a",
        "1: +U 1 b",
        "2: -U 1 b",
        "2: +U 1 c",
        "3: -D 1 c",
        "4: +I 2 d",
        "5: -D 2 d",
        "6: +I 3 ",
        "7: +I 5 ",
    ];
    assert_eq!(shown(&decoded), expected);
    assert_eq!(problems(&decoded), [""; 0]);
}

#[test]
fn a_record_with_a_bad_side_is_rejected_whole() {
    let format = CdcJsonFormat::debezium();
    let texts = [
        r#"{"before":{"id":1},"after":{"id":"x"},"op":"u"}"#,
        r#"{"before":{"id":1},"after":{"id":2},"op":"u"}"#,
        r#"{"before":null,"after":{"id":2},"op":"u"}"#,
        r#"{"before":null,"after":null,"op":"d"}"#,
        r#"{"before":null,"after":null,"op":"c"}"#,
        r#"{"before":{"id":1},"after":{"id":2},"op":"t"}"#,
        r#"{"before":{"id":1},"after":{"id":2}}"#,
        r#"{"before":[1],"after":{"id":2},"op":"u"}"#,
        r#"{"before":{"id":1},"after":{"id":2},"op":"u""#,
        r#"{"before":{"id":1,"after":{"id":2},"op":"u"}"#,
    ];
    let decoded = decode(format, &table(format, &[], &[]), &texts);
    assert_eq!(shown(&decoded), ["1: -U 1 ", "1: +U 2 "]);
    let expected = [
        "0: field 'after.id': 'x' is not a BIGINT",
        "2: field 'before' is null or missing, of an update (Debezium on PostgreSQL knows it only of tables with \
         REPLICA IDENTITY FULL)",
        "3: field 'before' is null or missing, of a deletion (Debezium on PostgreSQL knows it only of tables with \
         REPLICA IDENTITY FULL)",
        "4: field 'after' is null or missing",
        "5: field 'op': 't' is none of c, r, u, d",
        "6: field 'op' is null or missing",
        "7: field 'before' is not an object",
        "8: malformed JSON at byte 44 of the record: expected ',' or '}'",
        "9: malformed JSON at byte 44 of the record: expected ',' or '}'",
    ];
    assert_eq!(problems(&decoded), expected);
    let ignoring = table(format, &[("debezium-json.ignore-parse-errors", "true")], &[]);
    let decoded = decode(format, &ignoring, &texts);
    assert_eq!((decoded.rejected.len(), decoded.skipped, decoded.nulled), (0, 8, 1));
    assert_eq!(shown(&decoded)[..2], ["0: -U 1 ", "0: +U  "]);
}

#[test]
fn what_an_old_row_does_not_name_is_as_in_the_new_one() {
    let format = CdcJsonFormat::maxwell();
    let decoded = decode(
        format,
        &table(format, &[], &[]),
        &[
            r#"{"type":"update","data":{"id":1,"n":"b"},"old":{"n":"a"}}"#,
            r#"{"type":"update","data":{"id":1,"n":"b"},"old":{"n":null}}"#,
            r#"{"type":"update","old":{"id":7},"data":{"id":1,"n":"b"}}"#,
            r#"{"type":"update","data":{"id":1,"n":"b"}}"#,
            r#"{"type":"delete","data":{"id":1,"n":"b"},"old":{"n":"a"}}"#,
        ],
    );
    let expected = ["0: -U 1 a", "0: +U 1 b", "1: -U 1 ", "1: +U 1 b", "2: -U 7 b", "2: +U 1 b", "4: -D 1 b"];
    assert_eq!(shown(&decoded), expected);
    assert_eq!(problems(&decoded), ["3: field 'old' is null or missing, of an update"]);
}

#[test]
fn canal_tells_of_several_rows() {
    let format = CdcJsonFormat::canal();
    let chosen = [("canal-json.database.include", "sh.p"), ("canal-json.table.include", "a|b")];
    let texts = [
        r#"{"data":[{"id":1,"n":"a"},{"id":2,"n":"b"}],"database":"shop","table":"a","old":null,"type":"INSERT"}"#,
        r#"{"data":[{"id":1,"n":"A"},{"id":2,"n":"B"},{"id":3}],"database":"shop","table":"b",
            "old":[{"n":"a"},{"n":"b"},{"id":4}],"type":"UPDATE"}"#,
        r#"{"data":[{"id":"x"}],"database":"shop","table":"ab","type":"INSERT"}"#,
        r#"{"data":null,"database":"shop","table":"a","type":"CREATE"}"#,
        r#"{"data":[{"id":1,"n":"A"},{"id":"x"}],"database":"shop","table":"a","type":"DELETE"}"#,
        r#"{"data":[{"id":1,"n":"A"},{"id":2}],"database":"shop","table":"a","old":[{}],"type":"UPDATE"}"#,
        r#"{"data":[{"id":1,"n":"A"}],"table":"a","type":"DELETE"}"#,
        r#"{"data":[{"id":1,"n":"A"}],"database":"shop","table":"a","type":"DELETE"}"#,
    ];
    let decoded = decode(format, &table(format, &chosen, &[]), &texts);
    let expected = [
        "0: +I 1 a",
        "0: +I 2 b",
        "1: -U 1 a",
        "1: +U 1 A",
        "1: -U 2 b",
        "1: +U 2 B",
        "1: -U 4 ",
        "1: +U 3 ",
        "7: -D 1 A",
    ];
    assert_eq!(shown(&decoded), expected);
    let expected = [
        "4: field 'data.id': 'x' is not a BIGINT",
        "5: field 'old': fewer rows than in 'data'",
        "6: field 'database' is null or missing",
    ];
    assert_eq!((problems(&decoded), decoded.filtered), (expected.map(str::to_string).to_vec(), 2));
    // However many rows a record has: all its changes are in one batch.
    let pieces = decode_all(format, &table(format, &chosen, &[]), 4, &messages(&texts));
    assert_eq!(pieces.iter().map(|it| it.batch.num_rows()).collect::<Vec<_>>(), [8, 1]);
}

#[test]
fn what_stands_beside_the_rows() {
    let format = CdcJsonFormat::debezium();
    let keys = [
        "source.timestamp",
        "source.database",
        "source.table",
        "ingestion-timestamp",
        "source.properties",
        "source.database",
    ];
    let body = r#"{"before":{"id":1},"after":{"id":2},"source":{"ts_ms":1500,"db":"shop","pos":7},"op":"u","ts_ms":2500}"#;
    let expected =
        "1970-01-01T00:00:01.500 shop  1970-01-01T00:00:02.500 {ts_ms: 1500, db: shop, pos: 7} shop";
    let decoded = decode(format, &table(format, &[], &keys), &[body, r#"{"after":{"id":3},"op":"c"}"#]);
    let rows = [format!("0: -U 1  {expected}"), format!("0: +U 2  {expected}"), "1: +I 3       ".into()];
    assert_eq!(shown(&decoded), rows);

    let wrapped = format!(r#"{{"schema":{{"type": "struct"}},"payload":{body}}}"#);
    let included = table(format, &[("debezium-json.schema-include", "true")], &["schema", "source.database"]);
    let decoded = decode(format, &included, &[&wrapped, body]);
    let schema = r#"{"type":"struct"}"#;
    assert_eq!(shown(&decoded), [format!("0: -U 1  {schema} shop"), format!("0: +U 2  {schema} shop")]);
    assert_eq!(problems(&decoded), ["1: field 'payload' is not an object"]);

    let format = CdcJsonFormat::ogg();
    let keys = ["event-timestamp", "ingestion-timestamp", "primary-keys"];
    let text = r#"{"op_type":"I","op_ts":"2020-05-13 15:40:06.000001","current_ts":"2020-05-13T15:40:07.000000",
        "primary_keys":["id"],"after":{"id":1}}"#;
    let decoded = decode(format, &table(format, &[], &keys), &[text]);
    let expected = "0: +I 1  2020-05-13T15:40:06.000001 2020-05-13T15:40:07 [id]";
    assert_eq!(shown(&decoded), [expected]);
    let text = text.replace("13T15", "13 15");
    let decoded = decode(format, &table(format, &[], &["op_ts", "current_ts", "primary-keys"]), &[&text]);
    assert_eq!(shown(&decoded), [expected]);

    let format = CdcJsonFormat::canal();
    let text =
        r#"{"data":[{"id":1}],"type":"INSERT","es":1000,"ts":2000,"sqlType":{"id":4},"pkNames":["id"]}"#;
    let keys = ["event-timestamp", "ingestion-timestamp", "sql-type", "pk-names", "table"];
    let decoded = decode(format, &table(format, &[], &keys), &[text]);
    assert_eq!(shown(&decoded), ["0: +I 1  1970-01-01T00:00:01 1970-01-01T00:00:02 {id: 4} [id] "]);
}

#[test]
fn what_is_written_is_read_again() {
    let texts = [
        r#"{"before":null,"after":{"id":1,"n":"a"},"op":"c"}"#,
        r#"{"before":{"id":1,"n":"a"},"after":{"id":1,"n":null},"op":"u"}"#,
        r#"{"before":{"id":1,"n":null},"after":null,"op":"d"}"#,
    ];
    let debezium = CdcJsonFormat::debezium();
    let changes = decode(debezium, &table(debezium, &[], &[]), &texts);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for format in ALL {
        let table = table(format, &[], &[]);
        let request = FormatRequest { table: &table, schema: table.physical_schema() };
        let mut encoder = format.encoder(&request, &test_context()).unwrap();
        let mut out = Slices::default();
        encoder.encode_messages(&changes.batch, changes.kinds.as_ref(), &mut out).unwrap();
        let read = decode_all(format, &table, 1000, &out).remove(0);
        assert_eq!(shown(&read), ["0: +I 1 a", "1: -D 1 a", "2: +I 1 ", "3: -D 1 "]);
        let text = |at: usize| String::from_utf8(out.get(at).unwrap().to_vec()).unwrap();
        first.push(text(0));
        last.push(text(3));
    }
    let expected = [
        r#"{"before":null,"after":{"id":1,"n":"a"},"op":"c"}"#,
        r#"{"data":[{"id":1,"n":"a"}],"type":"INSERT"}"#,
        r#"{"data":{"id":1,"n":"a"},"type":"insert"}"#,
        r#"{"before":null,"after":{"id":1,"n":"a"},"op_type":"I"}"#,
    ];
    assert_eq!(first, expected);
    let expected = [
        r#"{"before":{"id":1,"n":null},"after":null,"op":"d"}"#,
        r#"{"data":[{"id":1,"n":null}],"type":"DELETE"}"#,
        r#"{"data":{"id":1,"n":null},"type":"delete"}"#,
        r#"{"before":{"id":1,"n":null},"after":null,"op_type":"D"}"#,
    ];
    assert_eq!(last, expected);
}
