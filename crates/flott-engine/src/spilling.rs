//! Operators whose state may leave memory: by which keys, to where.
//!
//! An operator can be cut if all its rows come to the shard by their keys. One that gets all rows on one
//! shard, or that looks rows up in a table, stays in memory whatever the budget.

use flott_operators::{Context, LaneKeys, SpillSettings, SpillingOperator, pre_aggregation};
use flott_plan::Exchange;
use flott_types::Result;

use crate::{
    job::Job,
    topology::{Consumer, Edge, Topology},
};

/// An operator of a shard, empty.
///
/// # Errors
/// `NotSupported`
pub(crate) fn operator(
    job: &Job,
    topology: &Topology,
    context: &Context,
    shard: usize,
    index: usize,
) -> Result<SpillingOperator> {
    let spec = &topology.operators[index];
    let settings = SpillSettings {
        budget: job.settings.state.budget.clone(),
        storage: job.settings.state.scratch.clone(),
        name: format!("{shard}-{index}"),
        lanes: lanes(topology, context, index)?,
        checkpoints: job.settings.checkpointing.is_some() && job.replay.is_none() && job.collect.is_none(),
        flush_rows: job.settings.mini_batch.rows,
    };
    SpillingOperator::new(&spec.node, &spec.inputs, context, settings)
}

/// The keys of an operator's lanes, in the order in which it has them; none if some have none.
fn lanes(topology: &Topology, context: &Context, operator: usize) -> Result<Vec<LaneKeys>> {
    let comes = |edge: &&Edge| matches!(edge.consumer, Consumer::Operator(to, _) if to == operator);
    let mut lanes = Vec::new();
    for edge in topology.edges.iter().filter(comes) {
        let Exchange::Hash(whole) = &edge.exchange else { return Ok(Vec::new()) };
        if whole.is_empty() || context.lookup.is_some() {
            return Ok(Vec::new());
        }
        let partial = match edge.two_phase {
            true => pre_aggregation(&topology.operators[operator].node, &edge.schema, context)?.1,
            false => whole.clone(),
        };
        lanes.push(LaneKeys { whole: whole.clone(), partial });
    }
    Ok(lanes)
}
