//! `FOR SYSTEM_TIME AS OF` processing time: joins with a table that is asked while the job runs.
//!
//! ```text
//!   TemporalJoin a.id = r.id AND r.x > 3 AND r.y < a.z
//!                └─ key ───┘     └filter┘    └condition┘      what the table alone decides it decides itself
//!     └ Project id, upper(n)  ─►  exprs over the columns that the table is asked for
//!        └ Filter y <> 0      ─►  filter
//!           └ Scan r
//! ```
//!
//! Source: Flink documentation, "Joins": lookup join.

use flott_connector::Registry;
use flott_expr::Expr;
use flott_sql::{JoinKind, LogicalPlan};
use flott_types::{Code, Diagnostic, Options, Result, Schema, TableDescription};

use crate::{
    Lookup, LookupJoin, OperatorNode, Step,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended, peel},
    graph::{Branch, Graph, Producer},
    rewrite::{remap, substitute},
    temporal_join::{all, conjuncts, is_left_only, key_pair},
};

/// How tables are asked where no hint says it.
///
/// # Errors
/// `InvalidOption`
pub fn defaults(options: &Options) -> Result<Lookup> {
    let capacity = |text: &str| match text.trim().parse::<usize>() {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => Err("expected a number above zero".to_string()),
    };
    let timeout = options.duration("table.exec.async-lookup.timeout")?;
    let mode = options.get("table.exec.async-lookup.output-mode").unwrap_or_default();
    Ok(Lookup {
        capacity: options.parsed("table.exec.async-lookup.buffer-capacity", capacity)?.unwrap_or(100),
        timeout_millis: timeout.map_or(180_000, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)),
        unordered: mode.eq_ignore_ascii_case("ALLOW_UNORDERED"),
        retry: None,
        shuffle: false,
    })
}

/// Whether every table that is looked up can be.
///
/// # Errors
/// `UnsupportedUse`
pub fn check(graph: &Graph, registry: &Registry) -> Result<()> {
    for producer in &graph.producers {
        let Producer::Operator(operator) = producer else { continue };
        let OperatorNode::LookupJoin(LookupJoin { table, span, .. }) = &operator.node else { continue };
        let connector = registry.connector_of(table)?;
        if !connector.looks_up() {
            let message = format!(
                "table '{}' cannot be looked up: connector '{}' only reads it from beginning to end",
                table.name,
                connector.name()
            );
            return Err(Diagnostic::error(Code::UnsupportedUse, message).at(*span).help(
                "join FOR SYSTEM_TIME AS OF a row time, or with a table of a connector that answers look-ups: \
                 'filesystem'",
            ));
        }
    }
    Ok(())
}

/// The table that is asked, and the query over it.
struct Asked<'p> {
    table: &'p TableDescription,
    span: flott_types::Span,
    /// What it gives, over the table's columns.
    exprs: Vec<Expr>,
    /// Predicates over the table's columns.
    filters: Vec<Expr>,
}

