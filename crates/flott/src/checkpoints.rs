//! `flott checkpoint`: what is in a checkpoint directory, whether it is whole, and deleting it.
//!
//! ```text
//!   DIR                        'execution.checkpointing.dir': a folder per job   ─► list, verify
//!   DIR/job                    one job's checkpoints                              ─► all four
//!   DIR/job/sequence/00000007  one checkpoint                                     ─► show, verify
//! ```
//!
//! Only [`delete`] changes anything, and only in a folder with the mark of checkpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::{BufRead, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use flott_connector::SystemClock;
use flott_state::{
    LocalStorage, Manifest,
    manifest::{BlockRef, TableEntry},
    segment::verify_block,
    sequence::{Contents, contents, delete_all, is_ours},
};
use flott_types::{Code, Diagnostic, Options, Result};
use serde_json::{Value, json};

use crate::{
    cli::Checkpoint,
    console, diagnostics,
    report::{grouped, size},
    settings, standby,
};

/// The file that marks a job's folder.
const MARKER: &str = "FLOTT";
/// Characters of a source's position that are shown to people.
const POSITION_CHARS: usize = 160;

/// Does what the arguments ask for.
pub fn command(arguments: &Checkpoint) -> ExitCode {
    let done = match arguments {
        Checkpoint::List { directory, json } => list(directory, *json),
        Checkpoint::Show { directory, json } => show(directory, *json),
        Checkpoint::Verify { directory, json } => verify(directory, *json),
        Checkpoint::Delete { directory, yes, force, json } => delete(directory, *yes, *force, *json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => diagnostics::show(&[error], None),
    }
}

fn unusable(message: String) -> Box<Diagnostic> {
    Diagnostic::error(Code::CheckpointUnusable, message)
}

fn wrong_argument(message: String) -> Box<Diagnostic> {
    Diagnostic::error(Code::Arguments, message)
}

/// What the directory argument names.
pub struct Place {
    /// It, without `file://`.
    pub path: PathBuf,
    /// Folders of jobs: itself, or those in it.
    pub folders: Vec<PathBuf>,
    /// The one checkpoint that is meant.
    pub number: Option<u64>,
}

impl Place {
    /// What an argument names.
    ///
    /// # Errors
    /// `CheckpointUnusable`: there are no checkpoints.
    pub fn of(argument: &Path) -> Result<Self> {
        let path = match argument.to_str().and_then(|text| text.strip_prefix("file://")) {
            Some(local) => PathBuf::from(local),
            None => argument.to_path_buf(),
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.trim_end_matches(".confirmed").parse().ok());
        let sequence = path.parent().filter(|parent| parent.ends_with("sequence"));
        if let (Some(number), Some(job)) = (number, sequence.and_then(Path::parent)) {
            let place = Self { folders: vec![job.to_path_buf()], number: Some(number), path };
            place.check()?;
            return Ok(place);
        }
        let folders = if path.join(MARKER).is_file() { vec![path.clone()] } else { job_folders(&path)? };
        let place = Self { path, folders, number: None };
        place.check()?;
        Ok(place)
    }

    /// Whether it names one job's folder or a checkpoint in it, rather than a directory of such folders.
    pub fn is_of_one_job(&self) -> bool {
        self.number.is_some() || self.folders == [self.path.clone()]
    }

    /// The directory of jobs' folders that it lies in, or is.
    pub fn root(&self) -> PathBuf {
        let job = self.folders.first().filter(|_| self.is_of_one_job());
        let parent = job.and_then(|job| job.parent()).map(Path::to_path_buf);
        let here = |it: PathBuf| if it.as_os_str().is_empty() { PathBuf::from(".") } else { it };
        parent.map_or_else(|| self.path.clone(), here)
    }

    /// Every folder must be one of ours, and of a format that is known.
    fn check(&self) -> Result<()> {
        self.folders.iter().try_for_each(|folder| match is_ours(&LocalStorage::new(folder)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(unusable(format!("there are no checkpoints in '{}'", folder.display()))),
            Err(mut error) => {
                error.message = format!("'{}': {}", folder.display(), error.message);
                Err(error)
            }
        })
    }

    /// The one job that is meant.
    ///
    /// # Errors
    /// There are none, or several.
    pub fn job(&self) -> Result<&Path> {
        match self.folders.as_slice() {
            [job] => Ok(job),
            [] => Err(unusable(format!("there are no checkpoints in '{}'", self.path.display()))),
            several => {
                let jobs: Vec<String> = several.iter().map(|it| it.display().to_string()).collect();
                let message = format!("'{}' has checkpoints of {} jobs", self.path.display(), jobs.len());
                Err(wrong_argument(message).help(format!("name one: {}", jobs.join(", "))))
            }
        }
    }
}

/// Folders with the mark below a directory. Looks no deeper: it may be any directory at all.
fn job_folders(directory: &Path) -> Result<Vec<PathBuf>> {
    let shown = directory.display();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => unusable(format!("there is no directory '{shown}'"))
            .help("it is what 'execution.checkpointing.dir' says"),
        io::ErrorKind::NotADirectory => {
            unusable(format!("'{shown}' is neither a directory nor a checkpoint"))
                .help("a checkpoint is named as in …/job/sequence/00000007")
        }
        _ => unusable(format!("cannot read '{shown}': {error}")),
    };
    let mut folders = Vec::new();
    let mut other = None;
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join(MARKER).is_file() {
            folders.push(path);
        } else if other.as_ref().is_none_or(|other| path < *other) {
            other = Some(path);
        }
    }
    folders.sort();
    match other {
        Some(other) if folders.is_empty() => {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let message = format!(
                "not a checkpoint directory of Flott's: '{shown}' holds '{name}', and no file '{MARKER}' in it or \
                 in a folder of it"
            );
            Err(unusable(message)
                .help("name what 'execution.checkpointing.dir' says, or a job's folder in it"))
        }
        _ => Ok(folders),
    }
}

