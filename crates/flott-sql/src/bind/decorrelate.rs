//! A sub-query that looks into the query around it, as a plan that does not.
//!
//! ```text
//!   SELECT MAX(y) FROM w WHERE w.k = outer.k AND y > 0
//!
//!   plan        Aggregate [k] MAX(y)        groups by what the outer column is compared with
//!                 Filter y > 0
//!                   Scan w
//!   columns     [$1]
//!   conditions  [outer.k = $0]              for whoever joins the plan with the outer rows
//! ```
//!
//! References to outer columns stand at positions from [`OUTER`] on, one [`LEVEL`] further for
//! each query in between. They move up: out of filters into conditions, through whatever keeps
//! rows apart (groups, ranks) as one more key, out of projections as expressions above the join.
//! What can't move is an error that says what it is.
//!
//! Where rows must be kept apart by more than a comparison with =, the different values of the
//! outer columns are joined with the sub-query's rows first:
//!
//! ```text
//!   SELECT AVG(y) FROM w WHERE w.id <= outer.id
//!
//!   Aggregate [$outer0] AVG(y)
//!     Join Inner w.id <= $outer0
//!       Scan w
//!       Aggregate [outer.id]              the different values
//!         (the outer rows)                put there by `fill` when they are known
//! ```
//!
//! A sub-query that aggregates without GROUP BY gives one row for each outer row, whether there
//! is a group for it or not: `single_row`. COUNT is 0 then, everything else NULL.

use flott_expr::{AggregateCall, Expr, ExprKind, Function, Value, lookup};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};

use super::{
    calls::same,
    literal,
    query::{columns_of, substitute},
    scope::shift,
};
use crate::{
    LogicalPlan,
    plan::{Frame, JoinKind, OverCall, OverFunction, SortKey},
};

/// Positions from here on are columns of the query around.
pub(super) const OUTER: usize = 5 << 40;
/// How much further those of the next query around are.
pub(super) const LEVEL: usize = 1 << 40;

/// A sub-query without references to outer columns inside.
#[derive(Debug)]
pub(super) struct Flat {
    /// The rows for all outer rows.
    pub(super) plan: LogicalPlan,
    /// The sub-query's columns, over the plan's and outer ones.
    pub(super) columns: Vec<Expr>,
    /// Which of the plan's rows an outer row sees.
    pub(super) conditions: Vec<Expr>,
    /// Exactly one row for each outer row: if the plan has none, all its columns are NULL, which
    /// `columns` expects.
    pub(super) single_row: bool,
    /// Of a single row: conditions on it, without which there is none.
    pub(super) having: Vec<Expr>,
}

/// The parts of [`LogicalPlan::Aggregate`].
struct Groups {
    keys: Vec<Expr>,
    sets: Vec<Vec<usize>>,
    calls: Vec<AggregateCall>,
    state_ttl: Option<i64>,
    schema: Schema,
}

/// The parts of [`LogicalPlan::Join`].
struct Joined {
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    condition: Expr,
    state_ttl: [Option<i64>; 2],
    at: Span,
}

/// `outer = inner`, in whichever order.
struct Pair {
    outer: Expr,
    inner: Expr,
    function: &'static Function,
    span: Span,
}

