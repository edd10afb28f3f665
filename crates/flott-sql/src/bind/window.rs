//! Windowing table functions: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))`.
//!
//! ```text
//!   TUMBLE    DATA, TIMECOL, SIZE [, OFFSET]           │ by place, or all by name:
//!   HOP       DATA, TIMECOL, SLIDE, SIZE [, OFFSET]    │ DATA => TABLE t, SIZE => …
//!   CUMULATE  DATA, TIMECOL, STEP, SIZE [, OFFSET]     │
//!   SESSION   DATA [PARTITION BY k], TIMECOL, GAP      │
//! ```
//!
//! Source: Flink documentation, "Windowing table-valued functions".

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{Code, DataType, Diagnostic, Field, IntervalUnit, Result, Span, TimeAttribute, TypeKind};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Binder, expr::ExprBinder, query::Around, scope::Scope};
use crate::{
    LogicalPlan,
    parse::internal_name,
    plan::{WindowKind, WindowSpec},
};

/// Whether a table function of this name makes windows.
pub(super) fn is_window(upper: &str) -> bool {
    parameters(upper).is_some()
}

/// The names of a function's parameters; `OFFSET` may be left out.
fn parameters(upper: &str) -> Option<&'static [&'static str]> {
    Some(match upper {
        "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        "SESSION" => &["DATA", "TIMECOL", "GAP"],
        _ => return None,
    })
}

/// How the function is called.
fn usage(upper: &str) -> &'static str {
    match upper {
        "TUMBLE" => "TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])",
        "HOP" => "HOP(TABLE t, DESCRIPTOR(ts), slide, size [, offset])",
        "CUMULATE" => "CUMULATE(TABLE t, DESCRIPTOR(ts), step, size [, offset])",
        _ => "SESSION(TABLE t [PARTITION BY k], DESCRIPTOR(ts), gap)",
    }
}

/// A call's arguments by the names of its parameters.
struct Arguments<'q> {
    function: &'static str,
    given: Vec<(&'static str, &'q Ast)>,
    span: Span,
}

impl<'q> Arguments<'q> {
    fn get(&self, name: &str) -> Option<&'q Ast> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, ast)| *ast)
    }
    fn required(&self, name: &str) -> Result<&'q Ast> {
        self.get(name).ok_or_else(|| {
            let message = format!("{} needs the argument {name}", self.function);
            Diagnostic::error(Code::NoMatchingSignature, message).at(self.span).help(self.usage())
        })
    }
    fn usage(&self) -> String {
        format!("it is called as {}", usage(self.function))
    }
}

