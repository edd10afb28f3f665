//! Sub-queries that stand in expressions: what they say of a row, by joins.
//!
//! ```text
//!   x > (SELECT MAX(y) FROM w)         x > #0            #0 stands in for the sub-query's value
//!       what lies below is known ────► Filter x > $0
//!                                        Join Left TRUE
//!                                          Aggregate [] MAX(y)
//! ```
//!
//! | sub-query | joined | value |
//! |---|---|---|
//! | `(SELECT …)` | its only row, of those that fit | the column; NULL without a row |
//! | `EXISTS` | the outer values that have a row, or the number of rows | is there one |
//! | `x IN` | the different items; how many there are and how many are not NULL | see [`in_value`] |
//! | `x > ANY` | the least item; how many there are and how many are not NULL | see [`quantified_value`] |
//!
//! While an expression is bound, a sub-query becomes a column that stands in for it, as calls of
//! aggregates do (`calls.rs`). [`Answers::attach`] makes the joins when the rows are known that the
//! expression is computed from.

use std::cell::RefCell;

use flott_expr::{AggregateCall, Expr, ExprKind, Value, lookup_aggregate};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, BinaryOperator, Expr as Ast, FunctionArguments};

use super::{
    calls::{SUB_QUERIES, replace_stand_ins},
    decorrelate::{Flat, LEVEL, OUTER, all_of, call_of, fill, flatten, has_outer, is_single_row},
    expr::ExprBinder,
    join::{always, join_schema},
    literal,
    query::{Around, columns_of},
};
use crate::{LogicalPlan, plan::JoinKind};

/// Positions from here on are columns of the right side of a join to be.
const RIGHT: usize = 1 << 60;
/// How much further those of the next join are.
const NEXT: usize = 1 << 48;

/// The sub-queries of the expressions of one clause.
#[derive(Debug)]
pub(super) struct SubQueries<'b> {
    /// What they see besides the columns of their query.
    pub(super) around: &'b Around,
    answers: RefCell<Vec<Answer>>,
}

/// Joins to be made, and what stands for the sub-queries then.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<Answer>);

/// What one sub-query says. Expressions are over the columns of the query around it, and those of
/// the joins' right sides from [`RIGHT`] on.
#[derive(Debug)]
struct Answer {
    joins: Vec<Wanted>,
    value: Expr,
}

/// A join to be made.
#[derive(Debug)]
pub(super) struct Wanted {
    right: LogicalPlan,
    kind: JoinKind,
    condition: Expr,
    span: Span,
}

impl<'b> SubQueries<'b> {
    pub(super) fn new(around: &'b Around) -> Self {
        Self { around, answers: RefCell::default() }
    }

    /// What has been found.
    pub(super) fn take(&self) -> Answers {
        Answers(self.answers.take())
    }

    fn stand_in(&self, answer: Answer, span: Span) -> Expr {
        let mut answers = self.answers.borrow_mut();
        let data_type = answer.value.data_type.clone();
        answers.push(answer);
        Expr::column(SUB_QUERIES + answers.len() - 1, "$sub_query", data_type).at(span)
    }

    /// Rows without a value cannot fulfil the condition: they need not be kept by the join.
    pub(super) fn drop_without_value(&self, condition: &Expr) {
        let mut strict = Vec::new();
        strict_stand_ins(condition, &mut strict);
        let mut answers = self.answers.borrow_mut();
        for at in strict {
            if let Some(Answer { joins, value }) = answers.get_mut(at)
                && let ExprKind::Column { index: RIGHT.., .. } = value.kind
                && let [join] = joins.as_mut_slice()
            {
                join.kind = JoinKind::Inner;
            }
        }
    }
}

/// The stand-ins of which NULL makes the comparison NULL.
fn strict_stand_ins(expr: &Expr, found: &mut Vec<usize>) {
    match &expr.kind {
        ExprKind::Column { index, .. } if (SUB_QUERIES..OUTER).contains(index) => {
            found.push(index - SUB_QUERIES);
        }
        ExprKind::Cast { input, .. } => strict_stand_ins(input, found),
        ExprKind::Call { function, args } => {
            let strict = ["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/"];
            if strict.contains(&function.name) {
                args.iter().for_each(|arg| strict_stand_ins(arg, found));
            }
        }
        _ => {}
    }
}