/// A job's folder with its checkpoints.
pub struct JobFolder {
    /// Where it is.
    pub path: PathBuf,
    storage: LocalStorage,
    /// Its claims and checkpoints.
    pub contents: Contents,
}

impl JobFolder {
    /// Reads it.
    ///
    /// # Errors
    /// `CheckpointUnusable`
    pub fn read(path: &Path) -> Result<Self> {
        let storage = LocalStorage::new(path);
        let contents = contents(&storage)?;
        Ok(Self { path: path.to_path_buf(), storage, contents })
    }

    /// The job's name: what its claims say, for the folder's name may be written otherwise.
    pub fn name(&self) -> String {
        let claimed = self.contents.claims.values().next_back().map(|claim| claim.job.clone());
        let folder = || self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        claimed.unwrap_or_else(folder)
    }

    /// Whether a checkpoint's rows are published.
    pub fn is_confirmed(&self, number: u64) -> bool {
        self.contents.listing.confirmed.contains(&number)
    }

    /// What is wrong with a checkpoint, as far as that was seen without reading its state.
    pub fn damage(&self, number: u64) -> Vec<String> {
        let damaged = self.contents.damaged.iter().filter(|it| it.number == number);
        damaged.map(|it| it.what.clone()).collect()
    }

    /// Why the checkpoint of this number, or any, can't be read.
    pub fn no_checkpoint(&self, number: Option<u64>) -> Box<Diagnostic> {
        let (path, numbers) = (self.path.display(), self.numbers());
        let Some(number) = number.or_else(|| numbers.last().copied()) else {
            return unusable(format!("no checkpoint has been taken yet in '{path}'"));
        };
        if let Some(damage) = self.damage(number).pop() {
            return unusable(damage);
        }
        let error = unusable(format!("there is no checkpoint {number} in '{path}'"));
        let there: Vec<String> = numbers.iter().map(u64::to_string).collect();
        match there.len() {
            0 => error.help("no checkpoint has been taken there yet"),
            1 => error.help(format!("the only one there is {}", there.concat())),
            _ => error.help(format!("there are {}", there.join(", "))),
        }
    }

