//! Aggregations within windows.
//!
//! ```text
//!   Aggregate [k, window_start, window_end] SUM(x)          Project [k, total, window_start, …]
//!    └ Filter, Project                              ──►      └ WindowAggregate keys [0] SUM(1)
//!       └ Window TUMBLE(ts)                                     └ [Filter, Project k, x, ts]
//! ```
//!
//! The operator's input holds what it needs and nothing else: keys, arguments, filters, and the time
//! column (windows assigned here) or the window's start and end (windows attached below).
//!
//! Source: Flink documentation, "Window Aggregation".

use flott_expr::{AggregateCall, Expr};
use flott_sql::{LogicalPlan, WindowKind};
use flott_types::{DataType, Diagnostic, Field, Result, Schema, TimeAttribute, TypeKind};

use crate::{
    Call, OperatorNode, Step, WindowAggregate, WindowProperty, Windows, distinct_split,
    flatten::{Flatten, extended, identity, peel},
    graph::{Branch, same_expr},
    operator_text::call_text,
    push_below::push_below,
    simplify::simplify,
    window_columns::{WindowColumns, groups_windows, is_local, window_columns},
};

/// The name of the column that tells a row's grouping set.
pub const SET_COLUMN: &str = "$set";

/// Columns that an operator wants, each once.
#[derive(Debug, Default)]
pub struct Columns {
    /// One expression per column.
    pub exprs: Vec<Expr>,
    fields: Vec<Field>,
    /// Columns before are never taken for an equal expression.
    own_from: usize,
}

impl Columns {
    /// Columns that are there anyhow.
    pub fn of(schema: &Schema) -> Self {
        let exprs = crate::flatten::columns_of(schema);
        Self { exprs, fields: schema.fields.clone(), own_from: 0 }
    }
    /// The position of the expression's column.
    pub fn add(&mut self, expr: &Expr) -> usize {
        let mut own = self.exprs.iter().enumerate().skip(self.own_from);
        if let Some((at, _)) = own.find(|(_, known)| expr.is_deterministic() && same_expr(known, expr)) {
            return at;
        }
        self.fields.push(Field::new(expr.to_string(), expr.data_type.clone()));
        self.exprs.push(expr.clone());
        self.exprs.len() - 1
    }
    /// From here on an expression gets a column of its own, even if one of those before is equal: those
    /// may be made NULL.
    pub fn own_values(&mut self) {
        self.own_from = self.exprs.len();
    }
    /// The call over its columns.
    pub fn call(&mut self, call: &AggregateCall) -> Call {
        Call {
            function: call.function,
            args: call.args.iter().map(|arg| self.add(arg)).collect(),
            arg_types: call.args.iter().map(|arg| arg.data_type.clone()).collect(),
            distinct: call.distinct,
            filter: call.filter.as_ref().map(|filter| self.add(filter)),
            data_type: call.data_type.clone(),
        }
    }
    /// The columns.
    pub fn schema(&self, nullable: bool) -> Schema {
        let mut fields = self.fields.clone();
        if nullable {
            fields.iter_mut().for_each(|field| field.data_type.nullable = true);
        }
        Schema::new(fields)
    }
    /// The projection that makes them.
    pub fn step(&self) -> Step {
        Step::Project { exprs: self.exprs.clone(), schema: Schema::new(self.fields.clone()) }
    }
}

/// What a grouping key is.
#[derive(Debug, Clone, Copy)]
enum Key {
    Column(usize),
    Window(WindowProperty),
}

/// An aggregation over the columns that it wants.
struct Wanted {
    columns: Columns,
    keys: Vec<Key>,
    /// The keys' columns, each once.
    key_columns: Vec<usize>,
    calls: Vec<Call>,
}

