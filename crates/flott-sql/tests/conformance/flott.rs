//! What Flott answers: binds and evaluates in this process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatchOptions},
    datatypes::{Field, Schema as ArrowSchema},
    record_batch::RecordBatch,
};
use flott_expr::{EvalContext, Expr, Program};
use flott_sql::{Catalog, Source, bind::Binder, parse};
use flott_types::{DataType, Field as Column, Options, Schema};

use crate::answers::{Answer, Outcome};

/// The answer, and what was said if it is an error.
pub fn answer(expression: &str) -> (Answer, String) {
    let (outcome, message) = catch_unwind(|| value(&format!("CAST({expression} AS STRING)")))
        .unwrap_or_else(|_| (Outcome::Failed, "it panics".into()));
    let data_type = match catch_unwind(|| value(&format!("TYPEOF({expression})"))) {
        Ok((Outcome::Value(data_type), _)) => Some(data_type),
        _ => None,
    };
    (Answer { outcome, data_type }, message)
}

/// The same over columns of several rows; `None` if it can't be asked like this.
pub fn answer_over_columns((expression, values): &(String, Vec<String>)) -> Option<(Answer, String)> {
    let inputs: Vec<Expr> = values.iter().map(|it| bind(it, &[])).collect::<Result<_, _>>().ok()?;
    let arrays = Program::new(inputs.clone()).evaluate(&rows(ROWS, Vec::new()), &context()).ok()?;
    let input = rows(ROWS, arrays);
    let types: Vec<DataType> = inputs.into_iter().map(|it| it.data_type).collect();
    let text = bind(&format!("CAST({expression} AS STRING)"), &types).ok()?;
    let data_type = bind(&format!("TYPEOF({expression})"), &types).ok()?;
    let (outcome, message) = catch_unwind(AssertUnwindSafe(|| evaluate(text, &input)))
        .unwrap_or_else(|_| (Outcome::Failed, "it panics over columns".into()));
    match evaluate(data_type, &input).0 {
        Outcome::Value(data_type) => Some((Answer { outcome, data_type: Some(data_type) }, message)),
        _ => None,
    }
}

/// Rows of a batch: enough for a kernel to mix them up.
const ROWS: usize = 3;

fn value(expression: &str) -> (Outcome, String) {
    match bind(expression, &[]) {
        Ok(expr) => evaluate(expr, &rows(1, Vec::new())),
        Err(message) => (Outcome::Refused, message),
    }
}

fn evaluate(expr: Expr, input: &RecordBatch) -> (Outcome, String) {
    let columns = match Program::new(vec![expr]).evaluate(input, &context()) {
        Err(error) => return (Outcome::Failed, error.to_string()),
        Ok(columns) => columns,
    };
    let texts = columns[0].as_string::<i32>();
    let first = texts.iter().next().flatten();
    assert!(texts.iter().all(|it| it == first), "rows differ: {texts:?}");
    (first.map_or(Outcome::Null, |it| Outcome::Value(it.into())), String::new())
}

fn rows(count: usize, columns: Vec<ArrayRef>) -> RecordBatch {
    let field = |(at, it): (usize, &ArrayRef)| Field::new(format!("p{at}"), it.data_type().clone(), true);
    let schema = ArrowSchema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).unwrap()
}

/// 2026-01-01, in the afternoon.
fn context() -> EvalContext {
    EvalContext {
        now_micros: 1_767_279_600_000_000,
        time_zone: "UTC".parse().unwrap(),
        random_seed: 7,
        watermark: None,
    }
}

/// An expression over columns `p0`, `p1` … of these types.
fn bind(expression: &str, types: &[DataType]) -> Result<Expr, String> {
    let source = Source::new("case", expression);
    let parsed = parse::parse_expr(&source).map_err(|it| it.message.to_string())?;
    let (catalog, options) = (Catalog::default(), Options::default());
    let column = |(at, it): (usize, &DataType)| Column::new(format!("p{at}"), it.clone());
    let schema = Schema::new(types.iter().enumerate().map(column).collect());
    let binder = Binder::new(&catalog, &options, &source);
    binder.bind_column_expr(&parsed, &schema).map_err(|it| it.message.to_string())
}