    /// Numbers of checkpoints, readable or not.
    fn numbers(&self) -> BTreeSet<u64> {
        let damaged = self.contents.damaged.iter().map(|it| it.number);
        self.contents.manifests.keys().copied().chain(damaged).collect()
    }
}

/// A time for people and programs.
fn time(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn list(directory: &Path, json: bool) -> Result<()> {
    let place = Place::of(directory)?;
    if place.folders.is_empty() && !json {
        console::out(format_args!("no checkpoints in {}\n", place.path.display()));
    }
    for folder in &place.folders {
        let job = JobFolder::read(folder)?;
        let numbers = place.number.map_or_else(|| job.numbers(), |number| BTreeSet::from([number]));
        if json { list_json(&job, &numbers) } else { list_text(&job, &numbers) }
    }
    Ok(())
}

fn list_json(job: &JobFolder, numbers: &BTreeSet<u64>) {
    let manifests = numbers.iter().filter_map(|number| job.contents.manifests.get(number));
    let checkpoints: Vec<Value> = manifests.map(|manifest| headline(job, manifest)).collect();
    let runs = job.contents.claims.iter();
    let runs: Vec<Value> = runs
        .map(|(number, claim)| json!({"generation": number, "started": time(claim.created_micros)}))
        .collect();
    let damaged = numbers.iter().flat_map(|number| {
        job.damage(*number).into_iter().map(move |what| json!({"number": number, "what": what}))
    });
    console::out(format_args!(
        "{}\n",
        json!({
            "job": job.name(),
            "directory": job.path.display().to_string(),
            "checkpoints": checkpoints,
            "runs": runs,
            "damaged": damaged.collect::<Vec<_>>(),
        })
    ));
}

/// A checkpoint in short.
fn headline(job: &JobFolder, manifest: &Manifest) -> Value {
    json!({
        "number": manifest.number,
        "time": time(manifest.created_micros),
        "epoch": manifest.epoch,
        "finished": manifest.finished,
        "confirmed": job.is_confirmed(manifest.number),
        "state_bytes": manifest.state_bytes(),
        "generation": manifest.generation,
    })
}

fn list_text(job: &JobFolder, numbers: &BTreeSet<u64>) {
    console::out(format_args!("{}  in {}\n", job.name(), job.path.display()));
    if numbers.is_empty() {
        console::out("  no checkpoint yet\n");
    } else {
        console::out("  checkpoint  taken                      epoch       state  run\n");
    }
    for number in numbers {
        let Some(it) = job.contents.manifests.get(number) else {
            let damage = job.damage(*number).pop().unwrap_or_else(|| "not there".into());
            console::out(format_args!("  {number:>10}  {damage}\n"));
            continue;
        };
        let state = size(it.state_bytes());
        let mut notes = String::new();
        if it.finished {
            notes.push_str("  finished");
        }
        if !job.is_confirmed(*number) {
            notes.push_str("  not confirmed yet");
        }
        console::out(format_args!(
            "  {number:>10}  {:<20}  {:>10}  {state:>10}  {}{notes}\n",
            time(it.created_micros),
            it.epoch,
            it.generation
        ));
    }
    for (number, claim) in &job.contents.claims {
        console::out(format_args!("  run {number} began {}\n", time(claim.created_micros)));
    }
}

fn show(directory: &Path, json: bool) -> Result<()> {
    let place = Place::of(directory)?;
    let job = JobFolder::read(place.job()?)?;
    let number = place.number.or_else(|| job.contents.manifests.keys().next_back().copied());
    let manifest = number.and_then(|number| job.contents.manifests.get(&number));
    let Some(manifest) = manifest else {
        return Err(job.no_checkpoint(number));
    };
    if json {
        console::out(format_args!("{}\n", details(&job, manifest)));
    } else {
        show_text(&job, manifest);
    }
    Ok(())
}

/// How many segments a table's blocks lie in.
fn segments(table: &TableEntry) -> usize {
    let blocks = table.blocks.iter().filter(|block| block.bytes > 0);
    blocks.map(|block| block.segment.as_str()).collect::<BTreeSet<_>>().len()
}

fn table_bytes(table: &TableEntry) -> u64 {
    table.blocks.iter().map(|block| block.bytes).sum()
}

/// A checkpoint in full.
fn details(job: &JobFolder, manifest: &Manifest) -> Value {
    let operators: BTreeMap<&String, Value> = manifest
        .operators
        .iter()
        .map(|(id, operator)| {
            let table = |table: &TableEntry| {
                json!({
                    "rows": table.rows,
                    "bytes": table_bytes(table),
                    "blocks": table.blocks.len(),
                    "segments": segments(table),
                })
            };
            let tables: BTreeMap<&String, Value> =
                operator.tables.iter().map(|(name, entry)| (name, table(entry))).collect();
            (id, json!({"tables": tables}))
        })
        .collect();
    let sinks: BTreeMap<&String, usize> =
        manifest.sinks.iter().map(|(name, committables)| (name, committables.len())).collect();
    let mut details = headline(job, manifest);
    if let Value::Object(fields) = &mut details {
        fields.insert("job".into(), job.name().into());
        fields.insert("directory".into(), job.path.display().to_string().into());
        fields.insert("parent".into(), manifest.parent.into());
        fields.insert("key_groups".into(), manifest.key_groups.into());
        fields.insert("sources".into(), json!(manifest.sources));
        fields.insert("operators".into(), json!(operators));
        fields.insert("sinks".into(), json!(sinks));
        fields.insert("dead_letters".into(), manifest.letters.len().into());
        fields.insert("counters".into(), manifest.counters.clone());
    }
    details
}

fn show_text(job: &JobFolder, it: &Manifest) {
    console::out(format_args!("checkpoint {} of {}  in {}\n", it.number, job.name(), job.path.display()));
    console::out(format_args!(
        "  taken       {}, epoch {}, by run {}, after checkpoint {}\n",
        time(it.created_micros),
        it.epoch,
        it.generation,
        it.parent
    ));
    let input = if it.finished { "all read: the job has finished" } else { "not all read" };
    console::out(format_args!("  input       {input}\n"));
    if !job.is_confirmed(it.number) {
        console::out("  output      not confirmed: the next run publishes it first\n");
    }
    console::out(format_args!("  state       {} in {} key groups\n", size(it.state_bytes()), it.key_groups));
    for (name, position) in &it.sources {
        console::out(format_args!("  source      {name}  at {}\n", shortened(position)));
    }
    for (id, operator) in &it.operators {
        console::out(format_args!("  operator    {id}\n"));
        for (name, table) in &operator.tables {
            let segments = segments(table);
            console::out(format_args!(
                "    table     {name}: {} row{}, {} in {segments} segment{}\n",
                grouped(table.rows),
                plural(table.rows == 1),
                size(table_bytes(table)),
                plural(segments == 1)
            ));
        }
    }
    for (name, committables) in &it.sinks {
        console::out(format_args!("  sink        {name}: {} prepared\n", committables.len()));
    }
    if !it.letters.is_empty() {
        console::out(format_args!("  letters     {} files\n", it.letters.len()));
    }
    for (what, counts) in it.counters.get("counts").and_then(Value::as_object).into_iter().flatten() {
        console::out(format_args!("  counted     {what}: {counts}\n"));
    }
}

fn plural(one: bool) -> &'static str {
    if one { "" } else { "s" }
}

