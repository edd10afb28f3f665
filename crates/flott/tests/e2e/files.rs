//! Files as they come: large, many, empty, broken, compressed, growing.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
};

use flott_connector::{Clock, StopSignal, SystemClock};

use crate::support::{Lab, Running, check_sums, summary_of, table, visible_files, wait_until};

const MIB: u64 = 1 << 20;

fn numbers(path: &str) -> String {
    table("t", "a BIGINT", path, "json", &[])
}

#[test]
fn a_file_of_a_gigabyte_takes_little_memory() {
    let lab = Lab::new();
    let line =
        |at: u64| format!("{{\"id\":{at},\"name\":\"customer number {at}\",\"price\":{}.25}}\n", at % 1000);
    let block: String = (0..10_000).map(line).collect();
    let blocks = (1u64 << 30).div_ceil(block.len() as u64);
    let mut file = BufWriter::new(File::create(lab.path("big.json")).unwrap());
    (0..blocks).for_each(|_| file.write_all(block.as_bytes()).unwrap());
    file.into_inner().unwrap().sync_all().unwrap();

    let sql = table("t", "id BIGINT, name STRING, price DOUBLE", "big.json", "json", &[])
        + &table("s", "id BIGINT, price DOUBLE", "out", "json", &[])
        + "INSERT INTO s SELECT id, price * 2 FROM t WHERE id < 100";
    let (summary, peak) = watch_memory(lab.start(&sql));
    assert_eq!(summary["sources"][0]["read"], blocks * 10_000);
    assert_eq!(lab.lines("out").len() as u64, blocks * 100);
    assert!(peak < 200 * MIB, "peak memory was {} MiB", peak / MIB);
}

/// Runs to the end; the summary and the highest memory seen.
fn watch_memory(mut run: Running) -> (serde_json::Value, u64) {
    let (mut peak, clock, pause) = (0, SystemClock::new(), StopSignal::new());
    while run.is_running() {
        peak = run.memory_peak().unwrap_or(0).max(peak);
        assert!(clock.monotonic().as_secs() < 300, "too slow");
        pause.wait(std::time::Duration::from_millis(10));
    }
    (summary_of(&run.outcome()), peak)
}

#[test]
fn rows_that_become_many_take_little_memory() {
    let lab = Lab::new();
    let list = vec!["7"; 1000].join(",");
    lab.write("in.json", (0..5_000).map(|at| format!("{{\"a\":{at},\"l\":[{list}]}}\n")).collect::<String>());
    let sql = table("t", "a INT, l ARRAY<INT>", "in.json", "json", &[])
        + "CREATE TABLE b (a INT, e INT) WITH ('connector' = 'blackhole');
           INSERT INTO b SELECT a, e FROM t CROSS JOIN UNNEST(l) AS u(e)";
    let (summary, peak) = watch_memory(lab.start(&sql));
    assert_eq!(summary["sinks"][0]["written"], 5_000_000);
    assert!(peak < 200 * MIB, "peak memory was {} MiB", peak / MIB);
}

#[test]
fn more_partitions_than_open_files() {
    let lab = Lab::new();
    lab.write(
        "in.json",
        (0..6_000).map(|at| format!("{{\"a\":{},\"k\":{at}}}\n", at % 3_000)).collect::<String>(),
    );
    let columns = "k INT, a INT) PARTITIONED BY (a";
    let sql = table("t", "a INT, k INT", "in.json", "json", &[])
        + &table("s", columns, "out", "csv", &[])
        + "INSERT INTO s SELECT k, a FROM t";
    let command = "ulimit -S -n 200; exec \"$@\"";
    let run = std::process::Command::new("sh")
        .args(["-c", command, "sh", env!("CARGO_BIN_EXE_flott"), "run", "--json", "-e", &sql])
        .current_dir(lab.path(""))
        .output()
        .unwrap();
    summary_of(&run.into());
    assert_eq!(lab.lines("out").len(), 6_000);
}

#[test]
fn ten_thousand_small_files() {
    let lab = Lab::new();
    for at in 0..10_000 {
        lab.write(&format!("in/{:02}/{at}.json", at % 100), format!("{{\"a\":{at}}}\n"));
    }
    let sql = numbers("in") + "SELECT a FROM t";
    let mut rows: Vec<u32> = lab.query(&sql).iter().map(|row| row.parse().unwrap()).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..10_000).collect::<Vec<_>>());
}

#[test]
fn empty_files_and_directories_hold_no_rows() {
    let lab = Lab::new();
    lab.write("empty.json", "");
    lab.write("breaks.json", "\n\r\n\n");
    fs::create_dir(lab.path("nothing")).unwrap();
    for path in ["empty.json", "nothing"] {
        assert!(lab.query(&(numbers(path) + "SELECT * FROM t")).is_empty(), "{path}");
    }
    let csv = table("t", "a BIGINT", "empty.json", "csv", &[("csv.ignore-first-line", "true")]);
    assert!(lab.query(&(csv + "SELECT * FROM t")).is_empty());
    let out =
        numbers("empty.json") + &table("s", "a BIGINT", "out", "json", &[]) + "INSERT INTO s SELECT * FROM t";
    assert_eq!(lab.run(&out)["sinks"][0]["written"], 0);
    assert!(lab.lines("out").is_empty());
    assert!(lab.letters().is_empty());
}

