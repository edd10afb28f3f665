//! `GROUP BY`: keys, grouping sets, and what may stand above a group.
//!
//! ```text
//!   GROUP BY a, ROLLUP(b, c)     keys [a, b, c]     sets [[0, 1, 2], [0, 1], [0]]
//! ```
//!
//! Each item of `GROUP BY` is a list of sets (a plain expression: one set of itself); the sets of
//! the clause are all ways to take one of each item, as the SQL standard has it.

use flott_expr::{AggregateCall, Expr, ExprKind, Value, lookup};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    Binder,
    calls::{AGGREGATES, Calls, GROUPINGS, OVERS, same, stand_in},
    expr::ExprBinder,
    group_window::{self, GroupWindow},
    literal,
};
use crate::LogicalPlan;

/// More grouping sets than this are surely a mistake.
const MAX_SETS: usize = 4_096;

/// The keys and the sets of them that make up groups.
#[derive(Debug, Default, Clone)]
pub(super) struct Grouping {
    pub(super) keys: Vec<Expr>,
    pub(super) sets: Vec<Vec<usize>>,
}

/// `GROUPING(a, b)`, `GROUP_ID()`: what they say differs from set to set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GroupingCall {
    /// One bit for each of these keys, the last the lowest: 1 if the set lacks it.
    Grouping(Vec<usize>),
    /// How many equal sets come before this one.
    GroupId,
}

impl Grouping {
    /// One set of all.
    fn key(&mut self, expr: Expr) -> usize {
        self.keys.iter().position(|it| same(it, &expr)).unwrap_or_else(|| {
            self.keys.push(expr);
            self.keys.len() - 1
        })
    }

    /// Whether a group may have no rows.
    pub(super) fn may_be_empty(&self) -> bool {
        self.sets.iter().any(Vec::is_empty)
    }

    fn set_column(&self, calls: usize) -> usize {
        self.keys.len() + calls
    }
}

impl Binder<'_> {
    /// The clause's keys and sets. `calls` gets the window if one of the items is `TUMBLE(…)`.
    /// `None` if there is no such clause.
    pub(super) fn group_by(
        &self,
        select: &ast::Select,
        binder: ExprBinder<'_, '_>,
        width: usize,
        calls: &mut Calls,
    ) -> Result<Option<Grouping>> {
        let exprs = match &select.group_by {
            ast::GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            ast::GroupByExpr::Expressions(..) => {
                return Err(Diagnostic::error(Code::Syntax, "WITH ROLLUP and WITH CUBE are not Flink SQL")
                    .help("write GROUP BY ROLLUP(a, b)"));
            }
            ast::GroupByExpr::All(_) => {
                return Err(Diagnostic::error(Code::Syntax, "there is no GROUP BY ALL in Flink SQL"));
            }
        };
        if exprs.is_empty() {
            return Ok(None);
        }
        let binder = ExprBinder { clause: "GROUP BY", ..binder };
        let mut grouping = Grouping { keys: Vec::new(), sets: vec![Vec::new()] };
        let mut window: Option<(&ast::Expr, usize)> = None;
        for (at, expr) in exprs.iter().enumerate() {
            if group_window::is_call(expr) {
                if window.is_some() {
                    let message = "GROUP BY has more than one window";
                    return Err(Diagnostic::error(Code::InvalidDefinition, message).at(self.place(expr)));
                }
                window = Some((expr, at));
                continue;
            }
            let sets = self.sets_of(expr, binder, &mut grouping);
            let sets = sets.map_err(|error| self.explain_alias(error, expr, select))?;
            let span = self.place(expr);
            grouping.sets = product(&grouping.sets, &sets, span)?;
        }
        if let Some((call, _)) = window {
            let bound = group_window::bind(binder, call, width, &grouping.keys)?;
            let places: Vec<usize> = bound.columns().map(|column| grouping.key(column)).collect();
            for set in &mut grouping.sets {
                set.extend(&places);
            }
            calls.window = Some(bound);
        }
        calls.empty_group = grouping.may_be_empty();
        calls.keys = Some(grouping.keys.clone());
        Ok(Some(grouping))
    }

    /// `SELECT a + 1 AS x … GROUP BY x`: says what `x` is.
    fn explain_alias(&self, error: Box<Diagnostic>, ast: &Ast, select: &ast::Select) -> Box<Diagnostic> {
        let Ast::Identifier(name) = ast else { return error };
        let aliased = select.projection.iter().find_map(|item| match item {
            ast::SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr),
            _ => None,
        });
        match aliased {
            Some(expr) if error.code == Code::UnknownColumn => error.help(format!(
                "GROUP BY does not know the names of SELECT: write {}",
                self.source.slice(self.place(expr))
            )),
            _ => error,
        }
    }

    /// The sets that one item stands for.
    fn sets_of(
        &self,
        ast: &Ast,
        binder: ExprBinder<'_, '_>,
        grouping: &mut Grouping,
    ) -> Result<Vec<Vec<usize>>> {
        Ok(match ast {
            Ast::Rollup(items) => rollup(self.each_set(items, binder, grouping)?),
            Ast::Cube(items) => cube(self.each_set(items, binder, grouping)?, self.place(ast))?,
            Ast::GroupingSets(items) => {
                let mut sets = Vec::new();
                for item in items {
                    match item.as_slice() {
                        [only] => sets.extend(self.sets_of(only, binder, grouping)?),
                        items => sets.push(self.set(items, binder, grouping)?),
                    }
                }
                sets
            }
            Ast::Tuple(items) => vec![self.set(items, binder, grouping)?],
            Ast::Function(function) if is_rollup_or_cube(function) => {
                let items: Vec<Vec<Ast>> = plain_arguments(function).into_iter().map(members).collect();
                let sets = self.each_set(&items, binder, grouping)?;
                match function.name.to_string().eq_ignore_ascii_case("ROLLUP") {
                    true => rollup(sets),
                    false => cube(sets, self.place(ast))?,
                }
            }
            _ => vec![self.set(std::slice::from_ref(ast), binder, grouping)?],
        })
    }

    fn each_set(
        &self,
        items: &[Vec<Ast>],
        binder: ExprBinder<'_, '_>,
        grouping: &mut Grouping,
    ) -> Result<Vec<Vec<usize>>> {
        items.iter().map(|it| self.set(it, binder, grouping)).collect()
    }

    fn set(&self, items: &[Ast], binder: ExprBinder<'_, '_>, grouping: &mut Grouping) -> Result<Vec<usize>> {
        let exprs = self.all(items.iter().map(|it| binder.bind(it)))?;
        let mut set = Vec::new();
        for expr in exprs {
            if expr.data_type.is_null() {
                return Err(Diagnostic::error(Code::TypeMismatch, "the type of this NULL is unknown")
                    .at(expr.span)
                    .help("write CAST(NULL AS type)"));
            }
            let key = grouping.key(expr);
            if !set.contains(&key) {
                set.push(key);
            }
        }
        Ok(set)
    }
}

