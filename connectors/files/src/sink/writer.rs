//! One shard's writer: encodes rows into the part files that are open, and ends files when they
//! are large, old or idle, or when their epoch ends.

use std::{collections::VecDeque, mem, path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{Int8Array, RecordBatch},
    row::{OwnedRow, RowConverter, SortField},
};
use flott_connector::{Committable, Encoder, SinkWriter, WriterFigures};
use flott_types::{Code, Diagnostic, Result};
use twox_hash::XxHash3_64;

use super::{
    SinkPlan,
    commit::Published,
    output::{Job, Output},
    routing::{ByPartition, Routed, Router},
    run::RunGuard,
};

/// Rows encoded at once: their text stays in the cache until it is handed over.
const ENCODE_ROWS: usize = 2048;
/// Bytes handed over at once.
const BUFFER_BYTES: usize = 512 << 10;
/// Part files begun and not ended; beyond, those unused for longest are ended. Far fewer have a
/// descriptor, see [`Output`].
const OPEN_PARTS_MAX: usize = 20_000;
/// With many files open at once each gets a smaller buffer.
const BUFFERED_BYTES_MAX: usize = 32 << 20;
/// What all open files together may hold in memory, row groups of columnar files included; beyond,
/// those that hold most hand it over.
const HELD_BYTES_MAX: usize = 128 << 20;

/// Writes one shard's rows.
pub(crate) struct FileSinkWriter {
    // Dropped first: joins the I/O thread before the guard removes what it left.
    output: Output,
    plan: Arc<SinkPlan>,
    run: Arc<RunGuard>,
    shard: usize,
    /// For partitioned tables.
    router: Option<Router>,
    /// What stands for "the" partition of a table without any.
    whole_table: OwnedRow,
    open: ByPartition<Part>,
    /// Files ended in this epoch.
    ended: Vec<Published>,
    /// Sum of [`Part::held_bytes`] of the open files.
    held_bytes: usize,
    /// Epochs whose files are on their way to the disk.
    preparing: VecDeque<(u64, Vec<Published>)>,
    next_part: u64,
    /// The least number that the next epoch can have.
    epoch: u64,
    last_check: Duration,
    use_count: u64,
}

/// A part file that is open.
struct Part {
    number: u64,
    encoder: Box<dyn Encoder>,
    buffer: Vec<u8>,
    handed_over_bytes: u64,
    /// Bytes not handed over yet.
    held_bytes: usize,
    hidden_path: Arc<Path>,
    published: Published,
    opened: Duration,
    last_write: Duration,
    last_use: u64,
}

impl FileSinkWriter {
    /// Starts the shard's I/O thread.
    ///
    /// # Errors
    /// `Internal`, `NotSupported`
    pub(crate) fn new(plan: Arc<SinkPlan>, run: Arc<RunGuard>, shard: usize) -> Result<Self> {
        let router = if plan.key_columns.is_empty() { None } else { Some(Router::new(&plan)?) };
        let last_check = plan.job.clock.monotonic();
        let epoch = plan.job.first_epoch.max(plan.job.generation.saturating_add(1));
        Ok(Self {
            output: Output::start(format!("files-out-{shard}"), plan.job.disk.clone())?,
            plan,
            run,
            shard,
            router,
            whole_table: whole_table()?,
            open: ByPartition::default(),
            ended: Vec::new(),
            held_bytes: 0,
            preparing: VecDeque::new(),
            next_part: 0,
            epoch,
            last_check,
            use_count: 0,
        })
    }

