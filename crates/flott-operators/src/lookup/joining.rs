//! Rows and what was found for them, put together.

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, UInt32Array};
use arrow::compute::{concat, filter, filter_record_batch, take};
use arrow::datatypes::{Int8Type, SchemaRef, UInt32Type};
use arrow::record_batch::RecordBatch;
use flott_connector::Found;
use flott_expr::{ExprKind, Program};
use flott_plan::LookupJoin;
use flott_sql::JoinKind;
use flott_types::{Diagnostic, Result, Schema};

use crate::arrow_failed;
use crate::operator::{Context, Output, Rows};
use crate::window::{batch, positional_schema, take_all};

/// How they are joined.
pub(super) struct Joining {
    outer: bool,
    condition: Option<Program>,
    /// What comes out of a row that was found.
    exprs: Vec<flott_expr::Expr>,
    program: Option<Program>,
    input: SchemaRef,
    /// Input columns, then those that the table is asked for.
    pairs: SchemaRef,
    read: SchemaRef,
    output: SchemaRef,
}

impl Joining {
    pub(super) fn new(node: &LookupJoin, input: &Schema) -> Self {
        let types =
            |schema: &Schema| schema.fields.iter().map(|it| it.data_type.arrow_type()).collect::<Vec<_>>();
        let own = types(input);
        let read: Vec<_> = node
            .reads
            .iter()
            .filter_map(|at| node.table.columns.get(*at))
            .map(|column| column.data_type.arrow_type())
            .collect();
        let plain = node.exprs.iter().all(|expr| matches!(expr.kind, ExprKind::Column { .. }));
        Self {
            outer: node.kind == JoinKind::Left,
            condition: node.condition.clone().map(|condition| Program::new(vec![condition])),
            program: (!plain).then(|| Program::new(node.exprs.clone())),
            exprs: node.exprs.clone(),
            input: positional_schema(own.iter().cloned()),
            pairs: positional_schema(own.iter().cloned().chain(read.iter().cloned())),
            read: positional_schema(read),
            output: positional_schema(own.into_iter().chain(types(&node.schema))),
        }
    }

    /// The input's columns.
    pub(super) fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// Emits the rows with what was found for them.
    pub(super) fn emit(
        &self,
        rows: &RecordBatch,
        kinds: Option<&Int8Array>,
        found: Vec<Found>,
        context: &Context,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let mut eval = context.eval.clone();
        eval.now_micros = (context.now_millis)().saturating_mul(1000);
        let Found { keys, rows: found } = self.one(found)?;
        let (keys, found) = match &self.condition {
            None => (keys, found),
            Some(condition) => {
                let mut columns = take_all(rows.columns(), &keys)?;
                columns.extend(found.columns().iter().cloned());
                let pairs = batch(&self.pairs, columns, keys.len())?;
                let mask = condition.evaluate_predicate(&pairs, &eval).map_err(failed)?;
                let keys = filter(&keys, &mask).map_err(arrow_failed)?;
                let found = filter_record_batch(&found, &mask).map_err(arrow_failed)?;
                (keys.as_primitive::<UInt32Type>().clone(), found)
            }
        };
        let right = match &self.program {
            Some(program) => program.evaluate(&found, &eval).map_err(failed)?,
            None => {
                let plain = self.exprs.iter().filter_map(|expr| match expr.kind {
                    ExprKind::Column { index, .. } => found.columns().get(index).cloned(),
                    _ => None,
                });
                plain.collect()
            }
        };
        self.emit_pairs(rows, kinds, &keys, right, context.batch_rows.max(1), out)
    }

    /// All that was found, by rising key.
    fn one(&self, mut found: Vec<Found>) -> Result<Found> {
        let columns = |it: &Found| batch(&self.read, it.rows.columns().to_vec(), it.rows.num_rows());
        if found.len() == 1
            && let Some(only) = found.pop()
        {
            return Ok(Found { rows: columns(&only)?, keys: only.keys });
        }
        let batches = found.iter().map(columns).collect::<Result<Vec<_>>>()?;
        let rows = arrow::compute::concat_batches(&self.read, &batches).map_err(arrow_failed)?;
        let keys: Vec<&dyn Array> = found.iter().map(|it| &it.keys as &dyn Array).collect();
        if keys.is_empty() {
            return Ok(Found { keys: UInt32Array::from(Vec::<u32>::new()), rows });
        }
        let keys = concat(&keys).map_err(arrow_failed)?;
        let keys = keys.as_primitive::<UInt32Type>();
        // Later answers are of rows between those of earlier ones; each row's own stand together.
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_by_key(|at| keys.values().get(*at as usize));
        let order = UInt32Array::from(order);
        Ok(Found {
            keys: take(keys, &order, None).map_err(arrow_failed)?.as_primitive::<UInt32Type>().clone(),
            rows: batch(&self.read, take_all(rows.columns(), &order)?, order.len())?,
        })
    }

    fn emit_pairs(
        &self,
        rows: &RecordBatch,
        kinds: Option<&Int8Array>,
        keys: &UInt32Array,
        right: Vec<ArrayRef>,
        batch_rows: usize,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let count = rows.num_rows();
        let one_each = keys.len() == count && (0_u32..).zip(keys.values()).all(|(at, key)| at == *key);
        if one_each {
            let columns = rows.columns().iter().cloned().chain(right).collect();
            return (out.emit)(Rows::changes(batch(&self.output, columns, count)?, kinds.cloned()));
        }
        let (lefts, rights) = if self.outer { with_misses(keys, count) } else { (keys.clone(), None) };
        for start in (0..lefts.len()).step_by(batch_rows) {
            let length = batch_rows.min(lefts.len() - start);
            let left = lefts.slice(start, length);
            let mut columns = take_all(rows.columns(), &left)?;
            match &rights {
                Some(rights) => columns.extend(take_all(&right, &rights.slice(start, length))?),
                None => columns.extend(right.iter().map(|column| column.slice(start, length))),
            }
            let kinds = kinds.map(|kinds| take_kinds(kinds, &left)).transpose()?;
            (out.emit)(Rows::changes(batch(&self.output, columns, length)?, kinds))?;
        }
        Ok(())
    }
}

/// For each row that comes out: its row, and which of those found, or NULL.
fn with_misses(keys: &UInt32Array, rows: usize) -> (UInt32Array, Option<UInt32Array>) {
    let (mut lefts, mut rights) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut found = (0_u32..).zip(keys.values()).peekable();
    for row in 0..rows as u32 {
        let before = lefts.len();
        while let Some((at, _)) = found.next_if(|(_, key)| **key <= row) {
            lefts.push(row);
            rights.push(Some(at));
        }
        if lefts.len() == before {
            lefts.push(row);
            rights.push(None);
        }
    }
    (UInt32Array::from(lefts), Some(UInt32Array::from(rights)))
}

/// The kinds of these rows.
pub(super) fn take_kinds(kinds: &Int8Array, rows: &UInt32Array) -> Result<Int8Array> {
    Ok(take(kinds, rows, None).map_err(arrow_failed)?.as_primitive::<Int8Type>().clone())
}

fn failed(error: flott_expr::EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, error.message)
}