/// The sub-query `plan`, written at `span`. `repeats`: how often a row is there means nothing.
pub(super) fn flatten(plan: LogicalPlan, repeats: bool, span: Span) -> Result<Flat> {
    if !has_outer_inside(&plan) {
        return Ok(Flat::of(plan));
    }
    match plan {
        LogicalPlan::Filter { input, predicate } => {
            flatten(*input, repeats, span)?.filtered(&predicate, span)
        }
        LogicalPlan::Project { input, exprs, .. } => {
            let mut flat = flatten(*input, repeats, span)?;
            flat.columns = exprs.iter().map(|it| substitute(it, &flat.columns)).collect();
            Ok(flat)
        }
        LogicalPlan::Aggregate { input, keys, sets, calls, state_ttl, schema } => {
            let distinct = calls.is_empty() && !keys.is_empty();
            flatten(*input, distinct, span)?.aggregated(Groups { keys, sets, calls, state_ttl, schema }, span)
        }
        LogicalPlan::Over { input, partition_by, order_by, calls, schema, span: at } => {
            let results = schema.fields.get(input.schema().len()..).unwrap_or_default().to_vec();
            let over = (partition_by, order_by, calls, results);
            flatten(*input, false, span)?.over(over, at, span)
        }
        LogicalPlan::Sort { input, keys, offset, limit, span: at } => {
            flatten(*input, false, span)?.cut(keys, offset, limit, (at, span))
        }
        LogicalPlan::Union { inputs, schema } => union(inputs, schema, repeats, span),
        LogicalPlan::Join { left, right, kind, condition, state_ttl, span: at, .. } => {
            let parts = Joined { left: *left, right: *right, kind, condition, state_ttl, at };
            join(parts, repeats, span)
        }
        LogicalPlan::Unnest { input, collection, outer, ordinality, schema } => {
            let flat = flatten(*input, repeats, span)?;
            if flat.single_row {
                return Err(unsupported("UNNEST of an aggregate", span));
            }
            let read = vec![substitute(&collection, &flat.columns)];
            let (flat, beside) = flat.beside_outer(&read, span)?;
            let collection = beside.replace(substitute(&collection, &flat.columns));
            let added = schema.fields.get(flat.columns.len()..).unwrap_or_default();
            let mut below = flat.plan.schema();
            let width = below.len();
            below.fields.extend(added.iter().cloned());
            let mut columns = flat.columns;
            columns.extend(columns_of(&below).skip(width));
            let input = Box::new(flat.plan);
            let plan = LogicalPlan::Unnest { input, collection, outer, ordinality, schema: below };
            Ok(Flat { plan, columns, conditions: flat.conditions, ..Flat::empty() })
        }
        LogicalPlan::Values { .. } => Err(unsupported("VALUES with outer columns", span)),
        LogicalPlan::Window { .. } => Err(unsupported("a window function", span)),
        LogicalPlan::TemporalJoin(_) => Err(unsupported("a temporal join", span)),
        LogicalPlan::FromChangelog(_) | LogicalPlan::ToChangelog(_) => {
            Err(unsupported("a changelog function", span))
        }
        LogicalPlan::Match(_) => Err(unsupported("MATCH_RECOGNIZE", span)),
        LogicalPlan::Scan { .. } => Ok(Flat::of(plan)),
    }
}

fn unsupported(what: &str, span: Span) -> Box<Diagnostic> {
    Diagnostic::not_supported(format_args!("{what} in a sub-query that names outer columns"))
        .at(span)
        .help("compare outer columns with = in the WHERE of the sub-query, or write a join")
}

impl Flat {
    /// A plan that looks into no other query.
    fn of(plan: LogicalPlan) -> Self {
        let columns = columns_of(&plan.schema()).collect();
        Self { plan, columns, ..Self::empty() }
    }

    fn empty() -> Self {
        let plan = LogicalPlan::Values { rows: Vec::new(), schema: Schema::default() };
        Self { plan, columns: Vec::new(), conditions: Vec::new(), single_row: false, having: Vec::new() }
    }

    fn filtered(mut self, predicate: &Expr, span: Span) -> Result<Self> {
        let mut own: Vec<Expr> = Vec::new();
        for condition in conjuncts(substitute(predicate, &self.columns)) {
            if self.single_row {
                self.having.push(condition);
            } else if has_outer(&condition) {
                self.conditions.push(condition);
            } else {
                own.push(condition);
            }
        }
        if let Some(predicate) = all_of(own, span)? {
            self.plan = LogicalPlan::Filter { input: Box::new(self.plan), predicate };
        }
        Ok(self)
    }

