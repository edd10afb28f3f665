//! Expressions: names, operators, CASE, access to parts of nested values.

use flott_expr::{CastMode, Expr, ExprKind, Value, coerce, lookup};
use flott_types::{Code, DataType, Diagnostic, Result, Span, TypeKind};
use sqlparser::ast::{self, AccessExpr, BinaryOperator, Expr as Ast, Ident, Subscript, UnaryOperator};

use super::{
    Binder, call,
    calls::Calls,
    interval, literal,
    scope::{Scope, span_of},
    select::Item,
    sub_query::SubQueries,
};

/// Operators of which a bare NULL cannot be an operand.
const OPERATORS_WITHOUT_NULL: &[&str] = &["+", "-", "*", "/", "%", "||", "AND", "OR", "NOT"];

/// Binds expressions over the columns of one scope.
#[derive(Clone, Copy)]
pub(super) struct ExprBinder<'b, 'a> {
    pub(super) binder: &'b Binder<'a>,
    pub(super) scope: &'b Scope,
    /// Where calls of aggregates and OVER go; `None` where they cannot stand.
    pub(super) calls: Option<&'b Calls>,
    /// Where sub-queries go; `None` where they cannot stand.
    pub(super) sub_queries: Option<&'b SubQueries<'b>>,
    /// Where those go whose values aggregates read.
    pub(super) row_sub_queries: Option<&'b SubQueries<'b>>,
    /// Columns of SELECT that go before those of FROM.
    pub(super) names: Option<&'b [Item]>,
    /// Nobody tells FALSE from NULL: a condition of WHERE, under AND and OR alone.
    pub(super) two_valued: bool,
    /// What the expression stands in, for messages.
    pub(super) clause: &'static str,
}

impl<'b, 'a> ExprBinder<'b, 'a> {
    pub(super) fn new(binder: &'b Binder<'a>, scope: &'b Scope) -> Self {
        Self {
            binder,
            scope,
            calls: None,
            sub_queries: None,
            row_sub_queries: None,
            names: None,
            two_valued: false,
            clause: "this place",
        }
    }

    /// The same, in this clause.
    pub(super) fn within(self, clause: &'static str) -> Self {
        Self { clause, ..self }
    }

    /// The typed expression, constants folded.
    pub(super) fn bind(self, ast: &Ast) -> Result<Expr> {
        match ast {
            Ast::Nested(inner) => {
                let inner = self.bind(inner)?;
                let span = self.binder.widen(ast, inner.span);
                Ok(inner.at(span))
            }
            Ast::BinaryOp { left, op: BinaryOperator::Overlaps, right } => {
                self.overlaps(ast, left, right).map(|expr| self.binder.fold(expr))
            }
            Ast::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => self.binary_chain(ast),
            Ast::BinaryOp { .. } => Self { two_valued: false, ..self }.binary_chain(ast),
            Ast::InSubquery { expr, subquery, negated } => {
                self.in_query(expr, subquery, *negated, self.binder.place(ast))
            }
            _ => {
                let inner = Self { two_valued: false, ..self };
                inner.node(ast).map(|expr| self.binder.fold(expr)).map_err(|it| it.at(self.binder.place(ast)))
            }
        }
    }

    /// A condition: BOOLEAN, or an error that names the clause.
    pub(super) fn condition(self, ast: &Ast, clause: &'static str) -> Result<Expr> {
        let expr = self.within(if clause == "WHEN" { self.clause } else { clause }).bind(ast)?;
        match expr.data_type.kind {
            TypeKind::Boolean | TypeKind::Null => Ok(expr),
            _ => {
                let message =
                    format!("{clause} needs a condition, but this is of type {}", expr.data_type.kind);
                Err(Diagnostic::error(Code::TypeMismatch, message)
                    .at(expr.span)
                    .help("compare it with something: x = 1, x IS NOT NULL"))
            }
        }
    }

