//! The two sides of a join, whatever kind of operator joins them.
//!
//! ```text
//!   condition ─ Conjuncts ─► keys        a column of each side
//!                            left only   decided before the join, where no row is lost that it keeps
//!                            right only
//!                            the rest    decided on pairs
//! ```

use flott_expr::Expr;
use flott_sql::{JoinKind, LogicalPlan};
use flott_types::{Result, Schema};

use crate::{
    OperatorNode, Step,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    join::{Asked, all, from_right},
    rewrite::remap,
};

/// What is compared, sorted by who can tell.
#[derive(Default)]
pub struct Conjuncts {
    /// Equal expressions of both sides; the right's columns are counted from the right side's first.
    pub keys: Vec<(Expr, Expr)>,
    left_only: Vec<Expr>,
    /// Over the right's columns.
    right_only: Vec<Expr>,
    /// Over the left's columns followed by the right's.
    rest: Vec<Expr>,
}

/// Sides that are ready to be joined.
pub struct Sides {
    inputs: Vec<Vec<Branch>>,
    /// The keys' columns of each side.
    pub keys: Vec<(usize, usize)>,
    /// What pairs must fulfil, over the left's columns followed by the right's.
    pub condition: Option<Expr>,
    /// How many columns the left side has.
    pub width: usize,
    output: Schema,
    restore: Step,
}

impl Conjuncts {
    /// A condition that is no key.
    pub fn add(&mut self, condition: Expr, width: usize) {
        let columns = condition.columns();
        if !condition.is_deterministic() || columns.is_empty() {
            self.rest.push(condition);
        } else if columns.iter().all(|&column| column < width) {
            self.left_only.push(condition);
        } else if columns.iter().all(|&column| column >= width) {
            self.right_only.push(from_right(condition, width));
        } else {
            self.rest.push(condition);
        }
    }
}

impl Flatten {
    /// The sides of a join.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn sides(&mut self, asked: &Asked<'_>, mut conjuncts: Conjuncts) -> Result<Sides> {
        let Asked { left, right, kind, schema, .. } = *asked;
        let (left_schema, right_schema) = (left.schema(), right.schema());
        let width = left_schema.len();
        let (mut on_left, mut on_right) = (Vec::new(), Vec::new());
        for predicate in conjuncts.left_only {
            match kind {
                JoinKind::Inner | JoinKind::Right | JoinKind::Semi => on_left.push(predicate),
                JoinKind::Left | JoinKind::Full | JoinKind::Anti => conjuncts.rest.push(predicate),
            }
        }
        for mut predicate in conjuncts.right_only {
            if matches!(kind, JoinKind::Right | JoinKind::Full) {
                remap(&mut predicate, &|column| column + width);
                conjuncts.rest.push(predicate);
            } else {
                on_right.push(predicate);
            }
        }
        let left_branches = self.branches(&filtered(left, on_left))?;
        let right_branches = self.branches(&filtered(right, on_right))?;
        let (mut lefts, mut rights) = (Columns::of(&left_schema), Columns::of(&right_schema));
        let keys = conjuncts.keys.iter().map(|(l, r)| (lefts.add(l), rights.add(r))).collect();
        let added = lefts.exprs.len() - width;
        let over_both = |mut predicate: Expr| {
            remap(&mut predicate, &|column| if column < width { column } else { column + added });
            predicate
        };
        let condition = all(conjuncts.rest.into_iter().map(over_both))?;
        let left_output = lefts.schema(matches!(kind, JoinKind::Right | JoinKind::Full));
        let right_output = rights.schema(matches!(kind, JoinKind::Left | JoinKind::Full));
        let one_sided = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let right_fields = if one_sided { Vec::new() } else { right_output.fields };
        let output = Schema::new(left_output.fields.into_iter().chain(right_fields).collect());
        let columns = columns_of(&output);
        let restored = (0..schema.len()).map(|at| if at < width { at } else { at + added });
        let exprs = restored.filter_map(|at| columns.get(at).cloned()).collect();
        let inputs =
            vec![extended(left_branches, &[lefts.step()]), extended(right_branches, &[rights.step()])];
        let restore = Step::Project { exprs, schema: schema.clone() };
        Ok(Sides { inputs, keys, condition, width: lefts.exprs.len(), output, restore })
    }

    /// The operator over its sides; its output has the columns that the query asks for.
    pub fn joined(&mut self, node: OperatorNode, sides: Sides) -> Vec<Branch> {
        let branch = self.operator(node, sides.inputs, sides.output);
        extended(vec![branch], &[sides.restore])
    }
}

/// The rows for which all of these are TRUE. A filter of the query, not a step behind it: what is below may
/// want to know (`WHERE rank <= 3`).
pub fn filtered(plan: &LogicalPlan, predicates: Vec<Expr>) -> LogicalPlan {
    let filter = |input, predicate| LogicalPlan::Filter { input: Box::new(input), predicate };
    predicates.into_iter().fold(plan.clone(), filter)
}

/// `left = right` with one side's columns on each side, whichever stands first: the left's, and the right's
/// counted from its first.
pub fn of_both_sides(a: &Expr, b: &Expr, width: usize) -> Option<(Expr, Expr)> {
    let is_key = |expr: &Expr| expr.is_deterministic() && !expr.columns().is_empty();
    let is_left = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column < width);
    let is_right = |expr: &Expr| is_key(expr) && expr.columns().into_iter().all(|column| column >= width);
    if is_left(a) && is_right(b) {
        Some((a.clone(), from_right(b.clone(), width)))
    } else if is_left(b) && is_right(a) {
        Some((b.clone(), from_right(a.clone(), width)))
    } else {
        None
    }
}