/// A position for people: lists of files may be long.
fn shortened(position: &Value) -> String {
    let mut position = position.clone();
    for value in position.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let Value::String(text) = value
            && text.chars().count() > POSITION_CHARS / 2
        {
            *text = text.chars().take(POSITION_CHARS / 4).chain(['…']).collect();
        }
    }
    let text = position.to_string();
    if text.chars().count() <= POSITION_CHARS {
        return text;
    }
    text.chars().take(POSITION_CHARS).chain(['…']).collect()
}

/// What reading a checkpoint's state has shown.
struct Finding {
    number: u64,
    blocks: usize,
    bytes: u64,
    damage: Vec<String>,
}

fn verify(directory: &Path, json: bool) -> Result<()> {
    let place = Place::of(directory)?;
    let (mut all, mut damaged) = (0, 0);
    for folder in &place.folders {
        let job = JobFolder::read(folder)?;
        if !json {
            console::out(format_args!("{}  in {}\n", job.name(), job.path.display()));
        }
        let numbers = place.number.map_or_else(|| numbers_to_verify(&job), |number| BTreeSet::from([number]));
        let mut known = BTreeMap::new();
        for number in numbers {
            let finding = verify_one(&job, number, &mut known);
            all += 1;
            damaged += usize::from(!finding.damage.is_empty());
            if json { finding_json(&job, &finding) } else { finding_text(&finding) }
        }
    }
    if damaged == 0 {
        if !json {
            let what = if all == 1 { "1 checkpoint is".into() } else { format!("{all} checkpoints are") };
            console::out(format_args!("{what} whole\n"));
        }
        return Ok(());
    }
    let message = format!("{damaged} of {all} checkpoint{} damaged", if all == 1 { " is" } else { "s are" });
    Err(unusable(message).help(
        "a run goes on from the newest one that is whole, and says so; `flott run --resume never` starts anew",
    ))
}

