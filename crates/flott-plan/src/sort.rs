//! `ORDER BY`, `LIMIT`, `OFFSET`.
//!
//! ```text
//!   LIMIT, with or without ORDER BY     TopN without groups
//!   ORDER BY a time attribute, …        temporal sort: in order as the watermark passes
//!   ORDER BY anything else              sort, in batch mode only: a stream has no last row
//! ```
//! Source: Flink documentation, "ORDER BY clause", "LIMIT clause".

use flott_sql::{LogicalPlan, SortKey};
use flott_types::{Diagnostic, Result, Span};

use crate::{
    OperatorNode, Sort, TopN,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    rank::time_of,
};

impl Flatten {
    /// The branches of a sorted query.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn sort(
        &mut self,
        input: &LogicalPlan,
        keys: &[SortKey],
        (offset, limit): (u64, Option<u64>),
        span: Span,
    ) -> Result<Vec<Branch>> {
        let schema = input.schema();
        let mut columns = Columns::of(&schema);
        let time = keys.first().filter(|key| !key.descending).and_then(|key| time_of(key, input));
        let order = keys.iter().map(|key| (columns.add(&key.expr), key.descending, key.nulls_first));
        let order_by: Vec<(usize, bool, bool)> = order.collect();
        let node = match limit {
            Some(limit) => OperatorNode::TopN(TopN {
                order_by,
                ranks: (offset.saturating_add(1), offset.saturating_add(limit)),
                ttl_millis: self.state_ttl,
                ..TopN::default()
            }),
            None if offset == 0 && keys.is_empty() => return self.branches(input),
            None if self.batch => OperatorNode::Sort(Sort { order_by, time: None, skip: offset }),
            None if offset > 0 => {
                return Err(Diagnostic::not_supported("OFFSET without LIMIT over a stream")
                    .at(span)
                    .help("say how many rows are wanted: LIMIT n OFFSET m"));
            }
            None if time.is_none() => {
                return Err(Diagnostic::not_supported(
                    "ORDER BY a column that is no time attribute over a stream",
                )
                .at(span)
                .help(
                    "a stream has no last row: add LIMIT n, order by an event time first and rising, or \
                         SET 'execution.runtime-mode' = 'batch'",
                ));
            }
            None => OperatorNode::Sort(Sort { order_by, time, skip: 0 }),
        };
        let mut output = columns.schema(false);
        if !matches!(node, OperatorNode::Sort(_)) {
            output.fields.iter_mut().for_each(|field| field.time = None);
        }
        let mut exprs = columns_of(&output);
        let restore = (exprs.len() > schema.len()).then(|| {
            exprs.truncate(schema.len());
            crate::Step::Project { exprs, schema: schema.clone() }
        });
        let branches = extended(self.branches(input)?, &[columns.step()]);
        let branch = self.operator(node, vec![branches], output);
        Ok(extended(vec![branch], &restore.into_iter().collect::<Vec<_>>()))
    }
}
