//! The function registry: one entry gives a function its name, signatures, type rule,
//! implementation, documentation and example.
//!
//! ```text
//!   string.rs ─┐
//!   arithmetic.rs ─┤ FUNCTIONS: &[Function] ──► TABLES ──► lookup("upper"), all()
//!   …             ─┘
//! ```
//!
//! To add a function: one more entry in the table of its file.

pub(crate) mod arithmetic;
mod array;
mod bitmap;
mod bucket;
pub(crate) mod calendar;
mod collection;
pub(crate) mod comparison;
pub(crate) mod conditional;
mod conversion;
mod copies;
mod datetime_pattern;
mod define;
mod encoding;
mod enforce;
mod hash;
pub mod inventory;
mod java_random;
mod java_regex;
mod java_zone;
mod json;
mod json_build;
mod json_text;
pub mod kernel;
pub(crate) mod logical;
mod map;
mod math;
mod network;
mod pattern;
mod printf;
mod random;
mod regexp;
pub mod signature;
mod string;
mod string_search;
mod temporal;
mod temporal_text;
mod url;
mod variant;

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, OnceLock},
};

pub use bitmap::{append_bitmap, read as read_bitmap, write as write_bitmap};
pub use java_regex::WholePattern;
pub use json_build::is_json_constructor;
pub use json_text::write_string as append_json_string;

use arrow::array::ArrayRef;
use flott_types::{Code, DataType, Diagnostic, Result, Span, TypeKind};

use crate::{CastMode, EvalContext, EvalError, Expr, ExprKind, coerce};

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
    /// What this call keeps from batch to batch.
    pub state: &'a Mutex<Option<u64>>,
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
        let Some(signature) = (self.resolve)(&args) else {
            return Err(self.no_match(&args).at(span));
        };
        let args = args.into_iter().zip(&signature.arguments).map(|(arg, to)| pass_as(arg, to)).collect();
        Ok(Expr::new(ExprKind::Call { function: self, args }, signature.result, span))
    }

    fn no_match(&self, args: &[Expr]) -> Box<Diagnostic> {
        let types: Vec<String> = args.iter().map(|arg| arg.data_type.kind.to_string()).collect();
        let message = format!("no signature of {} fits the arguments ({})", self.name, types.join(", "));
        let mut diagnostic = Diagnostic::error(Code::NoMatchingSignature, message);
        for signature in self.signatures {
            diagnostic = diagnostic.help(format!("it is called as {signature}"));
        }
        diagnostic
    }
}

/// The argument in the type that the signature asks for. A string that fits into a longer
/// VARCHAR is laid out the same and stays as it is.
pub(crate) fn pass_as(arg: Expr, to: &DataType) -> Expr {
    let same_layout = match (&arg.data_type.kind, &to.kind) {
        (TypeKind::Char(n) | TypeKind::Varchar(n), TypeKind::Varchar(m))
        | (TypeKind::Binary(n) | TypeKind::Varbinary(n), TypeKind::Varbinary(m)) => n <= m,
        (from, to) => from == to,
    };
    if same_layout {
        return arg;
    }
    let to = to.clone().with_nullable(arg.data_type.nullable);
    coerce::cast_expr(arg, &to, CastMode::Strict)
}

struct Registry {
    sorted: Vec<&'static Function>,
    by_name: HashMap<String, &'static Function>,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut sorted: Vec<&'static Function> = TABLES.iter().flat_map(|table| table.iter()).collect();
        sorted.sort_by_key(|it| (it.kind as u8, it.name));
        let mut by_name = HashMap::new();
        for function in &sorted {
            for name in std::iter::once(&function.name).chain(function.aliases) {
                by_name.insert(name.to_ascii_uppercase(), *function);
            }
        }
        Registry { sorted, by_name }
    })
}

/// One table per file of functions.
static TABLES: &[&[Function]] = &[
    comparison::FUNCTIONS,
    logical::FUNCTIONS,
    arithmetic::FUNCTIONS,
    conditional::FUNCTIONS,
    math::FUNCTIONS,
    pattern::FUNCTIONS,
    string::FUNCTIONS,
    string_search::FUNCTIONS,
    encoding::FUNCTIONS,
    regexp::FUNCTIONS,
    url::FUNCTIONS,
    printf::FUNCTIONS,
    random::FUNCTIONS,
    java_random::FUNCTIONS,
    network::FUNCTIONS,
    temporal::FUNCTIONS,
    temporal_text::FUNCTIONS,
    conversion::FUNCTIONS,
    copies::FUNCTIONS,
    enforce::FUNCTIONS,
    collection::FUNCTIONS,
    array::FUNCTIONS,
    map::FUNCTIONS,
    json::FUNCTIONS,
    json_build::FUNCTIONS,
    variant::FUNCTIONS,
    bitmap::FUNCTIONS,
    bucket::FUNCTIONS,
    hash::FUNCTIONS,
];

/// The function of this name, in any case.
pub fn lookup(name: &str) -> Option<&'static Function> {
    registry().by_name.get(name.to_ascii_uppercase().as_str()).copied()
}

/// All functions, in order of kind and name.
pub fn all() -> &'static [&'static Function] {
    &registry().sorted
}

#[cfg(test)]
mod library_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        let mut names = std::collections::HashSet::new();
        for function in all() {
            for name in std::iter::once(&function.name).chain(function.aliases) {
                assert!(names.insert(name.to_ascii_uppercase()), "{name} is registered twice");
            }
            assert!(!function.doc.is_empty() && !function.signatures.is_empty(), "{}", function.name);
            assert!(!function.examples.is_empty(), "{} has no example", function.name);
        }
    }
}
