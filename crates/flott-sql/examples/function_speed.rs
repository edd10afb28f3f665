//! How many rows a second every function does on one core, and how many Flink's does.
//!
//! ```text
//!   functions.txt ─► first call of each function, over columns
//!     the call alone   ├─► Program, batch after batch
//!                      └─► function_speed.py: a job of one thread, less the same job without the call
//!     the whole job    ├─► flott run: sequence ─► columns ─► SELECT call ─► blackhole
//!                      └─► function_speed.py: the same
//! ```
//!
//! All count processor time, so that what else the machine does matters little: Flott's call that of its
//! thread, Flott's job that of its whole process from start to end, Flink's that of the one thread that
//! does the job. `cargo xtask speed functions` runs it. Arguments: a part of a name; `--jobs` also runs
//! Flott's jobs, with the program that is built; `--flink` asks Flink too. Flink's answers are kept in the
//! target directory: a run that was stopped goes on where it was, and `function_speed.jsonl` has to be
//! deleted to ask anew.
#![expect(clippy::unwrap_used, reason = "a program for developers")]

#[allow(dead_code, reason = "the conformance tests use the rest")]
#[path = "../tests/conformance/cases.rs"]
mod cases;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field as ArrowField, Schema as ArrowSchema},
    record_batch::RecordBatch,
};
use cases::Case;
use flott_expr::{EvalContext, Expr, Program};
use flott_sql::{Catalog, Source, bind::Binder, parse};
use flott_types::{DataType, Field, Options, Schema};
use serde_json::{Value as Json, json};

/// Rows of a batch, as the engine's.
const BATCH_ROWS: usize = 8192;
/// Batches between looks at the clock.
const BATCHES: usize = 16;
/// Rows that each function gets, on both sides.
const ROWS: usize = 10_000_000;
/// Rows of a job of Flott's: its time is known to a hundredth of a second.
const JOB_ROWS: usize = 10_000_000;
/// How long a function is measured at least.
const AT_LEAST: Duration = Duration::from_millis(150);
/// What can't be told from nothing in a job of Flink's, in seconds per row.
const NOISE: f64 = 1e-9;

/// A call that both sides evaluate.
struct Call {
    function: String,
    expression: String,
    /// For each column the values it takes in turn, as SQL.
    columns: Vec<Vec<String>>,
    result: DataType,
    rows_per_second: f64,
    /// Of the whole job, if it was run.
    job_per_second: Option<f64>,
}

/// Flink's rates.
#[derive(Clone, Copy, Default)]
struct Flink {
    call: Option<f64>,
    job: Option<f64>,
    /// The call can't be told from nothing.
    lost: bool,
}

impl Call {
    fn question(&self) -> Json {
        json!({"function": self.function, "expression": self.expression, "columns": self.columns})
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|it| !it.starts_with("--"));
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let mut calls: Vec<Call> = cases::typical_calls(&directory)
        .iter()
        .filter(|case| filter.is_none_or(|it| case.subject.contains(it.as_str())))
        .filter_map(measure)
        .collect();
    if has("--jobs") {
        calls.iter_mut().for_each(|call| call.job_per_second = run_job(call));
    }
    let flink = if has("--flink") { ask_flink(&calls) } else { BTreeMap::new() };
    print_table(&calls, &flink);
}

