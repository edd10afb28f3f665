//! Evaluation of expressions over batches.
//!
//! [`Program::new`] turns the expression trees into one graph, in which equal sub-expressions
//! are one node. An evaluation goes over the graph with a *frame*: the rows at hand and what
//! has been computed for them.
//!
//! ```text
//!   CASE WHEN a > 0 THEN 1/a ELSE b END
//!
//!   frame: all rows        a > 0 ──► mask
//!      ├─ frame: mask      1/a            only the rows that reach the branch
//!      └─ frame: NOT mask  b
//!                          merge(mask, …)
//! ```
//!
//! A narrower frame takes columns and results from its parent by filtering them. Branches that
//! can't fail and cost little are computed for all rows instead, and the results zipped; so are
//! the right sides of AND and OR. COALESCE, IFNULL and IF are compiled to CASE.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_null_array},
    buffer::NullBuffer,
    compute::{
        FilterBuilder, FilterPredicate, and_kleene, concat, kernels::merge::merge, kernels::zip::zip, not,
        or_kleene, prep_null_mask_filter, take,
    },
    datatypes::Schema as ArrowSchema,
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_types::{Code, DataType};

use crate::{Call, CastMode, Expr, ExprKind, Function, FunctionKind, Value, cast, switch::Switch};

/// What an evaluation may look at besides its row.
#[derive(Debug, Clone)]
pub struct EvalContext {
    /// `CURRENT_TIMESTAMP` and its kin: microseconds since the epoch, from the engine's clock.
    pub now_micros: i64,
    /// `table.local-time-zone`.
    pub time_zone: chrono_tz::Tz,
    /// Seed for RAND and UUID without a seed of their own; differs per shard and batch.
    pub random_seed: u64,
    /// `CURRENT_WATERMARK`: up to where event time has come, in milliseconds; `None` before the first.
    pub watermark: Option<i64>,
}

/// A row that cannot be evaluated (`CAST('x' AS INT)`, `1/0`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    /// The code.
    pub code: Code,
    /// What is wrong, with the value.
    pub message: String,
}

impl EvalError {
    /// A row that can't be evaluated.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: Code::EvaluationFailed, message: message.into() }
    }
    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: Code::Internal, message: message.into() }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EvalError {}

impl From<ArrowError> for EvalError {
    fn from(error: ArrowError) -> Self {
        Self::new(error.to_string())
    }
}

/// Expressions made ready to be evaluated over batches of one schema. Common sub-expressions
/// are evaluated once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    exprs: Arc<[Expr]>,
    graph: Arc<Graph>,
}

impl Program {
    /// Makes the expressions ready.
    pub fn new(exprs: Vec<Expr>) -> Self {
        let mut graph = Graph::default();
        graph.outputs = exprs.iter().map(|expr| graph.add(expr)).collect();
        Self { exprs: exprs.into(), graph: Arc::new(graph) }
    }
    /// The expressions.
    pub fn exprs(&self) -> &[Expr] {
        &self.exprs
    }
    /// One array per expression, each as long as the batch.
    ///
    /// # Errors
    /// The first row that can't be evaluated fails the batch.
    pub fn evaluate(&self, batch: &RecordBatch, context: &EvalContext) -> Result<Vec<ArrayRef>, EvalError> {
        let frame = Frame::new(&self.graph, batch, context);
        self.graph.outputs.iter().map(|id| frame.value(*id)).collect()
    }
    /// The first expression, a BOOLEAN one, as a mask: NULL counts as FALSE.
    ///
    /// # Errors
    /// The first row that can't be evaluated fails the batch.
    pub fn evaluate_predicate(
        &self,
        batch: &RecordBatch,
        context: &EvalContext,
    ) -> Result<BooleanArray, EvalError> {
        let Some(id) = self.graph.outputs.first() else {
            return Err(EvalError::internal("a program without expressions is no predicate"));
        };
        Frame::new(&self.graph, batch, context).mask(*id)
    }
}

