//! Calls of functions by name, and the calls that the parser makes of special syntax.

use flott_expr::{CastMode, Expr, ExprKind, Value, coerce, functions, lookup};
use flott_types::{Code, DataType, Diagnostic, Result, Span, TimeAttribute};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{calls, expr::ExprBinder, interval, json, literal};
use crate::parse::{internal_name, parse_data_type_at};

/// Functions that are called without parentheses.
const WITHOUT_PARENTHESES: &[&str] =
    &["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "PI"];

/// A bare word that is a call, such as CURRENT_DATE.
pub(super) fn without_parentheses(
    binder: ExprBinder<'_, '_>,
    name: &str,
    span: Span,
) -> Option<Result<Expr>> {
    let upper = name.to_ascii_uppercase();
    WITHOUT_PARENTHESES.contains(&upper.as_str()).then(|| by_name(binder, name, Vec::new(), span))
}

/// A function call.
pub(super) fn bind(binder: ExprBinder<'_, '_>, ast: &Ast, function: &ast::Function) -> Result<Expr> {
    let span = binder.binder.place(ast);
    if let Some(name) = internal_name(function) {
        return internal(binder, name, function, span);
    }
    let name = function_name(function).ok_or_else(|| {
        Diagnostic::not_supported(format_args!("functions in catalogs ({})", function.name)).at(span)
    })?;
    if let Some(bound) = calls::by_name(binder, &name.to_ascii_uppercase(), function, span) {
        return bound;
    }
    refuse_clauses(&name, function, span)?;
    let args = match &function.args {
        FunctionArguments::None => &[][..],
        FunctionArguments::List(list) => {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return Err(unknown_or_missing(&name, span));
            }
            &list.args
        }
        FunctionArguments::Subquery(_) => {
            return Err(Diagnostic::not_supported("sub-queries as arguments").at(span));
        }
    };
    if name.eq_ignore_ascii_case("CURRENT_DATABASE") && args.is_empty() {
        let database = Value::String(binder.binder.catalog.current_database.clone());
        return Ok(literal::constant(database, DataType::string().kind, span));
    }
    // A function that isn't there is the thing to say, whatever its arguments are.
    if lookup(&name).is_none() {
        return Err(unknown_or_missing(&name, span));
    }
    if is_unit_function(&name) {
        let args = unit_arguments(binder, args, span)?;
        return by_name(binder, &name, args, span);
    }
    let upper = name.to_ascii_uppercase();
    if upper == "JSON" {
        return Err(Diagnostic::error(Code::Syntax, "JSON(…) stands only in JSON_OBJECT and JSON_ARRAY")
            .at(span)
            .help("write JSON_OBJECT('name' VALUE JSON(text)) or JSON_ARRAY(JSON(text))"));
    }
    let (args, clauses) = arguments(binder, &name, args, span)?;
    if let (Some(bound), true) = (json::without_clauses(binder, &upper, &args, span), clauses.is_empty()) {
        return bound;
    }
    let Some((clause, _)) = clauses.first() else { return by_name(binder, &name, args, span) };
    json::bind(binder, &upper, args, &clauses, span).unwrap_or_else(|| {
        let at = binder.binder.span(clause.span);
        Err(Diagnostic::not_supported(format_args!("clauses of {upper}")).at(at))
    })
}

fn by_name(binder: ExprBinder<'_, '_>, name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let function = lookup(name).ok_or_else(|| unknown_or_missing(name, span))?;
    if function.name == "CURRENT_WATERMARK" {
        check_rowtime(binder, &args)?;
    }
    if function.name.eq_ignore_ascii_case("ITEM") {
        return binder.operator("ITEM", args, span);
    }
    function.call(args, span).map_err(|it| it.at(span))
}

/// `CURRENT_WATERMARK` asks after a column with a watermark.
fn check_rowtime(binder: ExprBinder<'_, '_>, args: &[Expr]) -> Result<()> {
    let rowtime = Some(TimeAttribute::Rowtime);
    match args.iter().find(|arg| binder.scope.time_of(arg) != rowtime) {
        None => Ok(()),
        Some(arg) => {
            let message = "CURRENT_WATERMARK needs a column with a watermark";
            Err(Diagnostic::error(Code::TypeMismatch, message)
                .at(arg.span)
                .help("a column is one if CREATE TABLE declares a WATERMARK for it and nothing is computed"))
        }
    }
}