#[test]
fn line_ends_and_byte_order_marks() {
    let lab = Lab::new();
    lab.write("last.json", "{\"a\":1}\n{\"a\":2}");
    lab.write("crlf.json", "{\"a\":1}\r\n{\"a\":2}\r\n");
    lab.write("bom.json", "\u{feff}{\"a\":1}\n{\"a\":2}\n");
    for path in ["last.json", "crlf.json", "bom.json"] {
        assert_eq!(lab.query(&(numbers(path) + "SELECT a FROM t")), ["1", "2"], "{path}");
    }
    lab.write("crlf.csv", "\u{feff}n,text\r\n1,x\r\n2,\"y\r\nz\"\r\n3,");
    let csv = table("t", "n INT, s STRING", "crlf.csv", "csv", &[("csv.ignore-first-line", "true")]);
    let rows = lab.query(&(csv + "SELECT n, REPLACE(REPLACE(s, CHR(13), 'r'), CHR(10), 'n') FROM t"));
    assert_eq!(rows, ["1,x", "2,yrnz", "3,\"\""]);
}

#[test]
fn a_line_of_fifty_megabytes() {
    let lab = Lab::new();
    let long = "x".repeat(50 << 20);
    lab.write("long.json", format!("{{\"s\":\"a\"}}\n{{\"s\":\"{long}\"}}\n{{\"s\":\"b\"}}\n"));
    let sql = table("t", "s STRING", "long.json", "json", &[]);
    assert_eq!(lab.query(&(sql.clone() + "SELECT CHAR_LENGTH(s) FROM t")), ["1", "52428800", "1"]);
    let copied =
        lab.run(&(sql + &table("s", "s STRING", "out", "json", &[]) + "INSERT INTO s SELECT * FROM t"));
    assert_eq!(copied["sinks"][0]["written"], 3);
    assert!(lab.lines("out")[2].contains(&long));
}

#[test]
fn text_that_is_not_utf8_goes_to_the_dead_letters_as_it_is() {
    let lab = Lab::new();
    let bad: &[u8] = b"{\"s\":\"\xff\xfe\x80\"}";
    lab.write("in.json", [b"{\"s\":\"good\"}\n", bad, b"\n{\"s\":\"\xc3\xa4\"}\n"].concat());
    assert_eq!(
        lab.query(&(table("t", "s STRING", "in.json", "json", &[]) + "SELECT s FROM t")),
        ["good", "ä"]
    );
    let letters = lab.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].record().unwrap().as_slice(), letters[0].offset), (bad, 13));
    assert_eq!(letters[0].text, None);
}

#[test]
fn json_nested_without_end_is_one_dead_letter() {
    let lab = Lab::new();
    let (deep, objects) = ("[".repeat(100_000), "{\"a\":".repeat(100_000));
    lab.write("in.json", format!("{{\"a\":1}}\n{{\"a\":2,\"b\":{deep}\n{objects}\n{{\"a\":3}}\n"));
    assert_eq!(lab.query(&(numbers("in.json") + "SELECT a FROM t")), ["1", "3"]);
    assert_eq!(lab.letters().len(), 2);
    // Well-formed and deep is no crash either, whether the field is read or not.
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    lab.write("in.json", format!("{{\"a\":1,\"b\":{closed}}}\n{{\"a\":2}}\n"));
    for columns in ["a BIGINT", "a BIGINT, b STRING", "a BIGINT, b ARRAY<ARRAY<INT>>"] {
        let rows = lab.query(&(table("t", columns, "in.json", "json", &[]) + "SELECT * FROM t"));
        assert!(rows.last().unwrap().starts_with('2'), "{columns}: {rows:?}");
    }
}

#[test]
fn a_file_that_grows_is_read_in_whole_records() {
    let lab = Lab::new();
    let path = lab.write("in.json", "{\"a\":0}\n".repeat(200_000));
    let mut run = lab.start(
        &(numbers("in.json") + &table("s", "a BIGINT", "out", "json", &[]) + "INSERT INTO s SELECT * FROM t"),
    );
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    let mut appended = 0;
    // Pieces that end in the middle of a record.
    while run.is_running() && appended < 1_000_000 {
        file.write_all(b"{\"a\":1}\n{\"a\"").unwrap();
        file.write_all(b":1}\n").unwrap();
        appended += 2;
    }
    let summary = summary_of(&run.outcome());
    let read = summary["sources"][0]["read"].as_u64().unwrap();
    assert!((200_000..=200_000 + appended).contains(&read), "{summary}");
    // Only the record that was being written when the end was reached can be a piece.
    let letters = lab.letters();
    assert!(
        letters.len() <= 1 && letters.iter().all(|it| it.text.as_deref() == Some("{\"a\"")),
        "{letters:?}"
    );
    assert_eq!(lab.lines("out").len() as u64, read - letters.len() as u64);
}