/// Whether the expression waits for what a sub-query says.
pub(super) fn has_stand_in(expr: &Expr) -> bool {
    expr.columns().iter().any(|at| (SUB_QUERIES..OUTER).contains(at))
}

/// How expressions over the columns of FROM are read above what lies in between.
pub(super) type Lift<'l> = &'l dyn Fn(&Expr) -> Result<Expr>;

impl Answers {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The joins above the plan, and the value of each sub-query.
    pub(super) fn attach(self, mut plan: LogicalPlan, lift: Lift<'_>) -> Result<(LogicalPlan, Vec<Expr>)> {
        let mut values: Vec<Expr> = Vec::new();
        for Answer { joins, value } in self.0 {
            let mut starts = Vec::new();
            for join in joins {
                starts.push(plan.schema().len());
                plan = join.attach(plan, &starts, lift, &values)?;
            }
            values.push(placed(&value, &starts, lift, &values)?);
        }
        Ok((plan, values))
    }
}

/// The expression with the sub-queries' values.
pub(super) fn answered(expr: &mut Expr, values: &[Expr]) {
    replace_stand_ins(expr, SUB_QUERIES, &|at| values.get(at).cloned());
}

impl Wanted {
    /// A semi or anti join with a sub-query's rows.
    pub(super) fn filtering(right: LogicalPlan, condition: Expr, negated: bool, span: Span) -> Self {
        let kind = if negated { JoinKind::Anti } else { JoinKind::Semi };
        Self { right, kind, condition, span }
    }

    fn attach(
        self,
        left: LogicalPlan,
        starts: &[usize],
        lift: Lift<'_>,
        values: &[Expr],
    ) -> Result<LogicalPlan> {
        let Self { mut right, kind, condition, span } = self;
        fill(&mut right, &left, &|expr| placed(&seen_from_outside(expr.clone(), 0), starts, lift, values))?;
        let condition = placed(&condition, starts, lift, values)?;
        let schema = join_schema(&left.schema(), &right.schema(), kind);
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(LogicalPlan::Join { left, right, kind, condition, state_ttl: [None; 2], schema, span })
    }

    /// The join above the plan.
    pub(super) fn above(self, left: LogicalPlan, lift: Lift<'_>) -> Result<LogicalPlan> {
        let starts = [left.schema().len()];
        self.attach(left, &starts, lift, &[])
    }
}

/// The expression over the joins' columns, right sides beginning at `starts`.
fn placed(expr: &Expr, starts: &[usize], lift: Lift<'_>, values: &[Expr]) -> Result<Expr> {
    let mut expr = lift(expr)?;
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind
            && let Some(right) = index.checked_sub(RIGHT)
        {
            *index = starts.get(right / NEXT).copied().unwrap_or(0) + right % NEXT;
        }
    });
    answered(&mut expr, values);
    Ok(expr)
}

/// An expression of a flat sub-query as the query around reads it, the plan being the right side of
/// its nth join.
pub(super) fn seen_from_outside(mut expr: Expr, join: usize) -> Expr {
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind {
            *index = match *index {
                inner @ ..OUTER => RIGHT + join * NEXT + inner,
                outer if outer < OUTER + LEVEL => outer - OUTER,
                further => further - LEVEL,
            };
        }
    });
    expr
}

/// The column of the nth join's right side, which rows may lack.
fn of_right(join: usize, at: usize, schema: &Schema) -> Expr {
    let (name, mut data_type) = match schema.fields.get(at) {
        Some(field) => (field.name.as_str(), field.data_type.clone()),
        None => ("", TypeKind::Null.into()),
    };
    data_type.nullable = true;
    Expr::column(RIGHT + join * NEXT + at, name, data_type)
}

