//! Every format, through files: what is written into partitions is what is read back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Date32Array, Int8Array, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::{Date32Type, Int64Type},
};
use flott_connector::{
    ColumnKind, Connector, Decoded, ReadContext, Registry, ScanRequest, SinkRequest, Source, StopSignal,
    SystemClock, TableColumn, TableDescription, conformance,
};
use flott_connector_files::FilesystemConnector;
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Options, Span, TypeKind};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

fn table(path: &Path, format: &str) -> TableDescription {
    let column = |name: &str, data_type| TableColumn {
        name: name.into(),
        data_type,
        kind: ColumnKind::Physical,
        span: Span::default(),
    };
    let mut options = Options::new();
    for (key, value) in [("connector", "filesystem"), ("path", path.to_str().unwrap()), ("format", format)] {
        options.set(key, value);
    }
    TableDescription {
        name: "t".into(),
        columns: vec![
            column("id", DataType::bigint()),
            column("text", DataType::string()),
            column("day", DataType::new(TypeKind::Date)),
        ],
        partition_keys: vec!["day".into()],
        options,
        ..TableDescription::default()
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    flott_formats::all().into_iter().for_each(|format| registry.add_format(format));
    flott_connector_files::all().into_iter().for_each(|connector| registry.add_connector(connector));
    registry
}

fn context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 1, watermark: None }
}

fn write(table: &TableDescription, batch: &RecordBatch, kinds: Option<&Int8Array>) {
    let job = SinkRequest {
        disk: Arc::new(flott_connector::LocalDisk),
        job_options: Options::new(),
        pipeline_name: "test".into(),
        run_id: "r1".into(),
        context: context(),
        clock: Arc::new(SystemClock::new()),
        stop: flott_connector::StopSignal::new(),
        overwrite: false,
        checkpoints: false,
        generation: 0,
        first_generation: 0,
        job_id: String::new(),
        sink_number: 0,
        first_epoch: 0,
        decider: None,
    };
    let sink = FilesystemConnector.sink(table, &job, &registry()).unwrap();
    let (mut committer, mut writer) = (sink.committer().unwrap(), sink.writer(0, 1).unwrap());
    match kinds {
        Some(kinds) => writer.write_changes(batch, kinds).unwrap(),
        None => writer.write(batch).unwrap(),
    }
    writer.prepare(1).unwrap();
    let committables = loop {
        if let Some(committables) = writer.poll_prepared().unwrap() {
            break committables;
        }
    };
    committer.commit(&committables).unwrap();
    committer.finish().unwrap();
}

fn decode(table: &TableDescription, take: &mut dyn FnMut(Decoded)) {
    let source = source(table);
    let (mut reader, mut decoder) = (source.reader(None).unwrap(), source.decoder().unwrap());
    let reading = reading();
    while let Some(chunk) = reader.next_chunk(&reading).unwrap() {
        decoder
            .decode(&chunk, &context(), &mut |decoded| {
                assert_eq!(decoded.rejected, []);
                take(decoded);
                Ok(())
            })
            .unwrap();
    }
}

fn read(table: &TableDescription) -> RecordBatch {
    let mut batches = Vec::new();
    decode(table, &mut |decoded| batches.push(decoded.batch));
    concat_batches(&table.schema().arrow_schema(), &batches).unwrap()
}

/// Every format's records come again behind every chunk.
fn resumes(table: &TableDescription) {
    for even_time in [false, true] {
        conformance::source_resumes(source_with(table, even_time).as_ref(), &reading(), &context()).unwrap();
    }
}

fn reading() -> ReadContext {
    ReadContext {
        buffers: Default::default(),
        stop: StopSignal::new(),
        clock: Arc::new(SystemClock::new()),
        idle_timeout: None,
    }
}

fn source(table: &TableDescription) -> Arc<dyn Source> {
    source_with(table, false)
}

