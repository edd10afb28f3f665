//! Kills a job again and again, and compares what it wrote with an undisturbed run.
//!
//! ```text
//!   undisturbed, no checkpoints ──────────────────────────────► rows
//!                                                                │ the same, each as often?
//!   start ─✗  start ─✗  start ── ✗  start ──────────► finished ► rows
//!         kill -9, each start at another parallelism
//!
//!   moments:  any time · right after the claim · between a manifest and its mark
//! ```
//!
//! Invariants
//! - After every kill, readers see no row that the undisturbed run did not write.
//! - The same seed gives the same moments and parallelisms. What a kill hits still depends on the
//!   machine: the clock is not simulated here.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use crate::Flott;

pub mod auction;

/// Rows as lines of text, and how often each is there.
pub type Rows = HashMap<String, u64>;

/// Where a job's output files lie, below its directory.
pub const OUT: &str = "out";
/// Where its checkpoints lie.
const CHECKPOINTS: &str = "checkpoints";
/// How long one look at a running job waits for the next.
const PAUSE: Duration = Duration::from_millis(1);

/// A pipeline that ends, and writes lines of text to files below [`OUT`].
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name in tables and directories.
    pub name: String,
    /// Its statements, without options.
    pub sql: String,
    /// It writes changes (`changelog-json`): what counts is the table that they make.
    pub changes: bool,
}

impl Job {
    /// What readers of its files see: rows, or the table that its changes make.
    fn written(&self, place: &Path) -> io::Result<Rows> {
        let directory = place.join(OUT);
        if self.changes { table_below(&directory) } else { rows_below(&directory) }
    }
    /// Rows that no reader should see before the end: of a table, those taken back too often.
    fn wrong_so_far(&self, rows: &Rows, expected: &Rows) -> u64 {
        if self.changes { rows.get(TAKEN_TOO_OFTEN).copied().unwrap_or(0) } else { surplus(rows, expected) }
    }
}

/// What [`table_below`] counts rows under that are taken back more often than they were told.
const TAKEN_TOO_OFTEN: &str = "taken back too often";

/// What happened to a job, and what it was found to have written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often the job was brought to its end.
    pub finished: u64,
    /// Kills before a start had made a checkpoint of its own: while it started, recovered or ran.
    pub early: u64,
    /// Kills between a manifest and the mark that says it is published.
    pub pending: u64,
    /// All other kills.
    pub running: u64,
    /// Checkpoints that became durable.
    pub checkpoints: u64,
    /// Rows of the undisturbed run that were missing at the end.
    pub lost: u64,
    /// Rows that were there too often, or should not have been there: at the end or after a kill.
    pub doubled: u64,
    /// Hidden files that nobody cleaned up.
    pub left_behind: u64,
}

impl Tally {
    /// Kills in all.
    pub fn kills(&self) -> u64 {
        self.early + self.pending + self.running
    }
    /// Whether the job wrote what the undisturbed run wrote.
    pub fn is_right(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.left_behind == 0
    }
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.finished += other.finished;
        self.early += other.early;
        self.pending += other.pending;
        self.running += other.running;
        self.checkpoints += other.checkpoints;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.left_behind += other.left_behind;
    }
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

/// When a start is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After so many looks.
    After(u64),
    /// So many looks after it has claimed its generation.
    Claimed(u64),
    /// As soon as a manifest of its own lies there without its mark.
    Pending,
}

/// Runs jobs in a directory of its own and kills them.
#[derive(Debug)]
pub struct Killer {
    binary: PathBuf,
    directory: PathBuf,
    /// Checkpoint intervals are drawn from this range, in milliseconds.
    intervals: (u64, u64),
    /// Never written to: waiting on it is a pause.
    never: (SyncSender<()>, std::sync::mpsc::Receiver<()>),
}

/// How a start ended.
enum End {
    /// By itself.
    Exited(ExitStatus),
    /// By the kill.
    Killed,
}

impl Killer {
    /// Runs `binary` below `directory`; checkpoint intervals are drawn from `intervals`.
    pub fn new(binary: impl Into<PathBuf>, directory: impl Into<PathBuf>, intervals: (u64, u64)) -> Self {
        Self { binary: binary.into(), directory: directory.into(), intervals, never: sync_channel(0) }
    }

    /// What the job writes when nobody disturbs it, and how many looks a run takes.
    ///
    /// # Errors
    /// The run failed, or its files can't be read.
    pub fn undisturbed(&self, job: &Job) -> io::Result<(Rows, u64)> {
        let place = self.place(job)?;
        let mut run = self.start(job, &place, &["parallelism.default=1".into()])?;
        let mut looks = 0;
        let status = loop {
            if let Some(status) = run.try_wait()? {
                break status;
            }
            self.pause();
            looks += 1;
        };
        must_succeed(job, &place, status)?;
        let rows = job.written(&place)?;
        fs::remove_dir_all(&place)?;
        Ok((rows, looks))
    }