impl<'b> ExprBinder<'b, '_> {
    fn sub_queries(self, what: &str, span: Span) -> Result<&'b SubQueries<'b>> {
        self.sub_queries.ok_or_else(|| {
            Diagnostic::not_supported(format_args!("{what} in {}", self.clause)).at(span).help(
                "sub-queries stand in SELECT, WHERE, GROUP BY, HAVING, ORDER BY, and in ON of an inner join",
            )
        })
    }

    /// `(SELECT …)` as a value.
    pub(super) fn scalar(self, query: &ast::Query, span: Span) -> Result<Expr> {
        let found = self.sub_queries("a sub-query", span)?;
        let plan = self.binder.query(query, &found.around.inside(self.scope))?;
        let flat = flatten(plan, false, span)?;
        if flat.columns.len() != 1 {
            let message =
                format!("a sub-query that stands for a value selects one column, not {}", flat.columns.len());
            return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
        }
        Ok(found.stand_in(scalar_answer(flat, span)?, span))
    }

    /// `EXISTS (SELECT …)`
    pub(super) fn exists(self, query: &ast::Query, negated: bool, span: Span) -> Result<Expr> {
        let found = self.sub_queries("EXISTS", span)?;
        let plan = self.binder.query(query, &found.around.inside(self.scope))?;
        let answer = match always_has_row(&plan) {
            true => Answer { joins: Vec::new(), value: always() },
            false => exists_answer(flatten(plan, true, span)?, span)?,
        };
        self.negated(found.stand_in(answer, span), negated)
    }

    /// `left IN (SELECT …)`
    pub(super) fn in_query(self, left: &Ast, query: &ast::Query, negated: bool, span: Span) -> Result<Expr> {
        let found = self.sub_queries("IN (SELECT …)", span)?;
        let left = self.row_values(left)?;
        let plan = self.binder.query(query, &found.around.inside(self.scope))?;
        let flat = flatten(plan, true, span)?;
        check_width(left.len(), flat.columns.len(), span)?;
        let two_valued = self.two_valued && !negated;
        self.negated(found.stand_in(in_answer(left, flat, two_valued, span)?, span), negated)
    }

    /// `left > ANY (SELECT …)`, `left <> ALL (SELECT …)`
    pub(super) fn quantified(
        self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        all: bool,
        span: Span,
    ) -> Result<Expr> {
        let query = match right {
            Ast::Subquery(query) => query,
            _ => {
                return Err(Diagnostic::error(Code::Syntax, "ANY, SOME and ALL need a sub-query").at(span));
            }
        };
        let (sign, extremes): (_, &[&str]) = match (op, all) {
            (BinaryOperator::Eq, false) => return self.in_query(left, query, false, span),
            (BinaryOperator::NotEq, true) => return self.in_query(left, query, true, span),
            (BinaryOperator::Gt, false) => (">", &["MIN"]),
            (BinaryOperator::GtEq, false) => (">=", &["MIN"]),
            (BinaryOperator::Lt, false) => ("<", &["MAX"]),
            (BinaryOperator::LtEq, false) => ("<=", &["MAX"]),
            (BinaryOperator::Gt, true) => (">", &["MAX"]),
            (BinaryOperator::GtEq, true) => (">=", &["MAX"]),
            (BinaryOperator::Lt, true) => ("<", &["MIN"]),
            (BinaryOperator::LtEq, true) => ("<=", &["MIN"]),
            (BinaryOperator::Eq, true) => ("=", &["MIN", "MAX"]),
            (BinaryOperator::NotEq, false) => ("<>", &["MIN", "MAX"]),
            (other, _) => {
                let message = format!("{other} is no comparison for ANY, SOME or ALL");
                return Err(Diagnostic::error(Code::Syntax, message).at(span));
            }
        };
        let found = self.sub_queries("a comparison with ANY, SOME or ALL", span)?;
        let left = self.bind(left)?;
        let plan = self.binder.query(query, &found.around.inside(self.scope))?;
        let flat = flatten(plan, false, span)?.apart(span)?.materialised();
        check_width(1, flat.columns.len(), span)?;
        let item = inner_columns(&flat, span)?;
        let counted = counted(flat, &item, extremes, 0, span)?;
        let value = quantified_value(left, sign, all, &counted, span)?;
        Ok(found.stand_in(Answer { joins: vec![counted.join], value }, span))
    }

    fn negated(self, expr: Expr, negated: bool) -> Result<Expr> {
        let span = expr.span;
        if negated { self.operator("NOT", vec![expr], span) } else { Ok(expr) }
    }

    /// `a`, `(a, b)`, `ROW(a, b)` before IN.
    pub(super) fn row_values(self, ast: &Ast) -> Result<Vec<Expr>> {
        let binder = self;
        match ast {
            Ast::Tuple(items) => self.binder.all(items.iter().map(|it| binder.bind(it))),
            Ast::Function(function) if function.name.to_string().eq_ignore_ascii_case("ROW") => {
                let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
                let items = list.args.iter().filter_map(|arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(binder.bind(expr)),
                    _ => None,
                });
                self.binder.all(items)
            }
            _ => Ok(vec![binder.bind(ast)?]),
        }
    }
}