fn is_rollup_or_cube(function: &ast::Function) -> bool {
    let name = function.name.to_string();
    name.eq_ignore_ascii_case("ROLLUP") || name.eq_ignore_ascii_case("CUBE")
}

fn plain_arguments(function: &ast::Function) -> Vec<&Ast> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    plain.collect()
}

/// `(a, b)` as one member of ROLLUP or CUBE.
fn members(ast: &Ast) -> Vec<Ast> {
    match ast {
        Ast::Tuple(items) => items.clone(),
        Ast::Nested(inner) => vec![(**inner).clone()],
        other => vec![other.clone()],
    }
}

/// All first members, then one less each time.
fn rollup(members: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    (0..=members.len()).rev().map(|n| joined(members.iter().take(n))).collect()
}

/// All choices of members, the fullest first.
fn cube(members: Vec<Vec<usize>>, span: Span) -> Result<Vec<Vec<usize>>> {
    let choices = u32::try_from(members.len()).ok().and_then(|n| 1usize.checked_shl(n));
    let choices = choices.filter(|it| *it <= MAX_SETS).ok_or_else(|| too_many(span))?;
    let top = members.len();
    let taken = |mask: usize| {
        let chosen = members.iter().enumerate().filter(move |(at, _)| mask >> (top - 1 - at) & 1 == 1);
        joined(chosen.map(|(_, it)| it))
    };
    Ok((0..choices).rev().map(taken).collect())
}

fn joined<'m>(members: impl Iterator<Item = &'m Vec<usize>>) -> Vec<usize> {
    let mut set = Vec::new();
    for key in members.flatten() {
        if !set.contains(key) {
            set.push(*key);
        }
    }
    set
}

fn product(left: &[Vec<usize>], right: &[Vec<usize>], span: Span) -> Result<Vec<Vec<usize>>> {
    if left.len().saturating_mul(right.len()) > MAX_SETS {
        return Err(too_many(span));
    }
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| joined([a, b].into_iter())));
    Ok(pairs.collect())
}

fn too_many(span: Span) -> Box<Diagnostic> {
    let message = format!("GROUP BY has more than {MAX_SETS} grouping sets");
    Diagnostic::error(Code::InvalidDefinition, message).at(span)
}

