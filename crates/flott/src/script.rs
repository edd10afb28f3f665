//! The script: where its text comes from, its variables, its statements.

use std::{collections::BTreeMap, io::Read, path::Path};

use flott_sql::{
    Session, Source,
    parse::{Statement, parse_script},
    variables,
};
use flott_types::{Code, Diagnostic, Options, Result};

use crate::cli::ScriptArguments;

/// A parsed script.
pub struct Script {
    /// The text.
    pub source: Source,
    /// Its statements, as far as they could be parsed.
    pub statements: Vec<Statement>,
    /// What could not be parsed.
    pub errors: Vec<Box<Diagnostic>>,
    /// `pipeline.name` unless it is set: the script's file name without ending.
    pub default_name: String,
}

/// Reads, fills and parses the script that the arguments name.
///
/// # Errors
/// A script that can't be read, a variable without value.
pub fn load(arguments: &ScriptArguments) -> Result<Script, (Box<Diagnostic>, Option<Source>)> {
    let (name, text, default_name) = text_of(arguments).map_err(|error| (error, None))?;
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text);
    let values: BTreeMap<String, String> = arguments.variables.iter().cloned().collect();
    let environment = |name: &str| std::env::var(name).ok();
    let read_file = |path: &Path| std::fs::read_to_string(path);
    let source = variables::substitute(&name, &text, &values, &environment, &read_file)
        .map_err(|error| (error, Some(Source::new(&name, &text))))?;
    let (statements, errors) = parse_script(&source);
    Ok(Script { source, statements, errors, default_name })
}

fn text_of(arguments: &ScriptArguments) -> Result<(String, String, String)> {
    if let Some(text) = &arguments.execute {
        return Ok(("<command line>".into(), text.clone(), "flott".into()));
    }
    let Some(path) = arguments.script.clone() else {
        return Err(Diagnostic::error(Code::Arguments, "no script to look at")
            .help("name a .sql file, `-` for standard input, or give statements with -e"));
    };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| {
            Diagnostic::error(Code::Arguments, format!("cannot read standard input: {error}"))
        })?;
        return Ok(("<stdin>".into(), text, "flott".into()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Diagnostic::error(Code::Arguments, format!("cannot read the script '{}': {error}", path.display()))
    })?;
    let stem =
        path.file_stem().map_or_else(|| "flott".to_string(), |stem| stem.to_string_lossy().into_owned());
    Ok((path.display().to_string(), text, stem))
}

/// A session with the options of the command line.
///
/// # Errors
/// Unknown options and malformed values, all of them.
pub fn session(arguments: &ScriptArguments) -> Result<Session, Vec<Box<Diagnostic>>> {
    let mut session = Session::new(Options::new());
    let mut errors = Vec::new();
    for (key, value) in &arguments.define {
        if let Err(error) = session.set_option(key, value) {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(session) } else { Err(errors) }
}
