//! Windows of the older syntax: `GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)`.
//!
//! ```text
//!   SELECT k, TUMBLE_START(ts, …)          Aggregate [k, window_start, window_end, window_time]
//!   GROUP BY k, TUMBLE(ts, …)      ──►       Window Tumble
//! ```
//!
//! The call becomes a [`LogicalPlan::Window`] below the aggregation, whose columns are grouping
//! keys; `TUMBLE_START` and its kin are references to them.

use flott_expr::{Expr, ExprKind};
use flott_types::{Code, Diagnostic, Field, Result, Schema, Span, TimeAttribute, TypeKind};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    calls::{same, same_all},
    expr::ExprBinder,
    query::columns_of,
    window::{window_fields, windowed},
};
use crate::{
    LogicalPlan,
    plan::{WindowKind, WindowSpec},
};

/// A window among the items of GROUP BY.
#[derive(Debug)]
pub(super) struct GroupWindow {
    name: &'static str,
    args: Vec<Expr>,
    window: WindowSpec,
    /// Expressions that separate sessions: columns of their own below the window.
    computed: Vec<Expr>,
    /// Position of the first computed column.
    width: usize,
    fields: [Field; 3],
}

const NAMES: [&str; 3] = ["TUMBLE", "HOP", "SESSION"];

fn name_of(ast: &Ast) -> Option<(&'static str, &ast::Function)> {
    let Ast::Function(function) = ast else { return None };
    let name = function.name.to_string();
    NAMES.into_iter().find(|it| it.eq_ignore_ascii_case(&name)).map(|it| (it, function))
}

/// Whether the expression is `TUMBLE(…)`, `HOP(…)` or `SESSION(…)`.
pub(super) fn is_call(ast: &Ast) -> bool {
    name_of(ast).is_some()
}

fn arguments(function: &ast::Function) -> Vec<&Ast> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    plain.collect()
}

/// The window over an input of this width, grouped also by these keys.
pub(super) fn bind(
    binder: ExprBinder<'_, '_>,
    ast: &Ast,
    width: usize,
    keys: &[Expr],
) -> Result<GroupWindow> {
    let span = binder.binder.place(ast);
    let Some((name, function)) = name_of(ast) else {
        return Err(Diagnostic::error(Code::Internal, "a window without a name").at(span));
    };
    let args = arguments(function);
    let length = |at: usize, what: &str| {
        let arg = args.get(at).copied().unwrap_or(ast);
        binder.binder.length(arg, &format!("the {what} of {name}"))
    };
    let mut computed = Vec::new();
    let kind = match (name, args.len()) {
        ("TUMBLE", 2) => WindowKind::Tumble { size_millis: length(1, "size")? },
        ("HOP", 3) => WindowKind::Hop { slide_millis: length(1, "slide")?, size_millis: length(2, "size")? },
        ("SESSION", 2) => {
            let partition_by = keys.iter().map(|key| match key.kind {
                ExprKind::Column { index, .. } => index,
                _ => {
                    computed.push(key.clone());
                    width + computed.len() - 1
                }
            });
            WindowKind::Session { partition_by: partition_by.collect(), gap_millis: length(1, "gap")? }
        }
        ("TUMBLE", 3) | ("HOP", 4) => {
            return Err(Diagnostic::not_supported("an alignment of windows in GROUP BY").at(span).help(
                format!("the table function has an offset: TABLE({name}(TABLE t, DESCRIPTOR(ts), …))"),
            ));
        }
        _ => {
            let usage = match name {
                "TUMBLE" => "TUMBLE(ts, size)",
                "HOP" => "HOP(ts, slide, size)",
                _ => "SESSION(ts, gap)",
            };
            let message = format!("{name} in GROUP BY is called as {usage}");
            return Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span));
        }
    };
    let bound = binder.binder.all(args.iter().map(|arg| binder.bind(arg)))?;
    let Some(column) = bound.first() else {
        return Err(Diagnostic::error(Code::Internal, "a window without arguments").at(span));
    };
    let (time_column, time) = binder.binder.time_column(column, binder.scope, name)?;
    let local = matches!(column.data_type.kind, TypeKind::TimestampLtz(_));
    let window = WindowSpec { kind, offset_millis: 0, time_column, time, span };
    Ok(GroupWindow { name, args: bound, window, computed, width, fields: window_fields(time, local) })
}

