//! The I/O thread of one writer: the only place where a shard's bytes meet the disk.
//!
//! Jobs come through a bounded queue and are done in order. Writing to disk is begun early
//! and in pieces, so that the `fsync` at an epoch's end finds little left to do. Syncing a file
//! earlier would hold up the shard behind the bounded queue for as long as the disk takes.
//!
//! A shard may have more files open than there are descriptors: of those unused for longest the
//! descriptor is closed, and opened again when more bytes come.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use flott_connector::{
    BufferPool, Disk, DiskFile,
    io::{Step, Work, Worker},
};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};

use super::{
    durable::{sync_directories, sync_files},
    failed,
};

/// Buffers on their way to the thread at the most.
const QUEUE_MAX: usize = 8;
/// Complete files that wait for their fsync, each with an open descriptor.
const UNSYNCED_FILES_MAX: usize = 256;
/// Descriptors of files that may still grow.
const DESCRIPTORS_MAX: usize = 128;
/// How much is written before the disk is told to begin.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// What the thread is to do.
pub(crate) enum Job {
    /// Append to a part file; the first write creates it.
    Write { part: u64, path: Arc<Path>, bytes: Vec<u8> },
    /// No more will come for this part.
    Close { part: u64 },
    /// Everything closed so far is to be durable.
    Sync { epoch: u64 },
}

/// A shard's end of the queue.
pub(crate) struct Output {
    queue: Option<Sender<Job>>,
    /// What didn't fit into the queue.
    outbox: VecDeque<Job>,
    /// Bytes handed over so far.
    bytes: u64,
    status: Arc<Status>,
    buffers: BufferPool,
    /// Joined on drop, after `queue` was closed.
    thread: Option<Box<dyn Worker>>,
}

