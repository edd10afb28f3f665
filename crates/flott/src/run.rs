//! `flott run`: the statements of a script, in order.
//!
//! The whole script is bound and checked before the first statement runs, so a script with an
//! error in its last line writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
};

use flott_connector::{Clock, LocalDisk, Origin, Registry, StopSignal, SystemClock};
use flott_engine::{Counters, Job, Replay, Status, Summary};
use flott_expr::EvalContext;
use flott_plan::{ExplainFormat, NodeKind, Pipeline, SinkTarget, StreamPlan, explain, plan};
use flott_sql::{Outcome, Session};
use flott_state::sequence::job_folder;
use flott_types::{Code, Diagnostic, Result};

use crate::{
    check,
    cli::{Output, Run},
    connectors, console, diagnostics, live, logging, metrics, report, results, script, settings, signals,
    socket,
    standby::Manner,
    supervise::Supervisor,
};

/// Runs the script that the arguments name.
pub fn command(arguments: &Run) -> ExitCode {
    execute(arguments, None).0
}

/// Records to run instead of the sources, and the sinks that want them (`None`: all).
pub struct ReplaySet {
    /// Per source.
    pub records: BTreeMap<String, Vec<(Vec<u8>, Origin)>>,
    /// Only these sinks.
    pub sinks: Vec<String>,
}

/// Runs a script, or dead letters through it. The exit code, and whether everything ran.
pub fn execute(arguments: &Run, replay: Option<&ReplaySet>) -> (ExitCode, bool) {
    logging::start(arguments.log_format);
    let stop = StopSignal::new();
    let json = arguments.json;
    let signals = match signals::listen(stop.clone(), move || leave(json)) {
        Ok(signals) => signals,
        Err(error) => return (fail(arguments, &[error], None), false),
    };
    if replay.is_some() {
        // Letters of an earlier set may have been replayed: whoever put them aside must come to it.
        signals.begin();
    }
    let script = match script::load(&arguments.script) {
        Ok(script) => script,
        Err((error, source)) => return (fail(arguments, &[error], source.as_ref()), false),
    };
    let registry = connectors::registry().looking_outside(true);
    let errors = check::check(&script, &arguments.script, &registry, false);
    if !errors.is_empty() {
        let code = diagnostics::show(&errors, Some(&script.source));
        if errors.iter().any(|it| it.severity == flott_types::Severity::Error) {
            finish_json(arguments, &no_summary());
            return (code, false);
        }
    }
    let session = match script::session(&arguments.script) {
        Ok(session) => session,
        Err(errors) => return (fail(arguments, &errors, None), false),
    };
    let made = Runner::new(arguments, registry, session, script.default_name.clone(), stop);
    if replay.is_none() {
        signals.begin();
    }
    let mut runner = match made {
        Ok(runner) => runner,
        Err(error) => return (fail(arguments, &[error], None), false),
    };
    runner.replay = replay;
    let outcome = script.statements.iter().try_for_each(|statement| {
        if runner.stop.is_stopped() {
            return Ok(());
        }
        let outcome = runner.session.execute(&script.source, statement)?;
        runner.outcome(outcome, &script.source)
    });
    let mut summary = runner.summary.take().unwrap_or_else(|| {
        let mut summary = no_summary();
        summary.status = if runner.stop.is_stopped() { Status::Stopped } else { Status::Finished };
        summary
    });
    let outcome = outcome.and_then(|()| replay.map_or(Ok(()), |set| all_replayed(set, &summary)));
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            summary.status = Status::Failed;
            diagnostics::show(&[error], Some(&script.source))
        }
    };
    runner.report(&summary);
    (code, summary.status == Status::Finished)
}

/// As the plan names what a SELECT writes to.
const RESULT: &str = "result";

/// The name of what the SELECT of this number writes to, counted from 1.
fn result_name(select: usize) -> String {
    if select > 1 { format!("{RESULT}#{select}") } else { RESULT.into() }
}