    fn aggregated(self, groups: Groups, span: Span) -> Result<Self> {
        let Groups { keys, sets, mut calls, state_ttl, schema } = groups;
        if self.single_row {
            return Err(unsupported("an aggregate of an aggregate", span));
        }
        let written = keys.len();
        let global = written == 0;
        let arguments = calls.iter().flat_map(|it| it.args.iter().chain(&it.filter));
        let read = keys.iter().chain(arguments).map(|it| substitute(it, &self.columns)).collect::<Vec<_>>();
        let (flat, outer) = self.beside_outer(&read, span)?;
        let place = |expr: &Expr| outer.replace(substitute(expr, &flat.columns));
        let mut keys: Vec<Expr> = keys.iter().map(place).collect();
        for expr in calls.iter_mut().flat_map(|it| it.args.iter_mut().chain(&mut it.filter)) {
            *expr = place(expr);
        }
        let correlated = !flat.conditions.is_empty();
        if correlated && sets.len() > 1 && sets.iter().any(Vec::is_empty) {
            return Err(unsupported("a grouping set of all rows", span));
        }
        let single_set = sets.len() == 1;
        let conditions = through(flat.conditions, "aggregates", span, |inner| {
            let known = keys.iter().position(|it| single_set && same(it, inner));
            known.unwrap_or_else(|| {
                keys.push(inner.clone());
                keys.len() - 1
            })
        })?;
        let added = keys.len() - written;
        let extra = keys.iter().enumerate().skip(written);
        let extra = extra.map(|(at, it)| Field::new(format!("$key{at}"), it.data_type.clone()));
        let mut fields: Vec<Field> = schema.fields.iter().take(written).cloned().chain(extra).collect();
        fields.extend(schema.fields.iter().skip(written).cloned());
        let sets = sets.into_iter().map(|set| set.into_iter().chain(written..keys.len()).collect()).collect();
        let schema = Schema::new(fields);
        let above: Vec<Expr> = columns_of(&schema).collect();
        let mut columns = Vec::new();
        for (at, column) in above.into_iter().enumerate() {
            if at < written || at >= keys.len() {
                let call = at.checked_sub(written + added).and_then(|call| calls.get(call));
                columns.push(match call {
                    Some(call) if global => without_group(column, call, span)?,
                    _ => column,
                });
            }
        }
        let plan =
            LogicalPlan::Aggregate { input: Box::new(flat.plan), keys, sets, calls, state_ttl, schema };
        Ok(Self { plan, columns, conditions, single_row: global, having: Vec::new() })
    }

    fn over(self, over: Windowed, at: Span, span: Span) -> Result<Self> {
        let (mut partition_by, mut order_by, mut calls, results) = over;
        if self.single_row {
            return Err(unsupported("OVER above an aggregate", span));
        }
        let sorts = order_by.iter().map(|it| &it.expr);
        let read = partition_by.iter().chain(sorts).chain(calls.iter().flat_map(OverCall::exprs));
        let read = read.map(|it| substitute(it, &self.columns)).collect::<Vec<_>>();
        let (mut flat, outer) = self.beside_outer(&read, span)?;
        let sorts = order_by.iter_mut().map(|it| &mut it.expr);
        let read = partition_by.iter_mut().chain(sorts).chain(calls.iter_mut().flat_map(OverCall::exprs_mut));
        for expr in read {
            *expr = outer.replace(substitute(expr, &flat.columns));
        }
        // Rows of different outer rows stand in different partitions.
        partition_by.extend(flat.conditions.iter().filter_map(|it| Some(pair(it)?.inner)));
        let mut schema = flat.plan.schema();
        let width = schema.len();
        schema.fields.extend(results);
        flat.columns.extend(columns_of(&schema).skip(width));
        let input = Box::new(flat.plan);
        flat.plan = LogicalPlan::Over { input, partition_by, order_by, calls, schema, span: at };
        Ok(flat)
    }