#[derive(Default)]
struct Status {
    failed: AtomicBool,
    error: Mutex<Option<Box<Diagnostic>>>,
    /// One more than the last epoch that is durable; 0: none.
    durable: AtomicU64,
    abandoned: AtomicBool,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Internal`
    pub(crate) fn start(name: String, disk: Arc<dyn Disk>) -> Result<Self> {
        let (queue, jobs) = bounded(QUEUE_MAX);
        let status = Arc::new(Status::default());
        let buffers = BufferPool::default();
        let files = Files::new(disk.clone(), buffers.clone());
        let thread = disk.start(name, Box::new(Writing { files, jobs, status: status.clone() }))?;
        Ok(Self {
            queue: Some(queue),
            outbox: VecDeque::new(),
            bytes: 0,
            status,
            buffers,
            thread: Some(thread),
        })
    }

    /// An empty buffer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.buffers.take()
    }

    /// Queues a job; never blocks.
    ///
    /// # Errors
    /// The error of an earlier job.
    pub(crate) fn send(&mut self, job: Job) -> Result<()> {
        self.check()?;
        if let Job::Write { bytes, .. } = &job {
            self.bytes += bytes.len() as u64;
        }
        self.outbox.push_back(job);
        self.pump();
        Ok(())
    }

    /// Bytes handed over so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether everything handed over fits into the queue.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.pump();
        self.outbox.is_empty()
    }

    /// Whether everything queued before `Job::Sync` of this epoch is durable.
    ///
    /// # Errors
    /// The error of an earlier job.
    pub(crate) fn is_durable(&mut self, epoch: u64) -> Result<bool> {
        self.pump();
        self.check()?;
        Ok(self.status.durable.load(Ordering::Acquire) > epoch)
    }

    fn pump(&mut self) {
        let Some(queue) = &self.queue else { return };
        while let Some(job) = self.outbox.pop_front() {
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = queue.try_send(job) {
                self.outbox.push_front(job);
                return;
            }
        }
    }

    /// The error of an earlier job, if there was one; it is reported each time.
    ///
    /// # Errors
    /// `OutputFailed`
    pub(crate) fn check(&self) -> Result<()> {
        if self.status.failed.load(Ordering::Acquire) {
            let error = self.status.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Err(error.unwrap_or_else(|| Diagnostic::error(Code::Internal, "the I/O thread failed")));
        }
        if self.thread.as_ref().is_none_or(|it| it.is_finished()) {
            return Err(Diagnostic::error(Code::Internal, "the I/O thread of a file sink has ended early"));
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.status.abandoned.store(true, Ordering::Release);
        self.queue = None;
        self.thread = None;
    }
}

/// What the thread does.
struct Writing {
    files: Files,
    jobs: Receiver<Job>,
    status: Arc<Status>,
}

impl Work for Writing {
    fn step(&mut self, wait: bool) -> Step {
        let job = if wait {
            self.jobs.recv().map_err(|_| Step::Done)
        } else {
            self.jobs.try_recv().map_err(|error| match error {
                TryRecvError::Empty => Step::Idle,
                TryRecvError::Disconnected => Step::Done,
            })
        };
        match job {
            Ok(job) => {
                let status = &self.status;
                if !status.abandoned.load(Ordering::Acquire) && !status.failed.load(Ordering::Acquire) {
                    status.note(self.files.perform(job, status));
                }
                Step::Busy
            }
            Err(Step::Done) => {
                self.files.remove_unfinished();
                Step::Done
            }
            Err(step) => step,
        }
    }
}

impl Status {
    fn note(&self, done: Result<()>) {
        if let Err(error) = done {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.failed.store(true, Ordering::Release);
        }
    }
}

/// The thread's files.
struct Files {
    disk: Arc<dyn Disk>,
    open: BTreeMap<u64, PartFile>,
    /// Parts with a descriptor, by their last use.
    recent: BTreeMap<u64, u64>,
    uses: u64,
    unsynced: Vec<PartFile>,
    /// Where part files were made whose names aren't durable yet.
    new_names_in: Option<PathBuf>,
    buffers: BufferPool,
}

struct PartFile {
    /// `None`: closed for a while.
    file: Option<Box<dyn DiskFile>>,
    last_use: u64,
    path: PathBuf,
    written: u64,
    writeback_from: u64,
}

impl Files {
    fn new(disk: Arc<dyn Disk>, buffers: BufferPool) -> Self {
        let (open, recent, unsynced) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { disk, open, recent, uses: 0, unsynced, new_names_in: None, buffers }
    }

    fn perform(&mut self, job: Job, status: &Status) -> Result<()> {
        match job {
            Job::Write { part, path, bytes } => {
                let written = self.file(part, &path).and_then(|file| file.write(&bytes));
                self.buffers.give(bytes);
                written
            }
            Job::Close { part } => {
                if let Some(file) = self.open.remove(&part) {
                    self.recent.remove(&file.last_use);
                    self.unsynced.push(file.closed());
                }
                if self.unsynced.len() < UNSYNCED_FILES_MAX { Ok(()) } else { self.sync() }
            }
            Job::Sync { epoch } => {
                self.sync()?;
                // A manifest may name these files: a file without a name would be taken for published.
                if let Some(directory) =
                    self.new_names_in.take().filter(|_| !planted(Bug::SkippedDirectoryFsync))
                {
                    sync_directories(self.disk.as_ref(), &directory, [directory.clone()])?;
                }
                status.durable.store(epoch.saturating_add(1), Ordering::Release);
                Ok(())
            }
        }
    }

    /// The file of a part, with a descriptor.
    fn file(&mut self, part: u64, path: &Path) -> Result<&mut PartFile> {
        use std::collections::btree_map::Entry;
        let known = self.open.get(&part);
        if known.is_none_or(|it| it.file.is_none())
            && self.recent.len() >= DESCRIPTORS_MAX
            && let Some((_, oldest)) = self.recent.pop_first()
            && let Some(oldest) = self.open.get_mut(&oldest)
        {
            oldest.file = None;
        }
        let file = match self.open.entry(part) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => {
                self.new_names_in = path.parent().map(Path::to_path_buf);
                free.insert(PartFile::create(self.disk.as_ref(), path)?)
            }
        };
        file.reopen(self.disk.as_ref())?;
        self.recent.remove(&file.last_use);
        self.uses += 1;
        file.last_use = self.uses;
        self.recent.insert(self.uses, part);
        Ok(file)
    }

    /// Makes all complete files durable and lets go of them.
    fn sync(&mut self) -> Result<()> {
        let mut files: Vec<PartFile> = mem::take(&mut self.unsynced);
        if planted(Bug::SkippedFsync) {
            return Ok(());
        }
        files.iter_mut().try_for_each(|file| file.reopen(self.disk.as_ref()))?;
        let open: Vec<(&dyn DiskFile, &Path)> =
            files.iter().filter_map(|part| Some((part.file.as_deref()?, part.path.as_path()))).collect();
        sync_files(open.into_iter())
    }

    /// Files that were never closed belong to no epoch.
    fn remove_unfinished(&mut self) {
        for part in self.open.values() {
            let _ = self.disk.remove(&part.path);
        }
    }
}

impl PartFile {
    fn create(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.create(path).map_err(|error| failed("create", path, &error))?;
        Ok(Self { file: Some(file), last_use: 0, path: path.to_path_buf(), written: 0, writeback_from: 0 })
    }

    /// Opens the file again if its descriptor was closed.
    fn reopen(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.file.is_none() {
            let file = disk.append(&self.path, false);
            self.file = Some(file.map_err(|error| failed("write", &self.path, &error))?);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Diagnostic::error(Code::Internal, "a part file has no descriptor"));
        };
        file.write_all(bytes).map_err(|error| failed("write", &self.path, &error))?;
        self.written += bytes.len() as u64;
        if self.written - self.writeback_from >= WRITEBACK_BYTES {
            self.begin_writeback();
        }
        Ok(())
    }

    fn begin_writeback(&mut self) {
        if let Some(file) = &self.file {
            file.begin_writeback(self.writeback_from, self.written - self.writeback_from);
        }
        self.writeback_from = self.written;
    }

    fn closed(mut self) -> Self {
        self.begin_writeback();
        self
    }
}
