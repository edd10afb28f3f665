//! Reading, as a user meets it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use flott_connector::{
    BufferPool, Chunk, ColumnKind, Connector, Decoder, Framing, Payload, ReadContext, Source, SourceReader,
    SplitTime, TableDescription, conformance,
};
use flott_types::{Code, DataType, Result, Span, TypeKind};
use serde_json::Value;
use tempfile::tempdir;

use super::{
    FileSource,
    listing::FoundFile,
    position::{self, Position},
    reader::FileReader,
    text::TextFile,
};
use crate::{FilesystemConnector, settings::SourceSettings, testing::*};

/// Everything a table holds, line by line, with the name of its file in front.
fn read(table: &TableDescription) -> Result<Vec<String>> {
    let settings = SourceSettings::new(table)?;
    let mut reader = FileReader::new(settings, Framing::Lines, 0, None)?;
    let context = read_context();
    let mut lines = Vec::new();
    while let Some(chunk) = reader.next_chunk(&context)? {
        if chunk.is_control() {
            continue;
        }
        let Payload::Bytes(bytes) = chunk.payload else { panic!("bytes expected") };
        let file = Path::new(&chunk.split.name).file_name().unwrap().to_string_lossy().into_owned();
        lines.extend(String::from_utf8(bytes).unwrap().lines().map(|line| format!("{file}: {line}")));
    }
    Ok(lines)
}

fn batches(table: &TableDescription) -> Result<Vec<RecordBatch>> {
    let source = FileSource::new(table, scan(table), &registry())?;
    let (mut reader, mut decoder) = (source.reader(None)?, source.decoder()?);
    let mut batches = Vec::new();
    while let Some(chunk) = reader.next_chunk(&read_context())? {
        decoder.decode(&chunk, &eval_context(), &mut |decoded| {
            batches.push(decoded.batch);
            Ok(())
        })?;
    }
    Ok(batches)
}

/// The chunks of a file and where they begin.
fn chunks(path: &Path, framing: Framing, header_lines: usize, chunk_bytes: usize) -> Vec<(u64, Vec<u8>)> {
    let size = fs::metadata(path).unwrap().len();
    let split = flott_connector::SplitInfo { size: Some(size), ..Default::default() };
    let mut file = TextFile::open(path.into(), split.into(), framing, header_lines, chunk_bytes).unwrap();
    let buffers = BufferPool::default();
    let mut chunks = Vec::new();
    while let Some(cut) = file.next(&buffers).unwrap() {
        chunks.push((cut.offset, cut.bytes));
    }
    chunks
}

const CSV: Framing =
    Framing::QuotedLines { quote: b'"', delimiter: b',', escape: Some(b'\\'), comments: true };

/// The definition of [`Framing::QuotedLines`], byte by byte: where records end.
fn record_ends(text: &[u8], framing: Framing) -> Vec<usize> {
    let Framing::QuotedLines { quote, delimiter, escape, comments } = framing else {
        return text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    };
    let (mut ends, mut at) = (Vec::new(), 0);
    let (mut quoted, mut field_start, mut line_start, mut comment) = (false, true, true, false);
    while at < text.len() {
        let byte = text[at];
        if quoted {
            if Some(byte) == escape || (byte == quote && text.get(at + 1) == Some(&quote)) {
                at += 1;
            } else if byte == quote {
                quoted = false;
            }
            at += 1;
            continue;
        }
        if line_start && comments && byte == b'#' {
            comment = true;
        }
        (line_start, quoted) = (false, byte == quote && field_start && !comment);
        field_start = false;
        if Some(byte) == escape && !comment {
            at += 1;
        } else if byte == b'\n' {
            ends.push(at + 1);
            (line_start, field_start, comment) = (true, true, false);
        } else if byte == delimiter {
            field_start = true;
        }
        at += 1;
    }
    ends
}