/// A row of the table per function, slowest beside Flink first.
fn print_table(calls: &[Call], flink: &BTreeMap<String, Flink>) {
    println!("Million rows per second and core.");
    println!();
    println!("| function | call | call: Flott | call: Flink | times | job: Flott | job: Flink | times |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    let theirs = |call: &Call| flink.get(&call.function).copied().unwrap_or_default();
    let of_call = |call: &Call| theirs(call).call.map(|it| call.rows_per_second / it);
    let of_job = |call: &Call| Some(call.job_per_second? / theirs(call).job?);
    let mut sorted: Vec<&Call> = calls.iter().collect();
    sorted.sort_by(|a, b| of_call(a).unwrap_or(0.0).total_cmp(&of_call(b).unwrap_or(0.0)));
    for call in &sorted {
        let rate = |it: Option<f64>| it.map_or("–".into(), |it| format!("{:.1}", it / 1e6));
        let times = |it: Option<f64>| it.map_or("–".into(), |it| format!("{it:.1}"));
        let code = |text: &str| text.replace('|', "\\|");
        let (function, expression) = (code(&call.function), code(&call.expression));
        let theirs = theirs(call);
        let at_least = if theirs.lost { "> " } else { "" };
        println!(
            "| `{function}` | `{expression}` | {} | {at_least}{} | {} | {} | {} | {} |",
            rate(Some(call.rows_per_second)),
            rate(theirs.call),
            times(of_call(call)),
            rate(call.job_per_second),
            rate(theirs.job),
            times(of_job(call)),
        );
    }
    println!();
    print_median("the call alone, all functions", calls.iter().filter_map(of_call).collect());
    let told: Vec<&Call> = calls.iter().filter(|it| !theirs(it).lost).collect();
    print_median("the call alone, where Flink's takes time", told.into_iter().filter_map(of_call).collect());
    print_median("the whole job", calls.iter().filter_map(of_job).collect());
}

fn print_median(what: &str, mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        let below = ratios.iter().filter(|it| **it < 3.0).count();
        println!("Median, {what} ({}): {median:.1} times Flink's rate; {below} below 3 times.", ratios.len());
    }
}

/// Flott's rate; `None` if the call can't be evaluated over columns.
fn measure(case: &Case) -> Option<Call> {
    let (expression, values) = &case.over_columns;
    let pools = cases::pools(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance"));
    let (mut columns, mut arrays, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        let pool = pools.values().find(|pool| pool.first() == Some(value)).cloned();
        let (texts, array, of) = column(value, &pool.unwrap_or_default())?;
        columns.push(texts);
        arrays.push(array);
        types.push(of);
    }
    let expr = bind(expression, &types)?;
    let result = expr.data_type.clone();
    let field =
        |(at, it): (usize, &ArrayRef)| ArrowField::new(format!("p{at}"), it.data_type().clone(), true);
    let schema = ArrowSchema::new(arrays.iter().enumerate().map(field).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::new(schema), arrays).ok()?;
    let program = Program::new(vec![expr]);
    let context =
        EvalContext { now_micros: 0, time_zone: "UTC".parse().unwrap(), random_seed: 7, watermark: None };
    program.evaluate(&batch, &context).ok()?;
    let (start, mut rows) = (thread_time(), 0);
    while rows < ROWS || thread_time() < start + AT_LEAST {
        for _ in 0..BATCHES {
            std::hint::black_box(program.evaluate(&batch, &context).ok()?);
        }
        rows += BATCHES * BATCH_ROWS;
    }
    let rows_per_second = rows as f64 / (thread_time() - start).as_secs_f64();
    let (function, expression) = (case.subject.clone(), expression.clone());
    Some(Call { function, expression, columns, result, rows_per_second, job_per_second: None })
}

/// Rows per second of processor time of `flott run`, of the job that function_speed.py runs in Flink.
fn run_job(call: &Call) -> Option<f64> {
    let column = |(at, values): (usize, &Vec<String>)| {
        if let [value] = values.as_slice() {
            return format!("CASE WHEN f0 > 0 THEN {value} END AS p{at}");
        }
        let cases: String = values.iter().enumerate().map(|(n, it)| format!(" WHEN {n} THEN {it}")).collect();
        format!("CASE MOD(f0, {}){cases} END AS p{at}", values.len())
    };
    let columns: Vec<String> = call.columns.iter().enumerate().map(column).collect();
    let script = format!(
        "SET 'parallelism.default' = '1';
         SET 'table.local-time-zone' = 'UTC';
         CREATE TABLE numbers (f0 BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000',
             'number-of-rows' = '{JOB_ROWS}', 'fields.f0.kind' = 'sequence', 'fields.f0.start' = '1',
             'fields.f0.end' = '{JOB_ROWS}');
         CREATE TABLE sink (c0 {}) WITH ('connector' = 'blackhole');
         INSERT INTO sink SELECT {} FROM (SELECT f0 AS id, {} FROM numbers);",
        call.result.clone().with_nullable(true),
        call.expression,
        columns.join(", ")
    );
    let before = children_seconds();
    let output = Command::new(target().join("release/flott")).args(["run", "-e", &script]).output().ok()?;
    let took = children_seconds() - before;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("{}: {}", call.function, said.lines().next().unwrap_or_default());
        return None;
    }
    Some(JOB_ROWS as f64 / took)
}

