//! What every source and sink must hold to, as functions for their tests.
//!
//! ```text
//!   source:  read ─ position ─ read …      open at each position: the rest must be the same
//!   sink:    write ─ prepare ─ ✗ crash ─ commit ─ commit ─ ✗ ─ sweep …   readers see each row once
//!   sink:    fence ─ write ─ prepare ─ commit ─ ✗ ─ fence …              that decides by its commit
//!   lookup:  ask, ask, ask ─ poll …        each request has one answer, of the rows of its keys
//! ```

pub mod deciding;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::ArrayRef, compute::concat, record_batch::RecordBatch, util::display::array_value_to_string,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Result};
use serde_json::Value;

use crate::{
    Chunk, Committable, Committer, Decoder, LookupClient, LookupTable, ReadContext, Sink, SinkWriter, Source,
};

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Diagnostic::error(Code::Internal, what())) }
}

/// A chunk as a test sees it.
struct Seen {
    rows: Vec<String>,
    /// Behind it.
    position: Value,
    splits: Splits,
}

/// The splits that a reader has told of.
#[derive(Clone)]
struct Splits {
    open: BTreeSet<u32>,
    /// The number of the next one to be opened.
    next: u32,
    /// Whether one is still to come.
    unopened: bool,
}

/// Reads a bounded source, and again from every place that its reader tells: the records that
/// follow must be the same.
///
/// # Errors
/// What doesn't hold.
pub fn source_resumes(source: &dyn Source, reading: &ReadContext, context: &EvalContext) -> Result<()> {
    ensure(source.replays(), || "a source that resumes exactly says so".into())?;
    let start = Splits { open: BTreeSet::new(), next: 0, unopened: true };
    let all = read(source, None, start, reading, context)?;
    for (number, seen) in all.iter().enumerate() {
        // As it comes back out of a checkpoint.
        let position = serde_json::from_str(&seen.position.to_string())
            .map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
        let rest = read(source, Some(&position), seen.splits.clone(), reading, context)?;
        let rows = |chunks: &[Seen]| -> Vec<String> {
            chunks.iter().flat_map(|seen| seen.rows.iter().cloned()).collect()
        };
        let (expected, found) =
            (rows(all.get(number + 1..).unwrap_or_default()), rows(rest.get(1..).unwrap_or_default()));
        ensure(expected == found, || {
            format!("behind {number} chunks, at {position}: {found:?} instead of {expected:?}")
        })?;
    }
    Ok(())
}

/// All chunks; before them one without rows, with the position at the start.
fn read(
    source: &dyn Source,
    resume: Option<&Value>,
    mut splits: Splits,
    reading: &ReadContext,
    context: &EvalContext,
) -> Result<Vec<Seen>> {
    let (mut reader, mut decoder) = (source.reader(resume)?, source.decoder()?);
    let mut all = vec![Seen { rows: Vec::new(), position: reader.position(), splits: splits.clone() }];
    let mut sequence = 0;
    while let Some(chunk) = reader.next_chunk(reading)? {
        ensure(chunk.sequence == sequence, || format!("chunk {sequence} has the number {}", chunk.sequence))?;
        sequence += 1;
        splits.check(&chunk)?;
        let rows = decode(&chunk, decoder.as_mut(), context)?;
        all.push(Seen { rows, position: reader.position(), splits: splits.clone() });
    }
    ensure(sequence == 0 || (splits.open.is_empty() && !splits.unopened), || {
        format!("at the end splits {:?} are open; unopened: {}", splits.open, splits.unopened)
    })?;
    Ok(all)
}

impl Splits {
    fn check(&mut self, chunk: &Chunk) -> Result<()> {
        let number = chunk.time.split_number;
        if !self.open.contains(&number) {
            ensure(self.unopened && number == self.next, || {
                format!("{:?} opens a split; {} was next, unopened: {}", chunk.time, self.next, self.unopened)
            })?;
            self.next += 1;
            self.open.insert(number);
        }
        if chunk.time.finished {
            self.open.remove(&number);
        }
        self.unopened = chunk.time.unopened;
        Ok(())
    }
}

fn decode(chunk: &Chunk, decoder: &mut dyn Decoder, context: &EvalContext) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    if chunk.is_control() {
        return Ok(rows);
    }
    decoder.decode(chunk, context, &mut |decoded| {
        let kind = |row| decoded.kinds.as_ref().map_or(0, |kinds| kinds.value(row));
        let of_kind = |(row, text)| format!("{} {text}", kind(row));
        rows.extend(texts(&decoded.batch)?.into_iter().enumerate().map(of_kind));
        Ok(())
    })?;
    Ok(rows)
}