#[test]
fn chunks_of_any_size_are_whole_records_and_add_up_to_the_file() {
    let tricky = [
        "a,b\n\"x\n\"\"y\"\"\",2\n,\"\",\"\n\"\nplain \"not\n#\"comment\n1,\\\"2\n\"esc\\\"\n\",3\nlast",
        "\n\n\"\"\n\"\n\"\n",
        "\"never closed\n\n\n",
        "a\\,\"b\nc,\\\\,\"d\ne\"\n",
    ];
    let directory = tempdir().unwrap();
    for (number, text) in tricky.iter().enumerate() {
        let path = directory.path().join(format!("{number}.csv"));
        fs::write(&path, text).unwrap();
        for framing in [Framing::Lines, Framing::Delimiter(b','), CSV] {
            let ends = match framing {
                Framing::Delimiter(_) => text.match_indices(',').map(|(at, _)| at + 1).collect(),
                _ => record_ends(text.as_bytes(), framing),
            };
            for chunk_bytes in 1..=text.len() + 2 {
                let mut at = 0;
                for (offset, bytes) in chunks(&path, framing, 0, chunk_bytes) {
                    assert_eq!(
                        (offset, text.as_bytes().get(at..at + bytes.len())),
                        (at as u64, Some(&bytes[..]))
                    );
                    at += bytes.len();
                    assert!(at == text.len() || ends.contains(&at), "{text:?} cut at {at} by {chunk_bytes}");
                }
                assert_eq!(at, text.len());
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn records_are_never_cut(
        text in "[\"\"\"\\\\\n\n,#a]{1,60}", chunk_bytes in 1usize..20, escape: bool, comments: bool,
    ) {
        let escape = escape.then_some(b'\\');
        let framing = Framing::QuotedLines { quote: b'"', delimiter: b',', escape, comments };
        let ends = record_ends(text.as_bytes(), framing);
        let directory = tempdir().unwrap();
        let path = directory.path().join("x.csv");
        fs::write(&path, &text).unwrap();
        let mut at = 0;
        for (_, bytes) in chunks(&path, framing, 0, chunk_bytes) {
            at += bytes.len();
            proptest::prop_assert!(at == text.len() || ends.contains(&at), "{} of {:?}", at, ends);
        }
        proptest::prop_assert_eq!(at, text.len());
    }
}

#[test]
fn header_and_byte_order_mark_are_skipped_and_offsets_stay_true() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("a.csv");
    fs::write(&path, "\u{feff}\"na\nme\",age\nx,1\n").unwrap();
    for chunk_bytes in 1..30 {
        let chunks = chunks(&path, CSV, 1, chunk_bytes);
        assert_eq!(chunks, [(15, b"x,1\n".to_vec())], "{chunk_bytes}");
    }
    fs::write(&path, "only a header").unwrap();
    assert_eq!(chunks(&path, CSV, 1, 4), []);
}

#[test]
fn a_line_much_longer_than_a_chunk_is_one_record() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("long.txt");
    let long = "x".repeat(50 << 20);
    fs::write(&path, format!("a\n{long}\nb\n")).unwrap();
    let chunks = chunks(&path, Framing::Lines, 0, super::text::CHUNK_BYTES);
    let lengths: Vec<usize> = chunks.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [2, (50 << 20) + 1 + 2]);
}