#[test]
fn quoted_line_breaks_lie_across_chunks() {
    let lab = Lab::new();
    // Records of varying length: the ends of chunks fall everywhere, also behind a line break in quotes.
    let record = |at: usize| format!("{at},\"a\nb,\"\"c\"\"\r\n{}\n\",end\n", "x".repeat(at * 7 % 301));
    let text: String = (0..40_000).map(record).collect();
    assert!(text.len() > 5 << 20);
    lab.write("in.csv", &text);
    let sql = table("t", "n INT, s STRING, e STRING", "in.csv", "csv", &[]);
    let rows = lab.query(&(sql + "SELECT n, CHAR_LENGTH(s), e FROM t"));
    let expected: Vec<_> = (0..40_000).map(|at| format!("{at},{},end", 10 + at * 7 % 301)).collect();
    assert!(rows == expected, "{} rows", rows.len());
    assert!(lab.letters().is_empty());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_read_by_their_extension() {
    let lab = Lab::new();
    lab.write("in/1.json.gz", gzip(b"{\"a\":1}\n"));
    lab.write("in/2.json.gz", [gzip(b"{\"a\":2}\n{\"a\":"), gzip(b"3}\n")].concat());
    lab.write("in/3.json.zst", zstd::encode_all(&b"{\"a\":4}"[..], 1).unwrap());
    lab.write("in/4.json", "{\"a\":5}\n");
    assert_eq!(lab.query(&(numbers("in") + "SELECT a FROM t")), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_truncated_archive_fails_the_run_and_shows_nothing() {
    let lab = Lab::new();
    let text: String = (0..200_000).map(|at| format!("{{\"a\":{at}}}\n")).collect();
    let whole = gzip(text.as_bytes());
    lab.write("in.json.gz", &whole[..whole.len() / 2]);
    lab.write("other.json.zst", &zstd::encode_all(text.as_bytes(), 1).unwrap()[..1000]);
    for path in ["in.json.gz", "other.json.zst"] {
        let sql =
            numbers(path) + &table("s", "a BIGINT", "out", "json", &[]) + "INSERT INTO s SELECT * FROM t";
        let outcome = lab.flott.run_sql(&sql).unwrap();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("FLT-2002") && outcome.stderr.contains(path), "{}", outcome.stderr);
        let summary = outcome.summary.unwrap();
        assert_eq!(summary["status"], "failed");
        check_sums(&summary);
        assert!(visible_files(&lab.path("out")).is_empty());
    }
}

#[test]
fn a_damaged_parquet_file_fails_the_run_and_is_named() {
    let lab = Lab::new();
    let text: String = (0..50_000).map(|at| format!("{{\"a\":{}}}\n", at * 7919 % 100_003)).collect();
    lab.write("in.json", text);
    let parquet = table("p", "a BIGINT", "good", "parquet", &[]);
    lab.run(&(numbers("in.json") + &parquet + "INSERT INTO p SELECT a FROM t"));
    let good = fs::read(&visible_files(&lab.path("good"))[0]).unwrap();
    for start in [10, good.len() / 2, good.len() - 60] {
        let mut bad = good.clone();
        bad[start..start + 40].fill(0xff);
        lab.write("bad.parquet", bad);
        let sql = table("p", "a BIGINT", "bad.parquet", "parquet", &[])
            + &table("s", "a BIGINT", "out", "json", &[]);
        let outcome = lab.flott.run_sql(&(sql + "INSERT INTO s SELECT a FROM p")).unwrap();
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        if outcome.status == Some(0) {
            // Values without a checksum may have changed; no row may be lost.
            assert_eq!(
                outcome.summary.unwrap()["sinks"][0]["written"],
                fs::read_to_string(lab.path("in.json")).unwrap().lines().count()
            );
        } else {
            assert_eq!(outcome.status, Some(1));
            assert!(
                outcome.stderr.contains("FLT-2002") && outcome.stderr.contains("bad.parquet"),
                "{}",
                outcome.stderr
            );
            assert!(visible_files(&lab.path("out")).is_empty());
        }
        let _ = fs::remove_dir_all(lab.path("out"));
    }
}

#[test]
fn a_monitored_directory_gives_new_files_once() {
    let lab = Lab::new();
    lab.write("in/1.json", "{\"a\":1}\n");
    let sql = table("t", "a BIGINT", "in", "json", &[("source.monitor-interval", "20 ms")])
        + "CREATE TABLE p (a BIGINT) WITH ('connector' = 'stdout', 'format' = 'json'); INSERT INTO p SELECT * FROM t";
    let log = File::create(lab.path("rows")).unwrap();
    let mut child = lab.flott.command(["run", "--json", "-e", &sql]).stdout(log).spawn().unwrap();
    let rows = || fs::read_to_string(lab.path("rows")).unwrap();
    wait_until("the first file", || rows() == "{\"a\":1}\n");
    lab.write(".making", "{\"a\":2}\n");
    fs::rename(lab.path(".making"), lab.path("in/2.json")).unwrap();
    wait_until("the second file", || rows() == "{\"a\":1}\n{\"a\":2}\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