    /// Starts the job, kills it at most `kills` times, and lets it end. `looks`: what an
    /// undisturbed run takes.
    ///
    /// # Errors
    /// A start failed by itself, or files can't be read.
    pub fn torment(
        &self,
        job: &Job,
        expected: &Rows,
        looks: u64,
        kills: u64,
        random: &mut Random,
    ) -> io::Result<Tally> {
        let place = self.place(job)?;
        let mut tally = Tally { finished: 1, ..Tally::default() };
        loop {
            let before = Sequence::read(&place, job)?;
            let mut run = self.start(job, &place, &self.options(job, random))?;
            let moment = (tally.kills() < kills).then(|| moment(looks, random));
            match self.watch(&mut run, moment, &place, job, &before)? {
                End::Exited(status) => {
                    must_succeed(job, &place, status)?;
                    break;
                }
                End::Killed => {
                    Sequence::read(&place, job)?.count_kill(&before, &mut tally);
                    tally.doubled += job.wrong_so_far(&job.written(&place)?, expected);
                }
            }
        }
        let rows = job.written(&place)?;
        tally.lost = surplus(expected, &rows);
        tally.doubled += surplus(&rows, expected);
        tally.left_behind = files_below(&place.join(OUT), true)?.len() as u64;
        tally.checkpoints = Sequence::read(&place, job)?.manifests_ever();
        if tally.is_right() {
            fs::remove_dir_all(&place)?;
        }
        Ok(tally)
    }

    /// An empty directory for the job.
    fn place(&self, job: &Job) -> io::Result<PathBuf> {
        let place = self.directory.join(&job.name);
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&place)?,
        }
        Ok(place)
    }

    /// Options of one start.
    fn options(&self, job: &Job, random: &mut Random) -> Vec<String> {
        let (least, most) = self.intervals;
        vec![
            format!("parallelism.default={}", 1 + random.below(3)),
            format!("execution.checkpointing.interval={} ms", least + random.below(most - least + 1)),
            format!("execution.checkpointing.dir={CHECKPOINTS}"),
            format!("pipeline.name={}", job.name),
        ]
    }

    fn start(&self, job: &Job, place: &Path, options: &[String]) -> io::Result<Child> {
        let mut command = Flott::new(&self.binary, place).command(["run", "--quiet", "-e", &job.sql]);
        for option in options {
            command.args(["-D", option]);
        }
        let errors = File::create(place.join("stderr"))?;
        command.stdout(errors.try_clone()?).stderr(errors).spawn()
    }

    /// Waits for the end of a start, or for the moment to kill it.
    fn watch(
        &self,
        run: &mut Child,
        moment: Option<Moment>,
        place: &Path,
        job: &Job,
        before: &Sequence,
    ) -> io::Result<End> {
        let (mut looks, mut claimed_for) = (0, 0);
        loop {
            if let Some(status) = run.try_wait()? {
                return Ok(End::Exited(status));
            }
            let is_now = match moment {
                None => false,
                Some(Moment::After(wanted)) => looks >= wanted,
                Some(Moment::Claimed(wanted)) => {
                    claimed_for += u64::from(claimed_for > 0 || before.is_claimed(place, job));
                    claimed_for > wanted
                }
                Some(Moment::Pending) => before.has_new_pending(place, job)?,
            };
            if is_now {
                run.kill()?;
                // It may have ended just before.
                let status = run.wait()?;
                return Ok(if status.code().is_some() { End::Exited(status) } else { End::Killed });
            }
            self.pause();
            looks += 1;
        }
    }

    fn pause(&self) {
        // Nobody sends: this waits, and that is all it is for.
        let _ = self.never.1.recv_timeout(PAUSE);
    }
}

/// Half of the kills come at any time of a run; the rest where they hurt most.
fn moment(looks: u64, random: &mut Random) -> Moment {
    match random.below(4) {
        0 => Moment::Claimed(random.below(30)),
        1 => Moment::Pending,
        _ => Moment::After(random.below(looks.max(1))),
    }
}

fn must_succeed(job: &Job, place: &Path, status: ExitStatus) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(place.join("stderr")).unwrap_or_default();
    Err(io::Error::other(format!("{} ended with {status} in {}:\n{said}", job.name, place.display())))
}

/// The numbered objects of a job's checkpoints.
#[derive(Debug, Default)]
struct Sequence {
    claims: Vec<u64>,
    manifests: Vec<u64>,
    /// Those with the mark that says everything is published.
    confirmed: Vec<u64>,
}

impl Sequence {
    fn folder(place: &Path, job: &Job) -> PathBuf {
        place.join(CHECKPOINTS).join(&job.name).join("sequence")
    }

