//! `FROM_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op), op_mapping => MAP['c, u', 'INSERT', …])`
//! and `TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op), op_mapping => MAP['INSERT', 'c', …])`.
//!
//! ```text
//!   FROM_CHANGELOG   (op, a, b)  ──►  changes of (a, b)       codes → operations
//!   TO_CHANGELOG     changes of (a, b)  ──►  (op, a, b)       operations → codes
//! ```
//!
//! A mapping's keys may list several, separated by commas. Without a mapping each operation is
//! called by its name.
//!
//! Source: Flink documentation, "Changelog" among the built-in process table functions.

use flott_expr::{ExprKind, Value};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Binder, query::Around, scope::Scope};
use crate::{
    LogicalPlan,
    parse::internal_name,
    plan::{ChangeOperation, FromChangelog, ToChangelog},
};

const PARAMETERS: [&str; 5] = ["input", "op", "op_mapping", "on_time", "uid"];

/// Whether a table function of this name is about changelogs.
pub(super) fn is_changelog(upper: &str) -> bool {
    matches!(upper, "FROM_CHANGELOG" | "TO_CHANGELOG")
}

/// The arguments of a call, by the names of its parameters.
struct Call<'q> {
    upper: &'q str,
    given: Vec<(&'static str, &'q Ast)>,
    span: Span,
}

impl<'q> Call<'q> {
    fn get(&self, name: &str) -> Option<&'q Ast> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, ast)| *ast)
    }
    fn wrong(&self, message: impl Into<String>, span: Span) -> Box<Diagnostic> {
        let usage = match self.upper {
            "FROM_CHANGELOG" => "MAP['code, code', 'INSERT', …]",
            _ => "MAP['INSERT, UPDATE_AFTER', 'code', …]",
        };
        Diagnostic::error(Code::NoMatchingSignature, message).at(span).help(format!(
            "it is called as {}(input => TABLE t [, op => DESCRIPTOR(column)] [, op_mapping => {usage}])",
            self.upper
        ))
    }
}

