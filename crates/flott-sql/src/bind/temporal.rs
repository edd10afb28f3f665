//! `a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k`
//!
//! ```text
//!   a.ts rowtime    b has a primary key and a rowtime: its versions; the key must be compared
//!   a.ts proctime   b is looked up when the row comes; some column must be compared
//! ```
//!
//! A table has versions if it declares both, a query if it keeps one row of each key by
//! `ROW_NUMBER() OVER (PARTITION BY key ORDER BY time) = 1`, or groups by the key.
//!
//! Source: Flink documentation, "Joins": temporal and look-up joins.

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{Code, Diagnostic, Result, Schema, Span, TimeAttribute};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor, TableVersion};

use super::{Binder, expr::ExprBinder, query::Around, scope::Scope};
use crate::{
    LogicalPlan,
    plan::{JoinKind, OverFunction, TemporalJoin},
};

/// The expression of `FOR SYSTEM_TIME AS OF`.
pub(super) fn as_of(factor: &TableFactor) -> Option<&ast::Expr> {
    match factor {
        TableFactor::Table { version: Some(TableVersion::ForSystemTimeAsOf(time)), .. } => Some(time),
        _ => None,
    }
}

impl Binder<'_> {
    /// `input JOIN factor FOR SYSTEM_TIME AS OF time …`
    pub(super) fn temporal_join(
        &self,
        left: LogicalPlan,
        left_scope: Scope,
        join: &ast::Join,
        time: &ast::Expr,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let span = self.factor_span(&join.relation);
        let (kind, constraint) = temporal_kind(&join.join_operator).ok_or_else(|| {
            Diagnostic::error(Code::UnsupportedUse, "a join FOR SYSTEM_TIME AS OF is INNER or LEFT")
                .at(span)
                .help("each row of the left side is joined with the right side as it was at the row's time")
        })?;
        let (time, time_attribute) = self.as_of_time(time, &left_scope)?;
        let TableFactor::Table { name, alias, .. } = &join.relation else {
            return Err(Diagnostic::error(Code::Internal, "FOR SYSTEM_TIME of something that has no name"));
        };
        let (right, right_scope) = self.named(name, alias.as_ref(), around)?;
        let lookup = self.lookup_hint(&right_scope);
        let left_width = left.schema().len();
        let versions = match time_attribute {
            TimeAttribute::Rowtime => Some(versioned(&right, &time, span)?),
            TimeAttribute::Proctime => None,
        };
        let (plan, scope) =
            self.join_bound((left, left_scope), (right, right_scope), kind, constraint, span)?;
        let LogicalPlan::Join { left, right, condition, state_ttl, schema, .. } = plan else {
            return Err(Diagnostic::error(Code::Internal, "a join that is none"));
        };
        let compared = compared_columns(&condition, left_width);
        if compared.is_empty() {
            let message =
                "a join FOR SYSTEM_TIME AS OF needs a column of the right side to be compared with =";
            return Err(Diagnostic::error(Code::UnsupportedUse, message).at(span));
        }
        let (right_key, right_time) = versions.map_or((Vec::new(), None), |(key, time)| (key, Some(time)));
        check_key(&right.schema(), &right_key, &compared).map_err(|it| it.at(span))?;
        let join = TemporalJoin {
            left,
            right,
            kind,
            condition,
            time,
            time_attribute,
            right_key,
            right_time,
            schema,
            span,
            lookup,
            state_ttl,
        };
        Ok((LogicalPlan::TemporalJoin(join), scope))
    }

    /// The time: a time attribute of the left side.
    fn as_of_time(&self, time: &ast::Expr, left: &Scope) -> Result<(Expr, TimeAttribute)> {
        let bound = ExprBinder::new(self, left).within("FOR SYSTEM_TIME AS OF").bind(time)?;
        match left.time_of(&bound) {
            Some(attribute) => Ok((bound, attribute)),
            None => {
                let message = "FOR SYSTEM_TIME AS OF takes a time attribute of the join's left side";
                Err(Diagnostic::error(Code::UnsupportedUse, message).at(bound.span).help(
                    "that is a column with a WATERMARK, or a column that is declared AS PROCTIME(), as it is",
                ))
            }
        }
    }
}

fn temporal_kind(operator: &JoinOperator) -> Option<(JoinKind, &JoinConstraint)> {
    match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
            Some((JoinKind::Inner, constraint))
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            Some((JoinKind::Left, constraint))
        }
        _ => None,
    }
}