fn source_with(table: &TableDescription, even_time: bool) -> Arc<dyn Source> {
    let scan = ScanRequest {
        projection: (0..table.columns.len()).collect(),
        schema: table.schema(),
        filter: None,
        batch_rows: 8192,
        parallelism: 1,
        even_time,
        job_options: Options::new(),
    };
    FilesystemConnector.source(table, scan, &registry()).unwrap()
}

#[test]
fn partitioned_tables_round_trip_in_every_format() {
    let ids: Vec<i64> = (0..5000).collect();
    let texts: Vec<String> = ids.iter().map(|id| format!("line \"{id}\",\nsecond line")).collect();
    let days: Vec<Option<i32>> =
        ids.iter().map(|id| (id % 4 > 0).then_some(20_000 + (*id as i32) % 4)).collect();
    for format in ["csv", "json", "changelog-json", "parquet"] {
        let directory = tempfile::tempdir().unwrap();
        let table = table(directory.path(), format);
        assert_eq!(registry().validate(&table), []);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(Date32Array::from(days.clone())),
        ];
        write(&table, &RecordBatch::try_new(table.schema().arrow_schema(), columns).unwrap(), None);
        let extension = registry().format(format).unwrap().extension();
        let part = directory.path().join(format!("day=2024-10-05/part-r1-0-000001.{extension}"));
        assert!(part.exists(), "{format}");

        resumes(&table);
        let rows = read(&table);
        assert_eq!(rows.num_rows(), 5000, "{format}");
        let (id, text) = (rows.column(0).as_primitive::<Int64Type>(), rows.column(1).as_string::<i32>());
        let day = rows.column(2).as_primitive::<Date32Type>();
        for row in 0..rows.num_rows() {
            let number = id.value(row) as usize;
            assert_eq!(text.value(row), texts[number], "{format}");
            assert_eq!((!rows.column(2).is_null(row)).then(|| day.value(row)), days[number], "{format}");
        }
    }
}

/// Each partition's changes come back as they were written, in their order.
#[test]
fn changes_round_trip_through_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let table = table(directory.path(), "changelog-json");
    let rows = 5000;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(StringArray::from_iter_values((0..rows).map(|id| id.to_string()))),
        Arc::new(Date32Array::from_iter_values((0..rows).map(|id| 20_000 + id as i32 % 3))),
    ];
    let kinds = Int8Array::from_iter_values((0..rows).map(|id| (id / 7 % 4) as i8));
    write(&table, &RecordBatch::try_new(table.schema().arrow_schema(), columns).unwrap(), Some(&kinds));
    resumes(&table);
    let mut last = [-1; 3];
    let mut seen = 0;
    decode(&table, &mut |decoded| {
        let read = decoded.kinds.unwrap();
        let (ids, days) = (decoded.batch.column(0), decoded.batch.column(2));
        let days = days.as_primitive::<Date32Type>();
        for (row, id) in ids.as_primitive::<Int64Type>().values().iter().enumerate() {
            assert_eq!(read.value(row), kinds.value(*id as usize), "{id}");
            let last = &mut last[days.value(row) as usize % 3];
            assert!(*last < *id, "{id} behind {last}");
            *last = *id;
            seen += 1;
        }
    });
    assert_eq!(seen, rows);
}

#[test]
fn row_groups_come_again_unless_the_file_was_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("day=2024-10-05/x.parquet");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = |rows: i64, group: usize| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|it| it.to_string())));
        let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    write(100, 30);
    let table = table(directory.path(), "parquet");
    resumes(&table);

    let source = source(&table);
    let mut reader = source.reader(None).unwrap();
    reader.next_chunk(&reading()).unwrap().unwrap();
    let position = reader.position();
    write(200, 40);
    let error = source.reader(Some(&position)).err().unwrap();
    assert_eq!(error.code, Code::CheckpointUnusable);
    assert!(error.message.contains("its row groups are others"), "{error}");
}
