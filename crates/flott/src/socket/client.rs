//! The asking end.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use flott_connector::StopSignal;
use flott_engine::activity::Sample;
use flott_types::{Code, Diagnostic, Result};

use super::{Answer, Question, ShownPlan, entries, socket_at};

/// A run that doesn't answer for so long does nothing else either.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far apart two samples are.
const BETWEEN: Duration = Duration::from_secs(1);

/// A run that answers.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its generation.
    pub generation: u64,
    socket: PathBuf,
}

/// The newest run of a job that answers on this machine.
pub fn find(job: &Path) -> Option<Run> {
    entries(job).into_iter().find_map(|(generation, path, is_socket)| {
        let socket = socket_at(&path, is_socket)?;
        UnixStream::connect(&socket).ok()?;
        Some(Run { generation, socket })
    })
}

impl Run {
    /// What it is doing.
    ///
    /// # Errors
    /// `InputUnreadable`: it does not answer.
    pub fn sample(&self) -> Result<Sample> {
        self.ask(Question::Sample)?.sample.ok_or_else(|| self.silent("it gave no sample"))
    }

    /// What it is doing, twice, a second apart.
    ///
    /// # Errors
    /// `InputUnreadable`: it does not answer.
    pub fn two_samples(&self) -> Result<(Sample, Sample)> {
        let first = self.sample()?;
        StopSignal::new().wait(BETWEEN);
        Ok((first, self.sample()?))
    }

    /// What it runs.
    ///
    /// # Errors
    /// `InputUnreadable`: it does not answer.
    pub fn plan(&self) -> Result<ShownPlan> {
        self.ask(Question::Plan)?.plan.ok_or_else(|| self.silent("it gave no plan"))
    }

    fn ask(&self, question: Question) -> Result<Answer> {
        let answer = self.exchange(question).map_err(|error| self.silent(error))?;
        match answer.error {
            Some(error) => Err(self.silent(error)),
            None => Ok(answer),
        }
    }

    fn exchange(&self, question: Question) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_string(&question)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn silent(&self, why: impl std::fmt::Display) -> Box<Diagnostic> {
        let message = format!("the run does not answer at '{}': {why}", self.socket.display());
        Diagnostic::error(Code::InputUnreadable, message)
            .help("it may have ended just now; a run of another version may speak otherwise")
    }
}
