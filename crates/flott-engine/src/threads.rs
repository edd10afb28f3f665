//! Drives a run with threads: one per source, one per shard, and the caller's for checkpoints.

use std::{ops::Deref, time::Duration};

use crossbeam_channel::RecvTimeoutError;
use flott_connector::io;
use flott_types::{Diagnostic, Result};

use crate::{
    accounting::{Status, Summary},
    failure::Alarm,
    job::{Job, Run},
    parts::{JobThread, OrderedEnd, Parts, Prepared},
};

/// The job thread looks this often whether it is time for the next checkpoint.
const TICK: Duration = Duration::from_millis(20);
/// It waits this long for a writer that makes its last files durable.
const SINK_WAIT: Duration = Duration::from_micros(200);

impl<J: Deref<Target = Job>> Run<J> {
    /// Runs to the end.
    pub(crate) fn on_threads(mut self) -> (Summary, Option<Box<Diagnostic>>) {
        let outcome = self.go();
        self.summary(outcome)
    }

    fn go(&mut self) -> Result<Status> {
        let Some(mut parts) = self.prepare()? else { return Ok(Status::Finished) };
        let mut threads = Vec::new();
        if let Err(error) = start(&mut parts, &mut threads) {
            parts.failure.set(error);
        }
        let mut prepared = match self.watch(&mut parts) {
            Ok(prepared) => prepared,
            Err(error) => {
                parts.failure.set(error);
                Prepared::new()
            }
        };
        // The queues go first, so that a reader that waits to hand over a chunk ends.
        parts.close();
        // A thread that panicked has failed the run by its alarm.
        for thread in threads {
            thread.join();
        }
        let mut end = OrderedEnd::default();
        while !parts.failure.is_set() {
            match parts.finish_ordered(&mut end, &mut prepared) {
                Ok(true) => break,
                Ok(false) => parts.failure.wait(SINK_WAIT),
                Err(error) => parts.failure.set(error),
            }
        }
        parts.ordered.clear();
        self.publish(prepared, &mut parts)
    }

    /// Takes reports and checkpoints until all shards have come to their end, or the run has failed.
    fn watch(&mut self, parts: &mut Parts) -> Result<Prepared> {
        let mut watch = JobThread::new(self.coordinator.as_ref());
        while !watch.is_over(parts) {
            match parts.reports.recv_timeout(TICK) {
                Ok(report) => watch.take(report, self.coordinator.as_mut()),
                Err(RecvTimeoutError::Timeout) => {}
                // An end without report: the shards have failed.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while watch.look(parts, self.coordinator.as_mut())? {}
        }
        Ok(watch.end(parts, self.coordinator.as_mut()))
    }
}

fn start(parts: &mut Parts, threads: &mut Vec<io::Thread>) -> Result<()> {
    for reader in parts.readers.drain(..) {
        threads.push(reader.start()?);
    }
    for shard in parts.shards.drain(..) {
        let failure = parts.failure.clone();
        threads.push(io::spawn(format!("shard-{}", shard.number), move || {
            let _alarm = Alarm { failure: &failure, thread: "shard" };
            if let Err(error) = shard.run() {
                failure.set(error);
            }
        })?);
    }
    Ok(())
}