/// The key and the time of the right side's versions.
fn versioned(right: &LogicalPlan, left_time: &Expr, span: Span) -> Result<(Vec<usize>, usize)> {
    let lacks = |what: &str, help: &str| {
        let message = format!("a join FOR SYSTEM_TIME AS OF a row time needs {what} of its right side");
        Err(Diagnostic::error(Code::UnsupportedUse, message).at(span).help(help))
    };
    let schema = right.schema();
    let rowtime = schema.fields.iter().position(|field| field.time == Some(TimeAttribute::Rowtime));
    let Some(key) = unique_key(right).filter(|key| !key.is_empty()) else {
        return lacks(
            "a primary key",
            "declare PRIMARY KEY (…) NOT ENFORCED, or a view that keeps one row of each key: \
             ROW_NUMBER() OVER (PARTITION BY key ORDER BY time DESC) = 1",
        );
    };
    let Some((at, field)) = rowtime.and_then(|at| Some((at, schema.fields.get(at)?))) else {
        return lacks("a row time", "declare a WATERMARK for the column that says from when a row is valid");
    };
    if field.data_type.kind != left_time.data_type.kind {
        let message = format!(
            "the times of both sides must be of one type, but they are {} and {}",
            left_time.data_type.kind, field.data_type.kind
        );
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
    }
    Ok((key, at))
}

/// Columns of which the plan has one row for each value at any time.
pub(super) fn unique_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::Scan { table, .. } => {
            let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
            table.primary_key.iter().map(position).collect()
        }
        LogicalPlan::Project { input, exprs, .. } => {
            let key = unique_key(input)?;
            let place = |column: usize| exprs.iter().position(|expr| plain(expr) == Some(column));
            key.into_iter().map(place).collect()
        }
        LogicalPlan::Filter { input, predicate } => first_rows(predicate)
            .into_iter()
            .find_map(|column| row_number_key(input, column))
            .or_else(|| unique_key(input)),
        LogicalPlan::Aggregate { keys, sets, .. } if sets.len() == 1 => Some((0..keys.len()).collect()),
        _ => None,
    }
}

fn plain(expr: &Expr) -> Option<usize> {
    match expr.kind {
        ExprKind::Column { index, .. } => Some(index),
        _ => None,
    }
}

/// The conjuncts of a condition.
fn conjuncts<'e>(expr: &'e Expr, out: &mut Vec<&'e Expr>) {
    match &expr.kind {
        ExprKind::Call { function, args } if function.name == "AND" => {
            args.iter().for_each(|arg| conjuncts(arg, out));
        }
        _ => out.push(expr),
    }
}

/// Columns that the condition wants to be 1, or at most 1.
fn first_rows(predicate: &Expr) -> Vec<usize> {
    let mut all = Vec::new();
    conjuncts(predicate, &mut all);
    let one = |expr: &Expr| {
        let mut inner = expr;
        while let ExprKind::Cast { input, .. } = &inner.kind {
            inner = input;
        }
        matches!(inner.kind, ExprKind::Literal(Value::Int(1)))
    };
    let found = all.into_iter().filter_map(|expr| match &expr.kind {
        ExprKind::Call { function, args } => match (function.name, args.as_slice()) {
            ("=" | "<=", [column, limit]) if one(limit) => plain(column),
            ("=" | ">=", [limit, column]) if one(limit) => plain(column),
            _ => None,
        },
        _ => None,
    });
    found.collect()
}

/// The `PARTITION BY` of the `ROW_NUMBER` that this column is.
fn row_number_key(plan: &LogicalPlan, column: usize) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::Project { input, exprs, .. } => {
            let key = row_number_key(input, plain(exprs.get(column)?)?)?;
            let place = |column: usize| exprs.iter().position(|expr| plain(expr) == Some(column));
            key.into_iter().map(place).collect()
        }
        LogicalPlan::Filter { input, .. } => row_number_key(input, column),
        LogicalPlan::Over { input, partition_by, calls, .. } => {
            let call = calls.get(column.checked_sub(input.schema().len())?)?;
            (call.function == OverFunction::RowNumber).then(|| partition_by.iter().map(plain).collect())?
        }
        _ => None,
    }
}

/// The right side's columns that the condition compares with the left's, by position on the right.
fn compared_columns(condition: &Expr, width: usize) -> Vec<usize> {
    let mut all = Vec::new();
    conjuncts(condition, &mut all);
    let of_left =
        |expr: &Expr| expr.columns().iter().all(|column| *column < width) && !expr.columns().is_empty();
    let pairs = all.into_iter().filter_map(|expr| match &expr.kind {
        ExprKind::Call { function, args } if matches!(function.name, "=" | "IS NOT DISTINCT FROM") => {
            match args.as_slice() {
                [a, b] if of_left(a) => plain(b)?.checked_sub(width),
                [a, b] if of_left(b) => plain(a)?.checked_sub(width),
                _ => None,
            }
        }
        _ => None,
    });
    pairs.collect()
}

fn check_key(right: &Schema, key: &[usize], compared: &[usize]) -> Result<()> {
    let Some(missing) = key.iter().find(|column| !compared.contains(column)) else { return Ok(()) };
    let name = |column: &usize| right.fields.get(*column).map_or("", |it| it.name.as_str());
    let key_names: Vec<&str> = key.iter().map(name).collect();
    let message = format!(
        "the condition must compare the whole key of the right side ({}), but '{}' is missing",
        key_names.join(", "),
        name(missing)
    );
    Err(Diagnostic::error(Code::UnsupportedUse, message))
}