fn texts(batch: &RecordBatch) -> Result<Vec<String>> {
    let text = |row| {
        let values = batch.columns().iter().map(|column| array_value_to_string(column, row));
        values.collect::<Result<Vec<_>, _>>().map(|values| values.join("|"))
    };
    let rows: Result<Vec<_>, _> = (0..batch.num_rows()).map(text).collect();
    rows.map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))
}

/// Asks a table for keys, one by one and many at a time, by two clients at once. `expected`: the rows of
/// each key as texts, in any order. Keys that hold a NULL must find nothing.
///
/// # Errors
/// What doesn't hold.
pub fn lookup_answers(table: &dyn LookupTable, keys: &[ArrayRef], expected: &[Vec<String>]) -> Result<()> {
    let count = expected.len();
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(table.client(Arc::new(|| ()))?);
    }
    for client in &mut clients {
        while !client.is_ready()? {
            std::thread::yield_now();
        }
        ensure(client.poll()?.is_none(), || "an answer to no request".into())?;
        // All keys twice in one request, in a request each, and none.
        let doubled: Result<Vec<ArrayRef>, _> =
            keys.iter().map(|column| concat(&[column.as_ref(), column.as_ref()])).collect();
        let doubled = doubled.map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
        client.ask(1, &doubled, 2 * count)?;
        for key in 0..count {
            let one: Vec<ArrayRef> = keys.iter().map(|column| column.slice(key, 1)).collect();
            client.ask(10 + key as u64, &one, 1)?;
        }
        let none: Vec<ArrayRef> = keys.iter().map(|column| column.slice(0, 0)).collect();
        client.ask(2, &none, 0)?;
        let answers = answers(client.as_mut(), count + 2)?;
        let twice: Vec<Vec<String>> = expected.iter().chain(expected).cloned().collect();
        check_answer(&answers, 1, &twice)?;
        check_answer(&answers, 2, &[])?;
        for (number, rows) in (10..).zip(expected) {
            check_answer(&answers, number, std::slice::from_ref(rows))?;
        }
        ensure(client.poll()?.is_none(), || "an answer too many".into())?;
    }
    Ok(())
}

/// Rows by key, by number of the request.
type Answers = BTreeMap<u64, BTreeMap<u32, Vec<String>>>;

fn answers(client: &mut dyn LookupClient, wanted: usize) -> Result<Answers> {
    let mut all = Answers::new();
    while all.len() < wanted {
        let Some(answer) = client.poll()? else {
            std::thread::yield_now();
            continue;
        };
        let found = answer.found?;
        let keys = found.keys.values();
        ensure(keys.len() == found.rows.num_rows(), || "not as many keys as rows are found".into())?;
        ensure(keys.is_sorted(), || format!("the keys of what is found fall: {keys:?}"))?;
        let mut by_key: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (key, text) in keys.iter().zip(texts(&found.rows)?) {
            by_key.entry(*key).or_default().push(text);
        }
        let number = answer.number;
        ensure(all.insert(number, by_key).is_none(), || format!("request {number} is answered twice"))?;
    }
    Ok(all)
}

fn check_answer(answers: &Answers, number: u64, expected: &[Vec<String>]) -> Result<()> {
    let mut wanted: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (key, rows) in (0..).zip(expected).filter(|(_, rows)| !rows.is_empty()) {
        let mut rows = rows.clone();
        rows.sort();
        wanted.insert(key, rows);
    }
    let mut found = answers.get(&number).cloned().unwrap_or_default();
    found.values_mut().for_each(|rows| rows.sort());
    ensure(found == wanted, || format!("request {number}: {found:?} instead of {wanted:?}"))
}

/// A sink that hides what it writes until it is committed, and a look at what readers see.
pub struct RepeatableSink<'a> {
    /// Opens it as the incarnation of this generation, which began in generation 1.
    pub open: &'a dyn Fn(u64) -> Result<Arc<dyn Sink>>,
    /// A batch of one row with this text.
    pub row: &'a dyn Fn(&str) -> RecordBatch,
    /// The texts that readers see, in order of the alphabet.
    pub visible: &'a dyn Fn() -> Vec<String>,
    /// How much of the sink is there and hidden.
    pub hidden: &'a dyn Fn() -> usize,
}

/// One run of a job.
struct Incarnation {
    writer: Box<dyn SinkWriter>,
    committer: Box<dyn Committer>,
}