    fn read(place: &Path, job: &Job) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in entries(&Self::folder(place, job))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.strip_suffix(".confirmed").and_then(|it| it.parse().ok()) {
                found.confirmed.push(number);
            } else if let Ok(number) = name.parse() {
                match fs::read(entry.path()) {
                    Ok(bytes) if is_claim(&bytes) => found.claims.push(number),
                    // Gone: retention has taken a manifest meanwhile, never a claim.
                    _ => found.manifests.push(number),
                }
            }
        }
        Ok(found)
    }

    fn last(&self) -> u64 {
        self.claims.iter().chain(&self.manifests).copied().max().unwrap_or(0)
    }

    /// Manifests there are or have been: claims are never removed, so all other numbers were theirs.
    fn manifests_ever(&self) -> u64 {
        self.last().saturating_sub(self.claims.len() as u64)
    }

    fn is_claimed(&self, place: &Path, job: &Job) -> bool {
        Self::folder(place, job).join(format!("{:08}", self.last() + 1)).exists()
    }

    /// Whether a manifest lies there without its mark that was not there before. The number after
    /// the last is the claim of the start that is watched.
    fn has_new_pending(&self, place: &Path, job: &Job) -> io::Result<bool> {
        let (mut newest, mut marked) = (0, 0);
        for entry in entries(&Self::folder(place, job))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(".confirmed") {
                Some(number) => marked = number.parse().unwrap_or(0).max(marked),
                None => newest = name.parse().unwrap_or(0).max(newest),
            }
        }
        Ok(newest > self.last() + 1 && newest > marked)
    }

    fn count_kill(&self, before: &Self, tally: &mut Tally) {
        let newest = self.manifests.iter().copied().max().unwrap_or(0);
        if newest <= before.last() {
            tally.early += 1;
        } else if self.confirmed.contains(&newest) {
            tally.running += 1;
        } else {
            tally.pending += 1;
        }
    }
}

fn is_claim(bytes: &[u8]) -> bool {
    let mark = br#""kind":"claim""#;
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// The rows of all files below a directory that readers see.
///
/// # Errors
/// A file can't be read.
pub fn rows_below(directory: &Path) -> io::Result<Rows> {
    let mut rows = Rows::new();
    for file in files_below(directory, false)? {
        for line in fs::read_to_string(file)?.lines() {
            match rows.get_mut(line) {
                Some(count) => *count += 1,
                None => _ = rows.insert(line.into(), 1),
            }
        }
    }
    Ok(rows)
}

/// The table that the changes in all files below a directory make. Whatever the order of the files: a
/// row is there as often as it was told less how often it was taken back.
///
/// # Errors
/// A file can't be read, or holds something else.
pub fn table_below(directory: &Path) -> io::Result<Rows> {
    let mut counts: HashMap<String, i64> = HashMap::new();
    for file in files_below(directory, false)? {
        for line in fs::read_to_string(file)?.lines() {
            let no_change = || io::Error::other(format!("no change: {line}"));
            let change: serde_json::Value = serde_json::from_str(line).map_err(|_| no_change())?;
            let by = match change["op"].as_str() {
                Some("+I" | "+U") => 1,
                Some("-D" | "-U") => -1,
                _ => return Err(no_change()),
            };
            *counts.entry(change["data"].to_string()).or_default() += by;
        }
    }
    let mut rows = Rows::new();
    for (row, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        let row = if count < 0 { TAKEN_TOO_OFTEN.to_string() } else { row };
        *rows.entry(row).or_default() += count.unsigned_abs();
    }
    Ok(rows)
}

/// How many rows there are in `rows` beyond those in `limit`.
pub fn surplus(rows: &Rows, limit: &Rows) -> u64 {
    rows.iter().map(|(row, count)| count.saturating_sub(limit.get(row).copied().unwrap_or(0))).sum()
}

/// The files below a directory that readers see, or those that are hidden from them.
///
/// # Errors
/// A directory can't be read.
pub fn files_below(directory: &Path, hidden: bool) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![(directory.to_path_buf(), false)]);
    while let Some((folder, is_hidden)) = folders.pop() {
        for entry in entries(&folder)? {
            let is_hidden = is_hidden || entry.file_name().to_string_lossy().starts_with(['.', '_']);
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), is_hidden));
            } else if is_hidden == hidden {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// What is in a directory; nothing if it is not there.
fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, u64)]) -> Rows {
        rows.iter().map(|(row, count)| ((*row).to_string(), *count)).collect()
    }

    #[test]
    fn a_surplus_counts_rows_that_are_there_too_often() {
        let (right, wrong) = (rows(&[("a", 1), ("b", 2)]), rows(&[("a", 3), ("c", 1)]));
        assert_eq!((surplus(&wrong, &right), surplus(&right, &wrong)), (3, 2));
    }

    #[test]
    fn the_numbers_of_a_seed_repeat() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [0; 8].map(|_| random.below(100))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(Random::new(1).below(0), 0);
    }
}
