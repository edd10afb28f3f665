//! Writing, as a user and the engine meet it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use flott_connector::{
    Committable, Committer, ManualClock, Sink, SinkRequest, SinkWriter, TableDescription,
    conformance::RepeatableSink, epoch_name,
};
use flott_types::{Code, Result};
use tempfile::tempdir;

use super::FileSink;
use crate::testing::*;

fn sink(table: &TableDescription, job: &SinkRequest) -> FileSink {
    FileSink::new(table, job, &registry()).unwrap()
}

/// A batch of text columns: `line`, then the keys.
fn batch(columns: &[Vec<Option<&str>>]) -> RecordBatch {
    let named = columns.iter().enumerate().map(|(number, values)| {
        (format!("c{number}"), Arc::new(StringArray::from(values.clone())) as ArrayRef)
    });
    RecordBatch::try_from_iter(named).unwrap()
}

fn lines(values: &[&str]) -> RecordBatch {
    batch(&[values.iter().map(|it| Some(*it)).collect()])
}

fn prepare(writer: &mut dyn SinkWriter, epoch: u64) -> Result<Vec<Committable>> {
    writer.prepare(epoch)?;
    loop {
        if let Some(committables) = writer.poll_prepared()? {
            return Ok(committables);
        }
        std::thread::yield_now();
    }
}

