//! `flott dlq`: what is in a dead-letter directory, and running it again.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use flott_connector::{
    Stage,
    dead_letter::{Line, MessageLine},
};
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

/// Where what was replayed is put.
const REPLAYED: &str = "replayed";

/// Files of letters, oldest first.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let is_letters = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ndjson");
    Ok(entries(directory)?.into_iter().filter(is_letters).collect())
}

/// What is in a directory, by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let message = format!("there is no directory '{}'", directory.display());
            let error = Diagnostic::error(Code::DeadLetterFailed, message);
            error.help("it is what 'dead-letter.path' says, or the folder of a pipeline in it")
        }
        _ => failed(directory, error),
    })?;
    let mut found = entries
        .map(|entry| Ok(entry.map_err(|error| failed(directory, error))?.path()))
        .collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

/// Directories with letters and their files: this one, or, if it has none, those of pipelines in it.
fn directories(directory: &Path) -> Result<Vec<(PathBuf, Vec<PathBuf>)>> {
    let own = files(directory)?;
    let mut found = Vec::new();
    if own.is_empty() {
        let is_pipeline =
            |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| name != REPLAYED);
        for path in entries(directory)?.into_iter().filter(is_pipeline) {
            let letters = files(&path)?;
            if !letters.is_empty() {
                found.push((path, letters));
            }
        }
    }
    if found.is_empty() {
        found.push((directory.to_path_buf(), own));
    }
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
    directories(directory)?.iter().try_for_each(|(directory, files)| list_files(directory, files, json))
}

fn list_files(directory: &Path, files: &[PathBuf], json: bool) -> Result<()> {
    let mut all = 0;
    for path in files {
        let mut counts: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        letters(path, &mut |_, letter| {
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
                    serde_json::json!({"directory": directory.display().to_string(), "run": run, "source": source, "code": code, "count": count, "example": example})
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
        let letters = if all == 1 { "dead letter" } else { "dead letters" };
        console::out(format_args!("{} {letters} in {}\n", grouped(all), directory.display()));
    }
    Ok(())
}

fn show(directory: &Path, limit: usize, json: bool) -> Result<()> {
    let (mut shown, mut more) = (0, 0);
    for path in directories(directory)?.into_iter().flat_map(|(_, files)| files) {
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
            // A row of several records, as of a join, has no place of its own.
            let place = match letter.split.as_str() {
                "" => String::new(),
                split => format!("  {split} at {}", letter.offset),
            };
            console::out(format_args!("{}  {}  {}{place}\n", letter.time, letter.source, letter.code));
            console::out(format_args!("  error:  {}\n", letter.error));
            if let Some(message) = &letter.message {
                show_message(message);
            }
            let is_null = letter.message.as_ref().is_some_and(|it| it.null_value);
            let record = letter.text.filter(|_| !is_null);
            let record = record.unwrap_or_else(|| match is_null {
                true => "null".into(),
                false => format!("(base64) {}", letter.bytes),
            });
            console::out(format_args!("  record: {record}\n"));
            Ok(())
        })?;
    }
    if more > 0 && !json {
        console::out(format_args!("… and {more} more (--limit)\n"));
    }
    Ok(())
}

/// What came with a message's value.
fn show_message(message: &MessageLine) {
    if let Some(key) = &message.key {
        match &message.key_text {
            Some(text) => console::out(format_args!("  key:    {text}\n")),
            None => console::out(format_args!("  key:    (base64) {key}\n")),
        }
    }
    for header in &message.headers {
        let value = header.value.as_deref().map_or_else(|| "null".into(), |it| format!("(base64) {it}"));
        console::out(format_args!("  header: {} {value}\n", header.name));
    }
}

/// What is in a queue.
#[derive(Default)]
struct Queue {
    /// Letters by the sinks that want them: each group is one run of the script.
    sets: BTreeMap<Vec<String>, ReplaySet>,
    /// Letters that stay.
    late: u64,
    /// Letters that stay since they are no records: how many rows of which operator, for which sinks.
    results: BTreeMap<(String, Vec<String>), u64>,
}

/// A late row's windows have been emitted: on its own it would give them a second result.
fn is_late(letter: &Line) -> bool {
    letter.stage == Stage::Late && letter.code == Code::LateRow.id()
}

/// A row that an operator made: no record that could be read again leads to it, and it alone.
fn is_result(letter: &Line) -> bool {
    letter.split.is_empty() && letter.message.is_none()
}

/// Whether a replay leaves the letter where it is.
fn stays(letter: &Line) -> bool {
    is_late(letter) || is_result(letter)
}

fn queue(paths: &[PathBuf]) -> Result<Queue> {
    let mut queue = Queue::default();
    for path in paths {
        // A record that several inputs of one query had to do without is one record all the same.
        let mut seen = HashSet::new();
        letters(path, &mut |_, letter| {
            if is_late(&letter) {
                queue.late += 1;
                return Ok(());
            }
            if is_result(&letter) {
                *queue.results.entry((letter.source, letter.sinks)).or_default() += 1;
                return Ok(());
            }
            let (bytes, origin) = (letter.record()?, letter.origin()?);
            let set = queue
                .sets
                .entry(letter.sinks.clone())
                .or_insert_with(|| ReplaySet { records: BTreeMap::new(), sinks: letter.sinks.clone() });
            let change = (letter.change, letter.change_number);
            let place =
                (letter.sinks, letter.source.clone(), letter.split, letter.offset, change, bytes.clone());
            if seen.insert(place) {
                set.records.entry(letter.source).or_default().push((bytes, origin));
            }
            Ok(())
        })?;
    }
    for records in queue.sets.values_mut().flat_map(|set| set.records.values_mut()) {
        in_order(records);
    }
    Ok(queue)
}

