//! Writing.
//!
//! ```text
//!   shard                                       I/O thread             commit (once per epoch)
//!   routing ─► encoder ─► buffer ──(bounded)──► .part-….inprogress ──► part-….ext
//!              one per open part                write, fsync           rename, fsync of directories
//! ```
//!
//! Invariants
//! - A file gets its final name only by a rename, and only after its bytes are on disk: whoever
//!   reads the directory sees whole files or none, whenever the process dies.
//! - Names hold the run, or generation and epoch, and are never used twice, so "the hidden file has gone" means
//!   "it is published", and a commit may be repeated.
//! - Every epoch ends the files that are open: a file belongs to one epoch.

mod commit;
mod durable;
mod output;
mod routing;
mod run;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use flott_connector::{
    ColumnKind, Committer, Format, FormatRequest, Registry, Sink, SinkGuarantee, SinkRequest, SinkWriter,
    TableDescription,
};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    settings::{SinkSettings, local_path},
    validate::stored_schema,
};
use run::RunGuard;

/// A table of files, ready to be written.
pub(crate) struct FileSink {
    plan: Arc<SinkPlan>,
    /// Made by the first writer or committer.
    run: Mutex<Option<Arc<RunGuard>>>,
}

/// What every writer and the committer know.
pub(crate) struct SinkPlan {
    pub table: TableDescription,
    pub root: PathBuf,
    pub settings: SinkSettings,
    pub format: Arc<dyn Format>,
    pub job: SinkRequest,
    /// Positions of the partition columns in the batches written.
    pub key_columns: Vec<usize>,
    /// Positions of the columns that stand in the files.
    pub stored_columns: Vec<usize>,
}

impl FileSink {
    pub(crate) fn new(table: &TableDescription, job: &SinkRequest, registry: &Registry) -> Result<Self> {
        for column in &table.columns {
            if let ColumnKind::Metadata { key, .. } = &column.kind {
                let message = format!("metadata '{key}' of a file cannot be written");
                return Err(Diagnostic::error(Code::UnsupportedUse, message)
                    .at(column.span)
                    .help("declare the column as VIRTUAL"));
            }
        }
        let text = local_path(&table.options)?;
        let root = std::path::absolute(&text).map_err(|error| failed("use", Path::new(&text), &error))?;
        let position = |name: &String| table.columns.iter().position(|column| &column.name == name);
        let key_columns = table.partition_keys.iter().filter_map(position).collect::<Vec<_>>();
        let stored_columns = (0..table.columns.len()).filter(|it| !key_columns.contains(it)).collect();
        let plan = SinkPlan {
            root,
            settings: SinkSettings::new(&table.options)?,
            format: registry.format_of(table)?.clone(),
            job: job.clone(),
            key_columns,
            stored_columns,
            table: table.clone(),
        };
        Ok(Self { plan: Arc::new(plan), run: Mutex::new(None) })
    }

    fn run(&self) -> Result<Arc<RunGuard>> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*run {
            return Ok(run.clone());
        }
        let started =
            RunGuard::start(&self.plan).map_err(|error| error.at(self.plan.table.options.span("path")))?;
        Ok(run.insert(Arc::new(started)).clone())
    }
}

impl SinkPlan {
    pub(crate) fn format_request(&self) -> FormatRequest<'_> {
        FormatRequest { table: &self.table, schema: stored_schema(&self.table) }
    }
}

impl Sink for FileSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::Repeatable
    }
    fn writer(&self, shard: usize, _: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(writer::FileSinkWriter::new(self.plan.clone(), self.run()?, shard)?))
    }
    fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(commit::FileCommitter::new(self.plan.clone(), self.run()?)?))
    }
}

/// What is wrong with an output path, and what to do. `doing` is a verb: `write`, `create`.
pub(crate) fn failed(doing: &str, path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space or set 'path' to another disk, then run again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give the user that runs flott the right to write there, or set 'path' to another directory"
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "'path' of a sink names a directory, but a file of that name is in the way"
        }
        _ if error.raw_os_error() == Some(libc::EMFILE) => {
            "many partitions are open at once: raise the limit of open files (`ulimit -n`)"
        }
        _ => "check the option 'path'",
    };
    let path = path.display();
    Diagnostic::error(Code::OutputFailed, format!("cannot {doing} '{path}': {error}"))
        .help(help)
        .caused_by(error)
}