/// Every file below a directory by its relative path, with the run and number cut out of names.
fn files(root: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, at: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).unwrap().flatten() {
            if entry.path().is_dir() {
                walk(root, &entry.path(), out);
            } else {
                let name = entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned();
                out.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

fn visible(root: &Path) -> BTreeMap<String, String> {
    let mut files = files(root);
    files.retain(|name, _| !name.split('/').any(|part| part.starts_with('.')));
    files
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

/// Writes batches as one run that ends well.
fn run(table: &TableDescription, job: &SinkRequest, batches: &[RecordBatch]) {
    let sink = sink(table, job);
    let mut committer = sink.committer().unwrap();
    let mut writer = sink.writer(0, 1).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let committables = prepare(writer.as_mut(), 1).unwrap();
    committer.commit(&committables).unwrap();
    committer.finish().unwrap();
}

#[test]
fn a_file_appears_whole_when_its_epoch_is_committed() {
    let directory = tempdir().unwrap();
    let root = directory.path().join("new/out");
    let job = SinkRequest { checkpoints: true, ..job("r1") };
    let sink = sink(&table(&root, &[], &[]), &job);
    let mut committer = sink.committer().unwrap();
    let mut writer = sink.writer(0, 1).unwrap();
    writer.write(&lines(&["a", "b"])).unwrap();
    let first = prepare(writer.as_mut(), 1).unwrap();
    assert_eq!(visible(&root), named(&[]));

    committer.commit(&first).unwrap();
    let tag = epoch_name::tag("test", "", 0);
    let name = format!("part-{tag}-000000-000001-0-000000.txt");
    let expected = named(&[(&name, "a\nb\nend\n")]);
    assert_eq!(visible(&root), expected);
    committer.commit(&first).unwrap();
    assert_eq!(visible(&root), expected);

    // Rows that come while an epoch is being prepared belong to the next one.
    writer.prepare(2).unwrap();
    writer.write(&lines(&["next"])).unwrap();
    while writer.poll_prepared().unwrap().is_none_or(|files| !files.is_empty()) {}
    let next = prepare(writer.as_mut(), 3).unwrap();
    assert_eq!(next.len(), 1);
    committer.abort(&next).unwrap();

    // An epoch without rows has no files; an aborted one leaves nothing.
    assert_eq!(prepare(writer.as_mut(), 4).unwrap(), []);
    writer.write(&lines(&["c"])).unwrap();
    let aborted = prepare(writer.as_mut(), 5).unwrap();
    committer.abort(&aborted).unwrap();
    drop((sink, writer, committer));
    assert_eq!(files(&root), expected);
}

#[test]
fn what_a_failed_or_killed_run_leaves_is_hidden_and_goes() {
    let directory = tempdir().unwrap();
    let table = table(directory.path(), &[], &[]);
    let dead = sink(&table, &job("dead"));
    let mut writer = dead.writer(0, 1).unwrap();
    writer.write(&lines(&["lost"])).unwrap();
    prepare(writer.as_mut(), 1).unwrap();
    assert_eq!(visible(directory.path()), named(&[]));
    // While it lives, nobody touches its files; two statements of one run don't collide.
    run(&table, &job("dead"), &[lines(&["kept"])]);
    assert!(files(directory.path()).contains_key(".part-dead-0-000000.inprogress"));
    drop((dead, writer));
    assert_eq!(files(directory.path()), named(&[("part-dead.1-0-000000.txt", "kept\nend\n")]));

    // Killed: lock file and hidden file stay, the lock itself is gone.
    let lock = |pipeline: &str, checkpoints: bool| {
        format!("{{\"pipeline\":\"{pipeline}\",\"checkpoints\":{checkpoints}}}")
    };
    for (token, content) in
        [("k1", lock("test", false)), ("k2", lock("test", true)), ("k3", lock("other", false))]
    {
        fs::write(directory.path().join(format!(".run-{token}.lock")), content).unwrap();
        fs::write(directory.path().join(format!(".part-{token}-0-000000.inprogress")), "half").unwrap();
    }
    run(&table, &job("next"), &[]);
    let left: Vec<String> =
        files(directory.path()).into_keys().filter(|name| name.starts_with(".part")).collect();
    assert_eq!(left, [".part-k2-0-000000.inprogress", ".part-k3-0-000000.inprogress"]);
}

#[test]
fn rows_go_to_their_partitions() {
    let directory = tempdir().unwrap();
    let table = table(
        directory.path(),
        &["country", "day"],
        &[("sink.partition-commit.policy.kind", "success-file")],
    );
    let line = vec![Some("1"), Some("2"), Some("3"), Some("4")];
    let country = vec![Some("DE"), Some("a/b"), Some("DE"), None];
    let day = vec![Some("x"), Some("x"), Some("x"), Some("")];
    run(&table, &job("r1"), &[batch(&[line, country, day])]);
    assert_eq!(
        visible(directory.path()),
        named(&[
            ("country=DE/day=x/_SUCCESS", ""),
            ("country=DE/day=x/part-r1-0-000000.txt", "1\n3\nend\n"),
            ("country=__DEFAULT_PARTITION__/day=__DEFAULT_PARTITION__/_SUCCESS", ""),
            ("country=__DEFAULT_PARTITION__/day=__DEFAULT_PARTITION__/part-r1-0-000002.txt", "4\nend\n"),
            ("country=a%2Fb/day=x/_SUCCESS", ""),
            ("country=a%2Fb/day=x/part-r1-0-000001.txt", "2\nend\n"),
        ])
    );
}

#[test]
fn long_runs_of_equal_keys_are_cut_and_many_partitions_share_few_open_files() {
    let directory = tempdir().unwrap();
    let table = table(directory.path(), &["k"], &[]);
    let rows: Vec<String> = (0..2000).map(|row| row.to_string()).collect();
    let line: Vec<Option<&str>> = rows.iter().map(|row| Some(row.as_str())).collect();
    let halves: Vec<Option<&str>> = (0..2000).map(|row| Some(if row < 1000 { "a" } else { "b" })).collect();
    let many: Vec<Option<&str>> = (0..2000).map(|row| Some(rows[row % 300].as_str())).collect();
    run(&table, &job("r1"), &[batch(&[line.clone(), halves]), batch(&[line, many])]);
    let files = visible(directory.path());
    let rows_in = |prefix: &str| -> usize {
        let of = files.iter().filter(|(name, _)| name.starts_with(prefix));
        of.map(|(_, text)| text.lines().filter(|line| *line != "end").count()).sum()
    };
    assert_eq!((rows_in("k=a/"), rows_in("k=b/"), rows_in("k=7/"), rows_in("k=")), (1000, 1000, 7, 4000));
}

#[test]
fn a_partition_has_one_file_a_shard_however_many_there_are() {
    let directory = tempdir().unwrap();
    let sink = sink(&table(directory.path(), &["k"], &[]), &job("r1"));
    let mut committer = sink.committer().unwrap();
    let rows: Vec<String> = (0..6_000).map(|row| row.to_string()).collect();
    let keys: Vec<String> = (0..6_000).map(|row| (row * 7_919 % 2_000).to_string()).collect();
    let mut committables = Vec::new();
    for shard in 0..2 {
        let mut writer = sink.writer(shard, 2).unwrap();
        for (rows, keys) in rows.chunks(1_500).zip(keys.chunks(1_500)) {
            let column = |texts: &'_ [String]| batch(&[texts.iter().map(|it| Some(it.as_str())).collect()]);
            let (line, key) = (column(rows), column(keys));
            let both = [("line", line.column(0).clone()), ("k", key.column(0).clone())];
            writer.write(&RecordBatch::try_from_iter(both).unwrap()).unwrap();
        }
        committables.extend(prepare(writer.as_mut(), 1).unwrap());
    }
    committer.commit(&committables).unwrap();
    committer.finish().unwrap();
    let files = visible(directory.path());
    assert_eq!(files.len(), 4_000);
    let lines: usize = files.values().map(|text| text.lines().count()).sum();
    assert_eq!(lines, 12_000 + 4_000, "each file ends once");
    assert!(files.values().all(|text| text.ends_with("end\n")));
}

#[test]
fn files_are_ended_by_size_and_by_time() {
    let directory = tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(0));
    let job = SinkRequest { clock: clock.clone(), ..job("r1") };
    let sized = table(&directory.path().join("size"), &[], &[("sink.rolling-policy.file-size", "4 b")]);
    run(&sized, &job, &[lines(&["a"]), lines(&["b"]), lines(&["c"])]);
    let files = visible(&directory.path().join("size"));
    assert_eq!(files.values().collect::<Vec<_>>(), ["a\nb\nend\n", "c\nend\n"]);

    let root = directory.path().join("time");
    let timed = table(&root, &[], &[("sink.rolling-policy.rollover-interval", "5 min")]);
    let sink = sink(&timed, &job);
    let mut writer = sink.writer(0, 1).unwrap();
    writer.write(&lines(&["a"])).unwrap();
    clock.advance(Duration::from_secs(299));
    writer.flush().unwrap();
    writer.write(&lines(&["b"])).unwrap();
    clock.advance(Duration::from_secs(61));
    writer.flush().unwrap();
    writer.write(&lines(&["c"])).unwrap();
    assert_eq!(prepare(writer.as_mut(), 1).unwrap().len(), 2);
}

#[test]
fn overwrite_replaces_the_partitions_it_touches() {
    let directory = tempdir().unwrap();
    let table = table(directory.path(), &["k"], &[]);
    let row = |line: &'static str, key: &'static str| batch(&[vec![Some(line)], vec![Some(key)]]);
    run(&table, &job("r1"), &[row("old", "a"), row("stays", "b")]);
    let overwrite = SinkRequest { overwrite: true, ..job("r2") };
    run(&table, &overwrite, &[row("new", "a")]);
    let expected =
        named(&[("k=a/part-r2-0-000000.txt", "new\nend\n"), ("k=b/part-r1-0-000001.txt", "stays\nend\n")]);
    assert_eq!(visible(directory.path()), expected);
}

#[test]
fn overwriting_a_plain_table_with_no_rows_empties_it() {
    let directory = tempdir().unwrap();
    let table = table(directory.path(), &[], &[]);
    run(&table, &job("r1"), &[lines(&["old"])]);
    run(&table, &SinkRequest { overwrite: true, ..job("r2") }, &[]);
    assert_eq!(files(directory.path()), named(&[]));
}

#[test]
fn a_marker_file_waits_for_its_delay() {
    let directory = tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(0));
    let job = SinkRequest { clock: clock.clone(), checkpoints: true, ..job("r1") };
    let options =
        [("sink.partition-commit.policy.kind", "success-file"), ("sink.partition-commit.delay", "1 h")];
    let sink = sink(&table(directory.path(), &["k"], &options), &job);
    let (mut committer, mut writer) = (sink.committer().unwrap(), sink.writer(0, 1).unwrap());
    writer.write(&batch(&[vec![Some("1")], vec![Some("a")]])).unwrap();
    committer.commit(&prepare(writer.as_mut(), 1).unwrap()).unwrap();
    let marker = directory.path().join("k=a/_SUCCESS");
    assert!(!marker.exists());
    clock.advance(Duration::from_secs(3600));
    committer.commit(&[]).unwrap();
    assert!(marker.exists());
}

#[test]
fn an_error_on_the_io_thread_reaches_the_engine_with_path_and_help() {
    let directory = tempdir().unwrap();
    let root = directory.path().join("out");
    let sink = sink(&table(&root, &[], &[]), &job("r1"));
    let mut writer = sink.writer(0, 1).unwrap();
    fs::remove_dir_all(&root).unwrap();
    writer.write(&lines(&["a"])).unwrap();
    let error = prepare(writer.as_mut(), 1).unwrap_err();
    assert_eq!(error.code, Code::OutputFailed);
    assert!(error.message.contains(".part-r1-0-000000"), "{error}");

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = super::FileSink::new(&table(&file, &[], &[]), &job("r1"), &registry()).unwrap().writer(0, 1);
    let error = error.err().unwrap();
    assert!(error.help[0].contains("a file of that name is in the way"), "{error:?}");
}

#[test]
fn a_full_disk_says_what_to_do() {
    let full = std::io::Error::from_raw_os_error(libc::ENOSPC);
    let error = super::failed("write", Path::new("/data/out"), &full);
    assert_eq!(error.code, Code::OutputFailed);
    assert!(error.message.contains("/data/out") && error.help[0].contains("free some space"), "{error:?}");
}

/// The job as its incarnation of this generation; it began in generation 1.
fn incarnation(generation: u64) -> SinkRequest {
    let job_id = "j".to_string();
    SinkRequest { checkpoints: true, generation, first_generation: 1, job_id, ..job("unused") }
}

fn write_epoch(sink: &FileSink, committer: &mut dyn Committer, row: &RecordBatch, epoch: u64) {
    let mut writer = sink.writer(0, 1).unwrap();
    writer.write(row).unwrap();
    committer.commit(&prepare(writer.as_mut(), epoch).unwrap()).unwrap();
}

#[test]
fn epochs_are_published_once_whoever_dies_when() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    let table = table(root, &[], &[]);
    let visible = || {
        let text = visible(root).into_values().collect::<String>();
        let mut rows: Vec<String> = text.lines().filter(|it| *it != "end").map(str::to_string).collect();
        rows.sort();
        rows
    };
    let check = RepeatableSink {
        open: &|generation| Ok(Arc::new(sink(&table, &incarnation(generation)))),
        row: &|text| lines(&[text]),
        visible: &visible,
        hidden: &|| files(root).keys().filter(|name| name.starts_with('.')).count(),
    };
    check.check().unwrap();
    // Another job, and another statement of this one, leave them alone.
    for job in [
        SinkRequest { job_id: "other".into(), ..incarnation(99) },
        SinkRequest { sink_number: 1, ..incarnation(99) },
    ] {
        let sink = sink(&table, &job);
        sink.committer().unwrap().sweep(99, 99, &[]).unwrap();
        assert_eq!(sink.committer().unwrap().rollback(99, 0).unwrap(), 0);
    }
    assert_eq!(visible(), ["a", "b"]);
}