impl Binder<'_> {
    /// The windows over the call's table.
    pub(super) fn window_function(
        &self,
        upper: &str,
        args: &[FunctionArg],
        span: Span,
        around: &Around,
    ) -> Result<LogicalPlan> {
        let args = self.window_arguments(upper, args, span)?;
        let data = args.required("DATA")?;
        let (input, scope, partition) = self.window_input(&args, data, around)?;
        let (time_column, time) = self.descriptor(&args, args.required("TIMECOL")?, &scope)?;
        let length = |name: &str| {
            let given = args.required(name)?;
            self.length(given, &format!("the {} of {}", name.to_ascii_lowercase(), args.function))
        };
        let kind = match args.function {
            "TUMBLE" => WindowKind::Tumble { size_millis: length("SIZE")? },
            "HOP" => WindowKind::Hop { slide_millis: length("SLIDE")?, size_millis: length("SIZE")? },
            "CUMULATE" => WindowKind::Cumulate { step_millis: length("STEP")?, size_millis: length("SIZE")? },
            _ => WindowKind::Session { gap_millis: length("GAP")?, partition_by: partition },
        };
        let offset_millis = match args.get("OFFSET") {
            Some(offset) => self.interval_millis(offset, &format!("the offset of {}", args.function))?,
            None => 0,
        };
        check_lengths(&kind, offset_millis).map_err(|it| it.at(span))?;
        Ok(windowed(input, WindowSpec { kind, offset_millis, time_column, time, span }))
    }

    fn window_arguments<'q>(
        &self,
        upper: &str,
        args: &'q [FunctionArg],
        span: Span,
    ) -> Result<Arguments<'q>> {
        let names = parameters(upper).unwrap_or_default();
        let function = ["TUMBLE", "HOP", "CUMULATE"].into_iter().find(|it| *it == upper).unwrap_or("SESSION");
        let wrong = |message: String, span: Span| {
            let error = Diagnostic::error(Code::NoMatchingSignature, message).at(span);
            Err(error.help(format!("it is called as {}", usage(upper))))
        };
        let mut given: Vec<(&'static str, &'q Ast)> = Vec::new();
        let named = args.iter().filter(|arg| !matches!(arg, FunctionArg::Unnamed(_))).count();
        if named != 0 && named != args.len() {
            return wrong("either all arguments are given by name or none".to_string(), span);
        }
        for (at, arg) in args.iter().enumerate() {
            let (name, value) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => match names.get(at) {
                    Some(name) => (*name, value),
                    None => return wrong(format!("{upper} has {} arguments at most", names.len()), span),
                },
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    let known = names.iter().find(|it| it.eq_ignore_ascii_case(&name.value));
                    match known {
                        Some(known) => (*known, value),
                        None => {
                            let message = format!("{upper} has no argument '{}'", name.value);
                            return wrong(message, self.span(name.span));
                        }
                    }
                }
                _ => return wrong(format!("* is no argument of {upper}"), span),
            };
            if given.iter().any(|(before, _)| *before == name) {
                return wrong(format!("the argument {name} is given twice"), self.place(value));
            }
            given.push((name, value));
        }
        Ok(Arguments { function, given, span })
    }

    /// The table, and the columns of its `PARTITION BY`.
    fn window_input(
        &self,
        args: &Arguments<'_>,
        data: &Ast,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope, Vec<usize>)> {
        let expected = || {
            let message = format!("the first argument of {} is a table", args.function);
            Diagnostic::error(Code::TypeMismatch, message)
                .at(self.place(data))
                .help("write TABLE name, or a query in parentheses: (SELECT …)")
        };
        match data {
            Ast::Subquery(query) => {
                let plan = self.query(query, around)?;
                let scope = Scope::of_table(&plan.schema());
                Ok((plan, scope, Vec::new()))
            }
            Ast::Nested(inner) => self.window_input(args, inner, around),
            Ast::Function(function) if internal_name(function) == Some("$table") => {
                let FunctionArguments::List(list) = &function.args else { return Err(expected()) };
                let mut parts = list.args.iter().filter_map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                });
                let (plan, scope) = match parts.next() {
                    Some(Ast::CompoundIdentifier(name)) => {
                        self.named(&ast::ObjectName::from(name.clone()), None, around)?
                    }
                    Some(query @ Ast::Subquery(_)) => {
                        let (plan, scope, _) = self.window_input(args, query, around)?;
                        (plan, scope)
                    }
                    _ => return Err(expected()),
                };
                let partition: Vec<&Ast> = parts.collect();
                if let (Some(first), true) = (partition.first(), args.function != "SESSION") {
                    let message = format!("PARTITION BY stands in SESSION only, not in {}", args.function);
                    return Err(Diagnostic::error(Code::InvalidDefinition, message)
                        .at(self.place(first))
                        .help("windows of a fixed length are the same for all rows: GROUP BY the column"));
                }
                let columns = partition.into_iter().map(|it| self.partition_column(it, &scope));
                let columns = self.all(columns)?;
                Ok((plan, scope, columns))
            }
            _ => Err(expected()),
        }
    }

    fn partition_column(&self, ast: &Ast, scope: &Scope) -> Result<usize> {
        let expr = ExprBinder::new(self, scope).within("PARTITION BY").bind(ast)?;
        match expr.kind {
            ExprKind::Column { index, .. } => Ok(index),
            _ => Err(Diagnostic::error(Code::InvalidDefinition, "PARTITION BY of SESSION takes columns")
                .at(expr.span)
                .help("compute the value in a query: SESSION((SELECT …), …)")),
        }
    }

    /// The time column that `DESCRIPTOR(ts)` names.
    fn descriptor(&self, args: &Arguments<'_>, ast: &Ast, scope: &Scope) -> Result<(usize, TimeAttribute)> {
        let expected = || {
            let message = format!("{} needs its time column as DESCRIPTOR(column)", args.function);
            Diagnostic::error(Code::TypeMismatch, message).at(self.place(ast)).help(args.usage())
        };
        let Ast::Function(function) = ast else { return Err(expected()) };
        if !function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
            return Err(expected());
        }
        let FunctionArguments::List(list) = &function.args else { return Err(expected()) };
        match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(column @ Ast::Identifier(_)))] => {
                let column = ExprBinder::new(self, scope).bind(column)?;
                self.time_column(&column, scope, args.function)
            }
            _ => Err(expected().help("DESCRIPTOR names one column of the table")),
        }
    }

    /// Position and kind of a time attribute.
    pub(super) fn time_column(
        &self,
        column: &Expr,
        scope: &Scope,
        function: &str,
    ) -> Result<(usize, TimeAttribute)> {
        let ExprKind::Column { index, name } = &column.kind else {
            let message = format!("{function} needs a column that is a time attribute");
            return Err(Diagnostic::error(Code::TypeMismatch, message).at(column.span));
        };
        if let Some(time) = scope.time_of(column) {
            return Ok((*index, time));
        }
        // Bounded input needs no watermark: every window closes at its end.
        let batch =
            self.options.get("execution.runtime-mode").is_some_and(|it| it.eq_ignore_ascii_case("batch"));
        let timestamp = matches!(column.data_type.kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_));
        if batch && timestamp {
            return Ok((*index, TimeAttribute::Rowtime));
        }
        let message =
            format!("{function} needs a time attribute, but '{name}' is a plain {}", column.data_type.kind);
        let error = Diagnostic::error(Code::TypeMismatch, message).at(column.span);
        Err(if timestamp {
            error
                .help(format!("declare WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND in CREATE TABLE"))
                .help("a column of a query stays a time attribute only as it is: any computation ends it")
        } else {
            error.help("a time attribute is a column with a WATERMARK, or PROCTIME()")
        })
    }

    /// A length in milliseconds, above zero.
    pub(super) fn length(&self, ast: &Ast, what: &str) -> Result<i64> {
        let millis = self.interval_millis(ast, what)?;
        if millis <= 0 {
            let message = format!("{what} must be above zero");
            return Err(Diagnostic::error(Code::InvalidLiteral, message).at(self.place(ast)));
        }
        Ok(millis)
    }

    fn interval_millis(&self, ast: &Ast, what: &str) -> Result<i64> {
        let scope = Scope::default();
        let bound = ExprBinder::new(self, &scope).bind(ast);
        // Whatever a column would say: there is none here.
        let Ok(expr) = bound else { return Err(not_constant(what, self.place(ast))) };
        match (&expr.kind, &expr.data_type.kind) {
            (ExprKind::Literal(Value::Interval(millis)), TypeKind::Interval(IntervalUnit::Milliseconds)) => {
                Ok(*millis)
            }
            (_, TypeKind::Interval(IntervalUnit::Months)) => {
                let message = format!("{what} must be of days to seconds: months differ in length");
                Err(Diagnostic::error(Code::TypeMismatch, message).at(expr.span))
            }
            _ => Err(not_constant(what, expr.span)),
        }
    }
}