/// A letter that the script has no use for must stay where it is.
fn all_replayed(set: &ReplaySet, summary: &Summary) -> Result<()> {
    if summary.status == Status::Stopped {
        return Ok(());
    }
    let unread = set.records.iter().find(|(name, _)| !summary.sources.iter().any(|it| it.name == **name));
    let Some((name, records)) = unread else { return Ok(()) };
    let (letters, were) = if records.len() == 1 { ("dead letter", "was") } else { ("dead letters", "were") };
    let reads = match set.sinks.as_slice() {
        [] => format!("no statement of the script reads '{name}'"),
        [result] if result == RESULT || result.starts_with("result#") => {
            format!("the rows of a SELECT are missing, and no SELECT of the script reads '{name}'")
        }
        sinks => format!("no INSERT of the script reads '{name}' for '{}'", sinks.join("', '")),
    };
    let message = format!("{reads}: {} {letters} {were} not replayed", records.len());
    Err(Diagnostic::error(Code::DeadLetterFailed, message)
        .help("replay them with the script that wrote them; the directory is left as it was"))
}

fn no_summary() -> Summary {
    Summary {
        status: Status::Failed,
        sources: Vec::new(),
        sinks: Vec::new(),
        edges: Vec::new(),
        dlq: 0,
        restarts: 0,
        checkpoints: None,
        lookups: Vec::new(),
        state: Vec::new(),
    }
}

/// The script was still being looked at.
fn leave(json: bool) {
    let mut summary = no_summary();
    summary.status = Status::Stopped;
    match json {
        true => console::err(format_args!("{}\n", report::json(&summary))),
        false => console::err("stopped before anything was read or written\n"),
    }
}

fn fail(arguments: &Run, errors: &[Box<Diagnostic>], source: Option<&flott_sql::Source>) -> ExitCode {
    let code = diagnostics::show(errors, source);
    finish_json(arguments, &no_summary());
    code
}

fn finish_json(arguments: &Run, summary: &Summary) {
    if arguments.json {
        console::err(format_args!("{}\n", report::json(summary)));
    }
}

struct Runner<'a> {
    arguments: &'a Run,
    registry: Registry,
    session: Session,
    default_name: String,
    clock: Arc<dyn Clock>,
    stop: StopSignal,
    metrics: Option<metrics::Server>,
    summary: Option<Summary>,
    dead_letters: String,
    replay: Option<&'a ReplaySet>,
    /// How many pipelines of the script have been started: each has checkpoints of its own.
    pipelines: usize,
    /// How many of them were SELECTs: what each misses is its own.
    selects: usize,
}

impl<'a> Runner<'a> {
    fn new(
        arguments: &'a Run,
        registry: Registry,
        session: Session,
        default_name: String,
        stop: StopSignal,
    ) -> Result<Self> {
        flott_formats::end_registry_requests_with(stop.clone());
        Ok(Self {
            arguments,
            registry,
            session,
            default_name,
            clock: Arc::new(SystemClock::new()),
            metrics: arguments.metrics.map(metrics::serve).transpose()?,
            summary: None,
            dead_letters: String::new(),
            replay: None,
            pipelines: 0,
            selects: 0,
            stop,
        })
    }

