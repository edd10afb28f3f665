//! Short forms for the tables of functions: one call per entry, one line per type rule.
//!
//! ```text
//!   Function::define(kind, name, signatures, resolve, evaluate, doc, examples)
//!   shape(args, required, &[Text, Int])  ──►  the types to cast the arguments to, or None
//! ```

use arrow::array::ArrayRef;
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, signature};
use crate::{EvalError, Expr};

impl Function {
    /// An entry of a table: deterministic, without other names.
    pub(crate) const fn define(
        kind: FunctionKind,
        name: &'static str,
        signatures: &'static [&'static str],
        resolve: fn(&[Expr]) -> Option<Signature>,
        evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
        doc: &'static str,
        examples: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { name, aliases: &[], kind, signatures, resolve, evaluate, deterministic: true, doc, examples }
    }
    /// The same entry with other names.
    #[must_use]
    pub(crate) const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    /// The same entry, whose result differs from call to call.
    #[must_use]
    pub(crate) const fn varying(mut self) -> Self {
        self.deterministic = false;
        self
    }
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// CHAR or VARCHAR, passed as STRING.
    Text,
    /// A whole number, passed as INT.
    Int,
    /// A whole number, passed as BIGINT.
    Long,
    /// Any number, passed as DOUBLE.
    Double,
    /// BINARY or VARBINARY, passed as BYTES.
    Bytes,
}

impl Param {
    fn takes(self, arg: &Expr) -> bool {
        let from = &arg.data_type;
        from.is_null()
            || match self {
                Param::Text => from.is_character(),
                Param::Int | Param::Long => from.is_integer(),
                Param::Double => from.is_numeric(),
                Param::Bytes => from.is_binary(),
            }
    }
    fn passed_as(self) -> DataType {
        match self {
            Param::Text => DataType::string(),
            Param::Int => DataType::int(),
            Param::Long => DataType::bigint(),
            Param::Double => DataType::double(),
            Param::Bytes => DataType::bytes(),
        }
    }
}

/// The types to cast the arguments to, if they fit; parameters after `required` are optional.
pub(crate) fn shape(args: &[Expr], required: usize, params: &[Param]) -> Option<Vec<DataType>> {
    if args.len() < required || args.len() > params.len() {
        return None;
    }
    let fits = args.iter().zip(params).all(|(arg, param)| param.takes(arg));
    fits.then(|| params.iter().take(args.len()).map(|param| param.passed_as()).collect())
}

/// A call of this shape, whose result is nullable exactly if an argument is.
pub(crate) fn shaped(
    args: &[Expr],
    required: usize,
    params: &[Param],
    result: DataType,
) -> Option<Signature> {
    shape(args, required, params).map(|arguments| signature::signature(args, arguments, result))
}

/// A call of this shape, whose result may be NULL even if no argument is.
pub(crate) fn shaped_nullable(
    args: &[Expr],
    required: usize,
    params: &[Param],
    result: DataType,
) -> Option<Signature> {
    let mut found = shaped(args, required, params, result)?;
    found.result.nullable = true;
    Some(found)
}

/// The text type of at most as many characters as the argument has: `VARCHAR(n)`.
pub(crate) fn varchar_like(arg: &Expr) -> DataType {
    match arg.data_type.kind {
        TypeKind::Char(n) | TypeKind::Varchar(n) => TypeKind::Varchar(n).into(),
        _ => DataType::string(),
    }
}

/// The argument's own type if it is text, else STRING.
pub(crate) fn same_text(arg: &Expr) -> DataType {
    if arg.data_type.is_character() { arg.data_type.kind.clone().into() } else { DataType::string() }
}

/// A text type of this width, CHAR if both are.
pub(crate) fn joined_text(left: &Expr, right: &Expr) -> DataType {
    let width = |arg: &Expr| match arg.data_type.kind {
        TypeKind::Char(n) => (n, true),
        TypeKind::Varchar(n) => (n, false),
        _ => (0, true),
    };
    let ((n, left_fixed), (m, right_fixed)) = (width(left), width(right));
    let total = n.saturating_add(m).min(length_max());
    if left_fixed && right_fixed { TypeKind::Char(total).into() } else { TypeKind::Varchar(total).into() }
}

/// The greatest length of a text type.
fn length_max() -> u32 {
    match DataType::string().kind {
        TypeKind::Varchar(n) => n,
        _ => u32::MAX,
    }
}