/// The value of an expression without columns.
///
/// # Errors
/// It can't be evaluated.
pub fn evaluate_constant(expr: &Expr, context: &EvalContext) -> Result<Value, EvalError> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(ArrowSchema::empty()), Vec::new(), &options)?;
    let results = Program::new(vec![expr.clone()]).evaluate(&row, context)?;
    Ok(results.first().map_or(Value::Null, |array| Value::from_array(array, 0, &expr.data_type)))
}

/// Index of a node in its graph. Children stand before their parents.
type NodeId = usize;

#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<NodeId>,
}

#[derive(Debug)]
struct Node {
    operation: Operation,
    data_type: DataType,
    /// Computing it for rows that don't need it does no harm: it can't fail and is fast.
    eager: bool,
}

#[derive(Debug)]
enum Operation {
    Column(usize),
    /// A constant, and the longest array of it that was asked for so far.
    Literal(Value, Mutex<Option<ArrayRef>>),
    Call {
        function: &'static Function,
        args: Vec<NodeId>,
        exprs: Vec<Expr>,
        state: Mutex<Option<u64>>,
    },
    And(NodeId, NodeId),
    Or(NodeId, NodeId),
    Cast {
        input: NodeId,
        from: DataType,
        mode: CastMode,
    },
    Case {
        branches: Vec<(NodeId, NodeId)>,
        otherwise: NodeId,
        /// The same as a table, and the number that goes in.
        switch: Option<(NodeId, Box<Switch>)>,
    },
    IsNotNull(NodeId),
    Field {
        input: NodeId,
        index: usize,
    },
}

impl Operation {
    /// Whether both compute the same (given the same type), so that one node will do.
    fn same(&self, other: &Operation) -> bool {
        use Operation::{And, Call, Case, Cast, Column, Field, IsNotNull, Literal, Or};
        match (self, other) {
            (Column(a), Column(b)) => a == b,
            (Literal(a, _), Literal(b, _)) => a == b,
            (Call { function: f, args: a, .. }, Call { function: g, args: b, .. }) => {
                f == g && a == b && f.deterministic
            }
            (And(a, b), And(c, d)) | (Or(a, b), Or(c, d)) => (a, b) == (c, d),
            (Cast { input: a, from: f, mode: m }, Cast { input: b, from: g, mode: n }) => {
                (a, f, m) == (b, g, n)
            }
            (Case { branches: a, otherwise: x, .. }, Case { branches: b, otherwise: y, .. }) => {
                (a, x) == (b, y)
            }
            (IsNotNull(a), IsNotNull(b)) => a == b,
            (Field { input: a, index: i }, Field { input: b, index: j }) => (a, i) == (b, j),
            _ => false,
        }
    }
}

impl Graph {
    fn add(&mut self, expr: &Expr) -> NodeId {
        let operation = match &expr.kind {
            ExprKind::Column { index, .. } => Operation::Column(*index),
            ExprKind::Literal(value) => Operation::Literal(value.clone(), Mutex::new(None)),
            ExprKind::Call { function, args } => self.call(function, args),
            ExprKind::Cast { input, mode } => {
                let from = input.data_type.clone();
                Operation::Cast { input: self.add(input), from, mode: *mode }
            }
            ExprKind::Case { branches, otherwise } => {
                let branches: Vec<_> = branches.iter().map(|(c, v)| (self.add(c), self.add(v))).collect();
                let otherwise = self.add(otherwise);
                let switch = self.switch(&branches, otherwise);
                Operation::Case { branches, otherwise, switch }
            }
            ExprKind::Field { input, index, .. } => {
                Operation::Field { input: self.add(input), index: *index }
            }
        };
        self.push(operation, expr.data_type.clone())
    }

