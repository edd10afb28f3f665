//! The aggregate functions' names, types and documentation.
//!
//! ```text
//!   AGGREGATES: &[AggregateFunction] ──► lookup_aggregate("sum")   SUM(x): type rule, doc, examples
//!                                              │ flott-sql binds a call: AggregateCall
//!                                              ▼
//!                                        flott-aggregate: an accumulator for it
//! ```
//!
//! What an aggregate keeps and computes stands in `flott-aggregate`; only what binding needs
//! stands here.

use std::fmt;

use flott_types::{DataType, Diagnostic, Result, Span};

use crate::{Expr, Signature};

/// A registered aggregate function.
pub struct AggregateFunction {
    /// The name as the documentation spells it; matched in any case.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// How it is called, one line each.
    pub signatures: &'static [&'static str],
    /// The type rule: argument types in, signature out; `None` if nothing fits.
    pub resolve: fn(&[Expr]) -> Option<Signature>,
    /// Whether the result depends on the order in which rows come (`FIRST_VALUE`, `LISTAGG`).
    pub order_matters: bool,
    /// Whether a row whose first argument is NULL changes nothing.
    pub ignores_null: bool,
    /// One or two sentences.
    pub doc: &'static str,
    /// (call over the column(s) of `VALUES`, rows, result as text): shown in the documentation and
    /// run as tests: `("SUM(x)", "(1), (2)", "3")`; the columns are named `x` and `y`.
    pub examples: &'static [(&'static str, &'static str, &'static str)],
}

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for AggregateFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A bound call of an aggregate function over the columns of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// The function.
    pub function: &'static AggregateFunction,
    /// The arguments, of the types that the signature asks for. None: `COUNT(*)`.
    pub args: Vec<Expr>,
    /// `DISTINCT`
    pub distinct: bool,
    /// `FILTER (WHERE …)`: a BOOLEAN expression.
    pub filter: Option<Expr>,
    /// The result's type.
    pub data_type: DataType,
    /// Where it stands in the script.
    pub span: Span,
}

impl fmt::Display for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        if self.distinct {
            f.write_str("DISTINCT ")?;
        }
        if self.args.is_empty() && self.function.name == "COUNT" {
            f.write_str("*")?;
        }
        for (at, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if at > 0 { ", " } else { "" })?;
        }
        f.write_str(")")?;
        match &self.filter {
            Some(filter) => write!(f, " FILTER (WHERE {filter})"),
            None => Ok(()),
        }
    }
}

impl AggregateFunction {
    /// Finds the signature, casts the arguments, types the call. What `… ON NULL` says stands behind
    /// the arguments of the functions of JSON, as the text `NULL` or `ABSENT`.
    ///
    /// # Errors
    /// `NoMatchingSignature`, naming the signatures that exist.
    pub fn call(
        &'static self,
        args: Vec<Expr>,
        distinct: bool,
        filter: Option<Expr>,
        span: Span,
    ) -> Result<AggregateCall> {
        let Some(signature) = (self.resolve)(&args) else {
            let types: Vec<String> = args.iter().map(|arg| arg.data_type.kind.to_string()).collect();
            let message = format!("no signature of {} fits the arguments ({})", self.name, types.join(", "));
            let error = Diagnostic::error(flott_types::Code::NoMatchingSignature, message).at(span);
            return Err(self
                .signatures
                .iter()
                .fold(error, |error, it| error.help(format!("it is called as {it}"))));
        };
        let args = args.into_iter().zip(&signature.arguments);
        let args = args.map(|(arg, to)| crate::functions::pass_as(arg, to)).collect();
        let (function, args) = clauses::chosen(self, args)?;
        Ok(AggregateCall { function, args, distinct, filter, data_type: signature.result, span })
    }

    /// The form that `IGNORE NULLS` chooses; `None`: there is none.
    pub fn ignoring_nulls(&'static self) -> Option<&'static AggregateFunction> {
        (self.name == "ARRAY_AGG").then(|| lookup_aggregate("ARRAY_AGG_IGNORE_NULLS"))?
    }
}

mod clauses;
mod table;
mod types;

/// The aggregate function of this name, in any case.
pub fn lookup_aggregate(name: &str) -> Option<&'static AggregateFunction> {
    all_aggregates().iter().find(|it| {
        it.name.eq_ignore_ascii_case(name) || it.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// All aggregate functions, in order of name. Those without documentation are forms of others that
/// a clause chooses.
pub fn all_aggregates() -> &'static [AggregateFunction] {
    table::AGGREGATES
}