    /// The rows apart for each value of the outer columns, by comparisons with = alone, and without
    /// outer columns in what is read of them. The outer columns that are now beside the plan's.
    fn beside_outer(self, read: &[Expr], span: Span) -> Result<(Self, Beside)> {
        let apart = self.conditions.iter().all(|it| only_outer(it) || pair(it).is_some());
        if apart && !read.iter().any(has_outer) {
            return Ok((self, Beside::default()));
        }
        let mut beside = Beside { columns: Vec::new(), start: self.plan.schema().len() };
        for expr in self.conditions.iter().chain(read) {
            expr.walk(&mut |node| beside.add(node));
        }
        if beside.columns.iter().flat_map(Expr::columns).any(|at| at >= OUTER + LEVEL) {
            return Err(unsupported("a column of a query further out, compared otherwise than by =,", span));
        }
        let values = beside.values();
        let on = self.conditions.into_iter().map(|it| beside.replace(it)).collect();
        let condition = all_of(on, span)?.unwrap_or_else(super::join::always);
        let schema = super::join::join_schema(&self.plan.schema(), &values.schema(), JoinKind::Inner);
        let mut conditions = Vec::new();
        for (column, value) in beside.columns.iter().zip(columns_of(&schema).skip(beside.start)) {
            let equal = if column.data_type.nullable { "IS NOT DISTINCT FROM" } else { "=" };
            conditions.push(call_of(equal, vec![column.clone(), value], span)?);
        }
        let (left, right) = (Box::new(self.plan), Box::new(values));
        let (kind, state_ttl) = (JoinKind::Inner, [None; 2]);
        let plan = LogicalPlan::Join { left, right, kind, condition, state_ttl, schema, span };
        Ok((Self { plan, conditions, ..self }, beside))
    }

    /// The same with conditions that compare with = alone.
    pub(super) fn apart(self, span: Span) -> Result<Self> {
        let by_pairs = self.conditions.iter().all(|it| pair(it).is_some());
        if by_pairs { Ok(self) } else { Ok(self.beside_all(span)?.0) }
    }

    fn beside_all(self, span: Span) -> Result<(Self, Beside)> {
        let conditions = self.conditions.clone();
        self.beside_outer(&conditions, span)
    }

    /// `ORDER BY … LIMIT n`: the first rows for each outer row. Without a limit the order means
    /// nothing.
    fn cut(
        self,
        keys: Vec<SortKey>,
        offset: u64,
        limit: Option<u64>,
        (at, span): (Span, Span),
    ) -> Result<Self> {
        if offset == 0 && (limit.is_none() || self.single_row && limit != Some(0)) {
            return Ok(self);
        }
        let number = Field::new("$row_number", DataType::bigint().not_null());
        let call = OverCall { function: OverFunction::RowNumber, frame: Frame::UP_TO_CURRENT, span: at };
        let mut flat = self.over((Vec::new(), keys, vec![call], vec![number]), at, span)?;
        let Some(number) = flat.columns.pop() else { return Ok(flat) };
        let bound = |rows: u64| {
            literal::constant(Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)), TypeKind::BigInt, at)
        };
        let mut bounds = Vec::new();
        if let Some(limit) = limit {
            bounds.push(call_of("<=", vec![number.clone(), bound(offset.saturating_add(limit))], at)?);
        }
        if offset > 0 {
            bounds.push(call_of(">", vec![number, bound(offset)], at)?);
        }
        if let Some(predicate) = all_of(bounds, at)? {
            flat.plan = LogicalPlan::Filter { input: Box::new(flat.plan), predicate };
        }
        Ok(flat)
    }

    /// The same with all columns that need no outer row computed in the plan.
    pub(super) fn materialised(mut self) -> Self {
        let schema = self.plan.schema();
        let mut exprs: Vec<Expr> = columns_of(&schema).collect();
        let mut fields = schema.fields;
        for column in &mut self.columns {
            if matches!(column.kind, ExprKind::Column { .. }) || has_outer(column) || self.single_row {
                continue;
            }
            let name = format!("$value{}", exprs.len());
            fields.push(Field::new(&name, column.data_type.clone()));
            let computed = Expr::column(exprs.len(), name, column.data_type.clone()).at(column.span);
            exprs.push(std::mem::replace(column, computed));
        }
        if exprs.len() > self.plan.schema().len() {
            let schema = Schema::new(fields);
            self.plan = LogicalPlan::Project { input: Box::new(self.plan), exprs, schema };
        }
        self
    }

    /// The conditions, all of them comparisons of an outer value with an inner one by =: the plan's
    /// rows are grouped by the inner ones. `Err`: what else there is.
    pub(super) fn keyed(&self, span: Span) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        for condition in &self.conditions {
            let pair = pair(condition).ok_or_else(|| {
                unsupported("a comparison other than = with outer columns", condition.span.union(span))
            })?;
            keys.push(Key { inner: pair.inner.clone(), pair });
        }
        Ok(keys)
    }
}

