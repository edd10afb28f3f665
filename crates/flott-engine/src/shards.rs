//! Builds shards: every shard has all sources, operators, edges and sinks.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use crossbeam_channel::Sender;
use flott_connector::{BufferPool, DeadLetterQueue, FormatRequest, LookupTable, Sink};
use flott_expr::EvalContext;
use flott_operators::{Context, Lookups, pre_aggregation};
use flott_plan::{Exchange, OperatorNode, SourceInput, Step};
use flott_types::{Result, Schema};

use crate::{
    accounting::Counters,
    calc::{Calc, Refresh, RequiredTimes, is_identity},
    checkpoint::{Coordinator, Requests},
    exchange::{Lane, LaneReader, LaneWriter, Wakers},
    failure::Failure,
    job::{Job, ReadySource, on_error},
    order::OrderedWriter,
    progress::NO_WATERMARK,
    queue::ChunkQueue,
    restore::{Restored, context_of},
    shard::{
        Report, Shard,
        bad_records::{Describe, EdgeReject, Policy},
        edge::{EdgeTask, PreAggregation, Route},
        operator::{Gathered, InputLane, OperatorTask, Outcasts},
        origin,
        required::Required,
        source::{EventTime, SourceTask},
    },
    sink::{SinkTask, Watch, Writer},
    spilling,
    topology::{Consumer, Edge, Producer, Topology},
};

/// What shards are built from.
pub(crate) struct Builder<'a> {
    pub job: &'a Job,
    pub topology: &'a Topology,
    pub sources: &'a [ReadySource],
    pub sinks: &'a [Arc<dyn Sink>],
    /// For each operator the table that it looks rows up in, if it does.
    pub lookups: &'a [Option<Arc<dyn LookupTable>>],
    pub counters: &'a Arc<Counters>,
    pub context: &'a EvalContext,
    pub ordered: &'a [Option<Arc<OrderedWriter>>],
    pub queues: &'a [Arc<ChunkQueue>],
    pub letters: &'a Arc<DeadLetterQueue>,
    pub buffers: &'a BufferPool,
    pub wakers: &'a Arc<Wakers>,
    pub requests: &'a Arc<Requests>,
    pub failure: &'a Failure,
    pub coordinator: Option<&'a Coordinator>,
    /// Operators that have their state back.
    pub restored: &'a Restored,
}

/// What a shard's parts share.
struct Own {
    counters: Arc<Counters>,
    epoch: Arc<AtomicU64>,
}