#[test]
fn overwrite_with_checkpoints_keeps_what_the_job_itself_has_published() {
    let directory = tempdir().unwrap();
    let table = table(directory.path(), &[], &[]);
    let overwrite = |generation, first_generation| SinkRequest {
        overwrite: true,
        first_generation,
        ..incarnation(generation)
    };
    let epoch = |job: SinkRequest, text: &str, epoch| {
        let sink = sink(&table, &job);
        let mut committer = sink.committer().unwrap();
        write_epoch(&sink, committer.as_mut(), &lines(&[text]), epoch);
        committer.finish().unwrap();
        visible(directory.path()).into_values().collect::<Vec<_>>()
    };
    run(&table, &job("r1"), &[lines(&["old"])]);
    assert_eq!(epoch(overwrite(1, 1), "a", 2), ["a\nend\n"]);
    assert_eq!(epoch(overwrite(3, 1), "b", 4), ["a\nend\n", "b\nend\n"], "resumed");
    assert_eq!(epoch(overwrite(5, 5), "c", 6), ["c\nend\n"], "started anew");
}

#[test]
fn a_resumed_run_writes_the_markers_that_are_missing() {
    let directory = tempdir().unwrap();
    let options =
        [("sink.partition-commit.policy.kind", "success-file"), ("sink.partition-commit.delay", "1 h")];
    let table = table(directory.path(), &["k"], &options);
    let first = sink(&table, &incarnation(1));
    let row = batch(&[vec![Some("1")], vec![Some("a")]]);
    write_epoch(&first, first.committer().unwrap().as_mut(), &row, 2);
    let marker = directory.path().join("k=a/_SUCCESS");
    assert!(!marker.exists());
    sink(&table, &incarnation(3)).committer().unwrap().finish().unwrap();
    assert!(marker.exists());
}
