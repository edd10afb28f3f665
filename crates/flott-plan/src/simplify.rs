//! Makes a path's steps few: filters move before projections, neighbours of a kind are merged.
//!
//! ```text
//!   Project(a, b+1 AS c) Filter(c > 3) Project(c)   ──►   Filter(b+1 > 3) Project(b+1)
//! ```
//!
//! As in Flink, a filter runs before the expressions of the projection below it, so a row that
//! it drops can't fail in them. Expressions that aren't deterministic are never moved or doubled.

use flott_expr::{Expr, ExprKind, lookup};
use flott_types::{DataType, Span};

use crate::{Step, rewrite::substitute};

/// The same rows in as few steps as possible.
pub fn simplify(steps: Vec<Step>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::new();
    for step in steps {
        push(&mut out, step);
    }
    out
}

fn push(out: &mut Vec<Step>, step: Step) {
    match (out.pop(), step) {
        (Some(Step::Project { exprs: inner, schema: below }), Step::Filter(predicate)) => {
            if reads_only_deterministic(&predicate, &inner) {
                let moved = substitute(&predicate, &inner);
                push(out, Step::Filter(moved));
                push(out, Step::Project { exprs: inner, schema: below });
            } else {
                out.push(Step::Project { exprs: inner, schema: below });
                out.push(Step::Filter(predicate));
            }
        }
        (Some(Step::Project { exprs: inner, schema: below }), Step::Project { exprs, schema }) => {
            if inner.iter().all(Expr::is_deterministic) {
                let exprs = exprs.iter().map(|expr| substitute(expr, &inner)).collect();
                out.push(Step::Project { exprs, schema });
            } else {
                out.push(Step::Project { exprs: inner, schema: below });
                out.push(Step::Project { exprs, schema });
            }
        }
        (Some(Step::Filter(first)), Step::Filter(second)) => match and(first.clone(), second.clone()) {
            Some(both) => out.push(Step::Filter(both)),
            None => {
                out.push(Step::Filter(first));
                out.push(Step::Filter(second));
            }
        },
        (Some(before), step) => {
            out.push(before);
            out.push(step);
        }
        (None, step) => out.push(step),
    }
}

fn reads_only_deterministic(expr: &Expr, inner: &[Expr]) -> bool {
    expr.columns().iter().all(|&column| inner.get(column).is_some_and(Expr::is_deterministic))
}

fn and(first: Expr, second: Expr) -> Option<Expr> {
    let function = lookup("AND")?;
    let nullable = first.data_type.nullable || second.data_type.nullable;
    let data_type = DataType::boolean().with_nullable(nullable);
    Some(Expr::new(ExprKind::Call { function, args: vec![first, second] }, data_type, Span::default()))
}
