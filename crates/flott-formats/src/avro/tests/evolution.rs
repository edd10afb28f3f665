//! The writer's schema is another one than the reader's.

use arrow::util::display::array_value_to_string;

use super::*;
use crate::avro::{
    read::read_row,
    wire::{Input, put_bytes, put_long},
};
use crate::builder::Column;

/// Reads one record; the cells as text, or what is wrong.
fn read(
    writer: &str,
    reader: Option<&str>,
    columns: &[(&str, DataType)],
    record: &[u8],
) -> Result<Vec<String>, String> {
    let schema = Schema::parse(writer).unwrap();
    let reader = reader.map(|text| Arc::new(Schema::parse(text).unwrap()));
    let fields = table(columns, &[]).schema().fields;
    let plan = resolve::resolve(&schema, &fields, reader.as_ref())?;
    let mut columns: Vec<Column> = fields.iter().map(|it| Column::new(&it.data_type).unwrap()).collect();
    let mut input = Input::new(record, 0);
    read_row(&plan, &schema, &mut columns, &mut input).map_err(|fail| fail.message(0))?;
    assert_eq!(input.left(), 0);
    let cell = |column: &mut Column| array_value_to_string(&column.finish().unwrap(), 0).unwrap();
    Ok(columns.iter_mut().map(cell).collect())
}

fn record_of(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#)
}

#[test]
fn fields_are_found_by_name_and_numbers_are_promoted() {
    let writer = record_of(
        r#"{"name":"gone","type":"string"},{"name":"b","type":"int"},{"name":"a","type":"float"},
           {"name":"c","type":["null","long"]},{"name":"t","type":"bytes"}"#,
    );
    let mut record = vec![2, b'x'];
    put_long(-7, &mut record);
    record.extend(1.5f32.to_le_bytes());
    record.extend([2, 10]);
    put_bytes("ü".as_bytes(), &mut record);
    let columns = [
        ("a", DataType::double()),
        ("b", DataType::bigint()),
        ("c", DataType::double()),
        ("t", DataType::string()),
        ("new", DataType::int()),
    ];
    assert_eq!(read(&writer, None, &columns, &record).unwrap(), ["1.5", "-7", "5.0", "ü", ""]);
    let strict = [("new", DataType::int().not_null())];
    let error = read(&writer, None, &strict, &record).unwrap_err();
    assert_eq!(error, "field 'new': it is not written, and the column is NOT NULL");
    let narrower = read(&writer, None, &[("c", DataType::int())], &record).unwrap_err();
    assert_eq!(narrower, "field 'c': 'long' can't be read as INT");
}

#[test]
fn an_alias_takes_nothing_that_is_anothers_by_name() {
    let writer = record_of(r#"{"name":"a","type":"long"},{"name":"c","type":"long"}"#);
    let reader = record_of(
        r#"{"name":"b","aliases":["a","c"],"type":"long"},{"name":"a","type":"long"},
           {"name":"d","aliases":["c"],"type":["null","long"]}"#,
    );
    let columns = [("b", DataType::bigint()), ("a", DataType::bigint()), ("d", DataType::bigint())];
    assert_eq!(read(&writer, Some(&reader), &columns, &[2, 4]).unwrap(), ["2", "1", ""]);
}

#[test]
fn aliases_and_defaults_of_the_readers_schema() {
    let writer = record_of(r#"{"name":"old","type":"long"}"#);
    let reader = record_of(
        r#"{"name":"id","aliases":["older","old"],"type":"long"},
           {"name":"n","type":"int","default":42},
           {"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"]},"default":"B"},
           {"name":"u","type":["string","null"],"default":"none"},
           {"name":"row","type":{"type":"record","name":"x","fields":[
             {"name":"l","type":{"type":"array","items":"int"}}]},"default":{"l":[1,2]}}"#,
    );
    let columns = [
        ("id", DataType::bigint().not_null()),
        ("n", DataType::int().not_null()),
        ("e", DataType::string().not_null()),
        ("u", DataType::string()),
        ("row", DataType::row([("l", DataType::array(DataType::int()))])),
    ];
    let read = read(&writer, Some(&reader), &columns, &[18]).unwrap();
    assert_eq!(read, ["9", "42", "B", "none", "{l: [1, 2]}"]);
}

#[test]
fn times_and_decimals_are_as_the_writer_means_them() {
    let writer = record_of(
        r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
           {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":1}}"#,
    );
    let mut record = Vec::new();
    put_long(-1, &mut record);
    put_bytes(&[125], &mut record);
    let columns = |scale| [("t", of(TypeKind::Timestamp(3))), ("d", of(TypeKind::Decimal(10, scale)))];
    assert_eq!(read(&writer, None, &columns(2), &record).unwrap(), ["1969-12-31T23:59:59.999", "12.50"]);
    assert!(read(&writer, None, &columns(0), &record).unwrap_err().contains("doesn't fit the column"));
}

#[test]
fn null_where_the_column_is_not_null_is_the_records_fault() {
    let writer = record_of(r#"{"name":"a","type":["null","long"]}"#);
    let columns = [("a", DataType::bigint().not_null())];
    assert_eq!(read(&writer, None, &columns, &[2, 4]).unwrap(), ["2"]);
    let error = read(&writer, None, &columns, &[0]).unwrap_err();
    assert_eq!(error, "field 'a': at byte 1 of the record: null is written, and the column is NOT NULL");
    assert!(read(&writer, None, &columns, &[4]).unwrap_err().contains("branch"));
}

#[test]
fn what_is_announced_and_is_not_there_takes_no_memory() {
    let writer = record_of(r#"{"name":"a","type":{"type":"array","items":"null"}}"#);
    let columns = [("a", DataType::array(DataType::int()))];
    assert_eq!(read(&writer, None, &columns, &[4, 0]).unwrap(), ["[, ]"]);
    let mut record = Vec::new();
    put_long(1 << 40, &mut record);
    assert!(read(&writer, None, &columns, &record).unwrap_err().contains("items without a byte"));
    assert!(plan(r#"["null","int"]"#, &columns).is_err());
}