/// Processor time of all processes that this one started and that have ended.
fn children_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may hold anything, stand the state and ten numbers.
    let numbers = stat.rsplit(')').next().unwrap().split_whitespace().skip(13).take(2);
    numbers.map(|it| it.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_SECOND
}

fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Processor time of this thread so far. The kernel brings it up to date when the thread yields.
fn thread_time() -> Duration {
    std::thread::yield_now();
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Values of the first one's type in turn, as text and as a batch's column.
fn column(first: &str, pool: &[String]) -> Option<(Vec<String>, ArrayRef, DataType)> {
    const VALUES_MAX: usize = 4;
    let (_, of) = constant(first)?;
    let wanted = if of.is_character() { DataType::string() } else { of.clone() };
    let mut texts = Vec::new();
    let mut arrays = Vec::new();
    for text in std::iter::once(first).chain(pool.iter().map(String::as_str)) {
        let Some((array, found)) = constant(text) else { continue };
        let same = found.kind == of.kind || (found.is_character() && of.is_character());
        if same && !array.is_null(0) && texts.len() < VALUES_MAX && !texts.contains(&text.to_string()) {
            texts.push(text.to_string());
            arrays.push(array);
        }
    }
    let refs: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let distinct = arrow::compute::concat(&refs).ok()?;
    let turns = UInt32Array::from_iter_values((0..BATCH_ROWS as u32).map(|row| row % distinct.len() as u32));
    Some((texts, take(&distinct, &turns, None).ok()?, wanted.with_nullable(true)))
}

fn constant(text: &str) -> Option<(ArrayRef, DataType)> {
    let expr = bind(text, &[])?;
    let of = expr.data_type.clone();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(ArrowSchema::empty()), vec![], &options).ok()?;
    let context =
        EvalContext { now_micros: 0, time_zone: "UTC".parse().unwrap(), random_seed: 7, watermark: None };
    Some((Program::new(vec![expr]).evaluate(&row, &context).ok()?.pop()?, of))
}

fn bind(expression: &str, types: &[DataType]) -> Option<Expr> {
    let source = Source::new("call", expression);
    let parsed = parse::parse_expr(&source).ok()?;
    let (catalog, options) = (Catalog::default(), Options::default());
    let column = |(at, it): (usize, &DataType)| Field::new(format!("p{at}"), it.clone());
    let schema = Schema::new(types.iter().enumerate().map(column).collect());
    Binder::new(&catalog, &options, &source).bind_column_expr(&parsed, &schema).ok()
}

/// Flink's rates by function; a time that is lost in the noise counts as the noise.
fn ask_flink(calls: &[Call]) -> BTreeMap<String, Flink> {
    let answers = target().join("function_speed.jsonl");
    let python = std::env::var_os("FLOTT_FLINK_PYTHON").unwrap_or_else(|| "python3".into());
    let mut runner = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benchmarks/function_speed.py"))
        .arg(ROWS.to_string())
        .arg(&answers)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = runner.stdin.take().unwrap();
    for call in calls {
        writeln!(input, "{}", call.question()).unwrap();
    }
    drop(input);
    runner.wait().unwrap();
    let known = std::fs::read_to_string(&answers).unwrap_or_default();
    let known: Vec<Json> = known.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let seconds_per_row = |question: &Json| {
        let keys = question.as_object()?;
        let answer = known.iter().find(|it| keys.iter().all(|(key, value)| it.get(key) == Some(value)))?;
        Some(answer["seconds"].as_f64()? / answer["rows"].as_f64()?)
    };
    let rates = |call: &Call| {
        let plain = seconds_per_row(&json!({"plain": "id", "columns": call.columns}));
        let alone = seconds_per_row(&call.question());
        let flink = Flink {
            call: alone.map(|it| 1.0 / it.max(NOISE)),
            job: plain.zip(alone).map(|(plain, alone)| 1.0 / (plain + alone.max(0.0))),
            lost: alone.is_some_and(|it| it <= NOISE),
        };
        (call.function.clone(), flink)
    };
    calls.iter().map(rates).collect()
}
