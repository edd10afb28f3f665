//! The function registry: one entry gives a function its name, signatures, type rule,
//! implementation, documentation and example.

use std::fmt;

use arrow::array::ArrayRef;
use flott_types::{DataType, Result, Span};

use crate::{EvalContext, EvalError, Expr};

/// What kind of function it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// `=`, `<`, `LIKE`, …
    Comparison,
    /// `AND`, `OR`, …
    Logical,
    /// `+`, `ABS`, …
    Arithmetic,
    /// `UPPER`, …
    String,
    /// `DATE_FORMAT`, …
    Temporal,
    /// `COALESCE`, …
    Conditional,
    /// `TYPEOF`, …
    Conversion,
    /// `CARDINALITY`, `ARRAY[…]`, …
    Collection,
    /// `JSON_VALUE`, …
    Json,
    /// `MD5`, …
    Hash,
}

/// How a call was resolved: the types that its arguments are cast to, and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// One type per argument.
    pub arguments: Vec<DataType>,
    /// The result.
    pub result: DataType,
}

/// What an implementation gets. Arguments are full-length arrays of the types in the
/// signature, except literals, which an implementation may recognise in `exprs`.
pub struct Call<'a> {
    /// The evaluated arguments, each `rows` long.
    pub args: &'a [ArrayRef],
    /// The bound arguments (types, literals).
    pub exprs: &'a [Expr],
    /// The call's type.
    pub data_type: &'a DataType,
    /// Number of rows.
    pub rows: usize,
    /// Clock, time zone, seed.
    pub context: &'a EvalContext,
}

/// A registered function.
pub struct Function {
    /// The name as the documentation spells it; matched in any case. Operators: their sign.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Its group in the documentation.
    pub kind: FunctionKind,
    /// How it is called, one line each: `SUBSTRING(string, start [, length])`.
    pub signatures: &'static [&'static str],
    /// The type rule: argument types in, signature out; `None` if nothing fits.
    /// Gets the bound arguments so that literals can decide types.
    pub resolve: fn(&[Expr]) -> Option<Signature>,
    /// The implementation.
    pub evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    /// Whether equal arguments always give equal results.
    pub deterministic: bool,
    /// One or two sentences.
    pub doc: &'static str,
    /// (expression, result as text): shown in the documentation and run as a test.
    pub examples: &'static [(&'static str, &'static str)],
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Function {
    /// A call of this function: finds the signature, casts the arguments, types the node.
    ///
    /// # Errors
    /// `NoMatchingSignature`, naming the signatures that exist.
    pub fn call(&'static self, args: Vec<Expr>, span: Span) -> Result<Expr> {
        let _ = (args, span);
        Err(flott_types::Diagnostic::not_supported("stub"))
    }
}

/// The function of this name, in any case.
pub fn lookup(name: &str) -> Option<&'static Function> {
    let _ = name;
    None
}

/// All functions, in order of kind and name.
pub fn all() -> &'static [&'static Function] {
    &[]
}
