//! How many rows a second every function does on one core, and how many Flink's does.
//!
//! ```text
//!   functions.txt ─► first call of each function, over columns ─┬─► Program, batch after batch
//!                                                               └─► function_speed.py: a job of one thread,
//!                                                                   less the same job without the call
//! ```
//!
//! Both sides count the processor time of the one thread that evaluates, so that what else the machine
//! does matters little. `cargo xtask speed functions` runs it. Arguments: a part of a name; `--flink`
//! asks Flink too. Flink's answers are kept in the target directory: a run that was stopped goes on where
//! it was, and `function_speed.jsonl` has to be deleted to ask anew.
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
    rows_per_second: f64,
}

impl Call {
    fn question(&self) -> Json {
        json!({"function": self.function, "expression": self.expression, "columns": self.columns})
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|it| !it.starts_with("--"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
    let calls: Vec<Call> = cases::typical_calls(&directory)
        .iter()
        .filter(|case| filter.is_none_or(|it| case.subject.contains(it.as_str())))
        .filter_map(measure)
        .collect();
    let flink = if arguments.iter().any(|it| it == "--flink") { ask_flink(&calls) } else { BTreeMap::new() };
    print_table(&calls, &flink);
}

/// A row of the table per function, slowest beside Flink first.
fn print_table(calls: &[Call], flink: &BTreeMap<String, f64>) {
    println!("| function | call | Flott, million rows/s | Flink, million rows/s | times |");
    println!("|---|---|---:|---:|---:|");
    let ratio = |call: &Call| flink.get(&call.function).map(|it| call.rows_per_second / it);
    let mut sorted: Vec<&Call> = calls.iter().collect();
    sorted.sort_by(|a, b| ratio(a).unwrap_or(0.0).total_cmp(&ratio(b).unwrap_or(0.0)));
    for call in &sorted {
        let millions = call.rows_per_second / 1e6;
        let theirs = flink.get(&call.function).map_or("–".into(), |it| format!("{:.1}", it / 1e6));
        let times = ratio(call).map_or("–".into(), |it| format!("{it:.1}"));
        let code = |text: &str| text.replace('|', "\\|");
        let (function, expression) = (code(&call.function), code(&call.expression));
        println!("| `{function}` | `{expression}` | {millions:.1} | {theirs} | {times} |");
    }
    let mut ratios: Vec<f64> = calls.iter().filter_map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        println!("\nMedian over {} functions: {median:.1} times Flink's rate.", ratios.len());
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
    Some(Call { function: case.subject.clone(), expression: expression.clone(), columns, rows_per_second })
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
fn ask_flink(calls: &[Call]) -> BTreeMap<String, f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let answers = target.join("function_speed.jsonl");
    let python = std::env::var_os("FLOTT_FLINK_PYTHON").unwrap_or_else(|| "python3".into());
    let mut runner = Command::new(python)
        .arg(root.join("benchmarks/function_speed.py"))
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
    let rate = |call: &Call| {
        let question = call.question();
        let keys = ["function", "expression", "columns"];
        let answer = known.iter().find(|it| keys.iter().all(|key| it[key] == question[key]))?;
        let (rows, seconds) = (answer["rows"].as_f64()?, answer["seconds"].as_f64()?);
        Some((call.function.clone(), rows / seconds.max(rows * NOISE)))
    };
    calls.iter().filter_map(rate).collect()
}