#[test]
fn directories_are_read_in_order_without_hidden_files() {
    let directory = tempdir().unwrap();
    fs::create_dir_all(directory.path().join("b/.hidden")).unwrap();
    for (name, text) in [
        ("c.txt", "4\nno last line feed"),
        ("a.txt", "1\n"),
        ("b/x.txt", "2\n3\n"),
        ("b/.hidden/x.txt", "no\n"),
        (".part.inprogress", "no\n"),
        ("_SUCCESS", "no\n"),
        ("empty.txt", ""),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let all = read(&table(directory.path(), &[], &[])).unwrap();
    assert_eq!(all, ["a.txt: 1", "x.txt: 2", "x.txt: 3", "c.txt: 4", "c.txt: no last line feed"]);

    let glob = read(&table(&directory.path().join("*.txt"), &[], &[])).unwrap();
    assert_eq!(glob, ["a.txt: 1", "c.txt: 4", "c.txt: no last line feed"]);

    let inside = read(&table(&directory.path().join("[bc]"), &[], &[])).unwrap();
    assert_eq!(inside, ["x.txt: 2", "x.txt: 3"]);

    let regex = table(directory.path(), &[], &[("source.path.regex-pattern", ".*/[ab].txt")]);
    assert_eq!(read(&regex).unwrap(), ["a.txt: 1"]);

    let uri = format!("file://{}", directory.path().join("a.txt").display());
    assert_eq!(read(&table(Path::new(&uri), &[], &[])).unwrap(), ["a.txt: 1"]);
}

#[test]
fn compressed_files_of_several_members() {
    let directory = tempdir().unwrap();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    fs::write(directory.path().join("a.gz"), [gzip("1\n2"), gzip("3\n")].concat()).unwrap();
    fs::write(directory.path().join("b.zst"), [zstd("4\n"), zstd("5\n")].concat()).unwrap();
    let all = read(&table(directory.path(), &[], &[])).unwrap();
    assert_eq!(all, ["a.gz: 1", "a.gz: 23", "b.zst: 4", "b.zst: 5"]);

    let broken = directory.path().join("c.gz");
    fs::write(&broken, "not gzip").unwrap();
    let error = read(&table(&broken, &[], &[])).unwrap_err();
    assert_eq!(error.code, Code::InputUnreadable);
    assert!(error.message.contains("c.gz") && error.message.contains("gzip"), "{error}");
    let whole = gzip("1\n");
    fs::write(&broken, &whole[..whole.len() - 4]).unwrap();
    assert_eq!(read(&table(&broken, &[], &[])).unwrap_err().code, Code::InputUnreadable);
}

#[test]
fn partitions_and_metadata_become_columns() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("n=7/city=a%2Fb");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("x.txt"), "one\ntwo\n").unwrap();
    let other = directory.path().join("n=__DEFAULT_PARTITION__/city=c");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("y.txt"), "three\n").unwrap();

    let mut table = table(directory.path(), &["n", "city"], &[]);
    table.columns[1].data_type = DataType::bigint();
    for (key, data_type) in [
        ("file.name", DataType::string()),
        ("file.size", DataType::bigint()),
        ("file.modification-time", DataType::new(TypeKind::TimestampLtz(3))),
    ] {
        let mut column = column(key, data_type);
        column.kind = ColumnKind::Metadata { key: key.into(), is_virtual: true };
        table.columns.push(column);
    }
    assert_eq!(registry().validate(&table), []);
    let batches = batches(&table).unwrap();
    let [first, second] = &batches[..] else { panic!("two files, two batches") };
    assert_eq!(first.column(1).as_primitive::<Int64Type>().values(), &[7, 7]);
    assert_eq!(first.column(2).as_string::<i32>().value(1), "a/b");
    assert_eq!(first.column(3).as_string::<i32>().value(0), "x.txt");
    assert_eq!(first.column(4).as_primitive::<Int64Type>().value(0), 8);
    assert!(first.column(5).as_primitive::<TimestampMillisecondType>().value(0) > 1_500_000_000_000);
    assert!(second.column(1).is_null(0));

    fs::write(directory.path().join("stray.txt"), "x\n").unwrap();
    let error = super::tests::batches(&table).unwrap_err();
    assert!(error.message.contains("stray.txt") && error.message.contains("'n=…'"), "{error}");
}

#[test]
fn a_growing_file_is_read_up_to_the_record_its_size_falls_into() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("log.txt");
    fs::write(&path, "one\ntw").unwrap();
    let settings = SourceSettings::new(&table(&path, &[], &[])).unwrap();
    let mut reader = FileReader::new(settings, Framing::Lines, 0, None).unwrap().with_chunk_bytes(4);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"o\nthree\n").unwrap();
    let mut text = Vec::new();
    while let Some(chunk) = reader.next_chunk(&read_context()).unwrap() {
        let Payload::Bytes(bytes) = chunk.payload else { panic!("bytes expected") };
        text.extend(bytes);
    }
    assert_eq!(String::from_utf8(text).unwrap(), "one\ntwo\n");
}

#[test]
fn a_monitored_directory_gives_each_new_file_once_until_stopped() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("a.txt"), "1\n").unwrap();
    let table = table(directory.path(), &[], &[("source.monitor-interval", "1 ms")]);
    assert!(!FilesystemConnector.is_bounded(&table));
    let mut reader = FileReader::new(SourceSettings::new(&table).unwrap(), Framing::Lines, 0, None).unwrap();
    let context = read_context();
    let mut next =
        || reader.next_chunk(&context).unwrap().map(|chunk| (chunk.sequence, chunk.split.name.clone()));
    assert_eq!(next().unwrap().0, 0);
    fs::write(directory.path().join("b.txt"), "2\n").unwrap();
    let (sequence, name) = next().unwrap();
    assert!(sequence == 1 && name.ends_with("b.txt"));
    context.stop.stop();
    assert_eq!(next(), None);
}