/// As many values before IN as columns behind it.
pub(super) fn check_width(left: usize, right: usize, span: Span) -> Result<()> {
    if left == right {
        return Ok(());
    }
    let message = format!("IN compares {left} columns with {right} of the sub-query");
    Err(Diagnostic::error(Code::TypeMismatch, message).at(span))
}

/// The items as columns of the sub-query's plan.
fn inner_columns(flat: &Flat, span: Span) -> Result<Vec<Expr>> {
    if flat.columns.iter().any(has_outer) {
        return Err(Diagnostic::not_supported("a sub-query here that selects outer columns").at(span));
    }
    Ok(flat.columns.clone())
}

fn on_all(conditions: Vec<Expr>, span: Span) -> Result<Expr> {
    Ok(all_of(conditions, span)?.unwrap_or_else(always))
}

// --- values -----------------------------------------------------------------------------------

fn scalar_answer(flat: Flat, span: Span) -> Result<Answer> {
    if flat.single_row {
        return single_row_answer(flat, |mut columns| columns.pop(), span);
    }
    let flat = flat.apart(span)?.materialised();
    let item = inner_columns(&flat, span)?;
    let keys = flat.keyed(span)?;
    if keys.is_empty() && has_one_row(&flat.plan) {
        let schema = flat.plan.schema();
        let at = item.iter().flat_map(Expr::columns).next().unwrap_or(0);
        let join = Wanted { right: flat.plan, kind: JoinKind::Left, condition: always(), span };
        return Ok(Answer { joins: vec![join], value: of_right(0, at, &schema).at(span) });
    }
    let grouping: Vec<Expr> = keys.iter().map(|it| it.inner.clone()).collect();
    let single = vec![aggregate("SINGLE_VALUE", item, span)?];
    let right = grouped(flat.plan, grouping, single);
    let schema = right.schema();
    let mut conditions = Vec::new();
    for (key, column) in keys.iter().zip(columns_of(&schema)) {
        conditions.push(seen_from_outside(key.compared_with(column)?, 0));
    }
    let value = of_right(0, keys.len(), &schema).at(span);
    let join = Wanted { right, kind: JoinKind::Left, condition: on_all(conditions, span)?, span };
    Ok(Answer { joins: vec![join], value })
}

/// Of a sub-query that has one row for each outer row: a value made of its columns.
fn single_row_answer(
    flat: Flat,
    value: impl FnOnce(Vec<Expr>) -> Option<Expr>,
    span: Span,
) -> Result<Answer> {
    let columns = flat.columns.into_iter().map(|it| seen_from_outside(it, 0)).collect();
    let value = value(columns);
    let mut value =
        value.ok_or_else(|| Diagnostic::error(Code::Internal, "a value of no columns").at(span))?;
    let having = flat.having.into_iter().map(|it| seen_from_outside(it, 0)).collect();
    if let Some(having) = all_of(having, span)? {
        let data_type = value.data_type.clone().with_nullable(true);
        let otherwise = Box::new(Expr::literal(Value::Null, data_type.clone()));
        let kind = ExprKind::Case { branches: vec![(having, value)], otherwise };
        value = Expr::new(kind, data_type, span);
    }
    let conditions = flat.conditions.into_iter().map(|it| seen_from_outside(it, 0)).collect();
    let condition = on_all(conditions, span)?;
    let join = Wanted { right: flat.plan, kind: JoinKind::Left, condition, span };
    Ok(Answer { joins: vec![join], value })
}

