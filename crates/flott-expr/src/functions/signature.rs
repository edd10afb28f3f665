//! Building blocks of type rules (`Function::resolve`).
//!
//! A rule looks at the bound arguments and answers with the types that they are to be cast to
//! and the type of the result:
//!
//! ```text
//!   UPPER('a')      string_args      → (STRING)        STRING NOT NULL
//!   x BETWEEN …     same_types       → (DOUBLE, …)     …
//! ```

use flott_types::{DataType, TypeKind};

use super::Signature;
use crate::{Expr, ExprKind, Value, coerce};

/// Whether any argument may be NULL: most functions then may return NULL.
pub fn any_nullable(args: &[Expr]) -> bool {
    args.iter().any(|arg| arg.data_type.nullable)
}

/// `result`, nullable exactly if an argument is.
pub fn nullable_if_any(result: DataType, args: &[Expr]) -> DataType {
    result.with_nullable(any_nullable(args))
}

/// Types for the arguments, keeping each argument's own nullability, and a result that is
/// nullable exactly if an argument is.
pub fn signature(args: &[Expr], arguments: Vec<DataType>, result: DataType) -> Signature {
    let arguments =
        arguments.into_iter().zip(args).map(|(to, arg)| to.with_nullable(arg.data_type.nullable)).collect();
    Signature { arguments, result: nullable_if_any(result, args) }
}

/// The arguments stay as they are.
pub fn as_given(args: &[Expr], result: DataType) -> Signature {
    signature(args, args.iter().map(|arg| arg.data_type.clone()).collect(), result)
}

/// The arguments if each can be converted without being asked to its wanted type, else `None`.
/// There may be fewer arguments than wanted types (optional trailing ones), not more.
pub fn exactly(args: &[Expr], wanted: &[DataType], result: DataType) -> Option<Signature> {
    if args.len() > wanted.len() || !args.iter().zip(wanted).all(|(arg, to)| accepts(arg, to)) {
        return None;
    }
    Some(signature(args, wanted[..args.len()].to_vec(), result))
}

/// Whether the argument can stand where this type is wanted.
pub fn accepts(arg: &Expr, to: &DataType) -> bool {
    coerce::can_cast_implicitly(&arg.data_type, to)
}

/// `count` character arguments (CHAR, VARCHAR or NULL), passed as STRING.
pub fn string_args(args: &[Expr], count: usize, result: DataType) -> Option<Signature> {
    let fits = args.len() == count && args.iter().all(is_string);
    fits.then(|| signature(args, vec![DataType::string(); count], result))
}

/// Whether the argument is a character string (or the literal NULL).
pub fn is_string(arg: &Expr) -> bool {
    arg.data_type.is_character() || arg.data_type.is_null()
}

/// Whether the argument is a whole number (or the literal NULL).
pub fn is_integer(arg: &Expr) -> bool {
    arg.data_type.is_integer() || arg.data_type.is_null()
}

/// Whether the argument is a number (or the literal NULL).
pub fn is_numeric(arg: &Expr) -> bool {
    arg.data_type.is_numeric() || arg.data_type.is_null()
}

/// The type that all arguments have in common, nullable exactly if an argument is.
pub fn common(args: &[Expr]) -> Option<DataType> {
    let types: Vec<DataType> = args.iter().map(|arg| arg.data_type.clone()).collect();
    coerce::common_type(&types).map(|it| nullable_if_any(it, args))
}

/// Every argument is cast to the common type of all.
pub fn same_types(args: &[Expr], result: DataType) -> Option<Signature> {
    let common = common(args)?;
    Some(signature(args, vec![common; args.len()], result))
}

/// The constant behind an argument, if it is one.
pub fn literal(arg: &Expr) -> Option<&Value> {
    match &arg.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// The text behind an argument, if it is a string constant.
pub fn literal_text(arg: &Expr) -> Option<&str> {
    match literal(arg) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The number behind an argument, if it is an integer constant.
pub fn literal_int(arg: &Expr) -> Option<i64> {
    match literal(arg) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// DOUBLE for every argument that is a number.
pub fn double_args(args: &[Expr], count: usize) -> Option<Signature> {
    let fits = args.len() == count && args.iter().all(is_numeric);
    fits.then(|| signature(args, vec![DataType::double(); count], DataType::double()))
}

/// A DECIMAL type.
pub fn decimal(precision: u8, scale: u8) -> DataType {
    TypeKind::Decimal(precision, scale).into()
}