    /// Chains such as `a AND b AND …` lean left and may be long: no recursion along them.
    fn binary_chain(self, ast: &Ast) -> Result<Expr> {
        let mut rights = Vec::new();
        let mut leftmost = ast;
        while let Ast::BinaryOp { left, op, right } = leftmost
            && *op != BinaryOperator::Overlaps
        {
            rights.push((op, right));
            leftmost = left;
        }
        let mut left = self.bind(leftmost)?;
        while let Some((op, right)) = rights.pop() {
            let name = operator_name(op).ok_or_else(|| {
                Diagnostic::error(Code::Syntax, format!("there is no operator {op} in Flink SQL"))
            });
            let right = self.bind(right)?;
            let span = left.span.union(right.span);
            let name = name.map_err(|it| it.at(span))?;
            left = self.binder.fold(self.operator(name, vec![left, right], span)?);
        }
        Ok(left)
    }

    fn node(self, ast: &Ast) -> Result<Expr> {
        let not_supported = |what: &str| Err(Diagnostic::not_supported(what).at(self.binder.place(ast)));
        match ast {
            Ast::Identifier(ident) => self.identifier(ident),
            Ast::CompoundIdentifier(names) => self.path(names),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Value(value) => literal::bind(&value.value, self.binder.span(value.span)),
            Ast::TypedString(typed) => literal::typed(typed, self.binder.place(ast)),
            Ast::Interval(it) => interval::bind(it, self.binder.place(ast)),
            Ast::Prefixed { prefix, value } if prefix.value.starts_with('_') => self.bind(value),
            Ast::UnaryOp { op, expr } => self.unary(ast, op, expr),
            Ast::IsNull(x) => self.unary_function("IS NULL", ast, x),
            Ast::IsNotNull(x) => self.unary_function("IS NOT NULL", ast, x),
            Ast::IsTrue(x) => self.unary_function("IS TRUE", ast, x),
            Ast::IsNotTrue(x) => self.unary_function("IS NOT TRUE", ast, x),
            Ast::IsFalse(x) => self.unary_function("IS FALSE", ast, x),
            Ast::IsNotFalse(x) => self.unary_function("IS NOT FALSE", ast, x),
            Ast::IsUnknown(x) => self.unary_function("IS UNKNOWN", ast, x),
            Ast::IsNotUnknown(x) => self.unary_function("IS NOT UNKNOWN", ast, x),
            Ast::IsDistinctFrom(a, b) => self.function("IS DISTINCT FROM", ast, &[a, b]),
            Ast::IsNotDistinctFrom(a, b) => self.function("IS NOT DISTINCT FROM", ast, &[a, b]),
            Ast::Between { expr, negated, low, high } => self.between(ast, expr, *negated, low, high),
            Ast::InList { expr, list, negated } => self.in_list(ast, expr, list, *negated),
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like("LIKE", ast, *negated, expr, pattern, escape_char.as_ref())
            }
            Ast::SimilarTo { negated, expr, pattern, escape_char } => {
                self.like("SIMILAR TO", ast, *negated, expr, pattern, escape_char.as_ref())
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(ast, operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Extract { field, expr, .. } => {
                let unit = interval::unit_name(field);
                self.with_unit("EXTRACT", ast, &unit, expr, true)
            }
            Ast::Ceil { expr, field } => self.rounding("CEIL", ast, expr, field),
            Ast::Floor { expr, field } => self.rounding("FLOOR", ast, expr, field),
            Ast::Position { expr, r#in } => self.function("POSITION", ast, &[expr, r#in]),
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let args = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                self.function(
                    "SUBSTRING",
                    ast,
                    &args.into_iter().flatten().map(AsRef::as_ref).collect::<Vec<_>>(),
                )
            }
            Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let args = [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for.as_ref()];
                self.function(
                    "OVERLAY",
                    ast,
                    &args.into_iter().flatten().map(AsRef::as_ref).collect::<Vec<_>>(),
                )
            }
            Ast::Trim { trim_where, trim_what, expr, .. } => {
                self.trim(ast, *trim_where, trim_what.as_deref(), expr)
            }
            Ast::Array(array) => self.function("ARRAY", ast, &array.elem.iter().collect::<Vec<_>>()),
            Ast::Tuple(items) => self.function("ROW", ast, &items.iter().collect::<Vec<_>>()),
            Ast::Function(function) => call::bind(self, ast, function),
            Ast::Subquery(query) => self.scalar(query, self.binder.place(ast)),
            Ast::Exists { subquery, negated } => self.exists(subquery, *negated, self.binder.place(ast)),
            Ast::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, false, self.binder.place(ast))
            }
            Ast::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, true, self.binder.place(ast))
            }
            Ast::AtTimeZone { .. } => not_supported("AT TIME ZONE"),
            Ast::Collate { .. } => not_supported("COLLATE"),
            Ast::GroupingSets(_) | Ast::Cube(_) | Ast::Rollup(_) => not_supported("grouping sets"),
            Ast::MemberOf(_) => not_supported("MEMBER OF"),
            Ast::Lambda(_) => not_supported("lambda functions"),
            _ => Err(Diagnostic::error(Code::Syntax, format!("{ast} is not an expression of Flink SQL"))),
        }
    }

    // --- names --------------------------------------------------------------------------------

    fn identifier(self, ident: &Ident) -> Result<Expr> {
        let span = self.binder.span(ident.span);
        let named = |it: &&Item| it.name == ident.value;
        if let Some(item) = self.names.and_then(|names| names.iter().find(named)) {
            return Ok(item.expr.clone().at(span));
        }
        if ident.quote_style.is_none()
            && !self.scope.has_column(&ident.value)
            && let Some(expr) = call::without_parentheses(self, &ident.value, span)
        {
            return expr;
        }
        self.path(std::slice::from_ref(ident))
    }

    /// `catalog.database.table.column.field.field`
    pub(super) fn path(self, names: &[Ident]) -> Result<Expr> {
        let (mut expr, taken) = self.scope.resolve(names, self.binder.source)?;
        for name in names.iter().skip(taken) {
            expr = self.field(expr, &name.value, self.binder.span(name.span))?;
        }
        Ok(expr.at(span_of(names, self.binder.source)))
    }

    /// `root[1].field`: dots and brackets after the first name.
    fn access(self, root: &Ast, chain: &[AccessExpr]) -> Result<Expr> {
        let mut names: Vec<Ident> = match root {
            Ast::Identifier(name) => vec![name.clone()],
            Ast::CompoundIdentifier(names) => names.clone(),
            _ => Vec::new(),
        };
        let mut rest = chain;
        let mut expr = if names.is_empty() {
            self.bind(root)?
        } else {
            while let [AccessExpr::Dot(Ast::Identifier(name)), tail @ ..] = rest {
                names.push(name.clone());
                rest = tail;
            }
            self.path(&names)?
        };
        for step in rest {
            expr = match step {
                AccessExpr::Dot(Ast::Identifier(name)) => {
                    self.field(expr, &name.value, self.binder.span(name.span))?
                }
                AccessExpr::Dot(other) => {
                    let message = format!("{other} is not the name of a field");
                    return Err(Diagnostic::error(Code::Syntax, message).at(self.binder.place(other)));
                }
                AccessExpr::Subscript(Subscript::Index { index }) => self.item(expr, self.bind(index)?)?,
                AccessExpr::Subscript(Subscript::Slice { .. }) => {
                    return Err(Diagnostic::error(Code::Syntax, "there are no slices in Flink SQL")
                        .at(expr.span)
                        .help("ARRAY_SLICE(array, first, last) takes a part of an array"));
                }
            };
        }
        Ok(expr)
    }

    fn field(self, input: Expr, name: &str, span: Span) -> Result<Expr> {
        let TypeKind::Row(fields) = &input.data_type.kind else {
            let message = format!(
                "'{name}' cannot be taken from a value of type {}: it has no fields",
                input.data_type.kind
            );
            return Err(Diagnostic::error(Code::UnknownColumn, message).at(span));
        };
        match fields.iter().position(|field| field.name == name) {
            Some(index) => Ok(self.binder.fold(field_at(input, index, span))),
            None => Err(Diagnostic::error(Code::UnknownColumn, format!("field '{name}' not found"))
                .at(span)
                .did_you_mean(name, fields.iter().map(|field| field.name.as_str()))),
        }
    }

    /// `array[1]`, `map['key']`, `row[1]`, `row['field']`
    fn item(self, input: Expr, index: Expr) -> Result<Expr> {
        let span = input.span.union(Span::new(index.span.start, index.span.end + 1));
        if let (TypeKind::Row(fields), ExprKind::Literal(at)) = (&input.data_type.kind, &index.kind) {
            let found = match at {
                Value::Int(at) => usize::try_from(*at - 1).ok().filter(|at| *at < fields.len()),
                Value::String(name) => fields.iter().position(|field| field.name == *name),
                _ => None,
            };
            return found.map(|at| field_at(input, at, span)).ok_or_else(|| {
                Diagnostic::error(Code::UnknownColumn, "the ROW has no such field").at(index.span)
            });
        }
        self.operator("ITEM", vec![input, index], span).map(|expr| self.binder.fold(expr))
    }

    // --- operators ----------------------------------------------------------------------------

    /// A call of a function by its registered name.
    pub(super) fn operator(self, name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
        if OPERATORS_WITHOUT_NULL.contains(&name)
            && let Some(null) = args.iter().find(|arg| arg.data_type.is_null())
        {
            return Err(Diagnostic::error(Code::TypeMismatch, "the type of this NULL is unknown")
                .at(null.span)
                .help("write CAST(NULL AS type)"));
        }
        match lookup(name) {
            Some(function) => function.call(args, span).map_err(|it| it.at(span)),
            None => Err(Diagnostic::not_supported(format_args!("operator {name}")).at(span)),
        }
    }

    /// Binds the arguments and calls the function.
    pub(super) fn function(self, name: &str, ast: &Ast, args: &[&Ast]) -> Result<Expr> {
        let args = self.binder.all(args.iter().map(|arg| self.bind(arg)))?;
        let span = self.covering(ast, &args);
        self.operator(name, args, span)
    }

    fn unary_function(self, name: &str, ast: &Ast, arg: &Ast) -> Result<Expr> {
        self.function(name, ast, &[arg])
    }

    pub(super) fn covering(self, ast: &Ast, args: &[Expr]) -> Span {
        let inner = args.iter().fold(Span::default(), |span, arg| span.union(arg.span));
        self.binder.widen(ast, inner)
    }

    fn unary(self, ast: &Ast, op: &UnaryOperator, arg: &Ast) -> Result<Expr> {
        match op {
            UnaryOperator::Not => self.unary_function("NOT", ast, arg),
            UnaryOperator::Minus => {
                // The smallest BIGINT is a number only together with its sign.
                if let Ast::Value(value) = arg
                    && let ast::Value::Number(text, _) = &value.value
                {
                    return literal::number(text, true, self.binder.place(ast));
                }
                self.unary_function("-", ast, arg)
            }
            UnaryOperator::Plus => {
                let arg = self.bind(arg)?;
                let span = self.covering(ast, std::slice::from_ref(&arg));
                if arg.data_type.is_numeric() || arg.data_type.is_interval() {
                    return Ok(arg.at(span));
                }
                let message = format!("+ needs a number, but this is of type {}", arg.data_type.kind);
                Err(Diagnostic::error(Code::TypeMismatch, message).at(span))
            }
            other => {
                Err(Diagnostic::error(Code::Syntax, format!("there is no operator {other} in Flink SQL")))
            }
        }
    }

    fn negate(self, expr: Expr, negated: bool) -> Result<Expr> {
        let span = expr.span;
        if negated { self.operator("NOT", vec![self.binder.fold(expr)], span) } else { Ok(expr) }
    }

    /// `x >= low AND x <= high`: each bound is compared in the type that it has in common with x.
    fn between(self, ast: &Ast, expr: &Ast, negated: bool, low: &Ast, high: &Ast) -> Result<Expr> {
        let mut args = self.binder.all([expr, low, high].into_iter().map(|arg| self.bind(arg)))?.into_iter();
        let (Some(x), Some(low), Some(high)) = (args.next(), args.next(), args.next()) else {
            return Err(Diagnostic::error(Code::Internal, "BETWEEN without bounds"));
        };
        let span = self.binder.widen(ast, x.span.union(high.span));
        let from = self.binder.fold(self.operator(">=", vec![x.clone(), low], span)?);
        let to = self.binder.fold(self.operator("<=", vec![x, high], span)?);
        self.negate(self.operator("AND", vec![from, to], span)?, negated)
    }

    /// `(a, b) OVERLAPS (c, d)`: the second of each pair is an end or a length, ends count as inside.
    fn overlaps(self, ast: &Ast, left: &Ast, right: &Ast) -> Result<Expr> {
        let (left_from, left_to) = self.period(left)?;
        let (right_from, right_to) = self.period(right)?;
        let span = self.binder.widen(ast, left_from.span.union(right_to.span));
        let first = self.binder.fold(self.operator(">=", vec![left_to, right_from], span)?);
        let second = self.binder.fold(self.operator(">=", vec![right_to, left_from], span)?);
        self.operator("AND", vec![first, second], span)
    }

    /// Start and end of `(a, b)`, in order.
    fn period(self, ast: &Ast) -> Result<(Expr, Expr)> {
        let place = self.binder.place(ast);
        let ends = match ast {
            Ast::Tuple(items) => self.binder.all(items.iter().map(|item| self.bind(item)))?,
            _ => Vec::new(),
        };
        let Ok([from, to]) = <[Expr; 2]>::try_from(ends) else {
            return Err(Diagnostic::error(Code::Syntax, "OVERLAPS compares periods")
                .at(place)
                .help("write (start, end) OVERLAPS (start, end); an end may be an interval"));
        };
        let span = from.span.union(to.span);
        let to = if to.data_type.is_interval() {
            self.binder.fold(self.operator("+", vec![from.clone(), to], span)?)
        } else {
            to
        };
        let in_order = self.binder.fold(self.operator("<=", vec![from.clone(), to.clone()], span)?);
        let either = |yes: &Expr, no: &Expr| {
            let data_type =
                yes.data_type.clone().with_nullable(yes.data_type.nullable || no.data_type.nullable);
            let branches = vec![(in_order.clone(), convert(yes.clone(), &data_type))];
            let otherwise = Box::new(convert(no.clone(), &data_type));
            self.binder.fold(Expr::new(ExprKind::Case { branches, otherwise }, data_type, span))
        };
        Ok((either(&from, &to), either(&to, &from)))
    }

    fn in_list(self, ast: &Ast, expr: &Ast, list: &[Ast], negated: bool) -> Result<Expr> {
        let args = self.binder.all(std::iter::once(expr).chain(list).map(|arg| self.bind(arg)))?;
        let span = self.covering(ast, &args);
        if lookup("IN").is_some() {
            return self.negate(self.operator("IN", args, span)?, negated);
        }
        let mut args = args.into_iter();
        let Some(x) = args.next() else { return Err(Diagnostic::error(Code::Internal, "IN of nothing")) };
        let mut any: Option<Expr> = None;
        for item in args {
            let equal = self.binder.fold(self.operator("=", vec![x.clone(), item], span)?);
            any = Some(match any {
                None => equal,
                Some(any) => self.operator("OR", vec![any, equal], span)?,
            });
        }
        let any =
            any.ok_or_else(|| Diagnostic::error(Code::Syntax, "IN needs at least one value").at(span))?;
        self.negate(any, negated)
    }

    fn like(
        self,
        name: &str,
        ast: &Ast,
        negated: bool,
        expr: &Ast,
        pattern: &Ast,
        escape: Option<&ast::ValueWithSpan>,
    ) -> Result<Expr> {
        let mut args = self.binder.all([expr, pattern].into_iter().map(|arg| self.bind(arg)))?;
        if let Some(escape) = escape {
            args.push(literal::bind(&escape.value, self.binder.span(escape.span))?);
        }
        let span = self.covering(ast, &args);
        self.negate(self.operator(name, args, span)?, negated)
    }

    // --- CASE ---------------------------------------------------------------------------------

    fn case(
        self,
        ast: &Ast,
        operand: Option<&Ast>,
        arms: &[ast::CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Expr> {
        let span = self.binder.place(ast);
        let operand = operand.map(|it| self.bind(it)).transpose()?;
        let conditions = self.binder.all(arms.iter().map(|arm| match &operand {
            None => self.condition(&arm.condition, "WHEN"),
            Some(operand) => {
                let value = self.bind(&arm.condition)?;
                let at = value.span;
                self.operator("=", vec![operand.clone().at(at), value], at).map(|it| self.binder.fold(it))
            }
        }));
        let results = arms.iter().map(|arm| &arm.result).chain(otherwise);
        let values = self.binder.all(results.map(|value| self.bind(value)));
        let (conditions, mut values) = (conditions?, values?);
        if otherwise.is_none() {
            values.push(literal::constant(Value::Null, TypeKind::Null, Span::default()));
        }
        let Some(common) = self.common(&values) else {
            return Err(no_common_type("the branches of CASE", &values).at(span));
        };
        let mut values: Vec<Expr> = values.into_iter().map(|value| convert(value, &common)).collect();
        let Some(otherwise) = values.pop() else {
            return Err(Diagnostic::error(Code::Internal, "CASE without branches"));
        };
        let branches = conditions.into_iter().zip(values).collect();
        Ok(Expr::new(ExprKind::Case { branches, otherwise: Box::new(otherwise) }, common, span))
    }

    /// The type that the values have in common, nullable if one of them is.
    fn common(self, values: &[Expr]) -> Option<DataType> {
        let types: Vec<DataType> = values.iter().map(|it| it.data_type.clone()).collect();
        let nullable = types.iter().any(|it| it.nullable);
        coerce::common_type(&types).map(|it| it.with_nullable(nullable))
    }

    // --- functions with a syntax of their own ---------------------------------------------------

    fn with_unit(self, name: &str, ast: &Ast, unit: &str, arg: &Ast, unit_first: bool) -> Result<Expr> {
        let arg = self.bind(arg)?;
        let span = self.covering(ast, std::slice::from_ref(&arg));
        let unit = literal::string(unit, span);
        let args = if unit_first { vec![unit, arg] } else { vec![arg, unit] };
        self.operator(name, args, span)
    }

    fn rounding(self, name: &str, ast: &Ast, arg: &Ast, field: &ast::CeilFloorKind) -> Result<Expr> {
        match field {
            ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {
                self.unary_function(name, ast, arg)
            }
            ast::CeilFloorKind::DateTimeField(unit) => {
                self.with_unit(&format!("{name}_TO"), ast, &interval::unit_name(unit), arg, false)
            }
            ast::CeilFloorKind::Scale(_) => Err(Diagnostic::not_supported(format_args!("a scale in {name}"))),
        }
    }

    fn trim(
        self,
        ast: &Ast,
        side: Option<ast::TrimWhereField>,
        what: Option<&Ast>,
        expr: &Ast,
    ) -> Result<Expr> {
        let name = match side {
            Some(ast::TrimWhereField::Leading) => "TRIM_LEADING",
            Some(ast::TrimWhereField::Trailing) => "TRIM_TRAILING",
            Some(ast::TrimWhereField::Both) | None => "TRIM",
        };
        let args: Vec<&Ast> = std::iter::once(expr).chain(what).collect();
        self.function(name, ast, &args)
    }
}

/// The name under which an operator is registered.
fn operator_name(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Gt => ">",
        BinaryOperator::Lt => "<",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        _ => return None,
    })
}

