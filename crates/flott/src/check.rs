//! `flott validate`: everything that can be checked without running, all errors at once. And what other
//! commands begin with: a script in which no error was found ([`Sound`]).

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use flott_connector::{Clock, Registry, SystemClock};
use flott_engine::check_decider;
use flott_plan::{Guarantee, Pipeline, SinkTarget, SourceInput, plan};
use flott_sql::Session;
use flott_types::{Diagnostic, Options, Result, Severity};

use crate::{
    cli::{LogFormat, ScriptArguments, Validate},
    connectors, console, diagnostics, logging, mounts, run,
    script::{self, Script},
    settings,
};

/// Checks the script that the arguments name.
pub fn command(arguments: &Validate) -> ExitCode {
    // Servers that don't answer are waited for: what is waited for is told at once.
    logging::start(LogFormat::Text);
    let script = match script::load(&arguments.script) {
        Ok(script) => script,
        Err((error, source)) => return diagnostics::show(&[error], source.as_ref()),
    };
    let registry = connectors::registry().looking_outside(!arguments.offline);
    let checked = check_all(&script, &arguments.script, &registry, !arguments.offline);
    let errors = &checked.diagnostics;
    let code = diagnostics::show(errors, Some(&script.source));
    let count = errors.iter().filter(|it| it.severity == Severity::Error).count();
    let name = &script.source.name;
    match count {
        0 => {
            let statements = match script.statements.len() {
                1 => "1 statement".to_string(),
                many => format!("{many} statements"),
            };
            console::out(format_args!("{name}: no errors in {statements}\n"));
            console::out(script.source.mask(&promises(&checked)));
        }
        1 => console::out(format_args!("{name}: 1 error\n")),
        _ => console::out(format_args!("{name}: {count} errors\n")),
    }
    code
}

/// A script in which no error was found, for commands that look at its pipelines.
pub struct Sound {
    /// The script.
    pub script: Script,
    registry: Registry,
    session: Session,
}

impl Sound {
    /// Loads the script that the arguments name. `outside`: promises go by what is there, too. Shows what is
    /// wrong with it; if that is an error, the exit code.
    pub fn load(arguments: &ScriptArguments, outside: bool) -> Result<Self, ExitCode> {
        let script = script::load(arguments)
            .map_err(|(error, source)| diagnostics::show(&[error], source.as_ref()))?;
        let registry = connectors::registry().looking_outside(outside);
        let errors = check(&script, arguments, &registry, false);
        let code = diagnostics::show(&errors, Some(&script.source));
        if errors.iter().any(|it| it.severity == Severity::Error) {
            return Err(code);
        }
        let session = script::session(arguments).map_err(|errors| diagnostics::show(&errors, None))?;
        Ok(Self { script, registry, session })
    }

    /// Gives each pipeline, with connectors and the options as they stand there. An error is shown, and ends it.
    pub fn each_pipeline(
        &mut self,
        each: &mut dyn FnMut(&Pipeline, &Registry, &Options) -> Result<()>,
    ) -> Result<(), ExitCode> {
        let Self { script, registry, session } = self;
        for statement in &script.statements {
            let done = session.execute(&script.source, statement).and_then(|outcome| {
                let pipeline = run::pipeline_of(outcome);
                pipeline.map_or(Ok(()), |pipeline| each(&pipeline, registry, &session.options))
            });
            done.map_err(|error| diagnostics::show(&[error], Some(&script.source)))?;
        }
        Ok(())
    }
}

/// What was found out about a script.
struct Checked {
    diagnostics: Vec<Box<Diagnostic>>,
    /// The sinks of its pipelines: name, and what is promised.
    sinks: Vec<(String, Guarantee)>,
    /// Checkpoints are kept on this file system in memory.
    in_memory: Option<PathBuf>,
}