/// Partition, order, calls, and the calls' columns.
type Windowed = (Vec<Expr>, Vec<SortKey>, Vec<OverCall>, Vec<Field>);

/// Outer columns whose values stand beside a plan's rows.
#[derive(Default)]
struct Beside {
    columns: Vec<Expr>,
    /// Position of the first.
    start: usize,
}

impl Beside {
    fn add(&mut self, node: &Expr) {
        if let ExprKind::Column { index: OUTER.., .. } = node.kind
            && !self.columns.iter().any(|it| same(it, node))
        {
            self.columns.push(node.clone().at(Span::default()));
        }
    }

    /// The expression with the columns that stand beside in place of the outer ones.
    fn replace(&self, mut expr: Expr) -> Expr {
        expr.walk_mut(&mut |node| {
            if let Some(at) = self.columns.iter().position(|it| same(it, node))
                && let ExprKind::Column { index, .. } = &mut node.kind
            {
                *index = self.start + at;
            }
        });
        expr
    }

    /// Each combination of the columns' values once, of outer rows yet to be filled in.
    fn values(&self) -> LogicalPlan {
        let rows = Schema::new(vec![Field::new(OUTER_ROWS, DataType::boolean())]);
        let input = Box::new(LogicalPlan::Values { rows: Vec::new(), schema: rows });
        let keys = self.columns.clone();
        let fields = keys.iter().enumerate();
        let fields = fields.map(|(at, it)| Field::new(format!("$outer{at}"), it.data_type.clone()));
        let schema = Schema::new(fields.collect());
        let sets = vec![(0..keys.len()).collect()];
        LogicalPlan::Aggregate { input, keys, sets, calls: Vec::new(), state_ttl: None, schema }
    }
}

/// The only column of what stands for outer rows that aren't known yet.
const OUTER_ROWS: &str = "$outer rows";

/// Puts the outer rows where a sub-query's plan needs them. `read` makes of an expression over outer
/// columns one over theirs.
pub(super) fn fill(
    plan: &mut LogicalPlan,
    outer: &LogicalPlan,
    read: &dyn Fn(&Expr) -> Result<Expr>,
) -> Result<()> {
    if let LogicalPlan::Aggregate { input, keys, .. } = plan
        && let LogicalPlan::Values { rows, schema } = input.as_ref()
        && rows.is_empty()
        && schema.fields.first().is_some_and(|it| it.name == OUTER_ROWS)
    {
        *keys = keys.iter().map(read).collect::<Result<_>>()?;
        **input = outer.clone();
        return Ok(());
    }
    plan.inputs_mut().into_iter().try_for_each(|input| fill(input, outer, read))
}

/// What an outer value is compared with.
pub(super) struct Key {
    /// Over the plan's columns.
    pub(super) inner: Expr,
    pair: Pair,
}

impl Key {
    /// The comparison with this in place of the inner value.
    pub(super) fn compared_with(&self, inner: Expr) -> Result<Expr> {
        self.pair.function.call(vec![self.pair.outer.clone(), inner], self.pair.span)
    }
}

/// A call's column where there may be no group: COUNT of nothing is 0.
fn without_group(mut column: Expr, call: &AggregateCall, span: Span) -> Result<Expr> {
    column.data_type.nullable = true;
    if !matches!(call.function.name, "COUNT" | "APPROX_COUNT_DISTINCT") {
        return Ok(column);
    }
    let zero = literal::constant(Value::Int(0), column.data_type.kind.clone(), span);
    call_of("COALESCE", vec![column, zero], span)
}