/// A call of GROUPING, GROUPING_ID or GROUP_ID.
pub(super) fn call(
    binder: ExprBinder<'_, '_>,
    upper: &str,
    ast: &ast::Function,
    span: Span,
) -> Option<Result<Expr>> {
    matches!(upper, "GROUPING" | "GROUPING_ID" | "GROUP_ID").then(|| bind_call(binder, upper, ast, span))
}

fn bind_call(binder: ExprBinder<'_, '_>, upper: &str, ast: &ast::Function, span: Span) -> Result<Expr> {
    let grouped = binder.calls.and_then(|calls| Some((calls, calls.keys.as_ref()?)));
    let Some((calls, keys)) = grouped else {
        let message =
            format!("{upper} tells groups apart: it needs a GROUP BY, and stands in SELECT or HAVING");
        return Err(Diagnostic::error(Code::InvalidDefinition, message).at(span));
    };
    let args = plain_arguments(ast);
    let call = match (upper, args.is_empty()) {
        ("GROUP_ID", true) => GroupingCall::GroupId,
        ("GROUP_ID", false) => {
            return Err(Diagnostic::error(Code::NoMatchingSignature, "GROUP_ID has no arguments").at(span));
        }
        (_, true) => {
            let message = format!("{upper} needs an argument");
            return Err(Diagnostic::error(Code::NoMatchingSignature, message).at(span));
        }
        _ => {
            let inner = ExprBinder { calls: None, clause: "GROUPING", ..binder };
            let args = binder.binder.all(args.into_iter().map(|arg| inner.bind(arg)))?;
            let place = |arg: &Expr| {
                keys.iter().position(|key| same(key, arg)).ok_or_else(|| {
                    let message = format!("the argument of {upper} is not in GROUP BY");
                    Diagnostic::error(Code::InvalidDefinition, message).at(arg.span)
                })
            };
            GroupingCall::Grouping(args.iter().map(place).collect::<Result<_>>()?)
        }
    };
    let shown = (upper, DataType::bigint().not_null(), span);
    Ok(stand_in(&calls.groupings, GROUPINGS, call, PartialEq::eq, shown))
}

/// An aggregation: the node's parts, and how expressions are read above it.
#[derive(Debug)]
pub(super) struct Aggregation {
    grouping: Grouping,
    calls: Vec<AggregateCall>,
    groupings: Vec<GroupingCall>,
    state_ttl: Option<i64>,
    schema: Schema,
}

impl Aggregation {
    /// Over an input of this schema; without a GROUP BY one group of all rows.
    pub(super) fn new(grouping: Option<Grouping>, calls: &Calls, input: &Schema) -> Self {
        let grouping = grouping.unwrap_or_else(|| Grouping { keys: Vec::new(), sets: vec![Vec::new()] });
        let calls_made = calls.aggregates.borrow().clone();
        let mut fields: Vec<Field> =
            grouping.keys.iter().enumerate().map(|(at, key)| key_field(&grouping, at, key, input)).collect();
        let results = calls_made.iter().enumerate();
        fields.extend(results.map(|(at, call)| Field::new(format!("${at}"), call.data_type.clone())));
        if grouping.sets.len() > 1 {
            fields.push(Field::new("$set", DataType::int().not_null()));
        }
        let groupings = calls.groupings.borrow().clone();
        let state_ttl = calls.state_ttl;
        Self { grouping, calls: calls_made, groupings, state_ttl, schema: Schema::new(fields) }
    }

    /// The node.
    pub(super) fn plan(&self, input: LogicalPlan, window: Option<&GroupWindow>) -> LogicalPlan {
        let keys = self.grouping.keys.iter();
        LogicalPlan::Aggregate {
            input: Box::new(input),
            keys: keys.map(|key| window.map_or_else(|| key.clone(), |it| it.key(key))).collect(),
            sets: self.grouping.sets.clone(),
            calls: self.calls.clone(),
            state_ttl: self.state_ttl,
            schema: self.schema.clone(),
        }
    }

    /// An expression over the rows, read above the groups.
    pub(super) fn lift(&self, expr: &Expr) -> Result<Expr> {
        if let ExprKind::Literal(_) = expr.kind {
            return Ok(expr.clone());
        }
        if let Some(at) = self.grouping.keys.iter().position(|key| same(key, expr)) {
            return Ok(self.column(at).at(expr.span));
        }
        if let ExprKind::Column { index, name } = &expr.kind {
            return self.lift_column(*index, name, expr);
        }
        let mut lifted = expr.clone();
        for child in lifted.children_mut() {
            *child = self.lift(child)?;
        }
        Ok(if self.grouping.sets.len() > 1 { retyped(lifted) } else { lifted })
    }

