//! The frame of `OVER`: which rows around the current one an aggregate sees.
//!
//! ```text
//!   ROWS BETWEEN 2 PRECEDING AND CURRENT ROW       rows counted
//!   RANGE BETWEEN INTERVAL '1' HOUR PRECEDING …    distance of the order's key
//!   (none) with ORDER BY                           RANGE UNBOUNDED PRECEDING to CURRENT ROW
//!   (none) without                                 the whole partition
//! ```
//!
//! A stream gives no row's result again when a later row comes, so a frame of a stream ends with
//! the current row; in batch mode it may reach further.

use flott_expr::{ExprKind, Value};
use flott_types::{Code, Diagnostic, IntervalUnit, Result, Span, TypeKind};
use sqlparser::ast::{self, WindowFrameBound, WindowFrameUnits};

use super::expr::ExprBinder;
use crate::plan::{Bound, Frame, SortKey};

/// The frame as written, or the one that stands for none. `behind` is where the call stands.
pub(super) fn bind(
    binder: ExprBinder<'_, '_>,
    frame: Option<&ast::WindowFrame>,
    order_by: &[SortKey],
    behind: Span,
) -> Result<Frame> {
    let Some(frame) = frame else {
        return Ok(if order_by.is_empty() { Frame::WHOLE_PARTITION } else { Frame::UP_TO_CURRENT });
    };
    let rows = match frame.units {
        WindowFrameUnits::Rows => true,
        WindowFrameUnits::Range => false,
        WindowFrameUnits::Groups => {
            return Err(Diagnostic::not_supported("GROUPS in OVER").at(behind).help("use ROWS or RANGE"));
        }
    };
    let bound = |ast: &WindowFrameBound| bound(binder, ast, rows, order_by, behind);
    let start = bound(&frame.start_bound)?;
    let end = frame.end_bound.as_ref().map_or(Ok(Bound::CurrentRow), bound)?;
    if position(start) > position(end) {
        let message = format!("the frame ends ({end}) before it begins ({start})");
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(behind));
    }
    if end != Bound::CurrentRow && !binder.binder.is_batch() {
        let what = format!("a frame that ends with {end} in streaming mode");
        return Err(Diagnostic::not_supported(what)
            .at(behind)
            .help("let it end with CURRENT ROW; with 'execution.runtime-mode' = 'batch' it may go on"));
    }
    Ok(Frame { rows, start, end })
}

/// Bounds in order, the distance second.
fn position(bound: Bound) -> (u8, i64) {
    match bound {
        Bound::UnboundedPreceding => (0, 0),
        Bound::Preceding(distance) => (1, distance.saturating_neg()),
        Bound::CurrentRow => (2, 0),
        Bound::Following(distance) => (3, distance),
        Bound::UnboundedFollowing => (4, 0),
    }
}

fn bound(
    binder: ExprBinder<'_, '_>,
    ast: &WindowFrameBound,
    rows: bool,
    order_by: &[SortKey],
    behind: Span,
) -> Result<Bound> {
    Ok(match ast {
        WindowFrameBound::CurrentRow => Bound::CurrentRow,
        WindowFrameBound::Preceding(None) => Bound::UnboundedPreceding,
        WindowFrameBound::Following(None) => Bound::UnboundedFollowing,
        WindowFrameBound::Preceding(Some(expr)) => {
            Bound::Preceding(distance(binder, expr, rows, order_by, behind)?)
        }
        WindowFrameBound::Following(Some(expr)) => {
            Bound::Following(distance(binder, expr, rows, order_by, behind)?)
        }
    })
}

/// How far: a number of rows, an interval for a key that is a time, a number for one that is one.
fn distance(
    binder: ExprBinder<'_, '_>,
    ast: &ast::Expr,
    rows: bool,
    order_by: &[SortKey],
    behind: Span,
) -> Result<i64> {
    let expr = binder.within("a frame of OVER").bind(ast)?;
    let error = |message: &str| Diagnostic::error(Code::InvalidDefinition, message).at(expr.span);
    let time_key = match order_by {
        _ if rows => false,
        [key] => key.expr.data_type.is_timestamp() || matches!(key.expr.data_type.kind, TypeKind::Date),
        _ => {
            let message = "RANGE with a distance needs exactly one key in ORDER BY";
            return Err(Diagnostic::error(Code::InvalidDefinition, message).at(behind));
        }
    };
    let distance = match (&expr.kind, &expr.data_type.kind) {
        (ExprKind::Literal(Value::Interval(millis)), TypeKind::Interval(IntervalUnit::Milliseconds))
            if time_key =>
        {
            *millis
        }
        (ExprKind::Literal(Value::Interval(_)), _) if time_key => {
            return Err(error("a frame's interval must be of days to seconds: months differ in length"));
        }
        (ExprKind::Literal(Value::Int(rows)), _) if !time_key => *rows,
        _ if rows => return Err(error("ROWS needs a number of rows: ROWS 10 PRECEDING")),
        _ if time_key => {
            let help = "RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW";
            return Err(error("RANGE over a time needs a constant interval").help(help));
        }
        _ => return Err(error("RANGE over this key needs a whole number")),
    };
    if distance < 0 {
        return Err(error("a frame's distance cannot be below zero"));
    }
    Ok(distance)
}