/// Several shards have written letters: the messages of each partition come in their order again. (Offsets of files
/// say nothing beyond a run: another one may have read another file of that name.)
fn in_order(records: &mut [(Vec<u8>, flott_connector::Origin)]) {
    records.sort_by(|(_, a), (_, b)| {
        let offset = |it: &flott_connector::Origin| it.message.as_ref().map_or(0, |_| it.offset);
        a.split.cmp(&b.split).then_with(|| offset(a).cmp(&offset(b)))
    });
}

/// Says which letters aren't replayed.
fn report_late(late: u64, directory: &Path) {
    if late > 0 {
        let (rows, stay) = if late == 1 { ("late row", "stays") } else { ("late rows", "stay") };
        console::err(format_args!(
            "{} {rows} ({}) {stay} in {}: the windows have been emitted, a replay would give a second result\n",
            grouped(late),
            Code::LateRow.id(),
            directory.display()
        ));
    }
}

fn report_results(results: &BTreeMap<(String, Vec<String>), u64>, directory: &Path) {
    for ((operator, sinks), rows) in results {
        let (letters, come, stay) =
            if *rows == 1 { ("dead letter", "comes", "stays") } else { ("dead letters", "come", "stay") };
        let missed = if sinks.is_empty() { String::new() } else { format!(" for '{}'", sinks.join("', '")) };
        console::err(format_args!(
            "{} {letters}{missed} {come} from an operator ('{operator}') and not from a record, can't be replayed, \
             and {stay} in {}\n  help: mend the query (COALESCE, or WHERE … IS NOT NULL) and run it again, from the \
             beginning of its sources or from a checkpoint before these rows\n",
            grouped(*rows),
            directory.display()
        ));
    }
}

fn replay(directory: &Path, arguments: &Run) -> ExitCode {
    let prepared = files(directory).and_then(|paths| Ok((queue(&paths)?, paths)));
    let (Queue { sets, late, results }, paths) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return diagnostics::show(&[error], None),
    };
    report_late(late, directory);
    report_results(&results, directory);
    if sets.is_empty() {
        let what = if late == 0 && results.is_empty() { "dead letters" } else { "dead letters to replay" };
        console::out(format_args!("no {what} in {}\n", directory.display()));
        return ExitCode::SUCCESS;
    }
    let mut replayed = BTreeSet::new();
    for (sinks, set) in &sets {
        let (code, done) = run::execute(arguments, Some(set));
        if !done {
            return match put_aside(directory, &paths, &replayed) {
                Ok(()) => code,
                Err(error) => diagnostics::show(&[error], None),
            };
        }
        replayed.insert(sinks.clone());
    }
    match put_aside(directory, &paths, &replayed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

/// Moves the letters for these sinks out of the way: what has arrived must not come a second time.
fn put_aside(directory: &Path, paths: &[PathBuf], replayed: &BTreeSet<Vec<String>>) -> Result<()> {
    if replayed.is_empty() {
        return Ok(());
    }
    let aside = directory.join(REPLAYED);
    fs::create_dir_all(&aside).map_err(|error| failed(&aside, error))?;
    for path in paths {
        let (mut gone, mut left) = (String::new(), String::new());
        letters(path, &mut |line, letter| {
            let is_done = replayed.contains(&letter.sinks) && !stays(&letter);
            let to = if is_done { &mut gone } else { &mut left };
            to.extend([line, "\n"]);
            Ok(())
        })?;
        let Some(name) = path.file_name() else { continue };
        let rest = path.with_extension("rest");
        let moved = match (gone.is_empty(), left.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => fs::rename(path, unused_name(&aside, name)),
            // The rest takes the file's place in one step.
            (false, false) => fs::write(unused_name(&aside, name), gone)
                .and_then(|()| fs::write(&rest, left))
                .and_then(|()| fs::rename(&rest, path)),
        };
        moved.map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// The name in this directory, or one like it if an earlier replay has taken it.
fn unused_name(directory: &Path, name: &OsStr) -> PathBuf {
    let mut path = directory.join(name);
    while path.exists() {
        let mut longer = OsString::from("again-");
        longer.push(path.file_name().unwrap_or(name));
        path.set_file_name(longer);
    }
    path
}

#[cfg(test)]
mod tests {
    use flott_connector::{MessageParts, Origin};

    use super::in_order;

    #[test]
    fn messages_come_in_the_order_of_their_partition() {
        let letter = |split: &str, offset, is_message: bool| {
            let parts = MessageParts {
                key: None,
                null_value: false,
                timestamp: -1,
                timestamp_type: Default::default(),
                headers: Vec::new(),
                leader_epoch: -1,
            };
            let message = is_message.then(|| Box::new(parts));
            (Vec::new(), Origin { split: split.into(), offset, message, change: None })
        };
        let mut letters = [
            letter("t[0]", 9, true),
            letter("t[1]", 5, true),
            letter("file", 70, false),
            letter("t[0]", 2, true),
            letter("file", 10, false),
            letter("t[1]", 4, true),
        ];
        in_order(&mut letters);
        let order: Vec<_> = letters.iter().map(|(_, it)| (it.split.as_str(), it.offset)).collect();
        assert_eq!(order, [("file", 70), ("file", 10), ("t[0]", 2), ("t[0]", 9), ("t[1]", 4), ("t[1]", 5)]);
    }
}