impl GroupWindow {
    /// References to start, end and time.
    pub(super) fn columns(&self) -> impl Iterator<Item = Expr> + '_ {
        let start = self.width + self.computed.len();
        let fields = self.fields.iter().enumerate();
        fields.map(move |(at, field)| Expr::column(start + at, &field.name, field.data_type.clone()))
    }

    /// The node over the SELECT's input.
    pub(super) fn plan(&self, input: LogicalPlan) -> LogicalPlan {
        if self.computed.is_empty() {
            return windowed(input, self.window.clone());
        }
        let mut schema: Schema = input.schema();
        let exprs = columns_of(&schema).chain(self.computed.iter().cloned()).collect();
        let added = self.computed.iter().enumerate();
        schema.fields.extend(added.map(|(at, it)| Field::new(format!("$session{at}"), it.data_type.clone())));
        let input = LogicalPlan::Project { input: Box::new(input), exprs, schema };
        windowed(input, self.window.clone())
    }

    /// A key above the node: what is computed below it is a column.
    pub(super) fn key(&self, key: &Expr) -> Expr {
        match self.computed.iter().position(|it| same(it, key)) {
            Some(at) => {
                Expr::column(self.width + at, format!("$session{at}"), key.data_type.clone()).at(key.span)
            }
            None => key.clone(),
        }
    }
}

/// `TUMBLE_START(…)` and its kin: a reference to the window's column. `None` for other names.
pub(super) fn property(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Option<Result<Expr>> {
    if NAMES.contains(&upper) || upper == "CUMULATE" {
        let message = format!("{upper} makes windows: it is no function of a row");
        return Some(Err(Diagnostic::error(Code::InvalidDefinition, message)
            .at(span)
            .help(format!("windows are made in FROM: TABLE({upper}(TABLE t, DESCRIPTOR(ts), …))"))
            .help("or in GROUP BY, with TUMBLE_START(…), TUMBLE_END(…) in SELECT")));
    }
    let (name, what) = upper.split_once('_')?;
    let known = matches!(what, "START" | "END" | "ROWTIME" | "PROCTIME") && NAMES.contains(&name);
    known.then(|| bind_property(binder, name, what, ast, span))
}

fn bind_property(
    binder: ExprBinder<'_, '_>,
    name: &str,
    what: &str,
    ast: &ast::Function,
    span: Span,
) -> Result<Expr> {
    let inner = ExprBinder { calls: None, clause: "a window", ..binder };
    let args = binder.binder.all(arguments(ast).into_iter().map(|arg| inner.bind(arg)))?;
    let window = binder.calls.and_then(|calls| calls.window.as_ref());
    let Some(window) = window.filter(|it| it.name == name && same_all(&it.args, &args)) else {
        let message = format!("{name}_{what} needs the same {name}(…) in GROUP BY");
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
    };
    let place = match (what, window.window.time) {
        ("START", _) => 0,
        ("END", _) => 1,
        ("ROWTIME", TimeAttribute::Rowtime) | ("PROCTIME", TimeAttribute::Proctime) => 2,
        (_, time) => {
            let kind = if time == TimeAttribute::Rowtime { "event" } else { "processing" };
            let message = format!("{name}_{what} does not fit: the window is one of {kind} time");
            return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
        }
    };
    match window.columns().nth(place) {
        Some(column) => Ok(column.at(span)),
        None => Err(Diagnostic::error(Code::Internal, "a window without columns").at(span)),
    }
}