impl RepeatableSink<'_> {
    fn start(&self, generation: u64) -> Result<Incarnation> {
        let sink = (self.open)(generation)?;
        Ok(Incarnation { committer: sink.committer()?, writer: sink.writer(0, 1)? })
    }
    fn expect(&self, expected: &[&str], when: &str) -> Result<()> {
        let visible = (self.visible)();
        ensure(visible == expected, || format!("{when}: readers see {visible:?} instead of {expected:?}"))
    }
    fn write(&self, to: &mut Incarnation, text: &str, epoch: u64) -> Result<()> {
        to.writer.write(&(self.row)(text))?;
        to.writer.prepare(epoch)
    }

    /// Goes through all that may happen to an epoch.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn check(&self) -> Result<()> {
        let (tip, mut first) = self.epochs()?;
        drop(first.writer);
        self.crashes(&tip)?;
        self.zombie()?;
        let removed = first.committer.rollback(13, 3)?;
        self.expect(&["a", "b"], "taken back behind epoch 3")?;
        ensure(removed == 4, || format!("{removed} pieces taken back instead of 4"))
    }

    /// Generation 1: `a` in epoch 2, `b` in 3, `c` in 4, which is left to whoever comes next.
    fn epochs(&self) -> Result<(Vec<Committable>, Incarnation)> {
        let mut it = self.start(1)?;
        self.write(&mut it, "a", 2)?;
        let second = it.prepared()?;
        self.expect(&[], "prepared")?;
        it.committer.commit(&second)?;
        self.expect(&["a"], "committed")?;
        it.committer.commit(&second)?;
        self.expect(&["a"], "committed twice")?;
        self.write(&mut it, "b", 3)?;
        self.write(&mut it, "c", 4)?;
        let (third, fourth) = (it.prepared()?, it.prepared()?);
        it.committer.commit(&third)?;
        self.expect(&["a", "b"], "two prepared, one committed")?;
        it.committer.sweep(1, 3, &[])?;
        Ok((fourth, it))
    }

    /// Generations 5 to 9: what a crash leaves is finished or discarded.
    fn crashes(&self, tip: &[Committable]) -> Result<()> {
        let mut it = self.start(5)?;
        it.committer.sweep(5, 4, tip)?;
        it.committer.commit(tip)?;
        self.expect(&["a", "b", "c"], "finished by the next incarnation")?;
        self.write(&mut it, "d", 6)?;
        let kept = it.prepared()?;
        drop(it);

        let mut it = self.start(7)?;
        it.committer.sweep(7, 6, &kept)?;
        it.committer.commit(&kept)?;
        it.committer.commit(&kept)?;
        self.expect(&["a", "b", "c", "d"], "kept by a sweep, and finished")?;
        self.write(&mut it, "lost", 8)?;
        let lost = it.prepared()?;
        drop(it);

        let mut it = self.start(9)?;
        it.committer.sweep(9, 6, &[])?;
        ensure((self.hidden)() == 0, || "a sweep leaves hidden what nobody will publish".into())?;
        it.committer.commit(&lost)?;
        self.expect(&["a", "b", "c", "d"], "discarded")?;
        self.write(&mut it, "aborted", 10)?;
        let aborted = it.prepared()?;
        it.committer.abort(&aborted)?;
        it.committer.abort(&aborted)?;
        ensure((self.hidden)() == 0, || "an aborted epoch stays hidden".into())
    }

    /// Generation 11 doesn't know that 13 has taken over.
    fn zombie(&self) -> Result<()> {
        let mut old = self.start(11)?;
        self.write(&mut old, "old", 12)?;
        let old_epoch = old.prepared()?;
        let mut new = self.start(13)?;
        self.write(&mut new, "e", 14)?;
        let new_epoch = new.prepared()?;
        old.committer.sweep(11, u64::MAX, &old_epoch)?;
        new.committer.commit(&new_epoch)?;
        self.expect(&["a", "b", "c", "d", "e"], "an older incarnation has swept")?;
        new.committer.sweep(13, 14, &[])?;
        old.committer.commit(&old_epoch)?;
        self.expect(&["a", "b", "c", "d", "e"], "an older incarnation has committed")?;
        // The last epoch: more rows, the end of the input, one manifest.
        new.writer.write(&(self.row)("f"))?;
        new.writer.finish()?;
        new.writer.prepare(15)?;
        let last = new.prepared()?;
        new.committer.commit(&last)?;
        new.committer.finish()?;
        self.expect(&["a", "b", "c", "d", "e", "f"], "finished")
    }
}

impl Incarnation {
    fn prepared(&mut self) -> Result<Vec<Committable>> {
        loop {
            if let Some(committables) = self.writer.poll_prepared()? {
                return Ok(committables);
            }
            std::thread::yield_now();
        }
    }
}
