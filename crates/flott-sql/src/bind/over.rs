//! `ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts)` and its kin.
//!
//! Calls over the same window, frame included, make one [`LogicalPlan::Over`], calls over another one more above it.
//! NULL is the smallest value, as in Flink: first in ascending order, last in descending.

use flott_expr::{AggregateCall, Expr, ExprKind, Value, coerce, lookup_aggregate};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Span, TypeKind};
use sqlparser::ast::{self, FunctionArguments};

use super::{
    calls::{OVERS, aggregate_call, make_nullable_if_empty, same, same_all, same_call, stand_in},
    expr::{ExprBinder, convert, no_common_type},
    frame,
    grouping::Aggregation,
};
use crate::{
    LogicalPlan,
    plan::{Frame, OverCall, OverFunction, OverOffset, SortKey},
};

/// A call and its window, over the columns of the SELECT's input (or of its groups).
#[derive(Debug, Clone)]
pub(super) struct OverDraft {
    call: OverCall,
    data_type: DataType,
    partition_by: Vec<Expr>,
    order_by: Vec<SortKey>,
}

/// Functions that only stand with OVER.
pub(super) fn is_window_function(upper: &str) -> bool {
    matches!(
        upper,
        "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "NTILE" | "PERCENT_RANK" | "CUME_DIST" | "LAG" | "LEAD"
    )
}

/// The call's stand-in.
pub(super) fn call(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    window: &ast::WindowType,
    span: Span,
) -> Result<Expr> {
    let Some(calls) = binder.calls.filter(|_| matches!(binder.clause, "SELECT" | "ORDER BY")) else {
        let message = format!("{upper} … OVER cannot stand in {}", binder.clause);
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span).help(
            "name it in a sub-query: SELECT … FROM (SELECT *, ROW_NUMBER() OVER (…) AS rn FROM …) WHERE rn <= 3",
        ));
    };
    let spec = named_window(binder, window, &calls.named_windows)?;
    let inner = ExprBinder { clause: "a window of OVER", sub_queries: None, row_sub_queries: None, ..binder };
    let partition_by = binder.binder.all(spec.partition_by.iter().map(|it| inner.bind(it)))?;
    let order_by = binder.binder.all(spec.order_by.iter().map(|it| sort_key(inner, it)))?;
    if order_by.is_empty() && upper != "ROW_NUMBER" && is_window_function(upper) {
        let message = format!("{upper} needs an order: OVER (PARTITION BY … ORDER BY …)");
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
    }
    let (function, data_type) = function(binder, upper, ast, span)?;
    let frame = match function {
        OverFunction::Aggregate(_) => frame::bind(inner, spec.window_frame.as_ref(), &order_by, span)?,
        _ => Frame::UP_TO_CURRENT,
    };
    let call = OverCall { function, frame, span };
    let draft = OverDraft { call, data_type: data_type.clone(), partition_by, order_by };
    Ok(stand_in(&calls.overs, OVERS, draft, same_draft, (upper, data_type, span)))
}

fn function(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Result<(OverFunction, DataType)> {
    if matches!(upper, "LEAD" | "NTILE" | "PERCENT_RANK" | "CUME_DIST") && !binder.binder.is_batch() {
        let error = Diagnostic::not_supported(format_args!("{upper} in streaming mode")).at(span);
        return Err(match upper {
            "LEAD" => error.help("a stream does not know the rows to come; LAG looks back"),
            _ => error
                .help("a stream does not know how many rows come; 'execution.runtime-mode' = 'batch' does"),
        });
    }
    let rank = match upper {
        "ROW_NUMBER" => Some((OverFunction::RowNumber, TypeKind::BigInt)),
        "RANK" => Some((OverFunction::Rank, TypeKind::BigInt)),
        "DENSE_RANK" => Some((OverFunction::DenseRank, TypeKind::BigInt)),
        "PERCENT_RANK" => Some((OverFunction::PercentRank, TypeKind::Double)),
        "CUME_DIST" => Some((OverFunction::CumeDist, TypeKind::Double)),
        _ => None,
    };
    if let Some((rank, kind)) = rank {
        if matches!(&ast.args, FunctionArguments::List(list) if !list.args.is_empty()) {
            let message = format!("{upper} has no arguments");
            return Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span));
        }
        return Ok((rank, DataType::from(kind).not_null()));
    }
    match upper {
        "NTILE" => return ntile(binder, ast, span),
        "LAG" | "LEAD" => return neighbour(binder, upper, ast, span),
        _ => {}
    }
    let Some(function) = lookup_aggregate(upper) else {
        let known = is_window_function(upper) || flott_expr::functions::inventory::missing(upper).is_some();
        return Err(if known {
            Diagnostic::not_supported(format_args!("window function {upper}")).at(span)
        } else {
            let message = format!("{upper} is no function for OVER");
            Diagnostic::error(Code::UnknownFunction, message)
                .at(span)
                .help("aggregate functions, ROW_NUMBER, RANK and DENSE_RANK are")
        });
    };
    // The rows may be groups: `SUM(COUNT(*)) OVER (…)`.
    let inner = ExprBinder { clause: "a window of OVER", sub_queries: None, row_sub_queries: None, ..binder };
    let mut call: AggregateCall = aggregate_call(inner, function, ast, false, span)?;
    let window = match &ast.over {
        Some(ast::WindowType::WindowSpec(spec)) => spec.window_frame.is_some(),
        _ => false,
    };
    if window {
        make_nullable_if_empty(&mut call);
    }
    let data_type = call.data_type.clone();
    Ok((OverFunction::Aggregate(call), data_type))
}