fn join(parts: Joined, repeats: bool, span: Span) -> Result<Flat> {
    let Joined { left, right, kind, condition, state_ttl, at } = parts;
    let of_left = left.schema().len();
    let right_repeats = repeats || matches!(kind, JoinKind::Semi | JoinKind::Anti);
    let (left, right) = (flatten_side(left, repeats, span)?, flatten_side(right, right_repeats, span)?);
    let width = left.plan.schema().len();
    let mut columns = left.columns;
    columns.extend(right.columns.into_iter().map(|it| shifted(it, width)));
    let (mut own, mut conditions) = (Vec::new(), left.conditions);
    let from_right = right.conditions.len();
    conditions.extend(right.conditions.into_iter().map(|it| shifted(it, width)));
    for condition in conjuncts(substitute(&condition, &columns)) {
        if has_outer(&condition) { conditions.push(condition) } else { own.push(condition) }
    }
    let left_only = conditions.iter().all(|it| it.columns().iter().all(|at| *at < width || *at >= OUTER));
    let kind = match kind {
        JoinKind::Inner => JoinKind::Inner,
        JoinKind::Left | JoinKind::Semi | JoinKind::Anti if from_right == 0 && left_only => kind,
        // A partner for each of an outer row's rows: there may be several, which is the same here.
        JoinKind::Semi if repeats => {
            columns.truncate(of_left);
            JoinKind::Inner
        }
        _ => return Err(unsupported("this join", span)),
    };
    let condition = all_of(own, at)?.unwrap_or_else(super::join::always);
    let schema = super::join::join_schema(&left.plan.schema(), &right.plan.schema(), kind);
    match kind {
        JoinKind::Semi | JoinKind::Anti => columns.truncate(of_left),
        JoinKind::Left => columns.iter_mut().for_each(|it| retype(it, &schema)),
        _ => {}
    }
    let (left, right) = (Box::new(left.plan), Box::new(right.plan));
    let plan = LogicalPlan::Join { left, right, kind, condition, state_ttl, schema, span: at };
    Ok(Flat { plan, columns, conditions, ..Flat::empty() })
}

/// A side of a join: a row of it is no row for each outer row.
fn flatten_side(plan: LogicalPlan, repeats: bool, span: Span) -> Result<Flat> {
    if !has_outer_inside(&plan) {
        return Ok(Flat::of(plan));
    }
    let flat = flatten(plan, repeats, span)?;
    if flat.single_row || flat.columns.iter().any(has_outer) {
        return Err(unsupported("a derived table", span));
    }
    Ok(flat.materialised())
}

/// Columns have the nullability that the schema says.
fn retype(expr: &mut Expr, schema: &Schema) {
    if let ExprKind::Column { index, .. } = expr.kind
        && let Some(field) = schema.fields.get(index)
    {
        expr.data_type = field.data_type.clone();
    }
}

/// All inputs are compared with the same outer values, which become columns of the union.
fn union(inputs: Vec<LogicalPlan>, schema: Schema, repeats: bool, span: Span) -> Result<Flat> {
    let different = || unsupported("UNION of queries that compare different outer columns", span);
    let mut flats = Vec::new();
    for input in inputs {
        let flat = flatten(input, repeats, span)?;
        if flat.single_row || flat.columns.iter().any(has_outer) {
            return Err(different());
        }
        let flat = flat.apart(span)?;
        flats.push((flat.keyed(span)?, flat));
    }
    let Some((first, _)) = flats.first() else { return Err(different()) };
    let width = schema.len();
    let mut fields = schema.fields;
    let mut conditions = Vec::new();
    for (at, key) in first.iter().enumerate() {
        let field = Field::new(format!("$key{at}"), key.inner.data_type.clone());
        let column = Expr::column(width + at, &field.name, field.data_type.clone());
        conditions.push(key.compared_with(column)?);
        fields.push(field);
    }
    let outers: Vec<Expr> = first.iter().map(|it| it.pair.outer.clone()).collect();
    let union = Schema::new(fields);
    let mut inputs = Vec::new();
    for (keys, flat) in flats {
        let mut exprs = flat.columns;
        for (at, outer) in outers.iter().enumerate() {
            let key = keys.iter().find(|it| same(&it.pair.outer, outer)).ok_or_else(different)?;
            let field = union.fields.get(width + at).ok_or_else(different)?;
            exprs.push(super::expr::convert(key.inner.clone(), &field.data_type));
        }
        if keys.len() != outers.len() {
            return Err(different());
        }
        inputs.push(LogicalPlan::Project { input: Box::new(flat.plan), exprs, schema: union.clone() });
    }
    let columns = columns_of(&union).take(width).collect();
    let plan = LogicalPlan::Union { inputs, schema: union };
    Ok(Flat { plan, columns, conditions, ..Flat::empty() })
}