impl Flatten {
    /// The branches of a look-up, with the predicates right above it.
    ///
    /// # Errors
    /// `NotSupported`, `UnsupportedUse`
    pub fn lookup_join(
        &mut self,
        join: &flott_sql::TemporalJoin,
        conditions: Vec<Expr>,
    ) -> Result<Vec<Branch>> {
        let asked = asked(join)?;
        let left = join.left.schema();
        let width = left.len();
        let mut lefts = Columns::of(&left);
        let (mut keys, mut on_left, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let mut filters = asked.filters;
        // Over the left's columns followed by the table's.
        let mut over_table = columns_of(&left);
        over_table.extend(asked.exprs.iter().cloned().map(|expr| shifted(expr, width)));
        for condition in std::iter::once(&join.condition).chain(&conditions).flat_map(conjuncts) {
            let condition = substitute(&condition, &over_table);
            match key_pair(&condition, width) {
                Some((expr, column)) if !keys.iter().any(|it: &(usize, usize)| it.1 == column) => {
                    keys.push((lefts.add(&expr), column));
                }
                _ if is_left_only(&condition, width, join.kind) => on_left.push(Step::Filter(condition)),
                _ if is_of_table(&condition, width) => filters.push(unshifted(condition, width)),
                _ => rest.push(condition),
            }
        }
        if keys.is_empty() {
            return Err(Diagnostic::error(
                Code::UnsupportedUse,
                format!("table '{}' is looked up without a key", asked.table.name),
            )
            .at(join.span)
            .help("compare one of its own columns with = to a value of the same type of the left side"));
        }
        let added = lefts.exprs.len() - width;
        let (filters, changing): (Vec<Expr>, Vec<Expr>) =
            filters.into_iter().partition(Expr::is_deterministic);
        rest.iter_mut()
            .for_each(|it| remap(it, &|column| if column < width { column } else { column + added }));
        rest.extend(changing.into_iter().map(|it| shifted(it, width + added)));
        let rights = nullable(&join.right.schema(), join.kind);
        let node = OperatorNode::LookupJoin(LookupJoin {
            table: asked.table.clone(),
            span: asked.span,
            keys,
            reads: (0..asked.table.columns.len()).collect(),
            filter: all(filters)?,
            condition: all(rest)?,
            exprs: asked.exprs,
            schema: rights.clone(),
            kind: join.kind,
            lookup: Lookup::of(&join.lookup, &self.lookup),
        });
        let mut output = lefts.schema(false);
        output.fields.extend(rights.fields);
        let columns = columns_of(&output);
        let restored = (0..join.schema.len()).map(|at| if at < width { at } else { at + added });
        let exprs = restored.filter_map(|at| columns.get(at).cloned()).collect();
        let restore = Step::Project { exprs, schema: join.schema.clone() };
        let lefts = extended(extended(self.branches(&join.left)?, &on_left), &[lefts.step()]);
        let branch = self.operator(node, vec![lefts], output);
        Ok(extended(vec![branch], &[restore]))
    }
}

/// Takes the right side apart: projections and predicates over one table.
fn asked(join: &flott_sql::TemporalJoin) -> Result<Asked<'_>> {
    let (base, steps) = peel(&join.right);
    let refused = |what: &str| {
        Diagnostic::not_supported(format_args!("a join FOR SYSTEM_TIME AS OF processing time with {what}"))
            .at(join.span)
            .help("name a table there, or join FOR SYSTEM_TIME AS OF a row time")
    };
    let LogicalPlan::Scan { table, span, .. } = base else { return Err(refused("a query")) };
    let (mut exprs, mut filters) = (columns_of(&table.schema()), Vec::new());
    for step in steps {
        match step {
            Step::Filter(predicate) => filters.extend(conjuncts(&substitute(&predicate, &exprs))),
            Step::Project { exprs: outer, .. } => {
                exprs = outer.iter().map(|expr| substitute(expr, &exprs)).collect();
            }
            _ => return Err(refused("a query that is more than columns and predicates")),
        }
    }
    Ok(Asked { table, span: *span, exprs, filters })
}

fn is_of_table(condition: &Expr, width: usize) -> bool {
    let columns = condition.columns();
    !columns.is_empty() && columns.iter().all(|&column| column >= width)
}

fn shifted(mut expr: Expr, by: usize) -> Expr {
    remap(&mut expr, &|column| column + by);
    expr
}

fn unshifted(mut expr: Expr, by: usize) -> Expr {
    remap(&mut expr, &|column| column.saturating_sub(by));
    expr
}

fn nullable(schema: &Schema, kind: JoinKind) -> Schema {
    let mut schema = schema.clone();
    schema.fields.iter_mut().for_each(|field| {
        field.time = None;
        field.data_type.nullable |= kind == JoinKind::Left;
    });
    schema
}

/// Tables that the plan asks while it runs.
pub fn tables(plan: &crate::StreamPlan) -> impl Iterator<Item = &TableDescription> {
    plan.nodes.iter().filter_map(|node| match &node.kind {
        crate::NodeKind::Operator(OperatorNode::LookupJoin(join)) => Some(&join.table),
        _ => None,
    })
}