fn exists_answer(flat: Flat, span: Span) -> Result<Answer> {
    if flat.single_row {
        if flat.having.is_empty() {
            return Ok(Answer { joins: Vec::new(), value: always() });
        }
        let mut answer = single_row_answer(flat, |_| Some(always()), span)?;
        answer.value = call_of("IS TRUE", vec![answer.value], span)?;
        return Ok(answer);
    }
    if flat.conditions.is_empty() {
        let right = grouped(flat.plan, Vec::new(), vec![aggregate("COUNT", Vec::new(), span)?]);
        let value = is_positive(of_right(0, 0, &right.schema()), span)?;
        let join = Wanted { right, kind: JoinKind::Left, condition: always(), span };
        return Ok(Answer { joins: vec![join], value });
    }
    let flat = flat.apart(span)?;
    let keys = flat.keyed(span)?;
    let right = marked(flat.plan, keys.iter().map(|it| it.inner.clone()).collect());
    let schema = right.schema();
    let mut conditions = Vec::new();
    for (key, column) in keys.iter().zip(columns_of(&schema)) {
        conditions.push(seen_from_outside(key.compared_with(column)?, 0));
    }
    let value = call_of("IS NOT NULL", vec![of_right(0, keys.len(), &schema)], span)?;
    let join = Wanted { right, kind: JoinKind::Left, condition: on_all(conditions, span)?, span };
    Ok(Answer { joins: vec![join], value })
}

/// What a sub-query of one row for each outer row says to EXISTS or IN; `None` if it isn't one.
pub(super) fn in_single_row(
    binder: ExprBinder<'_, '_>,
    left: Option<Vec<Expr>>,
    flat: Flat,
    span: Span,
) -> Result<Expr> {
    let found = binder.sub_queries("this sub-query", span)?;
    let answer = match left {
        Some(left) => in_answer(left, flat, true, span)?,
        None => exists_answer(flat, span)?,
    };
    Ok(found.stand_in(answer, span))
}

fn in_answer(left: Vec<Expr>, flat: Flat, two_valued: bool, span: Span) -> Result<Answer> {
    if flat.single_row {
        let mut equal = None;
        let compare = |columns: Vec<Expr>| {
            let pairs = left.into_iter().zip(columns);
            let all = pairs.map(|(a, b)| call_of("=", vec![a, b], span)).collect::<Result<Vec<_>>>();
            equal = Some(all.and_then(|all| on_all(all, span)));
            Some(always())
        };
        let mut answer = single_row_answer(flat, compare, span)?;
        if let Some(equal) = equal.transpose()? {
            // Without a row that HAVING keeps the value is in nothing.
            answer.value = match &answer.value.kind {
                ExprKind::Case { .. } => {
                    let there = call_of("IS TRUE", vec![answer.value], span)?;
                    call_of("AND", vec![there, equal], span)?
                }
                _ => equal,
            };
        }
        return Ok(answer);
    }
    let flat = flat.apart(span)?.materialised();
    let items = inner_columns(&flat, span)?;
    let keys = flat.keyed(span)?;
    let certain = |it: &Expr| !it.data_type.nullable;
    let two_valued = two_valued || left.iter().chain(&items).all(certain);
    if !two_valued && items.len() > 1 {
        return Err(Diagnostic::not_supported("IN with several columns that may be NULL, as a value")
            .at(span)
            .help("compare them in WHERE under AND, or each column by EXISTS"));
    }
    let grouping: Vec<Expr> = keys.iter().map(|it| it.inner.clone()).chain(items.iter().cloned()).collect();
    let right = marked(flat.plan.clone(), grouping);
    let schema = right.schema();
    let mut columns = columns_of(&schema);
    let mut conditions = Vec::new();
    for (key, column) in keys.iter().zip(columns.by_ref()) {
        conditions.push(seen_from_outside(key.compared_with(column)?, 0));
    }
    for (value, column) in left.iter().zip(columns) {
        let equal = call_of("=", vec![value.clone(), seen_from_outside(column, 0)], span);
        conditions.push(equal.map_err(comparable)?);
    }
    let there = of_right(0, schema.len().saturating_sub(1), &schema);
    let there = call_of("IS NOT NULL", vec![there], span)?;
    let join = Wanted { right, kind: JoinKind::Left, condition: on_all(conditions, span)?, span };
    if two_valued {
        return Ok(Answer { joins: vec![join], value: there });
    }
    let counted = counted(flat, &items, &[], 1, span)?;
    let value = in_value(there, &left, &counted, span)?;
    Ok(Answer { joins: vec![join, counted.join], value })
}