    fn lift_column(&self, index: usize, name: &str, expr: &Expr) -> Result<Expr> {
        if index >= OVERS {
            return Ok(expr.clone());
        }
        if let Some(call) = index.checked_sub(GROUPINGS) {
            return self.grouping_value(call, expr.span);
        }
        if let Some(call) = index.checked_sub(AGGREGATES) {
            return Ok(self.column(self.grouping.keys.len() + call).at(expr.span));
        }
        let message = format!("column '{name}' is not in GROUP BY");
        let error = Diagnostic::error(Code::InvalidDefinition, message)
            .at(expr.span)
            .help(format!("add it to GROUP BY, or take one of its values in each group: MAX({name})"));
        let number =
            self.grouping.keys.iter().any(|key| matches!(key.kind, ExprKind::Literal(Value::Int(_))));
        Err(if number {
            error.help("a number in GROUP BY is a constant, not the position of a column")
        } else {
            error
        })
    }

    fn column(&self, at: usize) -> Expr {
        let (name, data_type) = match self.schema.fields.get(at) {
            Some(field) => (field.name.as_str(), field.data_type.clone()),
            None => ("", TypeKind::Null.into()),
        };
        Expr::column(at, name, data_type)
    }

    /// A constant, or CASE over the row's set.
    fn grouping_value(&self, call: usize, span: Span) -> Result<Expr> {
        let Some(call) = self.groupings.get(call) else {
            return Err(Diagnostic::error(Code::Internal, "a grouping call that isn't there").at(span));
        };
        let sets = &self.grouping.sets;
        let value = |at: usize| match call {
            GroupingCall::GroupId => {
                sets.iter().take(at).filter(|set| same_keys(set, &sets[at])).count() as i64
            }
            GroupingCall::Grouping(keys) => {
                keys.iter().fold(0, |bits, key| bits << 1 | i64::from(!sets[at].contains(key)))
            }
        };
        let constant = |value: i64| literal::constant(Value::Int(value), TypeKind::BigInt, span);
        let values: Vec<i64> = (0..sets.len()).map(value).collect();
        let last = values.last().copied().unwrap_or(0);
        if values.iter().all(|it| *it == last) {
            return Ok(constant(last));
        }
        let set = self.column(self.grouping.set_column(self.calls.len()));
        let equal = lookup("=").ok_or_else(|| Diagnostic::error(Code::Internal, "no operator ="))?;
        let mut branches = Vec::new();
        for (at, value) in values.iter().enumerate().take(values.len() - 1) {
            let number = literal::constant(Value::Int(i64::try_from(at).unwrap_or(0)), TypeKind::Int, span);
            branches.push((equal.call(vec![set.clone(), number], span)?, constant(*value)));
        }
        let otherwise = Box::new(constant(last));
        Ok(Expr::new(ExprKind::Case { branches, otherwise }, DataType::bigint().not_null(), span))
    }
}

fn same_keys(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().all(|key| b.contains(key))
}

/// The column of a key: nullable where a set lacks it. A time attribute stays one.
fn key_field(grouping: &Grouping, at: usize, key: &Expr, input: &Schema) -> Field {
    let everywhere = grouping.sets.iter().all(|set| set.contains(&at));
    let (name, time) = match &key.kind {
        ExprKind::Column { index, name } => {
            (name.clone(), input.fields.get(*index).and_then(|it| it.time).filter(|_| everywhere))
        }
        _ => (format!("$key{at}"), None),
    };
    let nullable = key.data_type.nullable || !everywhere;
    Field::new(name, key.data_type.clone().with_nullable(nullable)).with_time(time)
}

/// The node with the nullability that its children give it.
fn retyped(expr: Expr) -> Expr {
    let span = expr.span;
    let nullable = match &expr.kind {
        ExprKind::Call { function, args } => {
            return function.call(args.clone(), span).unwrap_or(expr);
        }
        ExprKind::Cast { input, mode } => {
            input.data_type.nullable || *mode == flott_expr::CastMode::Try || expr.data_type.nullable
        }
        ExprKind::Case { branches, otherwise } => {
            otherwise.data_type.nullable || branches.iter().any(|(_, value)| value.data_type.nullable)
        }
        ExprKind::Field { input, .. } => input.data_type.nullable || expr.data_type.nullable,
        ExprKind::Column { .. } | ExprKind::Literal(_) => expr.data_type.nullable,
    };
    let data_type = expr.data_type.clone().with_nullable(nullable);
    Expr { data_type, ..expr }
}