    fn call(&mut self, function: &'static Function, args: &[Expr]) -> Operation {
        let ids: Vec<NodeId> = args.iter().map(|arg| self.add(arg)).collect();
        match (function.name, ids.as_slice()) {
            ("AND", [a, b]) => Operation::And(*a, *b),
            ("OR", [a, b]) => Operation::Or(*a, *b),
            ("IF", [condition, value, otherwise]) => {
                Operation::Case { branches: vec![(*condition, *value)], otherwise: *otherwise, switch: None }
            }
            ("COALESCE" | "IFNULL", [first @ .., last]) => {
                let mut branches = Vec::new();
                for id in first {
                    branches
                        .push((self.push(Operation::IsNotNull(*id), DataType::boolean().not_null()), *id));
                }
                Operation::Case { branches, otherwise: *last, switch: None }
            }
            _ => Operation::Call { function, args: ids, exprs: args.to_vec(), state: Mutex::default() },
        }
    }

    /// A CASE whose conditions all compare one whole number with constants, and whose values are constants.
    fn switch(&self, branches: &[(NodeId, NodeId)], otherwise: NodeId) -> Option<(NodeId, Box<Switch>)> {
        let literal = |id: NodeId| match self.nodes.get(id)? {
            Node { operation: Operation::Literal(value, _), data_type, .. } => Some((value, data_type)),
            _ => None,
        };
        let constant = |id: NodeId| literal(id).map(|(value, data_type)| value.to_array(data_type, 1));
        let compared = |id: NodeId| match &self.nodes.get(id)?.operation {
            Operation::Call { function, args, .. } if function.name == "=" => match args.as_slice() {
                [number, to] => match literal(*to)?.0 {
                    Value::Int(to) => Some((*number, *to)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        // A single comparison is as fast as it is.
        let [(first, _), _, ..] = branches else { return None };
        let (number, _) = compared(*first)?;
        let mut constants = Vec::with_capacity(branches.len());
        for (condition, value) in branches {
            let (compared, to) = compared(*condition)?;
            if compared != number {
                return None;
            }
            constants.push((to, constant(*value)?));
        }
        Some((number, Box::new(Switch::new(&constants, &constant(otherwise)?)?)))
    }

    fn push(&mut self, operation: Operation, data_type: DataType) -> NodeId {
        let known =
            self.nodes.iter().position(|node| node.data_type == data_type && node.operation.same(&operation));
        if let Some(id) = known {
            return id;
        }
        let eager = self.is_eager(&operation, &data_type);
        self.nodes.push(Node { operation, data_type, eager });
        self.nodes.len() - 1
    }

    fn is_eager(&self, operation: &Operation, data_type: &DataType) -> bool {
        operation.does_no_harm(data_type, &|id| self.nodes.get(id).is_some_and(|node| node.eager))
    }
}

impl Operation {
    /// Whether computing it for rows that don't need it does no harm, given for which nodes it doesn't.
    fn does_no_harm(&self, data_type: &DataType, harmless: &dyn Fn(NodeId) -> bool) -> bool {
        match self {
            Operation::Column(_) | Operation::Literal(..) => true,
            Operation::Call { function, args, .. } => {
                let cheap = match function.kind {
                    FunctionKind::Comparison => {
                        !matches!(function.name, "LIKE" | "NOT LIKE" | "SIMILAR TO" | "NOT SIMILAR TO")
                    }
                    FunctionKind::Logical => true,
                    FunctionKind::Arithmetic => {
                        data_type.is_numeric() && matches!(function.name, "+" | "-" | "*" | "ABS")
                    }
                    _ => false,
                };
                cheap && function.deterministic && args.iter().all(|it| harmless(*it))
            }
            Operation::And(a, b) | Operation::Or(a, b) => harmless(*a) && harmless(*b),
            Operation::Cast { input, from, mode } => {
                harmless(*input)
                    && from.is_numeric()
                    && data_type.is_numeric()
                    && *mode == CastMode::Strict
                    && data_type.nullable
            }
            Operation::Case { .. } => false,
            Operation::IsNotNull(input) | Operation::Field { input, .. } => harmless(*input),
        }
    }
}

/// Some rows of a batch, and what has been computed for them.
struct Frame<'a> {
    graph: &'a Graph,
    context: &'a EvalContext,
    rows: usize,
    source: Source<'a>,
    done: RefCell<Vec<Option<ArrayRef>>>,
}

/// Where a frame's rows come from.
enum Source<'a> {
    Batch(&'a RecordBatch),
    /// Rows of a wider frame.
    Part(&'a Frame<'a>, FilterPredicate),
}

impl<'a> Frame<'a> {
    fn new(graph: &'a Graph, batch: &'a RecordBatch, context: &'a EvalContext) -> Self {
        let done = RefCell::new(vec![None; graph.nodes.len()]);
        Frame { graph, context, rows: batch.num_rows(), source: Source::Batch(batch), done }
    }

    /// The rows where the mask (without NULL) is TRUE.
    fn part<'b>(&'b self, mask: &BooleanArray) -> Frame<'b> {
        let filter = FilterBuilder::new(mask).optimize().build();
        Frame {
            graph: self.graph,
            context: self.context,
            rows: filter.count(),
            source: Source::Part(self, filter),
            done: RefCell::new(vec![None; self.graph.nodes.len()]),
        }
    }

    fn column(&self, index: usize) -> Result<ArrayRef, EvalError> {
        match &self.source {
            Source::Batch(batch) => batch
                .columns()
                .get(index)
                .map(Arc::clone)
                .ok_or_else(|| EvalError::internal(format!("the batch has no column {index}"))),
            Source::Part(parent, filter) => Ok(filter.filter(&parent.column(index)?)?),
        }
    }

    fn node(&self, id: NodeId) -> Result<&'a Node, EvalError> {
        self.graph.nodes.get(id).ok_or_else(|| EvalError::internal("the graph has a hole"))
    }

