//! Kills a job again and again, and compares what it wrote with an undisturbed run.
//!
//! ```text
//!   undisturbed, no checkpoints ──────────────────────────────► rows
//!                                                                │ the same, each as often?
//!   start ─✗  start ─✗  start ── ✗  start ──────────► finished ► rows
//!         kill -9, each start at another parallelism
//!
//!   pairs:  start ── stopped (SIGSTOP) ·············· goes on (SIGCONT) ── ✗
//!                            start ── takes over ─────────────────────── ✗
//!   standby: start ── ✗
//!            start --standby ── waits ── takes over ────────────────────── ✗
//! ```
//!
//! Invariants
//! - After every kill, readers see no row that the undisturbed run did not write, and every file that
//!   they have seen before.
//! - The same seed gives the same moments and parallelisms. What a kill hits still depends on the
//!   machine: the clock is not simulated here.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use self::{
    moment::{Moment, Round},
    readers::Reader,
    sequence::Sequence,
};
use crate::Flott;

pub mod auction;
mod moment;
mod pair;
mod readers;
mod sequence;
mod tally;
#[cfg(feature = "services")]
pub mod topics;

pub use self::{
    readers::{Rows, files_below, rows_below, surplus, table_below},
    tally::Tally,
};

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

/// Runs jobs in a directory of its own and kills them.
#[derive(Debug)]
pub struct Killer {
    binary: PathBuf,
    directory: PathBuf,
    /// Checkpoint intervals are drawn from this range, in milliseconds.
    intervals: (u64, u64),
    /// Whether some starts get so little memory for their state that it goes to the disk.
    spills: bool,
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

/// A job at work: where it runs, and what it should write.
struct Work<'a> {
    job: &'a Job,
    place: PathBuf,
    expected: &'a Rows,
    reader: Reader,
    tally: Tally,
}

impl Work<'_> {
    fn sequence(&self) -> io::Result<Sequence> {
        Sequence::read(&self.place, self.job)
    }

    /// Counts what readers should not see yet.
    fn look(&mut self) -> io::Result<()> {
        self.reader.look(&self.place.join(OUT), self.expected)?;
        self.tally.doubled += self.reader.wrong_so_far();
        Ok(())
    }

    /// Counts what is wrong at the end.
    fn conclude(&mut self) -> io::Result<()> {
        self.reader.look(&self.place.join(OUT), self.expected)?;
        let rows = std::mem::take(&mut self.reader).rows();
        self.tally.lost = surplus(self.expected, &rows);
        self.tally.doubled += surplus(&rows, self.expected);
        self.tally.left_behind = files_below(&self.place.join(OUT), true)?.len() as u64;
        self.tally.checkpoints = self.sequence()?.manifests_ever();
        Ok(())
    }
}

impl Killer {
    /// Runs `binary` below `directory`; checkpoint intervals are drawn from `intervals`.
    pub fn new(binary: impl Into<PathBuf>, directory: impl Into<PathBuf>, intervals: (u64, u64)) -> Self {
        let (binary, directory) = (binary.into(), directory.into());
        let options = Flott::new(&binary, ".").run(["list", "options"]);
        let spills = options.is_ok_and(|it| it.stdout.contains("state.memory.budget"));
        Self { binary, directory, intervals, spills, never: sync_channel(0) }
    }

    /// What the job writes when nobody disturbs it, and how many looks a run takes.
    ///
    /// # Errors
    /// The run failed, or its files can't be read.
    pub fn undisturbed(&self, job: &Job) -> io::Result<(Rows, u64)> {
        let place = self.place(job)?;
        let mut run = self.start(job, &place, "stderr", &["-D".into(), "parallelism.default=1".into()])?;
        let mut looks = 0;
        let status = loop {
            if let Some(status) = run.try_wait()? {
                break status;
            }
            self.pause();
            looks += 1;
        };
        must_succeed(job, &place, status)?;
        let mut reader = Reader::new(job.changes);
        reader.look(&place.join(OUT), &Rows::new())?;
        fs::remove_dir_all(&place)?;
        Ok((reader.rows(), looks))
    }