pub(super) fn sort_key(binder: ExprBinder<'_, '_>, ast: &ast::OrderByExpr) -> Result<SortKey> {
    let descending = ast.options.asc == Some(false);
    let nulls_first = ast.options.nulls_first.unwrap_or(!descending);
    Ok(SortKey { expr: binder.bind(&ast.expr)?, descending, nulls_first })
}

/// `NTILE(4)`
fn ntile(binder: ExprBinder<'_, '_>, ast: &ast::Function, span: Span) -> Result<(OverFunction, DataType)> {
    let args = neighbour_arguments(binder, "NTILE", ast, span)?;
    let parts = match args.as_slice() {
        [Expr { kind: ExprKind::Literal(Value::Int(parts)), .. }] => u64::try_from(*parts).ok(),
        _ => None,
    };
    let parts = parts.filter(|parts| *parts > 0).ok_or_else(|| {
        let message = "NTILE needs the number of parts, a constant above zero";
        Diagnostic::error(Code::NoMatchingSignature, message).at(span)
    })?;
    Ok((OverFunction::Ntile(parts), DataType::bigint().not_null()))
}

/// `LAG(value, offset, default)`. The result is of the type that value and default have in common.
fn neighbour(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Result<(OverFunction, DataType)> {
    let mut args = neighbour_arguments(binder, upper, ast, span)?.into_iter();
    let (value, offset, default) = (args.next(), args.next(), args.next());
    let (Some(value), None) = (value, args.next()) else {
        let message = format!("{upper} has one to three arguments");
        return Err(Diagnostic::error(Code::NoMatchingSignature, message)
            .at(span)
            .help(format!("it is called as {upper}(value, offset, default)")));
    };
    let offset = match offset.map(|it| (it.kind, it.span)) {
        None => 1,
        Some((ExprKind::Literal(Value::Int(offset)), _)) => offset,
        Some((_, span)) => {
            let message = format!("the offset of {upper} must be a constant number of rows");
            return Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span));
        }
    };
    let mut data_type = value.data_type.clone();
    data_type.nullable = true;
    if let Some(default) = &default {
        let values = [value.data_type.clone(), default.data_type.clone()];
        let nullable = values.iter().any(|it| it.nullable);
        let common = coerce::common_type(&values)
            .ok_or_else(|| no_common_type("value and default", &[value.clone(), default.clone()]).at(span))?;
        data_type = common.with_nullable(nullable);
    }
    let value = convert(value, &data_type);
    let default = default.map(|it| convert(it, &data_type));
    let of = OverOffset { value, offset, default };
    let function = if upper == "LAG" { OverFunction::Lag(of) } else { OverFunction::Lead(of) };
    Ok((function, data_type))
}

fn neighbour_arguments(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Result<Vec<Expr>> {
    let FunctionArguments::List(list) = &ast.args else {
        let message = format!("{upper} needs arguments");
        return Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span));
    };
    if ast.null_treatment.is_some() || !list.clauses.is_empty() || list.duplicate_treatment.is_some() {
        return Err(Diagnostic::not_supported(format_args!("clauses in the arguments of {upper}")).at(span));
    }
    let inner = ExprBinder { clause: "a window of OVER", sub_queries: None, row_sub_queries: None, ..binder };
    binder.binder.all(list.args.iter().map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => inner.bind(expr),
        _ => {
            let message = format!("{upper} takes plain values");
            Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span))
        }
    }))
}

