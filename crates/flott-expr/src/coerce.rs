//! Implicit conversions: the common type of several expressions, and what may stand for what.
use crate::{CastMode, Expr, ExprKind};
use flott_types::{DataType, TypeKind};
/// The type that values of all these types can be converted to.
pub fn common_type(types: &[DataType]) -> Option<DataType> {
    types.first().cloned()
}
/// Whether a value may be converted without being asked (arguments of functions, `INSERT INTO`).
pub fn can_cast_implicitly(from: &DataType, to: &DataType) -> bool {
    from.kind == to.kind || from.kind == TypeKind::Null
}
/// Whether `CAST(from AS to)` exists.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    from.kind == to.kind || from.kind == TypeKind::Null
}
/// The expression converted to `to`.
pub fn cast_expr(expr: Expr, to: &DataType, mode: CastMode) -> Expr {
    let span = expr.span;
    Expr::new(ExprKind::Cast { input: Box::new(expr), mode }, to.clone(), span)
}