    fn write_routed(&mut self, routed: Routed) -> Result<()> {
        let stored = routed.rows.project(&self.plan.stored_columns).map_err(|error| {
            Diagnostic::error(Code::Internal, format!("a batch does not fit its sink: {error}"))
        })?;
        let mut from = 0;
        while from < stored.num_rows() {
            let rows = ENCODE_ROWS.min(stored.num_rows() - from);
            let kinds = routed.kinds.as_ref().map(|kinds| kinds.slice(from, rows));
            self.encode(&routed, &stored.slice(from, rows), kinds.as_ref())?;
            from += rows;
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        self.output.check()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let routed = match &self.router {
            Some(router) => router.route(batch, kinds)?,
            None => {
                let (partition, kinds) = (self.whole_table.clone(), kinds.cloned());
                vec![Routed { partition, rows: batch.clone(), kinds }]
            }
        };
        routed.into_iter().try_for_each(|routed| self.write_routed(routed))?;
        self.roll_by_time()
    }

    /// Encodes a few rows into their partition's open file; ends the file if it is full.
    fn encode(&mut self, routed: &Routed, stored: &RecordBatch, kinds: Option<&Int8Array>) -> Result<()> {
        if !self.open.contains_key(&routed.partition) {
            self.make_room()?;
            let part = self.begin_part(routed)?;
            self.open.insert(routed.partition.clone(), part);
        }
        let buffer_bytes = BUFFER_BYTES.min(BUFFERED_BYTES_MAX / self.open.len().max(1));
        let Some(part) = self.open.get_mut(&routed.partition) else { return Ok(()) };
        self.use_count += 1;
        part.last_use = self.use_count;
        part.last_write = self.plan.job.clock.monotonic();
        match kinds {
            Some(kinds) => part.encoder.encode_changes(stored, kinds, &mut part.buffer)?,
            None => part.encoder.encode(stored, &mut part.buffer)?,
        }
        if part.buffer.len() >= buffer_bytes {
            part.hand_over(&mut self.output)?;
        }
        self.held_bytes = part.count_held(self.held_bytes);
        if part.size() >= self.plan.settings.file_size_bytes_max {
            self.end_part(&routed.partition)?;
        }
        if self.held_bytes > HELD_BYTES_MAX && self.open.len() > 1 {
            self.let_go()?;
        }
        Ok(())
    }

    fn begin_part(&mut self, routed: &Routed) -> Result<Part> {
        let directory = match &self.router {
            Some(router) => router.directory(&routed.rows),
            None => String::new(),
        };
        let number = self.next_part;
        self.next_part += 1;
        let format = &self.plan.format;
        let stem = self.run.stem(self.epoch, self.shard, number);
        let hidden = format!(".{stem}.inprogress");
        let name = format!("{stem}.{}", format.extension());
        let now = self.plan.job.clock.monotonic();
        // What a format draws, say to mark the blocks of a file, is each file's own.
        let mut context = self.plan.job.context.clone();
        context.random_seed ^= XxHash3_64::oneshot(stem.as_bytes());
        Ok(Part {
            number,
            encoder: format.encoder(&self.plan.format_request(), &context)?,
            // Not one that has grown before: most of many files stay small.
            buffer: Vec::new(),
            held_bytes: 0,
            handed_over_bytes: 0,
            hidden_path: self.plan.root.join(&hidden).into(),
            published: Published { hidden, directory, name },
            opened: now,
            last_write: now,
            last_use: 0,
        })
    }

    /// Ends files unused for longest if too many are open: an eighth, as finding them takes a while.
    fn make_room(&mut self) -> Result<()> {
        if self.open.len() < OPEN_PARTS_MAX {
            return Ok(());
        }
        let mut keys: Vec<(u64, OwnedRow)> =
            self.open.iter().map(|(key, part)| (part.last_use, key.clone())).collect();
        keys.sort_unstable_by_key(|(last_use, _)| *last_use);
        keys.iter().take(OPEN_PARTS_MAX / 8).try_for_each(|(_, key)| self.end_part(key))
    }

    /// Has the files that hold most hand it over, until half of what may be held is left. A file
    /// that can't is ended.
    fn let_go(&mut self) -> Result<()> {
        let mut keys: Vec<(usize, u64, OwnedRow)> =
            self.open.iter().map(|(key, part)| (part.held_bytes, part.number, key.clone())).collect();
        keys.sort_unstable_by_key(|(held, number, _)| (std::cmp::Reverse(*held), *number));
        for (held, _, key) in keys {
            if self.held_bytes <= HELD_BYTES_MAX / 2 {
                break;
            }
            let Some(part) = self.open.get_mut(&key) else { continue };
            part.encoder.flush_group(&mut part.buffer)?;
            part.hand_over(&mut self.output)?;
            self.held_bytes = part.count_held(self.held_bytes);
            if part.held_bytes > held / 2 {
                self.end_part(&key)?;
            }
        }
        Ok(())
    }

    fn end_part(&mut self, partition: &OwnedRow) -> Result<()> {
        let Some(mut part) = self.open.remove(partition) else { return Ok(()) };
        self.held_bytes = self.held_bytes.saturating_sub(part.held_bytes);
        part.encoder.finish(&mut part.buffer)?;
        part.hand_over(&mut self.output)?;
        self.output.send(Job::Close { part: part.number })?;
        self.ended.push(part.published);
        Ok(())
    }

    fn end_parts(&mut self, which: impl Fn(&Part) -> bool) -> Result<()> {
        let mut keys: Vec<(u64, OwnedRow)> = self
            .open
            .iter()
            .filter(|(_, part)| which(part))
            .map(|(key, part)| (part.number, key.clone()))
            .collect();
        keys.sort_unstable_by_key(|(number, _)| *number);
        keys.iter().try_for_each(|(_, key)| self.end_part(key))
    }

    /// Ends files that are too old or idle; looks only every `check-interval`.
    fn roll_by_time(&mut self) -> Result<()> {
        let now = self.plan.job.clock.monotonic();
        let settings = &self.plan.settings;
        if now.saturating_sub(self.last_check) < settings.check_interval {
            return Ok(());
        }
        self.last_check = now;
        let (rollover, inactivity) = (settings.rollover_interval, settings.inactivity_interval);
        self.end_parts(|part| {
            now.saturating_sub(part.opened) >= rollover || now.saturating_sub(part.last_write) >= inactivity
        })
    }
}

impl Part {
    fn size(&self) -> u64 {
        self.handed_over_bytes + (self.buffer.len() + self.encoder.buffered()) as u64
    }