/// The window as written, or as the WINDOW clause has it.
fn named_window<'w>(
    binder: ExprBinder<'_, '_>,
    window: &'w ast::WindowType,
    named: &'w [(String, ast::WindowSpec)],
) -> Result<&'w ast::WindowSpec> {
    let find = |name: &ast::Ident| {
        named.iter().find(|(it, _)| *it == name.value).map(|(_, spec)| spec).ok_or_else(|| {
            let message = format!("there is no window '{}' in the WINDOW clause", name.value);
            Diagnostic::error(Code::InvalidDefinition, message)
                .at(binder.binder.span(name.span))
                .did_you_mean(&name.value, named.iter().map(|(it, _)| it.as_str()))
        })
    };
    match window {
        ast::WindowType::NamedWindow(name) => find(name),
        ast::WindowType::WindowSpec(spec) => {
            match &spec.window_name {
                None => Ok(spec),
                Some(name) if spec.partition_by.is_empty() && spec.order_by.is_empty() => find(name),
                Some(name) => Err(Diagnostic::not_supported("a window made from a named one")
                    .at(binder.binder.span(name.span))),
            }
        }
    }
}

fn same_window(a: &OverDraft, b: &OverDraft) -> bool {
    let orders = a.order_by.len() == b.order_by.len()
        && a.order_by.iter().zip(&b.order_by).all(|(a, b)| {
            same(&a.expr, &b.expr) && a.descending == b.descending && a.nulls_first == b.nulls_first
        });
    orders && a.call.frame == b.call.frame && same_all(&a.partition_by, &b.partition_by)
}

fn same_draft(a: &OverDraft, b: &OverDraft) -> bool {
    let functions = match (&a.call.function, &b.call.function) {
        (OverFunction::Aggregate(a), OverFunction::Aggregate(b)) => same_call(a, b),
        (OverFunction::Lag(a), OverFunction::Lag(b)) | (OverFunction::Lead(a), OverFunction::Lead(b)) => {
            let defaults = match (&a.default, &b.default) {
                (Some(a), Some(b)) => same(a, b),
                (None, None) => true,
                _ => false,
            };
            a.offset == b.offset && defaults && same(&a.value, &b.value)
        }
        (a, b) => a == b,
    };
    functions && same_window(a, b)
}

/// The nodes above the input, and the position of each call's column.
pub(super) fn plan(
    mut input: LogicalPlan,
    mut drafts: Vec<OverDraft>,
    aggregation: Option<&Aggregation>,
) -> Result<(LogicalPlan, Vec<usize>)> {
    if let Some(aggregation) = aggregation {
        for draft in &mut drafts {
            lift(draft, aggregation)?;
        }
    }
    let mut places = vec![0; drafts.len()];
    let mut open: Vec<usize> = (0..drafts.len()).collect();
    while let Some(first) = open.first().copied() {
        let Some(window) = drafts.get(first) else { break };
        let (together, rest): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|at| drafts.get(*at).is_some_and(|it| same_window(it, window)));
        open = rest;
        let mut schema = input.schema();
        let mut calls = Vec::new();
        for draft in &together {
            let Some(it) = drafts.get(*draft) else { continue };
            places[*draft] = schema.len();
            schema.fields.push(Field::new(format!("$over{draft}"), it.data_type.clone()));
            calls.push(it.call.clone());
        }
        input = LogicalPlan::Over {
            input: Box::new(input),
            partition_by: window.partition_by.clone(),
            order_by: window.order_by.clone(),
            calls,
            schema,
            span: window.call.span,
        };
    }
    Ok((input, places))
}

/// The draft's expressions, read above the groups.
fn lift(draft: &mut OverDraft, aggregation: &Aggregation) -> Result<()> {
    let arguments = draft.call.exprs_mut();
    let sorts = draft.order_by.iter_mut().map(|it| &mut it.expr);
    for expr in draft.partition_by.iter_mut().chain(sorts).chain(arguments) {
        *expr = aggregation.lift(expr)?;
    }
    Ok(())
}
