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

use crate::{Step, rewrite::substitute, window_columns::plain};

/// Merging may make a step this large, in nodes, before it stops: `c + c` over `c + c` over … would
/// double with every projection.
const MERGED_NODES_MAX: usize = 1000;

/// Start, end and time of a window.
const WINDOW_COLUMNS: usize = 3;

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
            if reads_only_deterministic(&predicate, &inner)
                && stays_small(std::slice::from_ref(&predicate), &inner)
            {
                let moved = substitute(&predicate, &inner);
                push(out, Step::Filter(moved));
                push(out, Step::Project { exprs: inner, schema: below });
            } else {
                out.push(Step::Project { exprs: inner, schema: below });
                out.push(Step::Filter(predicate));
            }
        }
        (Some(Step::Project { exprs: inner, schema: below }), Step::Project { exprs, schema }) => {
            if computes_once(&exprs, &inner) && stays_small(&exprs, &inner) {
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
        (
            Some(Step::Window { kind, offset_millis, time_column, local_time, schema }),
            Step::Filter(predicate),
        ) if predicate.columns().iter().all(|column| column + WINDOW_COLUMNS < schema.len())
            && predicate.is_deterministic() =>
        {
            push(out, Step::Filter(predicate));
            out.push(Step::Window { kind, offset_millis, time_column, local_time, schema });
        }
        (Some(before), step) => {
            out.push(before);
            out.push(step);
        }
        (None, step) => out.push(step),
    }
}

/// Whether the expressions, with the inner ones in place of their columns, aren't much larger than
/// both were apart.
fn stays_small(outer: &[Expr], inner: &[Expr]) -> bool {
    let nodes = |expr: &Expr| {
        let mut count = 0usize;
        expr.walk(&mut |_| count += 1);
        count
    };
    let sizes: Vec<usize> = inner.iter().map(nodes).collect();
    let (mut apart, mut merged) = (sizes.iter().sum::<usize>(), 0usize);
    for expr in outer {
        expr.walk(&mut |node| {
            let size = match node.kind {
                ExprKind::Column { index, .. } => sizes.get(index).copied().unwrap_or(1),
                _ => 1,
            };
            apart += 1;
            merged = merged.saturating_add(size);
        });
    }
    merged <= apart.saturating_add(MERGED_NODES_MAX)
}

/// Whether the expressions, with the inner ones in place of their columns, compute each that isn't
/// deterministic at most once, and on every row.
fn computes_once(outer: &[Expr], inner: &[Expr]) -> bool {
    inner.iter().enumerate().filter(|(_, expr)| !expr.is_deterministic()).all(|(at, _)| {
        let mut readers = outer.iter().filter(|expr| expr.columns().contains(&at));
        readers.next().is_none_or(|reader| plain(reader) == Some(at)) && readers.next().is_none()
    })
}

fn reads_only_deterministic(expr: &Expr, inner: &[Expr]) -> bool {
    expr.columns().iter().all(|&column| inner.get(column).is_some_and(Expr::is_deterministic))
}

/// Both conditions, as one.
pub fn and(first: Expr, second: Expr) -> Option<Expr> {
    let function = lookup("AND")?;
    let nullable = first.data_type.nullable || second.data_type.nullable;
    let data_type = DataType::boolean().with_nullable(nullable);
    Some(Expr::new(ExprKind::Call { function, args: vec![first, second] }, data_type, Span::default()))
}

#[cfg(test)]
mod tests {
    use flott_types::{Field, Schema};

    use super::*;

    #[test]
    fn projections_that_double_stay_small() {
        let schema = Schema::new(vec![Field::new("c", DataType::int())]);
        let plus = lookup("+").unwrap();
        let column = || Expr::column(0, "c", DataType::int());
        let double = || {
            let args = vec![column(), column()];
            Expr::new(ExprKind::Call { function: plus, args }, DataType::int(), Span::default())
        };
        let steps =
            (0..40).map(|_| Step::Project { exprs: vec![double()], schema: schema.clone() }).collect();
        let merged = simplify(steps);
        assert!((2..10).contains(&merged.len()), "{} steps", merged.len());
    }
}