    /// Looks up what is held; `all` is the sum over all parts, before and after.
    fn count_held(&mut self, all: usize) -> usize {
        let before = self.held_bytes;
        self.held_bytes = self.buffer.len() + self.encoder.memory();
        (all + self.held_bytes).saturating_sub(before)
    }

    fn hand_over(&mut self, output: &mut Output) -> Result<()> {
        self.handed_over_bytes += self.buffer.len() as u64;
        let bytes = mem::replace(&mut self.buffer, output.buffer());
        output.send(Job::Write { part: self.number, path: self.hidden_path.clone(), bytes })
    }
}

/// A key for tables without partitions.
fn whole_table() -> Result<OwnedRow> {
    let internal = |error| Diagnostic::error(Code::Internal, format!("row format: {error}"));
    let null = arrow::datatypes::DataType::Null;
    let converter = RowConverter::new(vec![SortField::new(null.clone())]).map_err(internal)?;
    let rows = converter.convert_columns(&[arrow::array::new_null_array(&null, 1)]).map_err(internal)?;
    Ok(rows.row(0).owned())
}

impl SinkWriter for FileSinkWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take(batch, None)
    }

    fn write_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array) -> Result<()> {
        self.take(batch, Some(kinds))
    }

    fn is_ready(&mut self) -> bool {
        self.output.is_ready()
    }

    fn figures(&self) -> WriterFigures {
        WriterFigures { open_files: self.open.len() as u64, bytes: self.output.bytes() }
    }

    fn flush(&mut self) -> Result<()> {
        self.output.check()?;
        self.roll_by_time()
    }

    fn prepare(&mut self, epoch: u64) -> Result<()> {
        self.end_parts(|_| true)?;
        self.preparing.push_back((epoch, mem::take(&mut self.ended)));
        self.epoch = epoch.saturating_add(1);
        self.output.send(Job::Sync { epoch })
    }

    fn poll_prepared(&mut self) -> Result<Option<Vec<Committable>>> {
        let Some((epoch, _)) = self.preparing.front() else { return Ok(None) };
        if !self.output.is_durable(*epoch)? {
            return Ok(None);
        }
        let files = self.preparing.pop_front().map(|(_, files)| files).unwrap_or_default();
        Ok(Some(files.iter().map(Published::to_committable).collect()))
    }
}