#[test]
fn a_missing_path_is_named_with_its_place_and_a_guess() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("flights.csv"), "").unwrap();
    let mut table = table(&directory.path().join("flihgts.csv"), &[], &[]);
    let mut entry = table.options.entry("path").unwrap().clone();
    entry.value_span = Span::new(10, 20);
    table.options.insert("path", entry);
    let mut errors = Vec::new();
    FilesystemConnector.check_source(&table, &mut errors);
    let [error] = &errors[..] else { panic!("one error") };
    assert_eq!((error.code, error.span), (Code::InputMissing, Some(Span::new(10, 20))));
    assert_eq!(error.help, ["did you mean 'flights.csv'?"]);

    let nothing = crate::testing::table(&directory.path().join("*.json"), &[], &[]);
    assert_eq!(read(&nothing).unwrap_err().code, Code::InputMissing);
}

/// A source whose reader cuts small chunks and has so many files open.
struct SmallChunks(FileSource, SourceSettings, usize);

impl Source for SmallChunks {
    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }
    fn replays(&self) -> bool {
        self.0.replays()
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        let reader = FileReader::new(self.1.clone(), Framing::Lines, 0, resume)?;
        Ok(Box::new(reader.with_chunk_bytes(5).with_open_files(self.2)))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        self.0.decoder()
    }
}

fn small_chunks(table: &TableDescription) -> SmallChunks {
    let source = FileSource::new(table, scan(table), &registry()).unwrap();
    SmallChunks(source, SourceSettings::new(table).unwrap(), 1)
}

/// Lines until the next chunk would be the one of this number, and where to go on.
fn read_some(source: &dyn Source, chunks: usize) -> (Vec<String>, Value) {
    let mut reader = source.reader(None).unwrap();
    let lines =
        (0..chunks).flat_map(|_| lines_of(reader.next_chunk(&read_context()).unwrap().unwrap())).collect();
    (lines, reader.position())
}

fn lines_of(chunk: Chunk) -> Vec<String> {
    let Payload::Bytes(bytes) = chunk.payload else { return Vec::new() };
    String::from_utf8(bytes).unwrap().lines().map(str::to_string).collect()
}

fn read_on(source: &dyn Source, position: &Value) -> Result<Vec<String>> {
    let mut reader = source.reader(Some(position))?;
    let mut lines = Vec::new();
    while let Some(chunk) = reader.next_chunk(&read_context())? {
        lines.extend(lines_of(chunk));
    }
    Ok(lines)
}

