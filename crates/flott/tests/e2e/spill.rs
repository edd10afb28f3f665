//! State beyond memory: with 64 KB for it every query gives the rows that it gives with all of it in memory.
//!
//! ```text
//!   SQL ─► state.memory.budget = 64 kb ─► slices on disk, rows that wait ─┐
//!     └──► all in memory ────────────────────────────────────────────────┴─► the same rows
//! ```

use std::collections::BTreeMap;
use std::fs;

use flott_testkit::kills::{Killer, Random, auction};

use crate::support::{Lab, table};

const LITTLE: &str = "SET 'state.memory.budget' = '64 kb'; SET 'state.dir' = 'state';\n";

/// 40,000 rows of 9,000 keys, a few milliseconds apart.
const READINGS: &str = "CREATE TABLE g (i BIGINT, k AS MOD(i * 48271, 9000), v AS MOD(i * 31, 1009),
        w AS CONCAT('a text of some length, number ', CAST(MOD(i * 7, 5003) AS STRING)),
        ts AS TO_TIMESTAMP_LTZ(i * 5, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH (
    'connector' = 'datagen', 'rows-per-second' = '10000000', 'number-of-rows' = '40000',
    'fields.i.kind' = 'sequence', 'fields.i.start' = '0', 'fields.i.end' = '39999');\n";

const APPENDING: [&str; 5] = [
    "SELECT k, COUNT(*), SUM(v), MAX(w) FROM TABLE(TUMBLE(TABLE g, DESCRIPTOR(ts), INTERVAL '60' SECOND))
        GROUP BY window_start, window_end, k",
    "SELECT k, COUNT(DISTINCT w), MIN(v), 'hop' FROM
        TABLE(HOP(TABLE g, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '60' SECOND))
        GROUP BY window_start, window_end, k",
    "SELECT k, COUNT(*), SUM(v), MAX(w) FROM
        TABLE(SESSION(TABLE g PARTITION BY k, DESCRIPTOR(ts), INTERVAL '20' SECOND))
        GROUP BY window_start, window_end, k",
    "SELECT k, SUM(v) OVER (PARTITION BY k ORDER BY ts), COUNT(*) OVER (PARTITION BY k ORDER BY ts), w FROM g",
    "SELECT l.k, l.v, r.v, r.w FROM g AS l JOIN g AS r ON l.k = r.k
        AND r.ts BETWEEN l.ts - INTERVAL '50' SECOND AND l.ts",
];

const CHANGING: [&str; 4] = [
    "SELECT k, COUNT(*), SUM(v), MAX(w) FROM g GROUP BY k",
    "SELECT k, COUNT(DISTINCT w), SUM(v), MIN(w) FROM g GROUP BY k",
    "SELECT l.k, l.n, r.v, r.w FROM (SELECT k, COUNT(*) AS n FROM g GROUP BY k) AS l
        LEFT JOIN (SELECT * FROM g WHERE v < 100) AS r ON l.k = r.k",
    "SELECT k, rn, v, w FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, i) AS rn FROM g)
        WHERE rn <= 2",
];

fn job(query: &str, settings: &str, format: &str) -> String {
    format!("SET 'parallelism.default' = '2'; SET 'table.local-time-zone' = 'UTC';\n{settings}{READINGS}")
        + &table("s", "a BIGINT, b BIGINT, c BIGINT, d STRING", "out", format, &[])
        + "INSERT INTO s SELECT CAST(a AS BIGINT), CAST(b AS BIGINT), CAST(c AS BIGINT), CAST(d AS STRING) FROM ("
        + query
        + ") AS t (a, b, c, d)"
}

/// The table that changes come to.
fn net(lines: Vec<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for line in lines {
        let mut change: serde_json::Value = serde_json::from_str(&line).unwrap();
        let by = if matches!(change["op"].as_str(), Some("+I" | "+U")) { 1 } else { -1 };
        *counts.entry(change["data"].take().to_string()).or_default() += by;
    }
    counts
        .into_iter()
        .flat_map(|(row, count)| std::iter::repeat_n(row, usize::try_from(count).unwrap()))
        .collect()
}

fn spilled(summary: &serde_json::Value) -> u64 {
    let operators = summary["state"].as_array().into_iter().flatten();
    operators.map(|it| it["spilled_peak_bytes"].as_u64().unwrap()).sum()
}

/// Nothing stays in `state.dir`.
fn is_swept(lab: &Lab) -> bool {
    fs::read_dir(lab.path("state")).map_or(true, |mut entries| entries.next().is_none())
}

fn compare(query: &str, settings: &str, changing: bool) {
    let (plenty, little) = (Lab::new(), Lab::new());
    let format = if changing { "changelog-json" } else { "csv" };
    let rows = |lab: &Lab| if changing { net(lab.lines("out")) } else { lab.lines("out") };
    let summary = plenty.run(&job(query, settings, format));
    assert_eq!(spilled(&summary), 0);
    let summary = little.run(&job(query, &format!("{settings}{LITTLE}"), format));
    assert!(spilled(&summary) > 10_000, "{query}: {}", summary["state"]);
    let expected = rows(&plenty);
    assert!(!expected.is_empty(), "{query}");
    assert!(rows(&little) == expected, "{query}\n{settings}: other rows with little memory");
    assert!(is_swept(&little), "{query}");
}

#[test]
fn queries_that_append_give_the_same_rows() {
    APPENDING.iter().for_each(|query| compare(query, "", false));
}

#[test]
fn queries_whose_results_change_come_to_the_same_table() {
    CHANGING.iter().for_each(|query| compare(query, "", true));
}

#[test]
fn with_checkpoints_too() {
    let often =
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '30 ms';
        SET 'pipeline.name' = 'job';\n";
    APPENDING.iter().step_by(2).for_each(|query| compare(query, often, false));
    CHANGING.iter().for_each(|query| compare(query, often, true));
}

#[test]
fn in_batch_mode_too() {
    compare(CHANGING[0], "SET 'execution.runtime-mode' = 'batch';\n", true);
    compare(CHANGING[3], "SET 'execution.runtime-mode' = 'batch';\n", true);
}

/// Killed in the middle of it, and taken up with the same little memory.
#[test]
fn killed_jobs_with_little_memory_write_what_an_undisturbed_run_writes() {
    let lab = Lab::new();
    let killer = Killer::new(env!("CARGO_BIN_EXE_flott"), lab.path("jobs"), (20, 60));
    let mut random = Random::new(17);
    for mut job in auction::changing(30_000) {
        job.sql = format!("SET 'state.memory.budget' = '64 kb';\n{}", job.sql);
        let summary = Lab::new().run(&job.sql);
        assert!(spilled(&summary) > 10_000, "{}: {}", job.name, summary["state"]);
        let (expected, looks) = killer.undisturbed(&job).unwrap();
        let tally = killer.torment(&job, &expected, looks, 2, &mut random).unwrap();
        assert!(tally.is_right(), "{}: {tally:?}", job.name);
    }
}

#[test]
fn a_budget_of_nothing_is_refused() {
    let lab = Lab::new();
    let said = lab.fails(2, &job(CHANGING[0], "SET 'state.memory.budget' = '1 kb';\n", "changelog-json"));
    assert!(said.contains("'state.memory.budget'") && said.contains("64 kb"), "{said}");
}

#[test]
fn where_state_cant_be_put_away_the_run_says_so() {
    let lab = Lab::new();
    lab.write("state", "a file, not a directory");
    let said = lab.fails(1, &job(CHANGING[0], LITTLE, "changelog-json"));
    assert!(said.contains("FLT-2107") && said.contains("state.dir"), "{said}");
}
