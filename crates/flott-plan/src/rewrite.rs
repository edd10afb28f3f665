//! Column references, changed.

use flott_expr::{Expr, ExprKind};

/// The expression with every column replaced by the expression at its position.
pub fn substitute(expr: &Expr, by: &[Expr]) -> Expr {
    let mut out = expr.clone();
    replace(&mut out, by);
    out
}

fn replace(expr: &mut Expr, by: &[Expr]) {
    if let ExprKind::Column { index, .. } = expr.kind {
        if let Some(new) = by.get(index) {
            let span = expr.span;
            *expr = new.clone();
            if expr.span.is_empty() {
                expr.span = span;
            }
        }
        return;
    }
    for child in expr.children_mut() {
        replace(child, by);
    }
}

/// Moves every column reference to its new position.
pub fn remap(expr: &mut Expr, position: &impl Fn(usize) -> usize) {
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind {
            *index = position(*index);
        }
    });
}