    /// What this frame or a wider one has computed for the node already.
    fn known(&self, id: NodeId) -> Result<Option<ArrayRef>, EvalError> {
        if let Some(Some(array)) = self.done.borrow().get(id) {
            return Ok(Some(Arc::clone(array)));
        }
        match &self.source {
            Source::Batch(_) => Ok(None),
            Source::Part(parent, filter) => match parent.known(id)? {
                Some(array) => Ok(Some(filter.filter(&array)?)),
                None => Ok(None),
            },
        }
    }

    /// The node's value for every row of the frame.
    fn value(&self, id: NodeId) -> Result<ArrayRef, EvalError> {
        let node = self.node(id)?;
        if let Operation::Literal(value, cache) = &node.operation {
            return Ok(self.constant(value, &node.data_type, cache));
        }
        if let Some(array) = self.known(id)? {
            return Ok(array);
        }
        let array = self.compute(id, node)?;
        if array.len() != self.rows {
            return Err(EvalError::internal(format!(
                "a kernel returned {} rows for {}",
                array.len(),
                self.rows
            )));
        }
        if let Some(place) = self.done.borrow_mut().get_mut(id) {
            *place = Some(Arc::clone(&array));
        }
        Ok(array)
    }

    /// The node's value where it is used as a condition: NULL counts as FALSE.
    fn mask(&self, id: NodeId) -> Result<BooleanArray, EvalError> {
        let array = self.value(id)?;
        let Some(mask) = array.as_boolean_opt() else {
            return Err(EvalError::internal("a condition isn't BOOLEAN"));
        };
        Ok(if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) })
    }

    fn constant(&self, value: &Value, data_type: &DataType, cache: &Mutex<Option<ArrayRef>>) -> ArrayRef {
        let mut cached = cache.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some(array) if array.len() == self.rows => Arc::clone(array),
            Some(array) if array.len() > self.rows => array.slice(0, self.rows),
            _ => {
                let array = value.to_array(data_type, self.rows);
                *cached = Some(Arc::clone(&array));
                array
            }
        }
    }

    fn compute(&self, id: NodeId, node: &'a Node) -> Result<ArrayRef, EvalError> {
        match &node.operation {
            Operation::Column(index) => self.column(*index),
            Operation::Literal(value, cache) => Ok(self.constant(value, &node.data_type, cache)),
            Operation::Call { function, args, exprs, state } => {
                let args: Vec<ArrayRef> = args.iter().map(|id| self.value(*id)).collect::<Result<_, _>>()?;
                let mut call = Call {
                    args: &args,
                    exprs,
                    data_type: &node.data_type,
                    rows: self.rows,
                    context: self.context,
                    state,
                };
                if function.deterministic {
                    return (function.evaluate)(&call);
                }
                // Two calls of RAND in one row must not give the same number.
                let random_seed =
                    self.context.random_seed ^ (id as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let context = EvalContext { random_seed, ..self.context.clone() };
                call.context = &context;
                (function.evaluate)(&call)
            }
            Operation::And(left, right) => self.connect(*left, *right, false),
            Operation::Or(left, right) => self.connect(*left, *right, true),
            Operation::Cast { input, from, mode } => {
                cast::cast_array(&self.value(*input)?, from, &node.data_type, *mode, self.context)
            }
            Operation::Case { branches, otherwise, switch } => {
                if let Some((number, switch)) = switch
                    && let Some(chosen) = switch.choose(&self.value(*number)?)?
                {
                    return Ok(chosen);
                }
                self.case(branches, *otherwise)
            }
            Operation::IsNotNull(input) => {
                let array = self.value(*input)?;
                let valid = match array.logical_nulls() {
                    Some(nulls) => nulls.into_inner(),
                    None => arrow::buffer::BooleanBuffer::new_set(array.len()),
                };
                Ok(Arc::new(BooleanArray::new(valid, None)))
            }
            Operation::Field { input, index } => field(&self.value(*input)?, *index, &node.data_type),
        }
    }

    /// AND (`decided` = FALSE) or OR (`decided` = TRUE). If the right side might fail, it is
    /// evaluated only for rows that the left side doesn't decide.
    fn connect(&self, left: NodeId, right: NodeId, decided: bool) -> Result<ArrayRef, EvalError> {
        let left = self.value(left)?;
        let Some(left) = left.as_boolean_opt() else {
            return Err(EvalError::internal("AND and OR want BOOLEAN"));
        };
        let combine = |left: &BooleanArray, right: &ArrayRef| -> Result<ArrayRef, EvalError> {
            let Some(right) = right.as_boolean_opt() else {
                return Err(EvalError::internal("AND and OR want BOOLEAN"));
            };
            let both = if decided { or_kleene(left, right)? } else { and_kleene(left, right)? };
            Ok(Arc::new(both))
        };
        let is_decided = if decided { prep(left) } else { prep(&not(left)?) };
        let undecided = self.rows - is_decided.true_count();
        if undecided == 0 {
            return Ok(Arc::new(left.clone()));
        }
        if undecided == self.rows || self.node(right)?.eager {
            return combine(left, &self.value(right)?);
        }
        let open = not(&is_decided)?;
        let part = self.part(&open);
        let filtered = part.filter_of(&open, left)?;
        let combined = combine(filtered.as_boolean(), &part.value(right)?)?;
        let constant = BooleanArray::new_scalar(decided);
        Ok(merge(&open, &combined, &constant)?)
    }

    /// This frame's rows of an array of the parent's length.
    fn filter_of(&self, mask: &BooleanArray, array: &BooleanArray) -> Result<ArrayRef, EvalError> {
        match &self.source {
            Source::Part(_, filter) => Ok(filter.filter(array)?),
            Source::Batch(_) => Ok(arrow::compute::filter(array, mask)?),
        }
    }

    fn case(&self, branches: &[(NodeId, NodeId)], otherwise: NodeId) -> Result<ArrayRef, EvalError> {
        let Some(((condition, value), rest)) = branches.split_first() else {
            return self.value(otherwise);
        };
        let mask = self.mask(*condition)?;
        match mask.true_count() {
            0 => return self.case(rest, otherwise),
            all if all == self.rows => return self.value(*value),
            _ => {}
        }
        let eager = |id: NodeId| self.node(id).map(|node| node.eager);
        if rest.is_empty() && eager(*value)? && eager(otherwise)? {
            return self.zip(&mask, *value, otherwise);
        }
        if let Some(chosen) = self.choose(branches, otherwise)? {
            return Ok(chosen);
        }
        let remaining = not(&mask)?;
        let reached = self.part(&mask).value(*value)?;
        let other = self.part(&remaining).case(rest, otherwise)?;
        Ok(merge(&mask, &reached, &other)?)
    }

    /// A CASE that chooses among constants, if its conditions can be computed for all rows: which
    /// constant is found for every row, and they are gathered once.
    ///
    /// ```text
    ///   CASE x WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END
    ///
    ///   x = 1  ──► mask ─┐
    ///   x = 2  ──► mask ─┴─► 0 1 2 2 0 … ──► take ['a', 'b', 'c']
    /// ```
    fn choose(
        &self,
        branches: &[(NodeId, NodeId)],
        otherwise: NodeId,
    ) -> Result<Option<ArrayRef>, EvalError> {
        let constant = |id: NodeId| match self.node(id) {
            Ok(Node { operation: Operation::Literal(value, _), data_type, .. }) => {
                Some(value.to_array(data_type, 1))
            }
            _ => None,
        };
        let constants = branches.iter().map(|(_, value)| *value).chain([otherwise]);
        let Some(constants) = constants.map(constant).collect::<Option<Vec<ArrayRef>>>() else {
            return Ok(None);
        };
        if !branches.iter().all(|(condition, _)| self.is_ready(*condition)) {
            return Ok(None);
        }
        let mut places = vec![branches.len() as u32; self.rows];
        // The first branch that applies is the one that counts, so it comes last.
        for (place, (condition, _)) in branches.iter().enumerate().rev() {
            for row in self.mask(*condition)?.values().set_indices() {
                if let Some(chosen) = places.get_mut(row) {
                    *chosen = place as u32;
                }
            }
        }
        let constants: Vec<&dyn Array> = constants.iter().map(AsRef::as_ref).collect();
        Ok(Some(take(&concat(&constants)?, &UInt32Array::from(places), None)?))
    }

    /// Whether the node is known or does no harm, given what is known.
    fn is_ready(&self, id: NodeId) -> bool {
        let known = matches!(self.done.borrow().get(id), Some(Some(_)));
        known
            || self.node(id).is_ok_and(|node| {
                node.eager || node.operation.does_no_harm(&node.data_type, &|it| self.is_ready(it))
            })
    }

    /// The one value where the mask is TRUE, the other elsewhere; constants without an array.
    fn zip(&self, mask: &BooleanArray, yes: NodeId, no: NodeId) -> Result<ArrayRef, EvalError> {
        let scalar = |id: NodeId| -> Result<Option<arrow::array::Scalar<ArrayRef>>, EvalError> {
            let node = self.node(id)?;
            Ok(match &node.operation {
                Operation::Literal(value, _) => {
                    Some(arrow::array::Scalar::new(value.to_array(&node.data_type, 1)))
                }
                _ => None,
            })
        };
        Ok(match (scalar(yes)?, scalar(no)?) {
            (Some(yes), Some(no)) => zip(mask, &yes, &no)?,
            (Some(yes), None) => zip(mask, &yes, &self.value(no)?)?,
            (None, Some(no)) => zip(mask, &self.value(yes)?, &no)?,
            (None, None) => zip(mask, &self.value(yes)?, &self.value(no)?)?,
        })
    }
}

/// NULL counts as FALSE.
fn prep(mask: &BooleanArray) -> BooleanArray {
    if mask.null_count() == 0 { mask.clone() } else { prep_null_mask_filter(mask) }
}

/// A field of a ROW; NULL where the ROW is.
fn field(row: &ArrayRef, index: usize, data_type: &DataType) -> Result<ArrayRef, EvalError> {
    let Some(row) = row.as_struct_opt() else {
        return Ok(new_null_array(&data_type.arrow_type(), row.len()));
    };
    let column = row.columns().get(index).ok_or_else(|| EvalError::internal("the ROW has no such field"))?;
    if row.null_count() == 0 {
        return Ok(Arc::clone(column));
    }
    let nulls = NullBuffer::union(row.nulls(), column.nulls());
    Ok(arrow::array::make_array(column.to_data().into_builder().nulls(nulls).build()?))
}

#[cfg(test)]
#[path = "eval_tests.rs"]
mod tests;
