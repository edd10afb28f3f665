//! Parquet there and back.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, StringArray, UInt16Array},
    datatypes::{
        DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, TimestampMillisecondType,
    },
    record_batch::RecordBatch,
};
use flott_connector::{
    Chunk, Decoded, Format as _, FormatRequest, Payload, ScanRequest, SplitInfo, TableDescription,
};
use flott_expr::{EvalContext, Value};
use flott_types::{Code, DataType, Field, Options, Result, Schema, TypeKind};
use parquet::{
    arrow::ArrowWriter,
    data_type::{Int96, Int96Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::{Parquet, RowGroupInfo, row_groups};

fn context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None }
}

/// All row groups of a file as this table sees them.
fn read(path: &Path, schema: &Schema) -> Result<Vec<Decoded>> {
    let table = TableDescription::default();
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let scan = ScanRequest {
        projection: (0..schema.len()).collect(),
        schema: schema.clone(),
        filter: None,
        batch_rows: 2,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let mut decoder = Parquet.decoder(&request, &scan, Vec::new())?;
    let mut all = Vec::new();
    for group in 0..row_groups(path)?.len() {
        let split = SplitInfo { name: path.display().to_string(), ..SplitInfo::default() };
        let chunk = Chunk {
            split: Arc::new(split),
            sequence: group as u64,
            offset: 0,
            payload: Payload::RowGroup(group),
            bytes_in: 0,
            time: Default::default(),
        };
        decoder.decode(&chunk, &context(), &mut |decoded| {
            all.push(decoded);
            Ok(())
        })?;
    }
    Ok(all)
}

#[test]
fn a_row_group_can_end_early() {
    let (table, schema) =
        (TableDescription::default(), Schema::new(vec![Field::new("a", DataType::bigint())]));
    let request = FormatRequest { table: &table, schema: schema.clone() };
    let mut encoder = Parquet.encoder(&request, &context()).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    let batch = RecordBatch::try_new(schema.arrow_schema(), vec![column]).unwrap();
    let mut out = Vec::new();
    encoder.encode(&batch, &mut out).unwrap();
    let before = encoder.memory();
    encoder.flush_group(&mut out).unwrap();
    assert!(encoder.memory() < before / 2 && encoder.buffered() == 0);
    encoder.flush_group(&mut out).unwrap();
    encoder.encode(&batch, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.parquet");
    std::fs::write(&path, out).unwrap();
    assert_eq!(row_groups(&path).unwrap().iter().map(|it| it.rows).collect::<Vec<_>>(), [1_000, 1_000]);
    assert_eq!(read(&path, &schema).unwrap().iter().map(|it| it.batch.num_rows()).sum::<usize>(), 2_000);
}

fn write(path: &Path, options: &[(&str, &str)], schema: &Schema, batches: &[RecordBatch]) -> Result<()> {
    let mut table = TableDescription::default();
    for (key, value) in options {
        table.options.set(*key, *value);
    }
    let mut encoder =
        Parquet.encoder(&FormatRequest { table: &table, schema: schema.clone() }, &context())?;
    let mut bytes = Vec::new();
    for batch in batches {
        encoder.encode(batch, &mut bytes)?;
    }
    encoder.finish(&mut bytes)?;
    std::fs::write(path, bytes).unwrap();
    Ok(())
}

#[test]
fn every_type_is_read_back_as_it_was_written() {
    let types: Vec<(DataType, Value)> = vec![
        (DataType::boolean(), Value::Boolean(true)),
        (TypeKind::TinyInt.into(), Value::Int(-1)),
        (TypeKind::SmallInt.into(), Value::Int(2)),
        (DataType::int(), Value::Int(3)),
        (DataType::bigint(), Value::Int(i64::MIN)),
        (TypeKind::Float.into(), Value::Double(1.5)),
        (DataType::double(), Value::Double(-0.1)),
        (TypeKind::Decimal(5, 2).into(), Value::Decimal(-12_345)),
        (TypeKind::Decimal(38, 10).into(), Value::Decimal(i128::from(i64::MAX) * 1000)),
        (TypeKind::Date.into(), Value::Date(-1)),
        (TypeKind::Time(3).into(), Value::Time(1234)),
        (TypeKind::Timestamp(3).into(), Value::Timestamp(-62_135_596_800_000)),
        (TypeKind::Timestamp(9).into(), Value::Timestamp(123_456_789)),
        (TypeKind::TimestampLtz(6).into(), Value::Timestamp(1)),
        (TypeKind::Char(3).into(), Value::String("äöü".into())),
        (DataType::bytes(), Value::Bytes(vec![0, 255])),
        (DataType::array(DataType::int()), Value::Array(vec![Value::Int(1), Value::Null])),
        (
            DataType::map(DataType::string().not_null(), DataType::array(DataType::bigint())),
            Value::Map(vec![(Value::String("k".into()), Value::Array(vec![Value::Int(7)]))]),
        ),
        (
            DataType::row([("x", DataType::int()), ("y", DataType::string())]),
            Value::Row(vec![Value::Null, Value::String("z".into())]),
        ),
    ];
    let fields =
        types.iter().enumerate().map(|(i, (data_type, _))| Field::new(format!("c{i}"), data_type.clone()));
    let schema = Schema::new(fields.collect());
    let columns = |value: fn(&Value) -> Value| -> Vec<ArrayRef> {
        types.iter().map(|(data_type, it)| value(it).to_array(data_type, 2)).collect()
    };
    let batches = [
        RecordBatch::try_new(schema.arrow_schema(), columns(Value::clone)).unwrap(),
        RecordBatch::try_new(schema.arrow_schema(), columns(|_| Value::Null)).unwrap(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let other = [
        ("parquet.compression", "ZSTD"),
        ("parquet.writer.version", "v2"),
        ("parquet.timestamp.time.unit", "millis"),
    ];
    for options in [&[][..], &other[..2]] {
        write(&path, options, &schema, &batches).unwrap();
        let decoded = read(&path, &schema).unwrap();
        assert_eq!(decoded.iter().map(|it| it.batch.clone()).collect::<Vec<_>>(), batches);
        assert_eq!(decoded[1].first_record, 2);
    }
    write(&path, &other, &schema, &batches).unwrap();
    let decoded = read(&path, &schema).unwrap();
    assert_eq!(
        Value::from_array(decoded[0].batch.column(12), 0, &types[12].0),
        Value::Timestamp(123_000_000)
    );
}

#[test]
fn columns_are_matched_by_name_and_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.parquet");
    let fields = vec![
        ArrowField::new("unused", ArrowType::Utf8, false),
        ArrowField::new("port", ArrowType::UInt16, false),
        ArrowField::new("at", ArrowType::Int64, false),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["x"; 3])),
        Arc::new(UInt16Array::from(vec![1, 2, 65_535])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
    ];
    let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let groups = row_groups(&path).unwrap();
    assert_eq!(groups.iter().map(|group: &RowGroupInfo| group.rows).collect::<Vec<_>>(), [2, 1]);

    let schema =
        Schema::new(vec![Field::new("nowhere", DataType::string()), Field::new("port", DataType::int())]);
    let decoded = read(&path, &schema).unwrap();
    assert_eq!(decoded.len(), 2);
    assert_eq!(decoded[0].batch.column(0).null_count(), 2);
    assert_eq!(Value::from_array(decoded[1].batch.column(1), 0, &DataType::int()), Value::Int(65_535));

    // A number isn't made a timestamp, nor squeezed into a type that can't hold it.
    for wrong in [TypeKind::Timestamp(3), TypeKind::Varchar(9)] {
        let error = read(&path, &Schema::new(vec![Field::new("at", wrong.into())])).unwrap_err();
        assert_eq!(error.code, Code::InputUnreadable);
        assert!(error.message.contains("column 'at': the file has Int64"), "{}", error.message);
    }
    let narrow = Schema::new(vec![Field::new("port", TypeKind::TinyInt.into())]);
    assert_eq!(read(&path, &narrow).unwrap_err().code, Code::InputUnreadable);
}

#[test]
fn int96_timestamps_are_read_in_the_declared_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("int96.parquet");
    let schema = Arc::new(parse_message_type("message m { optional int96 at; }").unwrap());
    let mut file = SerializedFileWriter::new(File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let mut value = Int96::new();
    // Nanoseconds of the day (5 ms) and Julian day of 9999-12-31, which 64-bit nanoseconds can't hold.
    value.set_data(5_000_000, 0, 5_373_484);
    column.typed::<Int96Type>().write_batch(&[value], Some(&[1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();

    for declared in [TypeKind::Timestamp(3), TypeKind::TimestampLtz(3)] {
        let decoded = read(&path, &Schema::new(vec![Field::new("at", declared.into())])).unwrap();
        let values = decoded[0].batch.column(0).as_primitive::<TimestampMillisecondType>();
        assert_eq!(values.value(0), 253_402_214_400_005);
    }
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    std::fs::write(&path, b"PAR1 this is no parquet file PAR1").unwrap();
    let error = row_groups(&path).unwrap_err();
    assert_eq!(error.code, Code::InputUnreadable);
    assert!(error.message.contains("damaged.parquet"), "{}", error.message);
}

#[test]
fn what_the_format_cannot_do_is_refused() {
    let check = |options: &[(&str, &str)], data_type: DataType| {
        let mut table = TableDescription::default();
        for (key, value) in options {
            table.options.set(*key, *value);
        }
        let mut errors = Vec::new();
        let schema = Schema::new(vec![Field::new("x", data_type)]);
        Parquet.validate(&FormatRequest { table: &table, schema }, &mut errors);
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    assert!(check(&[("parquet.compression", "gzip")], DataType::int()).is_empty());
    assert_eq!(
        check(&[("parquet.write.int64.timestamp", "false")], DataType::int()),
        ["not supported yet: INT96 timestamps in parquet files"]
    );
    assert_eq!(check(&[], DataType::row(Vec::<(String, DataType)>::new())).len(), 1);
}