impl Binder<'_> {
    /// A call of one of the two functions.
    pub(super) fn changelog_function(
        &self,
        upper: &str,
        args: &[FunctionArg],
        span: Span,
        around: &Around,
    ) -> Result<LogicalPlan> {
        let call = self.changelog_arguments(upper, args, span)?;
        let Some(input) = call.get("input") else {
            return Err(call.wrong(format!("{upper} needs the argument input"), span));
        };
        let input = self.changelog_input(&call, input, around)?;
        let (op, op_span) = match call.get("op") {
            Some(descriptor) => self.op_column(&call, descriptor)?,
            None => ("op".to_string(), span),
        };
        let pairs = call.get("op_mapping").map(|it| self.op_mapping(&call, it)).transpose()?;
        match upper {
            "FROM_CHANGELOG" => from_changelog(&call, input, &op, op_span, pairs),
            _ => to_changelog(&call, input, op, op_span, pairs),
        }
    }

    fn changelog_arguments<'q>(
        &self,
        upper: &'q str,
        args: &'q [FunctionArg],
        span: Span,
    ) -> Result<Call<'q>> {
        let mut call = Call { upper, given: Vec::new(), span };
        for (at, arg) in args.iter().enumerate() {
            let (name, value) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (PARAMETERS.get(at), value),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    let known = PARAMETERS.iter().find(|it| it.eq_ignore_ascii_case(&name.value));
                    if known.is_none() {
                        let message = format!("{upper} has no argument '{}'", name.value);
                        return Err(call.wrong(message, self.span(name.span)));
                    }
                    (known, value)
                }
                _ => return Err(call.wrong(format!("* is no argument of {upper}"), span)),
            };
            let Some(name) = name else {
                return Err(call.wrong(format!("{upper} has fewer arguments"), self.place(value)));
            };
            match *name {
                "on_time" => {
                    let what = format!("the argument on_time of {upper}");
                    return Err(Diagnostic::not_supported(what).at(self.place(value)));
                }
                // It names state that Flink would keep; none is kept here.
                "uid" => {}
                _ if call.get(name).is_some() => {
                    return Err(call.wrong(format!("the argument {name} is given twice"), self.place(value)));
                }
                name => call.given.push((name, value)),
            }
        }
        Ok(call)
    }

    fn changelog_input(&self, call: &Call<'_>, ast: &Ast, around: &Around) -> Result<LogicalPlan> {
        let expected = || {
            let span = self.place(ast);
            call.wrong(
                format!("the argument input of {} is TABLE name or a query in parentheses", call.upper),
                span,
            )
        };
        match ast {
            Ast::Subquery(query) => self.query(query, around),
            Ast::Nested(inner) => self.changelog_input(call, inner, around),
            Ast::Function(function) if internal_name(function) == Some("$table") => {
                let FunctionArguments::List(list) = &function.args else { return Err(expected()) };
                let mut parts = list.args.iter().filter_map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                });
                let plan = match parts.next() {
                    Some(Ast::CompoundIdentifier(name)) => {
                        self.named(&ast::ObjectName::from(name.clone()), None, around)?.0
                    }
                    Some(Ast::Subquery(query)) => self.query(query, around)?,
                    _ => return Err(expected()),
                };
                match parts.next() {
                    None => Ok(plan),
                    Some(column) => {
                        let message = format!("the input of {} has no PARTITION BY", call.upper);
                        Err(call.wrong(message, self.place(column)))
                    }
                }
            }
            _ => Err(expected()),
        }
    }

    /// The name in `DESCRIPTOR(name)`.
    fn op_column(&self, call: &Call<'_>, ast: &Ast) -> Result<(String, Span)> {
        let expected = || call.wrong("the argument op is DESCRIPTOR(column)", self.place(ast));
        let Ast::Function(function) = ast else { return Err(expected()) };
        let FunctionArguments::List(list) = &function.args else { return Err(expected()) };
        if !function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
            return Err(expected());
        }
        match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Identifier(name)))] => {
                Ok((name.value.clone(), self.span(name.span)))
            }
            _ => Err(call.wrong("DESCRIPTOR names one column here", self.place(ast))),
        }
    }

    /// The pairs of a constant map of texts; keys that list several are several pairs.
    fn op_mapping(&self, call: &Call<'_>, ast: &Ast) -> Result<Vec<(Text, Text)>> {
        let scope = Scope::default();
        let binder = super::ExprBinder::new(self, &scope);
        let items = match ast {
            Ast::Function(function) if internal_name(function) == Some("$map") => match &function.args {
                FunctionArguments::List(list) => list.args.as_slice(),
                _ => &[],
            },
            _ => return Err(call.wrong("the argument op_mapping is a constant MAP[…]", self.place(ast))),
        };
        let texts = self.all(items.iter().map(|item| match item {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(item)) => {
                let bound = binder.bind(item)?;
                match bound.kind {
                    ExprKind::Literal(Value::String(text)) => Ok(Text { text, span: bound.span }),
                    _ => Err(call.wrong("keys and values of op_mapping are texts", bound.span)),
                }
            }
            _ => Err(call.wrong("keys and values of op_mapping are texts", self.place(ast))),
        }))?;
        let mut pairs = Vec::new();
        for pair in texts.chunks_exact(2) {
            let [key, value] = pair else { continue };
            for part in key.text.split(',') {
                pairs.push((Text { text: part.trim().to_string(), span: key.span }, value.clone()));
            }
        }
        Ok(pairs)
    }
}

/// A text and where it stands.
#[derive(Debug, Clone)]
struct Text {
    text: String,
    span: Span,
}

fn operation(text: &Text) -> Result<ChangeOperation> {
    let names = ChangeOperation::ALL.map(ChangeOperation::name);
    ChangeOperation::of_name(&text.text).filter(|it| it.name() == text.text).ok_or_else(|| {
        Diagnostic::error(Code::InvalidDefinition, format!("there is no change operation '{}'", text.text))
            .at(text.span)
            .did_you_mean(&text.text, names)
            .help(format!("there is: {}", names.join(", ")))
    })
}