impl Flatten {
    /// The branches of an aggregation.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn aggregate(
        &mut self,
        input: &LogicalPlan,
        keys: &[Expr],
        sets: &[Vec<usize>],
        calls: &[AggregateCall],
        schema: &Schema,
        state_ttl: Option<i64>,
    ) -> Result<Vec<Branch>> {
        let windows = window_columns(input).filter(|it| groups_windows(keys, it));
        let Some(windows) = windows else { return self.group(input, keys, sets, calls, schema, state_ttl) };
        let mut wanted = wanted(keys, sets, calls, &windows);
        let bucket = match self.distinct_buckets {
            Some(buckets) if windows.time == TimeAttribute::Rowtime => {
                distinct_split::bucket(&wanted.calls, &wanted.columns.exprs, buckets)?
            }
            _ => None,
        };
        let bucket = bucket.map(|bucket| wanted.columns.add(&bucket));
        let (branches, Known(windows, time_type)) = match self.assigned(input, &wanted, sets.len() <= 1)? {
            Some(assigned) => assigned,
            None => self.attached(input, &mut wanted, &windows)?,
        };
        let branches = match sets {
            [] | [_] => branches,
            sets => self.expanded(branches, &absent_keys(&wanted, sets)?, &mut wanted),
        };
        let node = WindowAggregate {
            windows,
            keys: wanted.key_columns.clone(),
            calls: wanted.calls.clone(),
            properties: vec![WindowProperty::Start, WindowProperty::End, WindowProperty::Time],
        };
        let restore = |output: &Schema| restore(&wanted, output, schema);
        let is_session = matches!(&node.windows, Windows::Assigned { kind: WindowKind::Session { .. }, .. });
        let (branch, output) = match bucket {
            // Sessions of a bucket would not be those of the key.
            Some(bucket) if !is_session => self.in_buckets(node, bucket, branches, &time_type),
            _ => self.window_aggregate(node, branches, &time_type),
        };
        Ok(extended(vec![branch], &[restore(&output)]))
    }

    fn window_aggregate(
        &mut self,
        node: WindowAggregate,
        branches: Vec<Branch>,
        time_type: &DataType,
    ) -> (Branch, Schema) {
        let columns = branches.first().map(|it| self.graph.output(it)).unwrap_or_default();
        let output = aggregate_schema(&node, &columns, time_type);
        (self.operator(OperatorNode::WindowAggregate(node), vec![branches], output.clone()), output)
    }

    /// First by key and bucket, then by key.
    fn in_buckets(
        &mut self,
        mut node: WindowAggregate,
        bucket: usize,
        branches: Vec<Branch>,
        time_type: &DataType,
    ) -> (Branch, Schema) {
        let (keys, calls, time) = (node.keys.len(), node.calls.clone(), node.windows.time());
        let local_time = node.windows.local_time();
        node.keys.push(bucket);
        let properties = node.properties.clone();
        let (buckets, columns) = self.window_aggregate(node, branches, time_type);
        let (first, start) = (keys + 1, keys + 1 + calls.len());
        let whole = WindowAggregate {
            windows: Windows::Attached { start, end: start + 1, time, local_time },
            keys: (0..keys).collect(),
            calls: distinct_split::merged(&calls, first),
            properties,
        };
        self.window_aggregate(whole, extended(vec![buckets], &[identity(&columns)]), time_type)
    }

    /// The window is right below: the operator assigns it.
    fn assigned(
        &mut self,
        input: &LogicalPlan,
        wanted: &Wanted,
        one_set: bool,
    ) -> Result<Option<(Vec<Branch>, Known)>> {
        let (base, mut steps) = peel(input);
        let LogicalPlan::Window { input: below, window, schema } = base else { return Ok(None) };
        steps.push(wanted.columns.step());
        let steps = simplify(steps);
        let Some(pushed) = push_below(&steps, window, &below.schema()) else { return Ok(None) };
        // What the operator wants stands in front, in its order.
        let in_order = pushed.columns.iter().enumerate().all(|(at, column)| *column == Some(at));
        let is_session = matches!(window.kind, WindowKind::Session { .. });
        if !in_order || is_session && !(one_set && same_columns(&pushed.partition_by, &wanted.key_columns)) {
            return Ok(None);
        }
        let mut kind = window.kind.clone();
        if let WindowKind::Session { partition_by, .. } = &mut kind {
            *partition_by = pushed.partition_by;
        }
        let time_type = schema.fields.last().map_or_else(timestamp, |field| field.data_type.clone());
        let windows = Windows::Assigned {
            kind,
            offset_millis: window.offset_millis,
            time_column: pushed.time_column,
            time: window.time,
            local_time: is_local(&time_type),
        };
        Ok(Some((self.with_steps(below, pushed.steps)?, Known(windows, time_type))))
    }

    /// Rows come with their window.
    fn attached(
        &mut self,
        input: &LogicalPlan,
        wanted: &mut Wanted,
        windows: &WindowColumns,
    ) -> Result<(Vec<Branch>, Known)> {
        let fields = input.schema().fields;
        let mut add = |columns: &[usize]| {
            let column = columns.first().copied().unwrap_or_default();
            let field = fields.get(column).cloned().unwrap_or_else(|| Field::new("window", timestamp()));
            wanted.columns.add(&Expr::column(column, field.name, field.data_type))
        };
        let (start, end) = (add(&windows.starts), add(&windows.ends));
        let branches = extended(self.branches(input)?, &[wanted.columns.step()]);
        let attached = Windows::Attached { start, end, time: windows.time, local_time: windows.local_time };
        Ok((branches, Known(attached, windows.time_type.clone())))
    }

    /// The rows once per grouping set.
    fn expanded(&self, branches: Vec<Branch>, absent: &[Vec<usize>], wanted: &mut Wanted) -> Vec<Branch> {
        let mut schema = branches.first().map(|it| self.graph.output(it)).unwrap_or_default();
        for &column in absent.iter().flatten() {
            if let Some(field) = schema.fields.get_mut(column) {
                field.data_type.nullable = true;
            }
        }
        wanted.key_columns.push(schema.len());
        schema.fields.push(Field::new(SET_COLUMN, DataType::int().not_null()));
        extended(branches, &[Step::Expand { absent: absent.to_vec(), schema }])
    }
}

