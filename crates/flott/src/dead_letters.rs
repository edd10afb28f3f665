//! `flott dlq`: what is in a dead-letter directory, and running it again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use flott_connector::{Origin, dead_letter::Line};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    cli::{Dlq, Run},
    console, diagnostics,
    report::grouped,
    run::{self, ReplaySet},
};

/// Does what the arguments ask for.
pub fn command(arguments: &Dlq) -> ExitCode {
    let done = match arguments {
        Dlq::List { directory, json } => list(directory, *json),
        Dlq::Show { directory, limit, json } => show(directory, *limit, *json),
        Dlq::Replay { directory, run } => return replay(directory, run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(
        Code::DeadLetterFailed,
        format!("cannot read dead letters in '{}': {error}", path.display()),
    )
}

/// Files of letters, oldest first. A directory of pipelines is searched one level deep.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(|error| failed(directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        if path.extension().is_some_and(|ending| ending == "ndjson") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Every letter of a file, in order. Files may be large, so letters are handed over one by one.
fn letters(path: &Path, each: &mut dyn FnMut(&str, Line) -> Result<()>) -> Result<()> {
    use std::io::BufRead;
    let file = fs::File::open(path).map_err(|error| failed(path, error))?;
    for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| failed(path, error))?;
        let letter = serde_json::from_str(&line)
            .map_err(|error| failed(path, format!("line {} is damaged: {error}", number + 1)))?;
        each(&line, letter)?;
    }
    Ok(())
}

fn list(directory: &Path, json: bool) -> Result<()> {
    let mut all = 0;
    for path in files(directory)? {
        let mut counts: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        letters(&path, &mut |_, letter| {
            let entry = counts.entry((letter.source, letter.code)).or_insert((0, letter.error));
            entry.0 += 1;
            Ok(())
        })?;
        let run = path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
        for ((source, code), (count, example)) in counts {
            all += count;
            if json {
                console::out(format_args!(
                    "{}\n",
                    serde_json::json!({"run": run, "source": source, "code": code, "count": count, "example": example})
                ));
            } else {
                console::out(format_args!(
                    "{:>10}  {source}  {code}  run {run}  e.g. {example}\n",
                    grouped(count)
                ));
            }
        }
    }
    if !json {
        console::out(format_args!("{} dead letters in {}\n", grouped(all), directory.display()));
    }
    Ok(())
}

fn show(directory: &Path, limit: usize, json: bool) -> Result<()> {
    let (mut shown, mut more) = (0, 0);
    for path in files(directory)? {
        letters(&path, &mut |line, letter| {
            if shown >= limit {
                more += 1;
                return Ok(());
            }
            shown += 1;
            if json {
                console::out(format_args!("{line}\n"));
                return Ok(());
            }
            console::out(format_args!(
                "{}  {}  {}  {} at {}\n",
                letter.time, letter.source, letter.code, letter.split, letter.offset
            ));
            console::out(format_args!("  error:  {}\n", letter.error));
            console::out(format_args!(
                "  record: {}\n",
                letter.text.unwrap_or_else(|| format!("(base64) {}", letter.bytes))
            ));
            Ok(())
        })?;
    }
    if more > 0 && !json {
        console::out(format_args!("… and {more} more (--limit)\n"));
    }
    Ok(())
}

/// Letters by the sinks that want them: each group is one run of the script.
fn grouped_letters(paths: &[PathBuf]) -> Result<BTreeMap<Vec<String>, ReplaySet>> {
    let mut sets: BTreeMap<Vec<String>, ReplaySet> = BTreeMap::new();
    for path in paths {
        letters(path, &mut |_, letter| {
            let record = (letter.record()?, Origin { split: letter.split, offset: letter.offset });
            let set = sets
                .entry(letter.sinks.clone())
                .or_insert_with(|| ReplaySet { records: BTreeMap::new(), sinks: letter.sinks });
            set.records.entry(letter.source).or_default().push(record);
            Ok(())
        })?;
    }
    Ok(sets)
}

fn replay(directory: &Path, arguments: &Run) -> ExitCode {
    let prepared = files(directory).and_then(|paths| Ok((grouped_letters(&paths)?, paths)));
    let (sets, paths) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return diagnostics::show(&[error], None),
    };
    if sets.is_empty() {
        console::out(format_args!("no dead letters in {}\n", directory.display()));
        return ExitCode::SUCCESS;
    }
    for set in sets.values() {
        let (code, done) = run::execute(arguments, Some(set));
        if !done {
            return code;
        }
    }
    match put_aside(directory, &paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

/// Moves the files that were replayed out of the way.
fn put_aside(directory: &Path, paths: &[PathBuf]) -> Result<()> {
    let aside = directory.join("replayed");
    fs::create_dir_all(&aside).map_err(|error| failed(&aside, error))?;
    for path in paths {
        if let Some(name) = path.file_name() {
            fs::rename(path, aside.join(name)).map_err(|error| failed(path, error))?;
        }
    }
    Ok(())
}