fn from_changelog(
    call: &Call<'_>,
    input: LogicalPlan,
    op: &str,
    op_span: Span,
    pairs: Option<Vec<(Text, Text)>>,
) -> Result<LogicalPlan> {
    let mut schema = input.schema();
    let Some(op_column) = schema.index_of(op) else {
        let message = format!("the input of FROM_CHANGELOG has no column '{op}'");
        return Err(Diagnostic::error(Code::UnknownColumn, message)
            .at(op_span)
            .did_you_mean(op, schema.fields.iter().map(|it| it.name.as_str()))
            .help("name the column that says what a row does: op => DESCRIPTOR(column)"));
    };
    let field = schema.fields.remove(op_column);
    if !field.data_type.is_character() {
        let message =
            format!("the column '{op}' must be a STRING, but it is of type {}", field.data_type.kind);
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(op_span));
    }
    let mut mapping: Vec<(String, ChangeOperation)> = Vec::new();
    let mut origin: Vec<(ChangeOperation, Span)> = Vec::new();
    for (code, meaning) in pairs.iter().flatten() {
        let operation = operation(meaning)?;
        if origin.iter().any(|(other, span)| *other == operation && *span != meaning.span) {
            let message = format!("the operation {} stands twice in op_mapping", operation.name());
            return Err(Diagnostic::error(Code::InvalidDefinition, message)
                .at(meaning.span)
                .help("several codes of one operation are one key, separated by commas"));
        }
        refuse_twice(mapping.iter().any(|(other, _)| *other == code.text), code)?;
        origin.push((operation, meaning.span));
        mapping.push((code.text.clone(), operation));
    }
    if pairs.is_none() {
        mapping = ChangeOperation::ALL.map(|it| (it.name().to_string(), it)).to_vec();
    }
    let has = |operation| mapping.iter().any(|(_, it)| *it == operation);
    if has(ChangeOperation::UpdateAfter) && !has(ChangeOperation::UpdateBefore) {
        let message = "op_mapping has a code for UPDATE_AFTER but none for UPDATE_BEFORE";
        return Err(call.wrong(message, pairs.iter().flatten().next().map_or(call.span, |(it, _)| it.span)));
    }
    let input = Box::new(input);
    Ok(LogicalPlan::FromChangelog(FromChangelog { input, op_column, mapping, schema, span: call.span }))
}

fn refuse_twice(twice: bool, key: &Text) -> Result<()> {
    if !twice {
        return Ok(());
    }
    let message = format!("the key '{}' stands twice in op_mapping", key.text);
    Err(Diagnostic::error(Code::InvalidDefinition, message).at(key.span))
}

fn to_changelog(
    call: &Call<'_>,
    input: LogicalPlan,
    op: String,
    op_span: Span,
    pairs: Option<Vec<(Text, Text)>>,
) -> Result<LogicalPlan> {
    let mut schema = input.schema();
    if schema.index_of(&op).is_some() {
        let message = format!("the input of TO_CHANGELOG has a column '{op}' already");
        return Err(Diagnostic::error(Code::AlreadyExists, message)
            .at(op_span)
            .help("give the operation's column another name: op => DESCRIPTOR(name)"));
    }
    let mut mapping: Vec<(ChangeOperation, String)> = Vec::new();
    for (key, code) in pairs.iter().flatten() {
        let operation = operation(key)?;
        refuse_twice(mapping.iter().any(|(other, _)| *other == operation), key)?;
        mapping.push((operation, code.text.clone()));
    }
    if pairs.is_none() {
        mapping = ChangeOperation::ALL.map(|it| (it, it.name().to_string())).to_vec();
    }
    // What a change is about is no time any more: a row is taken back after its time has passed.
    schema.fields.iter_mut().for_each(|field| field.time = None);
    let fields = std::iter::once(Field::new(op, DataType::string().not_null())).chain(schema.fields);
    let schema = Schema::new(fields.collect());
    Ok(LogicalPlan::ToChangelog(ToChangelog { input: Box::new(input), mapping, schema, span: call.span }))
}
