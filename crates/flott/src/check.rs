//! `flott validate`: everything that can be checked without running, all errors at once.

use std::process::ExitCode;

use flott_connector::Registry;
use flott_plan::{SourceInput, plan};
use flott_types::{Diagnostic, Severity};

use crate::{
    cli::{ScriptArguments, Validate},
    connectors, console, diagnostics, run,
    script::{self, Script},
    settings,
};

/// Checks the script that the arguments name.
pub fn command(arguments: &Validate) -> ExitCode {
    let script = match script::load(&arguments.script) {
        Ok(script) => script,
        Err((error, source)) => return diagnostics::show(&[error], source.as_ref()),
    };
    let errors = check(&script, &arguments.script, &connectors::registry(), !arguments.offline);
    let code = diagnostics::show(&errors, Some(&script.source));
    let count = errors.iter().filter(|it| it.severity == Severity::Error).count();
    let name = &script.source.name;
    match count {
        0 => {
            let statements = match script.statements.len() {
                1 => "1 statement".to_string(),
                many => format!("{many} statements"),
            };
            console::out(format_args!("{name}: no errors in {statements}\n"));
        }
        1 => console::out(format_args!("{name}: 1 error\n")),
        _ => console::out(format_args!("{name}: {count} errors\n")),
    }
    code
}

/// All that is wrong with a script. `outside`: look at files and servers too.
pub fn check(
    script: &Script,
    arguments: &ScriptArguments,
    registry: &Registry,
    outside: bool,
) -> Vec<Box<Diagnostic>> {
    let mut found = script.errors.clone();
    let mut session = match script::session(arguments) {
        Ok(session) => session,
        Err(errors) => return errors,
    };
    for statement in &script.statements {
        match session.execute(&script.source, statement) {
            Ok(outcome) => {
                found.extend(session.take_diagnostics());
                if let Some(pipeline) = run::pipeline_of(outcome) {
                    check_pipeline(&pipeline, &session, registry, outside, &mut found);
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
    let clock = flott_connector::SystemClock::new();
    if let Err(error) = settings::job_settings(&session.options, &script.default_name, &clock) {
        found.push(error);
    }
    let mut unique: Vec<Box<Diagnostic>> = Vec::new();
    for diagnostic in found {
        let same = |it: &Box<Diagnostic>| it.message == diagnostic.message && it.span == diagnostic.span;
        if !unique.iter().any(same) {
            unique.push(diagnostic);
        }
    }
    unique.sort_by_key(|it| it.span.map_or(usize::MAX, |span| span.start));
    unique
}

fn check_pipeline(
    pipeline: &flott_plan::Pipeline,
    session: &flott_sql::Session,
    registry: &Registry,
    outside: bool,
    found: &mut Vec<Box<Diagnostic>>,
) {
    let plan = match plan(pipeline, registry, &session.options) {
        Ok(plan) => plan,
        Err(error) => return found.push(error),
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
        if let flott_plan::SinkTarget::Table(table) = &sink.target {
            found.extend(registry.validate(table));
        }
    }
}