    fn outcome(&mut self, outcome: Outcome, source: &flott_sql::Source) -> Result<()> {
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Rows { columns, mut rows } => {
                // Definitions, not data: what is secret in them stays so.
                for cell in rows.iter_mut().flatten().flatten() {
                    *cell = source.mask(cell);
                }
                print_rows(&columns, &rows, self.arguments.output);
                Ok(())
            }
            Outcome::Insert(inserts) => self.pipeline(Pipeline::Inserts(inserts), source),
            Outcome::Query(query) => self.pipeline(Pipeline::Query(query), source),
            Outcome::Explain(what) => {
                if let Some(pipeline) = pipeline_of(*what) {
                    let plan = plan(&pipeline, &self.registry, &self.session.options)?;
                    console::out(source.mask(&explain(&plan, ExplainFormat::Text)));
                }
                Ok(())
            }
        }
    }

    fn pipeline(&mut self, pipeline: Pipeline, source: &flott_sql::Source) -> Result<()> {
        self.selects += usize::from(matches!(pipeline, Pipeline::Query(_)));
        let Some(pipeline) = self.for_replay(pipeline)? else { return Ok(()) };
        let mut plan = plan(&pipeline, &self.registry, &self.session.options)?;
        name_result(&mut plan, &result_name(self.selects));
        let mut settings =
            settings::job_settings(&self.session.options, &self.default_name, self.clock.as_ref())?;
        crate::state::prepare(&self.session.options, &settings.run_id)?;
        self.pipelines += 1;
        if let Some(checkpointing) = &mut settings.checkpointing {
            checkpointing.job = job_name(std::mem::take(&mut checkpointing.job), self.pipelines);
            checkpointing.allow_drop.clone_from(&self.arguments.allow_drop);
            if let Some(resume) = &self.arguments.resume {
                checkpointing.resume = settings::resume(resume);
            }
        } else if self.arguments.resume.as_deref().is_some_and(|it| it != "never" && it != "auto") {
            return Err(argument_error("--resume needs 'execution.checkpointing.dir'"));
        }
        self.dead_letters = settings.dead_letter_directory.display().to_string();
        let context = EvalContext {
            now_micros: self.clock.now_micros(),
            time_zone: settings.time_zone,
            random_seed: 0,
            watermark: None,
        };
        let collect = match collected_schema(&plan) {
            Some((schema, changes)) => {
                Some(results::sink(&schema, changes, self.arguments.output, &context, &self.registry)?)
            }
            None => None,
        };
        let is_query = collect.is_some();
        let replay = self.replay.map(|set| Replay { records: set.records.clone() });
        let mut job = Job {
            plan,
            registry: self.registry.clone(),
            settings,
            clock: self.clock.clone(),
            disk: Arc::new(LocalDisk),
            stop: self.stop.clone(),
            collect,
            replay,
            warm: None,
        };
        let (mut view, mut server) = (None, None);
        let show = !self.arguments.quiet && !self.arguments.json && job.collect.is_none();
        let supervisor = Supervisor::of(&job, self.manner(), !self.arguments.quiet)?;
        let (mut summary, mut error) = supervisor.run(&mut job, &mut |job, counters| {
            drop((view.take(), server.take()));
            let Some(counters) = counters else { return };
            if let Some(server) = &self.metrics {
                server.watch(counters.clone());
            }
            server = self.answers(job, counters, source);
            if show {
                view = live::start(counters.clone(), self.clock.clone());
            }
        });
        drop((view, server));
        // Whoever looked at the rows has seen enough (`| head`): that is a stop, not a failure.
        if is_query
            && console::stdout_is_closed()
            && error.take_if(|it| it.code == Code::OutputFailed).is_some()
        {
            summary.status = Status::Stopped;
            self.stop.stop();
        }
        match &mut self.summary {
            Some(all) => all.merge(summary),
            None => self.summary = Some(summary),
        }
        error.map_or(Ok(()), Err)
    }

    /// A run with checkpoints tells those who ask what it is doing.
    fn answers(
        &self,
        job: &Job,
        counters: &Arc<Counters>,
        source: &flott_sql::Source,
    ) -> Option<socket::server::Server> {
        let settings = job.settings.checkpointing.as_ref().filter(|_| counters.activity.generation() > 0)?;
        let folder = settings.directory.join(job_folder(&settings.job));
        let plan = socket::server::shown(&job.plan, &|text| source.mask(text));
        socket::server::serve(&folder, counters.clone(), plan, self.clock.clone())
    }

    fn manner(&self) -> Manner {
        match (self.arguments.standby, self.arguments.take_over) {
            (true, _) => Manner::Standby,
            (_, true) => Manner::TakeOver,
            _ => Manner::Alone,
        }
    }

    /// In a replay only those statements run whose sink wants the letters.
    fn for_replay(&self, pipeline: Pipeline) -> Result<Option<Pipeline>> {
        let Some(set) = self.replay else { return Ok(Some(pipeline)) };
        let behind = sinks_behind(&plan(&pipeline, &self.registry, &self.session.options)?, &set.sinks);
        let Pipeline::Inserts(mut inserts) = pipeline else {
            let name = result_name(self.selects);
            let wanted = set.sinks.is_empty() || set.sinks.contains(&name);
            return Ok((wanted || behind.contains(RESULT)).then_some(pipeline));
        };
        // Named as the plan names them: the second insert into `out` is `out#2`.
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        inserts.retain_mut(|insert| {
            let name = &mut insert.sink.name;
            let count = known.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
            if *count > 1 {
                // It keeps that name when it runs alone, so that its new letters find it again.
                *name = format!("{name}#{count}");
            }
            set.sinks.is_empty() || set.sinks.contains(name) || behind.contains(name)
        });
        // Letters add to what is there: replacing it would lose the rows that came through before.
        inserts.iter_mut().for_each(|insert| insert.overwrite = false);
        Ok((!inserts.is_empty()).then_some(Pipeline::Inserts(inserts)))
    }

    fn report(&self, summary: &Summary) {
        if self.arguments.json {
            console::err(format_args!("{}\n", report::json(summary)));
        } else if !self.arguments.quiet && !summary.sources.is_empty() {
            let seconds = self.clock.monotonic().as_secs_f64();
            console::err(report::text(summary, seconds, &self.dead_letters));
        }
    }
}

