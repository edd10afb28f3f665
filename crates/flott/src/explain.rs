//! `flott explain`: the plan of every pipeline in a script.

use std::process::ExitCode;

use flott_plan::{ExplainFormat, explain, plan};
use flott_types::Severity;

use crate::{
    check,
    cli::{Explain, PlanFormat},
    connectors, console, diagnostics, run, script,
    why::live,
};

/// Explains the script that the arguments name.
pub fn command(arguments: &Explain) -> ExitCode {
    let json = arguments.json || arguments.format == PlanFormat::Json;
    if let Some(directory) = &arguments.live {
        if arguments.format == PlanFormat::Mermaid {
            let error = run::argument_error("--live takes no --format mermaid");
            return diagnostics::show(&[error], None);
        }
        return live::command(directory, json);
    }
    let script = match script::load(&arguments.script) {
        Ok(script) => script,
        Err((error, source)) => return diagnostics::show(&[error], source.as_ref()),
    };
    let registry = connectors::registry();
    let errors = check::check(&script, &arguments.script, &registry, false);
    let code = diagnostics::show(&errors, Some(&script.source));
    if errors.iter().any(|it| it.severity == Severity::Error) {
        return code;
    }
    let mut session = match script::session(&arguments.script) {
        Ok(session) => session,
        Err(errors) => return diagnostics::show(&errors, None),
    };
    let format = match arguments.format {
        _ if json => ExplainFormat::Json,
        PlanFormat::Text => ExplainFormat::Text,
        PlanFormat::Json => ExplainFormat::Json,
        PlanFormat::Mermaid => ExplainFormat::Mermaid,
    };
    let mut plans = Vec::new();
    for statement in &script.statements {
        let planned = session.execute(&script.source, statement).and_then(|outcome| {
            run::pipeline_of(outcome).map(|pipeline| plan(&pipeline, &registry, &session.options)).transpose()
        });
        match planned {
            Ok(Some(plan)) => plans.push(script.source.mask(&explain(&plan, format))),
            Ok(None) => {}
            Err(error) => return diagnostics::show(&[error], Some(&script.source)),
        }
    }
    if plans.is_empty() {
        console::err(format_args!("{}: no INSERT and no query to explain\n", script.source.name));
    }
    match format {
        ExplainFormat::Json => console::out(format_args!("[{}]\n", plans.join(",\n"))),
        ExplainFormat::Text | ExplainFormat::Mermaid => console::out(plans.join("\n")),
    }
    ExitCode::SUCCESS
}