/// All checkpoints, and those of which only the mark is left.
fn numbers_to_verify(job: &JobFolder) -> BTreeSet<u64> {
    let listing = &job.contents.listing;
    let lost = listing.confirmed.iter().filter(|number| !listing.objects.contains_key(number));
    job.numbers().into_iter().chain(lost.copied()).collect()
}

/// Reads all that a checkpoint names. Checkpoints share blocks: each is read once and `known` then.
fn verify_one<'a>(
    job: &'a JobFolder,
    number: u64,
    known: &mut BTreeMap<(&'a str, u64), Option<String>>,
) -> Finding {
    let mut finding = Finding { number, blocks: 0, bytes: 0, damage: job.damage(number) };
    let Some(manifest) = job.contents.manifests.get(&number) else {
        if finding.damage.is_empty() {
            finding.damage.push(format!("sequence/{number:08} is gone"));
        }
        return finding;
    };
    for (operator, table, block) in manifest.blocks().filter(|(_, _, block)| block.bytes > 0) {
        let BlockRef { segment, offset, bytes, .. } = block;
        let read = || verify_block(&job.storage, block, operator, table).err().map(|error| error.message);
        let what = known.entry((segment, *offset)).or_insert_with(read);
        finding.damage.extend(what.clone());
        finding.blocks += 1;
        finding.bytes += bytes;
    }
    finding
}

fn finding_json(job: &JobFolder, finding: &Finding) {
    console::out(format_args!(
        "{}\n",
        json!({
            "job": job.name(),
            "directory": job.path.display().to_string(),
            "number": finding.number,
            "whole": finding.damage.is_empty(),
            "blocks": finding.blocks,
            "bytes": finding.bytes,
            "damage": finding.damage,
        })
    ));
}

fn finding_text(finding: &Finding) {
    let Finding { number, blocks, bytes, damage } = finding;
    let verdict = if damage.is_empty() { "whole" } else { "DAMAGED" };
    let blocks = format!("{} block{}", grouped(*blocks as u64), plural(*blocks == 1));
    console::out(format_args!("  {number:>10}  {verdict}  {blocks}, {}\n", size(*bytes)));
    damage.iter().for_each(|what| console::out(format_args!("              {what}\n")));
}