/// A field of a ROW; NULL if the ROW is.
pub(super) fn field_at(input: Expr, index: usize, span: Span) -> Expr {
    let TypeKind::Row(fields) = &input.data_type.kind else { return input };
    let Some(field) = fields.get(index) else { return input };
    let nullable = field.data_type.nullable || input.data_type.nullable;
    let data_type = field.data_type.clone().with_nullable(nullable);
    let name = field.name.clone();
    let span = input.span.union(span);
    Expr::new(ExprKind::Field { input: Box::new(input), index, name }, data_type, span)
}

/// The expression in this type, as it is if it has the type already (whatever its nullability).
pub(super) fn convert(expr: Expr, to: &DataType) -> Expr {
    if expr.data_type.kind == to.kind {
        return expr;
    }
    let to = to.clone().with_nullable(expr.data_type.nullable);
    coerce::cast_expr(expr, &to, CastMode::Strict)
}

/// The values' types can't be brought together.
pub(super) fn no_common_type(what: &str, values: &[Expr]) -> Box<Diagnostic> {
    let mut types: Vec<String> = values.iter().map(|it| it.data_type.kind.to_string()).collect();
    types.dedup();
    let message = format!("{what} have no type in common: {}", types.join(", "));
    Diagnostic::error(Code::TypeMismatch, message).help("convert them with CAST(… AS type)")
}