/// The conditions above a node that keeps only some values: `place` gives the column in which an
/// inner value is kept.
fn through(
    conditions: Vec<Expr>,
    what: &str,
    span: Span,
    mut place: impl FnMut(&Expr) -> usize,
) -> Result<Vec<Expr>> {
    let mut above = Vec::new();
    for condition in conditions {
        if only_outer(&condition) {
            above.push(condition);
            continue;
        }
        let Some(pair) = pair(&condition) else {
            let what = format!("{what} under a comparison other than = with outer columns");
            return Err(unsupported(&what, span));
        };
        let at = place(&pair.inner);
        let column = Expr::column(at, format!("$key{at}"), pair.inner.data_type.clone());
        above.push(pair.function.call(vec![pair.outer, column], pair.span)?);
    }
    Ok(above)
}

fn pair(condition: &Expr) -> Option<Pair> {
    let ExprKind::Call { function, args } = &condition.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    if !matches!(function.name, "=" | "IS NOT DISTINCT FROM") {
        return None;
    }
    let (outer, inner) = match (only_outer(a) && !has_outer(b), only_outer(b) && !has_outer(a)) {
        (true, _) => (a, b),
        (_, true) => (b, a),
        _ => return None,
    };
    Some(Pair { outer: outer.clone(), inner: inner.clone(), function, span: condition.span })
}

fn only_outer(expr: &Expr) -> bool {
    let columns = expr.columns();
    !columns.is_empty() && columns.iter().all(|at| *at >= OUTER)
}

/// Whether the expression names outer columns.
pub(super) fn has_outer(expr: &Expr) -> bool {
    expr.columns().iter().any(|at| *at >= OUTER)
}

pub(super) fn has_outer_inside(plan: &LogicalPlan) -> bool {
    plan.exprs().into_iter().any(has_outer) || plan.inputs().into_iter().any(has_outer_inside)
}

/// Whether the plan is one group of all rows, with what may stand above it.
pub(super) fn is_single_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate { keys, sets, .. } => keys.is_empty() && sets.len() == 1,
        LogicalPlan::Project { input, .. } | LogicalPlan::Filter { input, .. } => is_single_row(input),
        _ => false,
    }
}

/// What AND holds together.
pub(super) fn conjuncts(expr: Expr) -> Vec<Expr> {
    let mut open = vec![expr];
    let mut found = Vec::new();
    while let Some(expr) = open.pop() {
        match expr.kind {
            ExprKind::Call { function, args } if function.name == "AND" => {
                open.extend(args.into_iter().rev())
            }
            kind => found.push(Expr { kind, ..expr }),
        }
    }
    found
}

/// The conditions as one; `None` of none.
pub(super) fn all_of(conditions: Vec<Expr>, span: Span) -> Result<Option<Expr>> {
    let mut all: Option<Expr> = None;
    for condition in conditions {
        all = Some(match all {
            Some(all) => call_of("AND", vec![all, condition], span)?,
            None => condition,
        });
    }
    Ok(all)
}

/// A call of a registered function.
pub(super) fn call_of(name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let function = lookup(name)
        .ok_or_else(|| Diagnostic::error(Code::Internal, format!("there is no function {name}")).at(span))?;
    function.call(args, span)
}

/// The expression over a plan that stands behind one of this width; outer columns stay.
fn shifted(mut expr: Expr, by: usize) -> Expr {
    shift(&mut expr, by);
    expr
}
