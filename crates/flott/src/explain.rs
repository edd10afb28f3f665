//! `flott explain`: the plan of every pipeline in a script.

use std::process::ExitCode;

use flott_plan::{ExplainFormat, explain, plan};

use crate::{
    check::Sound,
    cli::{Explain, PlanFormat},
    console, diagnostics, run,
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
    let format = match arguments.format {
        _ if json => ExplainFormat::Json,
        PlanFormat::Text => ExplainFormat::Text,
        PlanFormat::Json => ExplainFormat::Json,
        PlanFormat::Mermaid => ExplainFormat::Mermaid,
    };
    match plans(arguments, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn plans(arguments: &Explain, format: ExplainFormat) -> Result<(), ExitCode> {
    let mut sound = Sound::load(&arguments.script, !arguments.offline)?;
    let mut plans = Vec::new();
    sound.each_pipeline(&mut |pipeline, registry, options| {
        plans.push(explain(&plan(pipeline, registry, options)?, format));
        Ok(())
    })?;
    let source = &sound.script.source;
    if plans.is_empty() {
        console::err(format_args!("{}: no INSERT and no query to explain\n", source.name));
    }
    let plans: Vec<String> = plans.iter().map(|plan| source.mask(plan)).collect();
    match format {
        ExplainFormat::Json => console::out(format_args!("[{}]\n", plans.join(",\n"))),
        ExplainFormat::Text | ExplainFormat::Mermaid => console::out(plans.join("\n")),
    }
    Ok(())
}