/// The name under which the pipeline of this number, counted from 1, has checkpoints.
pub fn job_name(name: String, pipeline: usize) -> String {
    if pipeline > 1 { format!("{name}-{pipeline}") } else { name }
}

/// The pipeline that an outcome asks for, if it asks for one.
pub fn pipeline_of(outcome: Outcome) -> Option<Pipeline> {
    match outcome {
        Outcome::Insert(inserts) => Some(Pipeline::Inserts(inserts)),
        Outcome::Query(query) => Some(Pipeline::Query(query)),
        Outcome::Explain(inner) => pipeline_of(*inner),
        Outcome::Done | Outcome::Rows { .. } => None,
    }
}

/// The sinks that get rows from operators of these names: a letter that a window missed names the window,
/// as the accounting does (the second of a kind is `window aggregate#2`).
fn sinks_behind(plan: &StreamPlan, names: &[String]) -> BTreeSet<String> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut behind = BTreeSet::new();
    // Inputs stand before the nodes that they feed.
    for (id, node) in plan.nodes.iter().enumerate() {
        let mut is_behind = node.inputs.iter().any(|input| behind.contains(input));
        if let NodeKind::Operator(operator) = &node.kind {
            let name = operator.name();
            let count = kinds.entry(name).and_modify(|count| *count += 1).or_insert(1);
            is_behind |= match *count {
                1 => names.iter().any(|it| it == name),
                count => names.contains(&format!("{name}#{count}")),
            };
        }
        if is_behind {
            behind.insert(id);
        }
    }
    plan.sinks().filter(|(id, _)| behind.contains(id)).map(|(_, sink)| sink.name.clone()).collect()
}

/// Names what a SELECT writes to.
fn name_result(plan: &mut StreamPlan, name: &str) {
    for node in &mut plan.nodes {
        if let NodeKind::Sink(sink) = &mut node.kind
            && sink.target == SinkTarget::Collect
        {
            name.clone_into(&mut sink.name);
        }
    }
}

/// The columns of a query's result, and whether it changes.
fn collected_schema(plan: &StreamPlan) -> Option<(flott_types::Schema, bool)> {
    plan.sinks()
        .find(|(_, sink)| sink.target == SinkTarget::Collect)
        .map(|(id, _)| (plan.nodes[id].schema.clone(), !plan.nodes[id].changelog.is_append()))
}

fn print_rows(columns: &[String], rows: &[Vec<Option<String>>], output: Output) {
    match output {
        Output::Json => {
            for row in rows {
                let object: serde_json::Map<String, serde_json::Value> =
                    columns.iter().cloned().zip(row.iter().map(|cell| cell.clone().into())).collect();
                console::out(format_args!("{}\n", serde_json::Value::Object(object)));
            }
        }
        Output::Csv | Output::Table => {
            let schema = flott_types::Schema::new(
                columns
                    .iter()
                    .map(|name| flott_types::Field::new(name, flott_types::DataType::string()))
                    .collect(),
            );
            if let Err(error) = results::print_text(&schema, rows, output) {
                diagnostics::show(&[error], None);
            }
        }
    }
}

/// A run that fails for want of an argument.
pub fn argument_error(message: impl Into<String>) -> Box<Diagnostic> {
    Diagnostic::error(Code::Arguments, message)
}