/// A line for each sink, and what stands against more.
fn promises(checked: &Checked) -> String {
    let sinks = &checked.sinks;
    let width = sinks.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(40);
    let mut out = String::new();
    for (name, guarantee) in sinks {
        out += &format!("  {name:width$}  {guarantee}\n");
        for obstacle in &guarantee.obstacles {
            out += &format!("  {:width$}    {}: {}\n", "", obstacle.what, obstacle.way_out);
        }
        for note in &guarantee.notes {
            out += &format!("  {:width$}    computed again after a failure, {note}\n", "");
        }
        for advice in &guarantee.advice {
            out += &format!("  {:width$}    {advice}\n", "");
        }
    }
    if let Some(place) = &checked.in_memory {
        let place = place.display();
        out += &format!(
            "  checkpoints are kept in memory ('{place}'): they outlive the process, not the machine\n"
        );
    }
    out
}

/// All that is wrong with a script. `outside`: look at files and servers too.
pub fn check(
    script: &Script,
    arguments: &ScriptArguments,
    registry: &Registry,
    outside: bool,
) -> Vec<Box<Diagnostic>> {
    check_all(script, arguments, registry, outside).diagnostics
}

fn check_all(script: &Script, arguments: &ScriptArguments, registry: &Registry, outside: bool) -> Checked {
    let mut found = script.errors.clone();
    let mut sinks = Vec::new();
    let mut session = match script::session(arguments) {
        Ok(session) => session,
        Err(diagnostics) => return Checked { diagnostics, sinks, in_memory: None },
    };
    for statement in &script.statements {
        match session.execute(&script.source, statement) {
            Ok(outcome) => {
                found.extend(session.take_diagnostics());
                if let Some(pipeline) = run::pipeline_of(outcome) {
                    sinks.extend(check_pipeline(&pipeline, script, &session, registry, outside, &mut found));
                }
            }
            Err(error) => {
                found.push(error);
                found.extend(session.take_diagnostics());
            }
        }
    }
    for table in session.tables() {
        found.extend(registry.validate(&table.description));
    }
    found.extend(settings::check(&session.options, &script.default_name));
    let mut unique: Vec<Box<Diagnostic>> = Vec::new();
    for diagnostic in found {
        let same = |it: &Diagnostic| it.message == diagnostic.message && it.span == diagnostic.span;
        if !unique.iter().any(|it| same(it)) {
            unique.push(diagnostic);
        }
    }
    unique.sort_by_key(|it| it.span.map_or(usize::MAX, |span| span.start));
    let store = session.options.get("execution.checkpointing.dir").filter(|it| outside && !it.is_empty());
    let store = store.map(|it| Path::new(it.strip_prefix("file://").unwrap_or(it)));
    Checked { diagnostics: unique, sinks, in_memory: store.and_then(mounts::in_memory) }
}

/// Checks a pipeline; what is promised about its sinks.
fn check_pipeline(
    pipeline: &flott_plan::Pipeline,
    script: &Script,
    session: &flott_sql::Session,
    registry: &Registry,
    outside: bool,
    found: &mut Vec<Box<Diagnostic>>,
) -> Vec<(String, Guarantee)> {
    let plan = match plan(pipeline, registry, &session.options) {
        Ok(plan) => plan,
        Err(error) => {
            found.push(error);
            return Vec::new();
        }
    };
    for (_, source) in plan.sources() {
        let SourceInput::Table { table, .. } = &source.input else { continue };
        // Hints may have changed options, so the table as it is used is checked too.
        found.extend(registry.validate(table));
        if let Ok(connector) = registry.connector_of(table)
            && outside
        {
            connector.check_source(table, found);
        }
        if let Err(error) = flott_connector::OnError::from_options(&table.options) {
            found.push(error);
        }
    }
    for table in flott_plan::lookup_tables(&plan) {
        found.extend(registry.validate(table));
        if let Ok(connector) = registry.connector_of(table)
            && outside
        {
            connector.check_source(table, found);
        }
    }
    for (_, sink) in plan.sinks() {
        if let SinkTarget::Table(table) = &sink.target {
            found.extend(registry.validate(table));
        }
    }
    // Options that make no settings are told elsewhere.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if let Ok(settings) = settings::job_settings(&session.options, &script.default_name, clock.as_ref()) {
        let checkpointing = settings.checkpointing.as_ref();
        found.extend(check_decider(&plan, registry, &session.options, checkpointing, &clock).err());
    }
    let tables = plan.sinks().filter(|(_, sink)| sink.target != SinkTarget::Collect);
    tables.map(|(_, sink)| (sink.name.clone(), sink.guarantee.clone())).collect()
}