#[test]
fn reading_goes_on_at_every_place_of_every_file() {
    let directory = tempdir().unwrap();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let text: String = (0..9).map(|line| format!("line {line}\n")).collect();
    for (name, bytes) in [
        ("a.txt", text.clone().into_bytes()),
        ("b.gz", gzip(&text)),
        ("c.txt", Vec::new()),
        ("d.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()),
        ("e.txt", "\u{feff}x\ny\nno line feed".into()),
        ("f.txt", Vec::new()),
    ] {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    for open_files in [1, 2, 64] {
        let mut source = small_chunks(&table(directory.path(), &[], &[]));
        source.2 = open_files;
        conformance::source_resumes(&source, &read_context(), &eval_context()).unwrap();
    }
}

#[test]
fn files_are_read_evenly_by_their_size() {
    let directory = tempdir().unwrap();
    let write = |name: &str, lines: usize| {
        let text: String = (0..lines).map(|line| format!("{name}{line:03}\n")).collect();
        fs::write(directory.path().join(name), text).unwrap();
    };
    [("a", 4), ("b", 8), ("c", 2), ("d", 1)].iter().for_each(|(name, lines)| write(name, *lines));
    let mut source = small_chunks(&table(directory.path(), &[], &[]));
    let mut order = |open_files| {
        source.2 = open_files;
        let mut reader = source.reader(None).unwrap();
        let (mut lines, mut all_open) = (String::new(), None);
        while let Some(chunk) = reader.next_chunk(&read_context()).unwrap() {
            if !chunk.time.unopened {
                all_open.get_or_insert(lines.len());
            }
            lines.extend(lines_of(chunk).iter().filter_map(|line| line.chars().next()));
        }
        (lines, all_open)
    };
    assert_eq!(order(64), ("abcdbabbabcbabb".into(), Some(3)), "all are known to time with the fourth chunk");
    assert_eq!(order(2), ("abbabbabbaccdbb".into(), Some(12)));
    assert_eq!(order(1), ("aaaabbbbbbbbccd".into(), Some(14)));
}

#[test]
fn a_position_is_of_the_files_that_were_there() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
    write("a.txt", "a1\na2\na3\na4\n");
    write("b.txt", "b1\n");
    let source = small_chunks(&table(directory.path(), &[], &[]));
    let (lines, position) = read_some(&source, 1);
    assert_eq!(lines, ["a1"]);

    // What comes later belongs to the next run; what has grown is read as far as it went.
    write("aa.txt", "late\n");
    write("a.txt", "a1\na2\na3\na4\na5\n");
    assert_eq!(read_on(&source, &position).unwrap(), ["a2", "a3", "a4", "b1"]);

    let refused = |what: &str| {
        let error = read_on(&source, &position).unwrap_err();
        assert_eq!(error.code, Code::CheckpointUnusable);
        assert!(error.message.contains(what), "{error}");
        assert!(error.help.iter().any(|help| help.contains("--resume never")), "{:?}", error.help);
    };
    write("a.txt", "A1\na2\na3\na4\n");
    refused("a.txt' has changed since the checkpoint: what stands before byte 3");
    write("a.txt", "a1\na2\n");
    refused("a.txt' has become shorter since the checkpoint: 6 bytes, it had 12");
    write("a.txt", "a1\na2\na3\na4\n");
    fs::remove_file(path("b.txt")).unwrap();
    refused("b.txt' is gone");
    write("b.txt", "b1\n");
    assert_eq!(read_on(&source, &position).unwrap(), ["a2", "a3", "a4", "b1"]);

    let elsewhere = small_chunks(&table(&path("a.txt"), &[], &[]));
    let error = read_on(&elsewhere, &position).unwrap_err();
    assert!(error.message.contains("but the table's path is"), "{error}");
    assert_eq!(read_on(&source, &Value::Null).unwrap_err().code, Code::CheckpointUnusable);
}

#[test]
fn a_monitored_directory_goes_on_with_what_is_new() {
    let directory = tempdir().unwrap();
    let write = |name: &str| fs::write(directory.path().join(name), format!("{name}\n")).unwrap();
    write("b");
    let source = small_chunks(&table(directory.path(), &[], &[("source.monitor-interval", "1 ms")]));
    let (lines, position) = read_some(&source, 1);
    assert_eq!(lines, ["b"]);
    // Done and gone: it may be.
    fs::remove_file(directory.path().join("b")).unwrap();
    write("a");
    let mut reader = source.reader(Some(&position)).unwrap();
    let context = ReadContext { idle_timeout: Some(Duration::from_millis(5)), ..read_context() };
    let chunk = reader.next_chunk(&context).unwrap().unwrap();
    let time = SplitTime { split_number: 1, finished: true, ..SplitTime::default() };
    assert_eq!((chunk.time, lines_of(chunk)), (time, vec!["a".to_string()]));

    let chunk = reader.next_chunk(&context).unwrap().unwrap();
    assert!(chunk.is_control() && chunk.time.idle);
    write("c");
    let chunk = reader.next_chunk(&context).unwrap().unwrap();
    assert_eq!(
        (chunk.time.idle, chunk.time.split_number, lines_of(chunk)),
        (false, 2, vec!["c".to_string()])
    );
}

#[test]
fn a_position_in_ten_thousand_files_is_small() {
    let files: Vec<FoundFile> = (0..10_000)
        .map(|number| FoundFile {
            path: format!("/data/lake/events/day=2026-01-{:02}/part-{number:05}.ndjson.gz", number % 30)
                .into(),
            size: Some(1_000_000 + number * 7_919 % 100_000),
            modified_millis: Some(1_767_225_600_000 + (number * 7_919 % 86_400_000) as i64),
        })
        .collect();
    let packed = position::pack(&files).unwrap();
    assert!(packed.len() < 300_000, "{}", packed.len());
    let location = SourceSettings::new(&table(Path::new("/data/lake"), &[], &[])).unwrap().location;
    let value = position::to_json(&location, &packed, 10_000, 10_000, std::iter::empty());
    assert_eq!(Position::from_json(&value, &location).unwrap().files, files);
}
