//! Constant sub-expressions become literals.
//!
//! Only deterministic expressions whose evaluation succeeds: `1 / 0` stays as it is and fails
//! on the rows that reach it, as in Flink.

use flott_expr::{EvalContext, Expr, ExprKind, eval::evaluate_constant, functions};

use super::Binder;

impl Binder<'_> {
    /// The expression with its constant parts computed. The arguments of a node have been
    /// folded before it, so only the node itself is looked at.
    pub(super) fn fold(&self, expr: Expr) -> Expr {
        if !is_constant(&expr) {
            return expr;
        }
        let zone = self.options.get("table.local-time-zone").filter(|it| *it != "default").unwrap_or("UTC");
        let Ok(time_zone) = zone.parse() else { return expr };
        let context = EvalContext { now_micros: 0, time_zone, random_seed: 0, watermark: None };
        match evaluate_constant(&expr, &context) {
            Ok(value) => {
                let known = !value.is_null() && is_simplified(&expr);
                let nullable = expr.data_type.nullable && !known;
                Expr::new(ExprKind::Literal(value), expr.data_type.with_nullable(nullable), expr.span)
            }
            Err(_) => expr,
        }
    }
}

fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Column { .. } | ExprKind::Literal(_) => false,
        // JSON_OBJECT tells from its arguments' calls which of them are JSON already.
        ExprKind::Call { function, .. } if functions::is_json_constructor(function) => false,
        ExprKind::Call { function, args } => function.deterministic && args.iter().all(is_literal),
        _ => expr.children().into_iter().all(is_literal),
    }
}

/// What Flink's planner simplifies before it looks at types: a constant then is NOT NULL if it
/// isn't NULL. Other functions keep the nullability that their arguments give them.
fn is_simplified(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Case { .. } => true,
        ExprKind::Call { function, .. } => matches!(function.name, "AND" | "OR" | "IN" | "NULLIF"),
        _ => false,
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(_))
}