fn function_name(function: &ast::Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => Some(name.value.clone()),
        _ => None,
    }
}

fn refuse_clauses(name: &str, function: &ast::Function, span: Span) -> Result<()> {
    let what = if function.filter.is_some() {
        "FILTER (WHERE …)"
    } else if !function.within_group.is_empty() {
        "WITHIN GROUP"
    } else if function.null_treatment.is_some() {
        "IGNORE NULLS and RESPECT NULLS"
    } else {
        return Ok(());
    };
    Err(Diagnostic::not_supported(format_args!("{what} ({})", name.to_ascii_uppercase())).at(span))
}

fn unknown_or_missing(name: &str, span: Span) -> Box<Diagnostic> {
    let upper = name.to_ascii_uppercase();
    if let Some(entry) = functions::inventory::missing(&upper) {
        return Diagnostic::not_supported(format_args!("{} {upper}", entry.standing.noun())).at(span);
    }
    Diagnostic::error(Code::UnknownFunction, format!("function '{name}' not found"))
        .at(span)
        .did_you_mean(name, functions::all().iter().map(|it| it.name))
        .help("`flott list functions` shows all functions")
}

// --- arguments ------------------------------------------------------------------------------------

/// The bound arguments, and the clauses that the parser made into named ones.
fn arguments<'q>(
    binder: ExprBinder<'_, '_>,
    name: &str,
    args: &'q [FunctionArg],
    span: Span,
) -> Result<(Vec<Expr>, Vec<json::Clause<'q>>)> {
    let mut clauses = Vec::new();
    let mut plain = Vec::new();
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => plain.push(expr),
            FunctionArg::Unnamed(_) => {
                return Err(
                    Diagnostic::error(Code::Syntax, format!("* cannot be an argument of {name}")).at(span)
                );
            }
            FunctionArg::Named { name: clause, arg: FunctionArgExpr::Expr(value), .. }
                if clause.value.starts_with('$') =>
            {
                clauses.push((clause, value));
            }
            FunctionArg::Named { name: parameter, .. } => {
                let at = binder.binder.span(parameter.span);
                return Err(
                    Diagnostic::not_supported(format_args!("named arguments ({})", parameter.value)).at(at)
                );
            }
            FunctionArg::ExprNamed { .. } => {
                return Err(Diagnostic::not_supported("named arguments").at(span));
            }
        }
    }
    let json = json::default_on_null(&name.to_ascii_uppercase()).is_some();
    let plain = binder.binder.all(plain.into_iter().map(|arg| match arg {
        Ast::Function(call)
            if json && function_name(call).is_some_and(|it| it.eq_ignore_ascii_case("JSON")) =>
        {
            json_text(binder, call, binder.binder.place(arg))
        }
        arg => binder.bind(arg),
    }))?;
    Ok((plain, clauses))
}

/// The arguments of an aggregate function; what it does about NULL comes last, as a text.
pub(super) fn aggregate_arguments(
    binder: ExprBinder<'_, '_>,
    name: &str,
    args: &[FunctionArg],
    span: Span,
) -> Result<Vec<Expr>> {
    let (mut args, clauses) = arguments(binder, name, args, span)?;
    for (clause, value) in clauses {
        if clause.value != "$on_null" {
            let at = binder.binder.span(clause.span);
            return Err(Diagnostic::not_supported(format_args!("clauses of {name}")).at(at));
        }
        args.push(binder.bind(value)?);
    }
    Ok(args)
}

/// `JSON(text)` as an argument of JSON_OBJECT or JSON_ARRAY.
fn json_text(binder: ExprBinder<'_, '_>, call: &ast::Function, span: Span) -> Result<Expr> {
    refuse_clauses("JSON", call, span)?;
    let FunctionArguments::List(list) = &call.args else { return by_name(binder, "JSON", Vec::new(), span) };
    let (args, _) = arguments(binder, "JSON", &list.args, span)?;
    by_name(binder, "JSON", args, span)
}

fn is_unit_function(name: &str) -> bool {
    name.eq_ignore_ascii_case("TIMESTAMPADD") || name.eq_ignore_ascii_case("TIMESTAMPDIFF")
}