/// What is to be said when a value cannot be compared with an item.
pub(super) fn comparable(error: Box<Diagnostic>) -> Box<Diagnostic> {
    error.help("the value and the sub-query's column need types that can be compared")
}

/// TRUE if it is there, FALSE if there is nothing, NULL if a NULL may be it, else FALSE.
fn in_value(there: Expr, left: &[Expr], counted: &Counted, span: Span) -> Result<Expr> {
    let branches = vec![
        (there, truth(Some(true))),
        (counted.none(span)?, truth(Some(false))),
        (counted.unknown(left, span)?, truth(None)),
    ];
    Ok(case(branches, truth(Some(false)), span))
}

/// `x > ANY (…)`: TRUE of the least item means TRUE, `x > ALL (…)`: FALSE of the greatest means
/// FALSE; else the answer is certain if nothing is NULL. `= ALL` and `<> ANY` ask both ends.
fn quantified_value(left: Expr, sign: &str, all: bool, counted: &Counted, span: Span) -> Result<Expr> {
    let mut branches = vec![(counted.none(span)?, truth(Some(all)))];
    for extreme in &counted.extremes {
        let compared = call_of(sign, vec![left.clone(), extreme.clone()], span).map_err(comparable)?;
        let decided = call_of(if all { "IS FALSE" } else { "IS TRUE" }, vec![compared], span)?;
        branches.push((decided, truth(Some(!all))));
    }
    branches.push((counted.unknown(&[left], span)?, truth(None)));
    Ok(case(branches, truth(Some(all)), span))
}

fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr, span: Span) -> Expr {
    Expr::new(ExprKind::Case { branches, otherwise: Box::new(otherwise) }, DataType::boolean(), span)
}

fn truth(value: Option<bool>) -> Expr {
    Expr::literal(value.map_or(Value::Null, Value::Boolean), DataType::boolean())
}

/// How many items there are for an outer row.
struct Counted {
    join: Wanted,
    /// All items; NULL if there are none.
    all: Expr,
    /// Those that are not NULL.
    known: Expr,
    /// The least, the greatest, or both.
    extremes: Vec<Expr>,
}

fn counted(flat: Flat, item: &[Expr], extremes: &[&str], join: usize, span: Span) -> Result<Counted> {
    let keys = flat.keyed(span)?;
    let grouping: Vec<Expr> = keys.iter().map(|it| it.inner.clone()).collect();
    let mut calls = vec![aggregate("COUNT", Vec::new(), span)?, aggregate("COUNT", item.to_vec(), span)?];
    for extreme in extremes {
        calls.push(aggregate(extreme, item.to_vec(), span)?);
    }
    let right = grouped(flat.plan, grouping, calls);
    let schema = right.schema();
    let mut conditions = Vec::new();
    for (key, column) in keys.iter().zip(columns_of(&schema)) {
        conditions.push(seen_from_outside(key.compared_with(column)?, join));
    }
    let column = |at: usize| of_right(join, keys.len() + at, &schema);
    let (all, known) = (column(0), column(1));
    let extremes = (0..extremes.len()).map(|at| column(2 + at)).collect();
    let join = Wanted { right, kind: JoinKind::Left, condition: on_all(conditions, span)?, span };
    Ok(Counted { join, all, known, extremes })
}