fn not_constant(what: &str, span: Span) -> Box<Diagnostic> {
    Diagnostic::error(Code::TypeMismatch, format!("{what} must be a constant interval"))
        .at(span)
        .help("write INTERVAL '10' SECOND")
}

fn check_lengths(kind: &WindowKind, offset_millis: i64) -> Result<()> {
    let wrong = |message: &str| Err(Diagnostic::error(Code::InvalidDefinition, message));
    let (name, step, size_millis) = match kind {
        WindowKind::Tumble { size_millis } => ("size", *size_millis, *size_millis),
        WindowKind::Hop { slide_millis, size_millis } => ("slide", *slide_millis, *size_millis),
        WindowKind::Cumulate { step_millis, size_millis } => ("step", *step_millis, *size_millis),
        WindowKind::Session { .. } => return Ok(()),
    };
    if size_millis % step != 0 {
        let error = wrong(&format!("the size of the window must be a multiple of its {name}"));
        return error.map_err(|it| it.help(format!("size {size_millis} ms, {name} {step} ms")));
    }
    let limit = if matches!(kind, WindowKind::Hop { .. }) { step } else { size_millis };
    if offset_millis.checked_abs().is_none_or(|it| it >= limit) {
        return wrong("the offset of the window must be shorter than the window (of HOP: than its slide)");
    }
    Ok(())
}

/// The node, with the window's three columns appended.
pub(super) fn windowed(input: LogicalPlan, window: WindowSpec) -> LogicalPlan {
    let mut schema = input.schema();
    let local = schema
        .fields
        .get(window.time_column)
        .is_some_and(|it| matches!(it.data_type.kind, TypeKind::TimestampLtz(_)));
    schema.fields.extend(window_fields(window.time, local));
    LogicalPlan::Window { input: Box::new(input), window, schema }
}

/// `window_start`, `window_end`, `window_time`.
pub(super) fn window_fields(time: TimeAttribute, local: bool) -> [Field; 3] {
    let timestamp = || DataType::new(TypeKind::Timestamp(3)).not_null();
    let time_type = match local || time == TimeAttribute::Proctime {
        true => DataType::new(TypeKind::TimestampLtz(3)).not_null(),
        false => timestamp(),
    };
    [
        Field::new("window_start", timestamp()),
        Field::new("window_end", timestamp()),
        Field::new("window_time", time_type).with_time(Some(time)),
    ]
}