/// Windows, and the type of their time.
struct Known(Windows, DataType);

fn timestamp() -> DataType {
    DataType::new(TypeKind::Timestamp(3))
}

/// Sessions are those of the aggregate's groups if their keys are the same.
fn same_columns(a: &[usize], b: &[usize]) -> bool {
    a.iter().all(|it| b.contains(it)) && b.iter().all(|it| a.contains(it))
}

fn wanted(keys: &[Expr], sets: &[Vec<usize>], calls: &[AggregateCall], windows: &WindowColumns) -> Wanted {
    let mut columns = Columns::default();
    let mut roles = Vec::new();
    let mut key_columns = Vec::new();
    for key in keys {
        roles.push(match windows.property_of(key) {
            Some(property) => Key::Window(property),
            None => {
                let column = columns.add(key);
                if !key_columns.contains(&column) {
                    key_columns.push(column);
                }
                Key::Column(column)
            }
        });
    }
    if sets.len() > 1 {
        // A key may be NULL where it is absent; an argument stays what it is.
        columns.own_values();
    }
    let calls = calls.iter().map(|call| columns.call(call)).collect();
    Wanted { columns, keys: roles, key_columns, calls }
}

/// For each grouping set, the columns that are NULL in it.
fn absent_keys(wanted: &Wanted, sets: &[Vec<usize>]) -> Result<Vec<Vec<usize>>> {
    let absent_in = |set: &Vec<usize>| -> Result<Vec<usize>> {
        let mut absent = wanted.key_columns.clone();
        let mut windows = Vec::new();
        for key in set.iter().filter_map(|&key| wanted.keys.get(key)) {
            match key {
                Key::Column(column) => absent.retain(|it| it != column),
                Key::Window(property) => windows.push(*property),
            }
        }
        if windows.contains(&WindowProperty::Start) && windows.contains(&WindowProperty::End) {
            return Ok(absent);
        }
        Err(Diagnostic::not_supported("grouping sets of which some have no window")
            .help("write GROUP BY window_start, window_end, GROUPING SETS (…)"))
    };
    sets.iter().map(absent_in).collect()
}

/// Keys, calls, then the window's columns.
fn aggregate_schema(node: &WindowAggregate, input: &Schema, time_type: &DataType) -> Schema {
    let mut fields = input.project(&node.keys).fields;
    fields.iter_mut().for_each(|field| field.time = None);
    let names: Vec<String> = input.fields.iter().map(|field| field.name.clone()).collect();
    fields.extend(node.calls.iter().map(|call| Field::new(call_text(call, &names), call.data_type.clone())));
    for property in &node.properties {
        fields.push(match property {
            WindowProperty::Start => Field::new("window_start", timestamp().not_null()),
            WindowProperty::End => Field::new("window_end", timestamp().not_null()),
            WindowProperty::Time => {
                Field::new("window_time", time_type.clone()).with_time(Some(node.windows.time()))
            }
        });
    }
    Schema::new(fields)
}

/// From the operator's columns to the query's.
fn restore(wanted: &Wanted, output: &Schema, schema: &Schema) -> Step {
    let width = wanted.key_columns.len();
    let window = width + wanted.calls.len();
    let mut from: Vec<usize> = Vec::new();
    for key in &wanted.keys {
        from.push(match key {
            Key::Column(column) => wanted.key_columns.iter().position(|it| it == column).unwrap_or_default(),
            Key::Window(WindowProperty::Start) => window,
            Key::Window(WindowProperty::End) => window + 1,
            Key::Window(WindowProperty::Time) => window + 2,
        });
    }
    from.extend(width..window);
    if from.len() < schema.len() {
        // The set is the last of the keys.
        from.push(width.saturating_sub(1));
    }
    let columns = crate::flatten::columns_of(output);
    let exprs = from.iter().filter_map(|&at| columns.get(at).cloned()).collect();
    Step::Project { exprs, schema: schema.clone() }
}