impl Counted {
    /// There is no item.
    fn none(&self, span: Span) -> Result<Expr> {
        call_of("NOT", vec![is_positive(self.all.clone(), span)?], span)
    }

    /// Something that is compared may be NULL.
    fn unknown(&self, left: &[Expr], span: Span) -> Result<Expr> {
        let mut unknown = call_of("<", vec![self.known.clone(), self.all.clone()], span)?;
        for value in left.iter().filter(|it| it.data_type.nullable) {
            let null = call_of("IS NULL", vec![value.clone()], span)?;
            unknown = call_of("OR", vec![unknown, null], span)?;
        }
        Ok(unknown)
    }
}

/// Whether a number of rows, NULL for none, is above zero.
fn is_positive(number: Expr, span: Span) -> Result<Expr> {
    let zero = || literal::constant(Value::Int(0), TypeKind::BigInt, span);
    let number = call_of("COALESCE", vec![number, zero()], span)?;
    call_of(">", vec![number, zero()], span)
}

fn aggregate(name: &str, args: Vec<Expr>, span: Span) -> Result<AggregateCall> {
    let function = lookup_aggregate(name);
    let function =
        function.ok_or_else(|| Diagnostic::error(Code::Internal, format!("there is no {name}")))?;
    function.call(args, false, None, span)
}

/// Groups by these keys.
fn grouped(input: LogicalPlan, keys: Vec<Expr>, calls: Vec<AggregateCall>) -> LogicalPlan {
    let named = keys.iter().enumerate().map(|(at, key)| {
        let name = match &key.kind {
            ExprKind::Column { name, .. } => name.clone(),
            _ => format!("$key{at}"),
        };
        Field::new(name, key.data_type.clone())
    });
    let mut fields: Vec<Field> = named.collect();
    let results = calls.iter().enumerate();
    fields.extend(results.map(|(at, call)| {
        let nullable = call.data_type.nullable || keys.is_empty() && call.function.name != "COUNT";
        Field::new(format!("${at}"), call.data_type.clone().with_nullable(nullable))
    }));
    let sets = vec![(0..keys.len()).collect()];
    let schema = Schema::new(fields);
    LogicalPlan::Aggregate { input: Box::new(input), keys, sets, calls, state_ttl: None, schema }
}

/// The different values of the keys, and a last column that is always TRUE.
fn marked(input: LogicalPlan, keys: Vec<Expr>) -> LogicalPlan {
    let groups = grouped(input, keys, Vec::new());
    let mut schema = groups.schema();
    let exprs = columns_of(&schema).chain([always()]).collect();
    schema.fields.push(Field::new("$there", DataType::boolean().not_null()));
    LogicalPlan::Project { input: Box::new(groups), exprs, schema }
}

/// The number of rows, if there are any, as the only row: what EXISTS needs of rows that are the
/// same for all.
pub(super) fn if_any(input: LogicalPlan, span: Span) -> Result<LogicalPlan> {
    let count = grouped(input, Vec::new(), vec![aggregate("COUNT", Vec::new(), span)?]);
    let number = columns_of(&count.schema()).next();
    let number =
        number.ok_or_else(|| Diagnostic::error(Code::Internal, "COUNT without a column").at(span))?;
    let zero = literal::constant(Value::Int(0), TypeKind::BigInt, span);
    let predicate = call_of(">", vec![number, zero], span)?;
    Ok(LogicalPlan::Filter { input: Box::new(count), predicate })
}

/// Whether there is a row whatever the input: one group of all rows.
pub(super) fn always_has_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Project { input, .. } => always_has_row(input),
        LogicalPlan::Filter { .. } => false,
        other => is_single_row(other),
    }
}

/// Whether the plan can't have two rows.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Values { rows, .. } => rows.len() <= 1,
        LogicalPlan::Sort { limit: Some(limit), .. } => *limit <= 1,
        LogicalPlan::Project { input, .. } | LogicalPlan::Filter { input, .. } => has_one_row(input),
        other => is_single_row(other),
    }
}