    /// Starts the job, kills it until there are `kills` unless it ends before, and lets it end. `looks`:
    /// what an undisturbed run takes.
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
        let tally = Tally { finished: 1, ..Tally::default() };
        let reader = Reader::new(job.changes);
        let mut work = Work { job, place: self.place(job)?, expected, reader, tally };
        while !self.round(&mut work, looks, kills, random)? {
            work.look()?;
        }
        // A start of a job that has ended writes nothing, and sweeps what the other of a pair left hidden.
        self.alone(&mut work, None, random)?;
        work.conclude()?;
        if work.tally.is_right() {
            fs::remove_dir_all(&work.place)?;
        }
        Ok(work.tally)
    }

    /// One start, or two; whether the job came to its end.
    fn round(&self, work: &mut Work, looks: u64, kills: u64, random: &mut Random) -> io::Result<bool> {
        if work.tally.kills() >= kills {
            return self.alone(work, None, random);
        }
        match Round::draw(looks, random) {
            Round::Alone(moment) => self.alone(work, Some(moment), random),
            Round::Frozen(moment) => self.frozen(work, moment, random),
            Round::Twins => self.twins(work, random),
            Round::Standby(moment) => self.standby(work, moment, random),
        }
    }

    /// One start, killed at that moment; whether it came to its end.
    fn alone(&self, work: &mut Work, moment: Option<Moment>, random: &mut Random) -> io::Result<bool> {
        let before = work.sequence()?;
        let mut run = self.start(work.job, &work.place, "stderr", &self.options(work.job, random))?;
        let ended = match self.wait_for(&mut run, moment, work, &before)? {
            Some(status) => End::Exited(status),
            None => end(&mut run)?,
        };
        match ended {
            End::Exited(status) => must_succeed(work.job, &work.place, status).map(|()| true),
            End::Killed => {
                work.sequence()?.count_kill(&before, &mut work.tally);
                Ok(false)
            }
        }
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
        let mut options = vec![
            format!("parallelism.default={}", 1 + random.below(3)),
            format!("execution.checkpointing.interval={} ms", least + random.below(most - least + 1)),
            format!("execution.checkpointing.dir={CHECKPOINTS}"),
            format!("pipeline.name={}", job.name),
            "high-availability.lease.interval=50 ms".into(),
            "high-availability.lease.timeout=300 ms".into(),
        ];
        if random.below(4) == 0 && self.spills {
            options.push(format!("state.memory.budget={} kb", 256 << random.below(4)));
        }
        options.into_iter().flat_map(|option| ["-D".to_string(), option]).collect()
    }

    fn start(&self, job: &Job, place: &Path, said: &str, options: &[String]) -> io::Result<Child> {
        let mut command = Flott::new(&self.binary, place).command(["run", "--quiet", "-e", &job.sql]);
        command.args(options);
        let errors = File::create(place.join(said))?;
        command.stdout(errors.try_clone()?).stderr(errors).spawn()
    }

    /// Waits for that moment of a start; its exit status if it ends before.
    fn wait_for(
        &self,
        run: &mut Child,
        moment: Option<Moment>,
        work: &Work,
        before: &Sequence,
    ) -> io::Result<Option<ExitStatus>> {
        let (place, job) = (work.place.as_path(), work.job);
        let mut reached_for = 0;
        loop {
            if let Some(status) = run.try_wait()? {
                return Ok(Some(status));
            }
            let been_reached = reached_for > 0;
            let (reached, wanted) = match moment {
                None => (false, 0),
                Some(Moment::After(wanted)) => (true, wanted),
                Some(Moment::Claimed(wanted)) => (been_reached || before.is_claimed(place, job), wanted),
                Some(Moment::Pending(after)) => (before.has_new_pending(place, job, after)?, 0),
                Some(Moment::Checkpointed(wanted)) => {
                    (been_reached || before.has_new_mark(place, job)?, wanted)
                }
            };
            reached_for += u64::from(reached);
            if reached_for > wanted {
                return Ok(None);
            }
            // A manifest is without its mark for less than a pause.
            if !matches!(moment, Some(Moment::Pending(_))) {
                self.pause();
            }
        }
    }

    fn pause(&self) {
        // Nobody sends: this waits, and that is all it is for.
        let _ = self.never.1.recv_timeout(PAUSE);
    }
}

/// Kills a start, which may have ended just before.
fn end(run: &mut Child) -> io::Result<End> {
    run.kill()?;
    let status = run.wait()?;
    Ok(if status.code().is_some() { End::Exited(status) } else { End::Killed })
}

fn must_succeed(job: &Job, place: &Path, status: ExitStatus) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(place.join("stderr")).unwrap_or_default();
    Err(io::Error::other(format!("{} ended with {status} in {}:\n{said}", job.name, place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

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