/// The first argument is a bare unit.
fn unit_arguments(binder: ExprBinder<'_, '_>, args: &[FunctionArg], span: Span) -> Result<Vec<Expr>> {
    let mut bound = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
            return Err(Diagnostic::error(Code::Syntax, "expected an expression").at(span));
        };
        bound.push(match expr {
            Ast::Identifier(unit) if at == 0 => {
                let name = interval::unit_name(&ast::DateTimeField::Custom(unit.clone()));
                literal::string(name, binder.binder.span(unit.span))
            }
            _ => binder.bind(expr)?,
        });
    }
    Ok(bound)
}

// --- what the parser made -------------------------------------------------------------------------

fn internal(binder: ExprBinder<'_, '_>, name: &str, function: &ast::Function, span: Span) -> Result<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Err(Diagnostic::error(Code::Internal, format!("{name} without arguments")).at(span));
    };
    let args: Vec<&Ast> = list
        .args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    match (name, args.as_slice()) {
        ("$cast", [input, to]) => cast(binder, input, to, CastMode::Strict, span),
        ("$try_cast", [input, to]) => cast(binder, input, to, CastMode::Try, span),
        ("$map", args) => {
            let args = binder.binder.all(args.iter().map(|arg| binder.bind(arg)))?;
            binder.operator("MAP", args, span)
        }
        ("$difference", [to, from, unit]) => binder.function("DIFFERENCE_IN", unit, &[to, from, unit]),
        ("$is_json", [input, kind]) => is_json(binder, input, kind),
        ("$multiset", _) => Err(Diagnostic::not_supported("MULTISET[…]").at(span)),
        ("$final", [inner]) if binder.calls.is_some_and(|it| it.pattern.is_some()) => binder.bind(inner),
        ("$running", _) => Err(Diagnostic::not_supported("RUNNING").at(span)),
        ("$table", _) => Err(Diagnostic::not_supported("tables as arguments").at(span)),
        _ => Err(Diagnostic::not_supported(name).at(span)),
    }
}

fn is_json(binder: ExprBinder<'_, '_>, input: &Ast, kind: &Ast) -> Result<Expr> {
    let (input, kind) = (binder.bind(input)?, binder.bind(kind)?);
    let span = input.span.union(kind.span);
    let ExprKind::Literal(Value::String(word)) = &kind.kind else {
        return Err(Diagnostic::error(Code::Internal, "IS JSON without a kind").at(span));
    };
    let name = format!("IS JSON {word}");
    match (lookup(&name), lookup("IS JSON")) {
        (Some(function), _) => function.call(vec![input], span),
        (None, Some(function)) => function.call(vec![input, kind], span),
        (None, None) => Err(Diagnostic::not_supported("IS JSON").at(span)),
    }
}

fn cast(binder: ExprBinder<'_, '_>, input: &Ast, to: &Ast, mode: CastMode, span: Span) -> Result<Expr> {
    let Ast::Value(text) = to else {
        return Err(Diagnostic::error(Code::Internal, "CAST without a type").at(span));
    };
    let ast::Value::SingleQuotedString(name) = &text.value else {
        return Err(Diagnostic::error(Code::Internal, "CAST without a type").at(span));
    };
    let to = parse_data_type_at(name, binder.binder.span(text.span))?;
    let mut input = binder.bind(input)?;
    if !input.data_type.is_null() && !coerce::can_cast(&input.data_type, &to) {
        let message = format!("a value of type {} cannot be cast to {}", input.data_type.kind, to.kind);
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
    }
    let nullable = input.data_type.nullable || mode == CastMode::Try;
    // A value of the type already is not converted; only its declared nullability may differ.
    if input.data_type.kind == to.kind {
        // The cast of a time attribute stays: what it gives is a plain timestamp.
        if binder.scope.time_of(&input).is_some() {
            let kind = ExprKind::Cast { input: Box::new(input), mode };
            return Ok(Expr::new(kind, to.with_nullable(nullable), span));
        }
        input.data_type.nullable = nullable;
        return Ok(input.at(span));
    }
    let to = to.with_nullable(nullable);
    let inner = input.span;
    Ok(coerce::cast_expr(input.at(inner), &to, mode).at(span))
}
