//! Two starts of one job alive at once: by mistake, or because the older one was only thought dead.
//!
//! ```text
//!   frozen:  A ──── SIGSTOP ················ SIGCONT ── finds B's claim, stops ── or ✗
//!                          B ── claim ── …  ─────────────────────────────────── ✗
//!   twins:   A ── claim ───────────── finds B's claim, stops ── or ✗
//!            B ─── claim ──────────────────────────────────── ✗
//! ```
//!   standby: A ──── ✗, or SIGSTOP ········· SIGCONT ── finds B's claim, stops ── or ✗
//!            B --standby ── waits ── claim ── … ─────────────────────────── ✗
//!
//! Whoever stops by itself must say that it is superseded, or that another run is alive.

use std::{
    fs, io,
    process::{Child, Command, ExitStatus},
};

use super::{End, Killer, Moment, Random, Work, end, must_succeed};

/// What a start says that stops because of another: a newer one has claimed, or one is alive.
const BECAUSE_OF_THE_OTHER: [&str; 2] = ["FLT-2103", "FLT-2104"];

/// The names of the files for what each says.
const SAID: [&str; 2] = ["stderr", "stderr-2"];

impl Killer {
    /// A start that is stopped while another takes over, and goes on beside it.
    pub(super) fn frozen(&self, work: &mut Work, moment: Moment, random: &mut Random) -> io::Result<bool> {
        let before = work.sequence()?;
        let mut first = self.start(work.job, &work.place, SAID[0], &self.options(work.job, random))?;
        if let Some(status) = self.wait_for(&mut first, Some(moment), work, &before)? {
            must_succeed(work.job, &work.place, status)?;
            return Ok(true);
        }
        signal(&first, "STOP")?;
        let before = work.sequence()?;
        let mut second = self.start_beside(work, Some("--take-over"), random)?;
        let exited = self.wait_for(&mut second, Some(Moment::Claimed(random.below(200))), work, &before)?;
        signal(&first, "CONT")?;
        if exited.is_none() {
            self.wait_looks(&mut [&mut first, &mut second], random.below(300))?;
        }
        self.end_both(work, [first, second])
    }

    /// Two starts at once.
    pub(super) fn twins(&self, work: &mut Work, random: &mut Random) -> io::Result<bool> {
        let mut first = self.start(work.job, &work.place, SAID[0], &self.options(work.job, random))?;
        self.wait_looks(&mut [&mut first], random.below(60))?;
        let how = (random.below(2) == 0).then_some("--take-over");
        let mut second = self.start_beside(work, how, random)?;
        self.wait_looks(&mut [&mut first, &mut second], random.below(600))?;
        self.end_both(work, [first, second])
    }

    /// A start with a standby beside it, which is killed or stands still.
    pub(super) fn standby(&self, work: &mut Work, moment: Moment, random: &mut Random) -> io::Result<bool> {
        let before = work.sequence()?;
        let mut first = self.start(work.job, &work.place, SAID[0], &self.options(work.job, random))?;
        let mut second = self.start_beside(work, Some("--standby"), random)?;
        if let Some(status) = self.wait_for(&mut first, Some(moment), work, &before)? {
            // The standby may have been there first.
            if !status.success() {
                must_be_superseded(work, SAID[0], status)?;
            }
            return self.end_both(work, [first, second]);
        }
        let stands_still = random.below(2) == 0;
        signal(&first, if stands_still { "STOP" } else { "KILL" })?;
        let before = work.sequence()?;
        self.wait_for(&mut second, Some(Moment::Claimed(random.below(200))), work, &before)?;
        if stands_still {
            signal(&first, "CONT")?;
        }
        self.wait_looks(&mut [&mut first, &mut second], random.below(300))?;
        self.end_both(work, [first, second])
    }

    fn start_beside(&self, work: &Work, how: Option<&str>, random: &mut Random) -> io::Result<Child> {
        let mut options = self.options(work.job, random);
        options.extend(how.map(String::from));
        self.start(work.job, &work.place, SAID[1], &options)
    }

    /// So many looks, fewer if all have ended.
    fn wait_looks(&self, runs: &mut [&mut Child], looks: u64) -> io::Result<()> {
        for _ in 0..looks {
            let mut alive = 0;
            for run in &mut *runs {
                alive += usize::from(run.try_wait()?.is_none());
            }
            if alive == 0 {
                break;
            }
            self.pause();
        }
        Ok(())
    }

    /// Kills what is left; whether one of them brought the job to its end.
    fn end_both(&self, work: &mut Work, mut runs: [Child; 2]) -> io::Result<bool> {
        work.tally.pairs += 1;
        let mut ended = false;
        for (run, said) in runs.iter_mut().zip(SAID) {
            match end(run)? {
                End::Killed => work.tally.paired += 1,
                End::Exited(status) if status.success() => ended = true,
                End::Exited(status) => {
                    must_be_superseded(work, said, status)?;
                    work.tally.superseded += 1;
                }
            }
        }
        Ok(ended)
    }
}

fn must_be_superseded(work: &Work, said: &str, status: ExitStatus) -> io::Result<()> {
    let text = fs::read_to_string(work.place.join(said))?;
    if BECAUSE_OF_THE_OTHER.iter().any(|it| text.contains(it)) {
        return Ok(());
    }
    let (name, place) = (&work.job.name, work.place.display());
    Err(io::Error::other(format!("one of two starts of {name} ended with {status} in {place}:\n{text}")))
}

fn signal(run: &Child, name: &str) -> io::Result<()> {
    let status = Command::new("kill").args([format!("-{name}"), run.id().to_string()]).status()?;
    // It may have ended just before.
    if !status.success() {
        eprintln!("kill -{name} {}: {status}", run.id());
    }
    Ok(())
}
