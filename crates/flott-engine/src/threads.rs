//! Drives a run with threads: one per source, one per shard, and the caller's for checkpoints.

use std::{ops::Deref, sync::Arc, time::Duration};

use crossbeam_channel::RecvTimeoutError;
use flott_connector::{Sink, SinkGuarantee, io};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    accounting::{Status, Summary},
    checkpoint::Coordinator,
    failure::Alarm,
    job::{Job, Run},
    parts::{JobThread, OrderedEnd, Parts, Prepared},
};

/// The job thread looks this often whether it is time for the next checkpoint.
const TICK: Duration = Duration::from_millis(20);
/// So long a run that is stopped may work off what is under way, if it has checkpoints to go on from; the job thread's
/// own work doesn't count. Whoever stops it waits for that, and often kills it after ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);
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
        let (mut waited, mut told) = (Duration::ZERO, false);
        while !parts.failure.is_set() {
            match parts.finish_ordered(&mut end, &mut prepared) {
                Ok(true) => break,
                Ok(false) => {
                    let began = self.job.clock.monotonic();
                    parts.failure.wait(SINK_WAIT);
                    if self.job.stop.is_stopped() {
                        waited += self.job.clock.monotonic().saturating_sub(began);
                    }
                }
                Err(error) => parts.failure.set(error),
            }
            if waited > PATIENCE {
                match self.coordinator.is_some() {
                    true => parts.failure.set(self.give_up()),
                    false => still_waits(&mut told),
                }
            }
        }
        parts.ordered.clear();
        self.publish(prepared, &mut parts)
    }

    /// Takes reports and checkpoints until all shards have come to their end, or the run has failed.
    fn watch(&mut self, parts: &mut Parts) -> Result<Prepared> {
        let mut watch = JobThread::new(self.coordinator.as_ref());
        let (mut waited, mut told) = (Duration::ZERO, false);
        while !watch.is_over(parts) {
            let stopped = self.job.stop.is_stopped().then(|| self.job.clock.monotonic());
            match parts.reports.recv_timeout(TICK) {
                Ok(report) => watch.take(report, self.coordinator.as_mut()),
                Err(RecvTimeoutError::Timeout) => {}
                // An end without report: the shards have failed.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(stopped) = stopped {
                waited += self.job.clock.monotonic().saturating_sub(stopped);
            }
            if stopped.is_none() || self.coordinator.is_none() {
                while watch.look(parts, self.coordinator.as_mut())? {}
                if waited > PATIENCE && !watch.is_over(parts) {
                    still_waits(&mut told);
                }
                continue;
            }
            // What has been reported already may be all that was waited for.
            for report in parts.reports.try_iter() {
                watch.take(report, self.coordinator.as_mut());
            }
            while watch.look(parts, self.coordinator.as_mut())? {}
            if waited > PATIENCE && !watch.is_over(parts) && parts.reports.is_empty() {
                return Err(self.give_up());
            }
        }
        Ok(watch.end(parts, self.coordinator.as_mut()))
    }
}

impl<J: Deref<Target = Job>> Run<J> {
    /// What is under way takes too long: it is left, as if the run had been killed, and nothing is lost.
    fn give_up(&mut self) -> Box<Diagnostic> {
        let seconds = PATIENCE.as_secs();
        let what = format!("stopped, and what was under way was not done after {seconds} s");
        let sinks = self.sinks.iter().zip(&self.topology.sinks);
        let shows = |sink: &Arc<dyn Sink>| sink.guarantee() == SinkGuarantee::Immediate;
        let shown = sinks.clone().find(|(sink, _)| shows(sink)).map(|(_, (_, node))| node.name.as_str());
        let number = self.coordinator.as_ref().and_then(Coordinator::goes_on_from);
        let message = match (number, shown) {
            (Some(number), None) => format!("{what}: the next run goes on from checkpoint {number}"),
            (Some(number), Some(sink)) => format!(
                "{what}: the next run goes on from checkpoint {number}, and '{sink}' shows again what it has shown since"
            ),
            (None, None) => format!("{what}: nothing of it is published"),
            (None, Some(sink)) => {
                format!("{what}: the next run begins anew, and '{sink}' shows again what it has shown")
            }
        };
        self.gave_up = Some(message.clone());
        Diagnostic::error(Code::OutputFailed, message).help("run it again")
    }
}

/// Without checkpoints nobody writes again what is given up: a run waits for as long as its sinks do, and says so once.
fn still_waits(told: &mut bool) {
    if !std::mem::replace(told, true) {
        tracing::warn!(
            "stopped, and still waiting for what is under way: a second Ctrl-C or SIGTERM ends the run at once, and \
             what is not written yet is lost"
        );
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
