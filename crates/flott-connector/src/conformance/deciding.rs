//! What a sink whose commit decides must hold to: see [`crate::decider`].

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use flott_types::Result;

use super::ensure;
use crate::{Decider, Outcome, Sink, SinkWriter};

/// Opens the sink as a new incarnation of the same job.
pub type Open<'a> = &'a dyn Fn() -> Result<(Arc<dyn Decider>, Box<dyn Fn() -> Result<Arc<dyn Sink>>>)>;

/// A sink whose commit decides, and a look at what readers of committed transactions see.
pub struct DecidingSink<'a> {
    /// A decider, and the sink that goes with it once it has fenced.
    pub open: Open<'a>,
    /// A batch of one row with this text.
    pub row: &'a dyn Fn(&str) -> RecordBatch,
    /// The texts that readers see, in order of the alphabet.
    pub visible: &'a dyn Fn() -> Vec<String>,
}

/// Times that are looked for rows before they count as missing.
const LOOKS: usize = 50;

/// One run of a job.
struct Incarnation {
    decider: Arc<dyn Decider>,
    writer: Box<dyn SinkWriter>,
    _sink: Arc<dyn Sink>,
}

impl DecidingSink<'_> {
    /// Fences, and expects this token.
    fn start(&self, token: u64) -> Result<Incarnation> {
        let (decider, sink) = (self.open)()?;
        decider.fence()?;
        let found = decider.token()?;
        ensure(found == Some(token), || format!("the token is {found:?} instead of {token}"))?;
        let sink = sink()?;
        Ok(Incarnation { writer: sink.writer(0, 1)?, decider, _sink: sink })
    }
    /// What is committed may come to readers a little later; what isn't never goes away again.
    fn expect(&self, expected: &[&str], when: &str) -> Result<()> {
        let mut looks = (0..LOOKS).map(|_| (self.visible)());
        let visible = looks.find(|it| *it == expected).unwrap_or_else(|| (self.visible)());
        ensure(visible == expected, || format!("{when}: readers see {visible:?} instead of {expected:?}"))
    }
    fn write(&self, to: &mut Incarnation, text: &str) -> Result<()> {
        to.writer.write(&(self.row)(text))
    }

    /// Goes through all that may happen to an epoch.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn check(&self) -> Result<()> {
        self.epochs()?;
        self.crash()?;
        self.zombie()?;
        self.end()
    }

    fn epochs(&self) -> Result<()> {
        let mut it = self.start(0)?;
        self.write(&mut it, "a")?;
        it.prepare(2)?;
        self.expect(&[], "prepared")?;
        self.write(&mut it, "b")?;
        it.commits(2)?;
        self.expect(&["a"], "committed, with a row of the next epoch held back")?;
        it.prepare(3)?;
        it.commits(3)?;
        self.expect(&["a", "b"], "the row that was held back is of the next epoch")?;
        self.write(&mut it, "c")?;
        it.prepare(4)?;
        it.decider.goes_on(4);
        self.write(&mut it, "d")?;
        it.prepare(5)?;
        self.expect(&["a", "b"], "a checkpoint that isn't made")?;
        it.commits(5)?;
        self.expect(&["a", "b", "c", "d"], "its rows come with the next one")?;
        it.prepare(6)?;
        it.commits(6)?;
        self.write(&mut it, "lost")?;
        it.prepare(7)
    }

    fn crash(&self) -> Result<()> {
        let mut it = self.start(6)?;
        self.expect(&["a", "b", "c", "d"], "a fence discards what is prepared")?;
        self.write(&mut it, "e")?;
        it.prepare(9)?;
        it.commits(9)?;
        self.expect(&["a", "b", "c", "d", "e"], "committed by the next incarnation")
    }

    fn zombie(&self) -> Result<()> {
        let mut old = self.start(9)?;
        self.write(&mut old, "old")?;
        old.prepare(11)?;
        let mut new = self.start(9)?;
        let committed = matches!(old.decider.commit(11, 11), Ok(Outcome::Committed));
        ensure(!committed, || "an older incarnation commits after the fence of a newer one".into())?;
        self.write(&mut new, "f")?;
        new.prepare(13)?;
        new.commits(13)?;
        old.decider.close();
        self.expect(&["a", "b", "c", "d", "e", "f"], "an older incarnation has tried to commit")
    }

    fn end(&self) -> Result<()> {
        let mut it = self.start(13)?;
        self.write(&mut it, "aborted")?;
        it.prepare(15)?;
        it.decider.close();
        self.expect(&["a", "b", "c", "d", "e", "f"], "closed without a commit")?;
        // The last epoch: more rows, the end of the input, one commit.
        let mut it = self.start(13)?;
        self.write(&mut it, "g")?;
        it.writer.finish()?;
        it.prepare(17)?;
        it.commits(17)?;
        it.decider.close();
        self.expect(&["a", "b", "c", "d", "e", "f", "g"], "finished")
    }
}

impl Incarnation {
    fn prepare(&mut self, epoch: u64) -> Result<()> {
        self.writer.prepare(epoch)?;
        while self.writer.poll_prepared()?.is_none() {
            std::thread::yield_now();
        }
        Ok(())
    }
    fn commits(&mut self, number: u64) -> Result<()> {
        let outcome = self.decider.commit(number, number)?;
        ensure(matches!(outcome, Outcome::Committed), || format!("the commit of {number}: {outcome:?}"))?;
        // Lets go what was held back.
        self.writer.flush()
    }
}