/// Removes a job's folder, so that its next run begins anew.
fn delete(directory: &Path, yes: bool, force: bool, json: bool) -> Result<()> {
    let place = Place::of(directory)?;
    if place.number.is_some() {
        return Err(wrong_argument("single checkpoints can't be deleted, only all of a job".into())
            .help("a run removes old ones itself: 'execution.checkpointing.num-retained'"));
    }
    if place.folders != [place.path.clone()] {
        let message = format!("'{}' is no job's folder", place.path.display());
        let jobs: Vec<String> = place.folders.iter().map(|it| it.display().to_string()).collect();
        let help = if jobs.is_empty() { "there are none in it".into() } else { jobs.join(", ") };
        return Err(wrong_argument(message).help(format!("name a job's folder: {help}")));
    }
    let job = JobFolder::read(&place.path)?;
    if !force {
        refuse_if_alive(&job)?;
    }
    if !yes {
        if !confirmed(&job)? {
            console::out("nothing was deleted\n");
            return Ok(());
        }
        if !force {
            // While the question stood, somebody may have started it.
            refuse_if_alive(&job)?;
        }
    }
    let deleted = delete_all(&job.storage)?;
    remove_folders(&place.path);
    if json {
        let directory = place.path.display().to_string();
        console::out(format_args!("{}\n", json!({"directory": directory, "deleted": deleted})));
    } else {
        console::out(format_args!("deleted {deleted} files in {}\n", place.path.display()));
    }
    Ok(())
}

/// A run whose checkpoints are gone has nothing to go on from, and can't publish what it has.
fn refuse_if_alive(job: &JobFolder) -> Result<()> {
    let terms = settings::lease_terms(&Options::new())?;
    let Some(holder) = standby::alive(Arc::new(job.storage.clone()), terms, &SystemClock::new())? else {
        return Ok(());
    };
    let message = format!("{} runs '{}', and is alive", standby::who(Some(&holder)), job.name());
    Err(Diagnostic::error(Code::AlreadyRunning, message)
        .help("stop it first: what it has read since its last checkpoint is not published yet")
        .help("--force deletes its checkpoints all the same; the run fails then"))
}

/// Asks whoever sits at the terminal.
fn confirmed(job: &JobFolder) -> Result<bool> {
    let question = format!(
        "delete {} checkpoints of '{}', so that its next run begins anew",
        job.numbers().len(),
        job.name()
    );
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(wrong_argument(format!("{question}?")).help("--yes does it without asking"));
    }
    console::err(format_args!("{question}? No run of it may be active. [y/N] "));
    let mut answer = String::new();
    // No answer means no.
    let _ = io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Removes what is left of a job's folder. What somebody else has put there stays.
fn remove_folders(folder: &Path) {
    let (temporary, sockets) = (folder.join(".tmp"), folder.join(".run"));
    let both = [&temporary, &sockets].map(fs::read_dir).into_iter().flatten();
    for entry in both.flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    let objects = ["lease", "segments", "sequence"].map(|name| folder.join(name));
    for path in [temporary, sockets].into_iter().chain(objects).chain([folder.to_path_buf()]) {
        let _ = fs::remove_dir(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_in_positions_are_cut() {
        let position = json!({"file": 3, "files": "x".repeat(500), "open": ["3:3:7:7:0"]});
        let shown = shortened(&position);
        assert!(shown.starts_with("{\"file\":3,\"files\":\"xxx"), "{shown}");
        assert!(shown.ends_with("…\",\"open\":[\"3:3:7:7:0\"]}"), "{shown}");
        assert!(shortened(&json!({"a": vec![1; 500]})).ends_with('…'));
    }
}