impl Builder<'_> {
    /// All shards, their state restored.
    ///
    /// # Errors
    /// What building them needs.
    pub fn shards(&self, shards: usize, reports: &Sender<Report>) -> Result<Vec<Shard>> {
        let capacity = self.job.settings.exchange_capacity;
        let lane = |edge: &Edge| match edge.consumer {
            Consumer::Sink(_) => None,
            Consumer::Operator(..) => {
                let ordered = matches!(edge.producer, Producer::Source(_));
                Some(Arc::new(Lane::new(shards, capacity, ordered, self.wakers.clone())))
            }
        };
        let lanes: Vec<Option<Arc<Lane>>> = self.topology.edges.iter().map(lane).collect();
        self.counters.activity.watch_lanes(&lanes);
        (0..shards).map(|number| self.shard(number, shards, &lanes, reports)).collect()
    }

    fn shard(
        &self,
        number: usize,
        shards: usize,
        lanes: &[Option<Arc<Lane>>],
        reports: &Sender<Report>,
    ) -> Result<Shard> {
        let counters = self.counters.part();
        let activity = self.counters.activity.shard(number);
        let epoch = self.coordinator.map_or(1, Coordinator::first_epoch);
        let own = Own { counters: counters.clone(), epoch: Arc::new(AtomicU64::new(epoch)) };
        let operators = context_of(self.job, self.context, number, shards);
        let context = operators.eval.clone();
        let mut sinks = Vec::new();
        for (index, sink) in self.sinks.iter().enumerate() {
            let writer = match &self.ordered[index] {
                Some(shared) => Writer::Ordered { shared: shared.clone(), shard: number, held: Vec::new() },
                None => Writer::Own(sink.writer(number, shards)?),
            };
            let key = self.topology.sinks[index].1.upsert_key.clone();
            let watch = Watch::new(activity.clone(), self.job.clock.clone());
            sinks.push(SinkTask::new(index, writer, key, counters.clone(), watch));
        }
        let edges = self.edges(number, lanes, &operators, &own)?;
        let sources = self.source_tasks(&own)?;
        let operators = self.operators(number, lanes, &operators, &own)?;
        Ok(Shard {
            number,
            sources,
            operators,
            edges,
            sinks,
            epoch,
            letters_epoch: own.epoch.clone(),
            wakers: self.wakers.clone(),
            requests: self.requests.clone(),
            reports: reports.clone(),
            buffers: self.buffers.clone(),
            context,
            clock: self.job.clock.clone(),
            failure: self.failure.clone(),
            buffer_timeout: self.job.settings.buffer_timeout,
            activity,
            looked: self.job.clock.monotonic(),
            measured: Duration::ZERO,
            counters,
            letters: self.letters.clone(),
            barrier: None,
            preparing: Vec::new(),
            finishing: None,
            flushed: self.job.clock.monotonic(),
        })
    }

    fn policy(&self, source: usize, own: &Own) -> Result<Policy> {
        let node = &self.topology.sources[source].1;
        Ok(Policy {
            source: node.name.clone(),
            on_error: on_error(&node.input)?,
            queue: self.letters.clone(),
            clock: self.job.clock.clone(),
            counters: own.counters.clone(),
            epoch: own.epoch.clone(),
        })
    }

    fn schema_of(&self, producer: Producer) -> &Schema {
        match producer {
            Producer::Source(at) => &self.job.plan.nodes[self.topology.sources[at].0].schema,
            Producer::Operator(at) => &self.topology.operators[at].schema,
        }
    }

    fn source_tasks(&self, own: &Own) -> Result<Vec<SourceTask>> {
        let mut tasks = Vec::new();
        for (index, ready) in self.sources.iter().enumerate() {
            let (_, node) = &self.topology.sources[index];
            let schema = self.schema_of(Producer::Source(index));
            let time = node.watermark.as_ref().map(|watermark| {
                let with_origin = watermark.late_rows_to_dead_letters.then(|| schema.arrow_schema());
                let with_origin = with_origin.filter(|it| it.index_of(origin::NAME).is_ok());
                let on_event = match &node.input {
                    SourceInput::Table { table, .. } => {
                        table.options.get("scan.watermark.emit.strategy") == Some("on-event")
                    }
                    SourceInput::Values(_) => false,
                };
                EventTime::new(watermark, with_origin, on_event, self.describe_rows(schema))
            });
            tasks.push(SourceTask {
                index,
                queue: self.queues[index].clone(),
                decoder: ready.source.decoder()?,
                policy: self.policy(index, own)?,
                required: Required::of(node, schema),
                sinks: self.sinks_of(Producer::Source(index)),
                time,
                edges: self.edges_of(Producer::Source(index)),
                ended: false,
            });
        }
        Ok(tasks)
    }

    fn sinks_of(&self, producer: Producer) -> Vec<String> {
        let edges = self.topology.edges.iter().filter(|edge| edge.producer == producer);
        self.topology.sinks_behind(edges.map(|edge| edge.consumer))
    }

    fn edges_of(&self, producer: Producer) -> Vec<usize> {
        let edges = self.topology.edges.iter().enumerate();
        edges.filter(|(_, edge)| edge.producer == producer).map(|(id, _)| id).collect()
    }

    fn edges(
        &self,
        number: usize,
        lanes: &[Option<Arc<Lane>>],
        context: &Context,
        own: &Own,
    ) -> Result<Vec<EdgeTask>> {
        let mut tasks = Vec::new();
        for (id, edge) in self.topology.edges.iter().enumerate() {
            let (route, pre) = match (edge.consumer, &lanes[id]) {
                (Consumer::Operator(operator, _), Some(lane)) => {
                    let keys = match &edge.exchange {
                        Exchange::Hash(keys) => keys.clone(),
                        Exchange::Single | Exchange::Forward => Vec::new(),
                    };
                    let stays = edge.exchange == Exchange::Forward;
                    let writer = LaneWriter::new(lane.clone(), number, context.groups).forward(stays);
                    (Route::Lane { writer, keys }, self.pre_aggregation(edge, operator, context, own)?)
                }
                (Consumer::Sink(sink), _) => (Route::Sink(sink), None),
                (Consumer::Operator(..), None) => continue,
            };
            tasks.push(EdgeTask { id, calc: self.calc(id, edge, context, own)?, pre, route });
        }
        Ok(tasks)
    }

    fn pre_aggregation(
        &self,
        edge: &Edge,
        operator: usize,
        context: &Context,
        own: &Own,
    ) -> Result<Option<PreAggregation>> {
        if !edge.two_phase {
            return Ok(None);
        }
        let node = &self.topology.operators[operator].node;
        let (stage, keys) = pre_aggregation(node, &edge.schema, context)?;
        let outcasts = self.outcasts(edge, operator, own)?;
        Ok(Some(PreAggregation { operator: stage, keys, outcasts }))
    }

    fn outcasts(&self, edge: &Edge, operator: usize, own: &Own) -> Result<Outcasts> {
        let source = self.topology.source_behind(edge.producer);
        let watermark = source.and_then(|at| self.topology.sources[at].1.watermark.as_ref());
        Ok(Outcasts {
            policy: source.map(|at| self.policy(at, own)).transpose()?,
            late_to_dead_letters: watermark.is_some_and(|it| it.late_rows_to_dead_letters),
            describe: self.describe_rows(&edge.schema),
            operator: self.topology.operators[operator].name.clone(),
            sinks: self.topology.sinks_behind([edge.consumer]),
        })
    }

    fn calc(&self, id: usize, edge: &Edge, context: &Context, own: &Own) -> Result<Option<Calc>> {
        let input = self.schema_of(edge.producer);
        let mut steps: Vec<Step> = match edge.producer {
            Producer::Source(at) => self.sources[at].leftover.iter().cloned().collect(),
            Producer::Operator(_) => Vec::new(),
        };
        steps.extend(edge.steps.iter().cloned());
        let times = self.required_times(edge);
        if is_identity(&steps, input) && times.is_none() {
            return Ok(None);
        }
        let policy = match edge.producer {
            Producer::Source(at) => self.policy(at, own)?,
            // What an operator emits has no record of its own to set aside.
            Producer::Operator(at) => Policy {
                source: self.topology.operators[at].name.clone(),
                on_error: flott_connector::OnError::DeadLetter,
                queue: self.letters.clone(),
                clock: self.job.clock.clone(),
                counters: own.counters.clone(),
                epoch: own.epoch.clone(),
            },
        };
        let sinks = self.topology.sinks_behind([edge.consumer]);
        let reject = EdgeReject { policy, edge: id, sinks, describe: self.describe_rows(input) };
        let refresh = self.refresh(edge.producer);
        let (counters, eval) = (own.counters.clone(), context.eval.clone());
        let calc = Calc::new(&steps, input, counters, id, Box::new(reject), eval, refresh);
        Ok(Some(calc.requiring(times)))
    }

    /// The times without which the operator takes no row: as long as a row's record is known, it is asked
    /// for them before it goes there.
    fn required_times(&self, edge: &Edge) -> Option<RequiredTimes> {
        let (Producer::Source(_), Consumer::Operator(at, input)) = (edge.producer, edge.consumer) else {
            return None;
        };
        let node = &self.topology.operators.get(at)?.node;
        let message = match node {
            OperatorNode::TemporalJoin(_) => "the time of the row is NULL, so no version is valid at it",
            _ => "the time of the row is NULL, so it belongs to no window",
        };
        let columns = node.required_times(input);
        (!columns.is_empty()).then_some(RequiredTimes { columns, message })
    }

    /// The clock, and for `CURRENT_WATERMARK` how far a source's time has come.
    fn refresh(&self, producer: Producer) -> Refresh {
        let (clock, counters) = (self.job.clock.clone(), self.counters.clone());
        let source = self.topology.source_behind(producer);
        Arc::new(move |context| {
            context.now_micros = clock.now_micros();
            context.watermark = source.and_then(|at| counters.sources[at].watermark());
        })
    }

    /// The context of an operator that looks rows up in a table.
    fn asking(&self, context: &Context, operator: usize, shard: usize) -> Context {
        let wakers = self.wakers.clone();
        let lookup = self.lookups.get(operator).cloned().flatten();
        let lookup = lookup.map(|table| Lookups { table, wake: Arc::new(move || wakers.wake(shard)) });
        Context { lookup, ..context.clone() }
    }

    fn operators(
        &self,
        number: usize,
        lanes: &[Option<Arc<Lane>>],
        context: &Context,
        own: &Own,
    ) -> Result<Vec<OperatorTask>> {
        let mut tasks = Vec::new();
        for (index, spec) in self.topology.operators.iter().enumerate() {
            let mut inputs = Vec::new();
            for (id, edge) in self.topology.edges.iter().enumerate() {
                let Consumer::Operator(operator, input) = edge.consumer else { continue };
                let Some(lane) = lanes[id].as_ref().filter(|_| operator == index) else { continue };
                inputs.push(InputLane {
                    input,
                    edge: id,
                    stable_id: format!("lane {}: {}", input, self.topology.producer_id(edge.producer)),
                    reader: LaneReader::new(lane.clone(), number),
                    outcasts: self.outcasts(edge, index, own)?,
                });
            }
            let restored = self.restored.take(number, index);
            let done = restored.is_some();
            let mut operator = match restored {
                Some(operator) => operator,
                None => spilling::operator(
                    self.job,
                    self.topology,
                    &self.asking(context, index, number),
                    number,
                    index,
                )?,
            };
            operator.begin(self.coordinator.map_or(1, Coordinator::first_epoch));
            let mut task = OperatorTask {
                index,
                stable_id: spec.stable_id.clone(),
                operator: Box::new(operator),
                lanes: inputs,
                out: self.edges_of(Producer::Operator(index)),
                watermark: NO_WATERMARK,
                told: NO_WATERMARK,
                batch_mode: self.job.settings.batch_mode,
                idle: false,
                closed: false,
                ended: false,
                passed: false,
                gathered: Gathered::new(self.job.settings.mini_batch),
            };
            if let Some(coordinator) = self.coordinator {
                coordinator.restore(&mut task, context.owned.clone(), done)?;
            }
            tasks.push(task);
        }
        Ok(tasks)
    }

    /// Writes a row as JSON where there is a JSON format: for dead letters of rows without bytes.
    fn describe_rows(&self, schema: &Schema) -> Describe {
        let (format, schema, context) =
            (self.job.registry.format("json").cloned(), schema.clone(), self.context.clone());
        Arc::new(move |batch| {
            let mut out = Vec::new();
            if let Ok(format) = &format {
                let table = flott_types::TableDescription::default();
                let request = FormatRequest { table: &table, schema: schema.clone() };
                let encoded =
                    format.encoder(&request, &context).and_then(|mut it| it.encode(batch, &mut out));
                if encoded.is_err() {
                    out.clear();
                }
            }
            out.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(out)
        })
    }
}
