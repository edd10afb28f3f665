//! The same input gives the same rows, late ones included, at any parallelism and with any number of
//! messages between two shards.
//!
//! ```text
//!   in/0.json  long  ─┐               ┌─ windows of every kind ─► out/…        compared with those of
//!   in/1.json  short  ├─► on-event ───┤                                        one shard
//!   in/2.json  empty ─┘   watermarks  └─ late rows ─► dead letters
//! ```

use std::{collections::BTreeMap, fmt::Write as _};

use crate::support::{Lab, summary_of, table};

const SINKS: &[(&str, &str, &str)] = &[
    (
        "tumble",
        "w TIMESTAMP(3), k STRING, n BIGINT, v BIGINT, f INT, l INT",
        "SELECT window_start, k, COUNT(*), SUM(v), FIRST_VALUE(id), LAST_VALUE(id)
         FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, k",
    ),
    (
        "listed",
        "w TIMESTAMP(3), ids STRING",
        "SELECT window_start, LISTAGG(CAST(id AS STRING), '-') FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts),
         INTERVAL '2' SECOND, INTERVAL '6' SECOND)) WHERE k = 'k1' GROUP BY window_start, window_end",
    ),
    (
        "steps",
        "e TIMESTAMP(3), n BIGINT, v BIGINT",
        "SELECT window_end, COUNT(*), COUNT(DISTINCT v) FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts),
         INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end",
    ),
    (
        "sessions",
        "w TIMESTAMP(3), e TIMESTAMP(3), k STRING, n BIGINT",
        "SELECT window_start, window_end, k, COUNT(*) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts),
         INTERVAL '0.4' SECOND)) GROUP BY window_start, window_end, k",
    ),
    (
        "top",
        "w TIMESTAMP(3), id INT, v INT",
        "SELECT window_start, id, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k
         ORDER BY v DESC, id) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '20' SECOND))) WHERE n < 3",
    ),
    (
        "twice",
        "w TIMESTAMP(3), most BIGINT, n BIGINT",
        "SELECT window_start, MAX(n), SUM(n) FROM (SELECT window_start, window_end, k, COUNT(*) AS n
         FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k)
         GROUP BY window_start, window_end",
    ),
];

/// Rows up to three seconds out of order, and now and then one that is half a minute late.
fn rows(first: u32, count: u32) -> String {
    let mut text = String::new();
    for at in 0..count {
        let noise = (at + first).wrapping_mul(2_654_435_761) >> 8;
        let behind = if noise % 400 == 7 { 30_000 } else { noise % 3_000 };
        let millis = 60_000 + at * 12 - behind;
        let key = match noise % 9 {
            8 => "null".to_string(),
            key => format!("\"k{key}\""),
        };
        let (minute, second, millis) = (millis / 60_000, millis / 1_000 % 60, millis % 1_000);
        let ts = format!("2026-01-01 10:{minute:02}:{second:02}.{millis:03}");
        let (id, v) = (first + at, noise % 100);
        writeln!(text, "{{\"id\":{id},\"ts\":\"{ts}\",\"k\":{key},\"v\":{v}}}").unwrap();
    }
    text
}

/// What a run leaves: the lines of each table, and of each late row its file and place.
type Left = (BTreeMap<&'static str, Vec<String>>, Vec<(String, u64)>);

fn run(parallelism: &str, buffers: &str, files: &[u32]) -> Left {
    let lab = Lab::new();
    for (at, count) in (0_u32..).zip(files) {
        lab.write(&format!("in/{at}.json"), rows(at * 100_000, *count));
    }
    let options = [("late-rows", "dead-letter"), ("scan.watermark.emit.strategy", "on-event")];
    let columns = "id INT, ts TIMESTAMP(3), k STRING, v INT, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND";
    let mut sql = table("t", columns, "in", "json", &options);
    let mut inserts = String::new();
    for (name, columns, query) in SINKS {
        sql += &table(name, columns, &format!("out/{name}"), "json", &[]);
        writeln!(inserts, "INSERT INTO {name} {query};").unwrap();
    }
    writeln!(sql, "EXECUTE STATEMENT SET BEGIN {inserts} END;").unwrap();
    let parallelism = format!("parallelism.default={parallelism}");
    let buffers = format!("taskmanager.network.memory.buffers-per-channel={buffers}");
    let outcome = lab.flott.run(["run", "--json", "-D", &parallelism, "-D", &buffers, "-e", &sql]).unwrap();
    summary_of(&outcome);
    let tables = SINKS.iter().map(|(name, ..)| (*name, lab.lines(&format!("out/{name}")))).collect();
    let place = |split: &str| split.rsplit('/').next().unwrap_or_default().to_string();
    let mut letters: Vec<_> = lab.letters().into_iter().map(|it| (place(&it.split), it.offset)).collect();
    letters.sort();
    (tables, letters)
}

fn compare(files: &[u32]) {
    let (tables, late) = run("1", "16", files);
    assert!(late.len() > 20, "{}", late.len());
    assert!(tables.values().all(|lines| lines.len() > 3), "{tables:?}");
    for (parallelism, buffers) in [("1", "1"), ("2", "16"), ("2", "1"), ("3", "16"), ("3", "1"), ("5", "1")] {
        let (these, these_late) = run(parallelism, buffers, files);
        for (name, lines) in &tables {
            let others = &these[name];
            let first = lines.iter().zip(others).find(|(a, b)| a != b);
            assert!(lines == others, "{name} at {parallelism} with {buffers}: {first:?}");
        }
        assert!(late == these_late, "late rows at {parallelism} with {buffers}");
    }
}

#[test]
fn the_same_rows_at_any_parallelism_of_one_file() {
    compare(&[18_000]);
}

#[test]
fn the_same_rows_at_any_parallelism_of_several_files() {
    compare(&[18_000, 4_000, 0]);
}
