//! Publishes part files: the only step that readers see.
//!
//! ```text
//!   directories ─► rename hidden → final ─► fsync directories ─► remove old files (overwrite)
//!                                                            └─► _SUCCESS (partition commit)
//! ```
//!
//! Every step may be repeated. Old files are removed only after the new ones are in place: a
//! crash in between leaves rows doubled, never lost; with checkpoints the next incarnation repeats
//! the commit, and old is all that this job has not published since it began.
//!
//! Partitions that wait for their marker are not part of a checkpoint: what is published and has no
//! marker waits, so a resumed run finds them by looking. Their delay begins anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flott_connector::{Committable, Committer, Disk};
use flott_types::{
    Code, Diagnostic, Result,
    planted::{Bug, planted},
};
use serde_json::{Value, json};

use super::{SinkPlan, durable::sync_directories, failed, run::RunGuard};

/// A part file on its way to its readers. Paths are relative to the table's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// The hidden file's name, in the table's own directory.
    pub hidden: String,
    /// The partition's directory with a slash at its end; empty for the table's own.
    pub directory: String,
    /// The final name.
    pub name: String,
}

impl Published {
    pub(crate) fn to_committable(&self) -> Committable {
        Committable {
            content: json!({"hidden": self.hidden, "directory": self.directory, "name": self.name}),
        }
    }

    pub(crate) fn from_committable(committable: &Committable) -> Result<Self> {
        let text = |key: &str| committable.content.get(key).and_then(Value::as_str).map(str::to_string);
        let parts = (text("hidden"), text("directory"), text("name"));
        let (Some(hidden), Some(directory), Some(name)) = parts else {
            return Err(Diagnostic::error(
                Code::Internal,
                format!("not a committable of a file sink: {}", committable.content),
            ));
        };
        Ok(Self { hidden, directory, name })
    }
}

/// Publishes what the writers of one sink prepared.
pub(crate) struct FileCommitter {
    plan: Arc<SinkPlan>,
    run: Arc<RunGuard>,
    /// Directories that this run has published into.
    touched: BTreeSet<String>,
    /// Directories whose marker file waits for the delay, and since when.
    uncommitted: BTreeMap<String, Duration>,
}

impl FileCommitter {
    /// A committer; after a resume it knows again which partitions wait for their marker.
    ///
    /// # Errors
    /// `OutputFailed`
    pub(crate) fn new(plan: Arc<SinkPlan>, run: Arc<RunGuard>) -> Result<Self> {
        let mut it = Self { plan, run, touched: BTreeSet::new(), uncommitted: BTreeMap::new() };
        if let Some(marker) = it.plan.settings.success_file.clone().filter(|_| it.run.is_resumed()) {
            let now = it.plan.job.clock.monotonic();
            let run = it.run.clone();
            let mut directories = BTreeSet::new();
            it.each_published("", &mut |directory, name| {
                if run.has_published(name) {
                    directories.insert(directory.to_string());
                }
                Ok(())
            })?;
            directories.retain(|directory| !it.disk().exists(&it.path_of(directory).join(&marker)));
            it.uncommitted = directories.into_iter().map(|directory| (directory, now)).collect();
        }
        Ok(it)
    }

    /// Every visible file below a directory (a path with a slash at its end, or none): its
    /// directory, its name.
    fn each_published(&self, directory: &str, each: &mut dyn FnMut(&str, &str) -> Result<()>) -> Result<()> {
        let path = self.path_of(directory);
        for entry in self.disk().entries(&path).map_err(|error| failed("read", &path, &error))? {
            let name = entry.name;
            if name.starts_with(['.', '_']) {
                continue;
            }
            if entry.is_directory {
                self.each_published(&format!("{directory}{name}/"), each)?;
            } else {
                each(directory, &name)?;
            }
        }
        Ok(())
    }

    fn disk(&self) -> &dyn Disk {
        self.plan.job.disk.as_ref()
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match self.disk().remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
            _ => Ok(()),
        }
    }

    fn path_of(&self, directory: &str) -> PathBuf {
        // `join("")` would end the path with a slash.
        if directory.is_empty() { self.plan.root.clone() } else { self.plan.root.join(directory) }
    }

    fn create_directory(&self, directory: &str) -> Result<()> {
        let path = self.path_of(directory);
        self.disk().create_directory(&path).map_err(|error| failed("create", &path, &error))
    }

    fn publish(&self, file: &Published) -> Result<()> {
        let hidden = self.plan.root.join(&file.hidden);
        let target = self.path_of(&file.directory).join(&file.name);
        // A rename would replace it without a word.
        if self.disk().exists(&target) && self.disk().exists(&hidden) {
            let taken = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(failed("write", &target, &taken).help("move that file away, then run again"));
        }
        match self.disk().rename(&hidden, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.disk().exists(&hidden) => {
                // Names are never used twice: it was published before, and if it isn't there,
                // a reader has taken it away.
                if !self.disk().exists(&target) {
                    tracing::warn!(file = %target.display(), "published before, and gone since");
                }
                Ok(())
            }
            renamed => renamed.map_err(|error| failed("write", &target, &error)),
        }
    }

    /// Removes the visible files below a directory that aren't this run's.
    fn remove_old(&self, directory: &Path) -> Result<()> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(failed("remove the old files of", directory, &error)),
        };
        for entry in self.disk().entries(directory).map_err(|error| failed("read", directory, &error))? {
            let (name, is_directory) = (entry.name, entry.is_directory);
            let path = directory.join(&name);
            if name.starts_with(['.', '_']) || (!is_directory && self.run.has_published(&name)) {
                continue;
            }
            if is_directory {
                self.remove_old(&path)?;
                // Not empty: it holds hidden files or new ones.
                let _ = self.disk().remove_directory(&path);
            } else {
                self.disk().remove(&path).or_else(gone)?;
            }
        }
        Ok(())
    }

    /// Writes the marker files of partitions whose delay has passed; at the end, of all.
    fn commit_partitions(&mut self, at_end: bool) -> Result<()> {
        let Some(marker) = &self.plan.settings.success_file else { return Ok(()) };
        let now = self.plan.job.clock.monotonic();
        let delay = self.plan.settings.commit_delay;
        let due = |since: &Duration| at_end || now.saturating_sub(*since) >= delay;
        let ready: BTreeSet<String> =
            self.uncommitted.iter().filter(|(_, since)| due(since)).map(|(it, _)| it.clone()).collect();
        let paths: Vec<PathBuf> = ready.iter().map(|directory| self.path_of(directory)).collect();
        for path in &paths {
            let marker = path.join(marker);
            self.disk().append(&marker, true).map_err(|error| failed("write", &marker, &error))?;
        }
        sync_directories(self.disk(), &self.plan.root, paths)?;
        self.uncommitted.retain(|directory, _| !ready.contains(directory));
        Ok(())
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, committables: &[Committable]) -> Result<()> {
        let files: Vec<Published> =
            committables.iter().map(Published::from_committable).collect::<Result<_>>()?;
        let directories: BTreeSet<String> = files.iter().map(|file| file.directory.clone()).collect();
        directories.iter().try_for_each(|directory| self.create_directory(directory))?;
        files.iter().try_for_each(|file| self.publish(file))?;
        sync_directories(
            self.disk(),
            &self.plan.root,
            directories.iter().map(|directory| self.path_of(directory)),
        )?;
        let now = self.plan.job.clock.monotonic();
        for directory in directories {
            if self.plan.job.overwrite && !self.touched.contains(&directory) {
                self.remove_old(&self.path_of(&directory))?;
            }
            self.uncommitted.entry(directory.clone()).or_insert(now);
            self.touched.insert(directory);
        }
        self.commit_partitions(false)
    }

    fn abort(&mut self, committables: &[Committable]) -> Result<()> {
        for committable in committables {
            self.remove(&self.plan.root.join(Published::from_committable(committable)?.hidden))?;
        }
        Ok(())
    }

    fn sweep(&mut self, generation: u64, number: u64, keep: &[Committable]) -> Result<()> {
        let keep: BTreeSet<String> =
            keep.iter().map(|it| Ok(Published::from_committable(it)?.hidden)).collect::<Result<_>>()?;
        let left = self
            .run
            .hidden_files()
            .filter(|(epoch, _)| planted(Bug::SweepTakesAll) || epoch.is_left_behind(generation, number))
            .filter(|(_, name)| !keep.contains(name));
        left.map(|(_, name)| self.plan.root.join(name)).try_for_each(|path| self.remove(&path))
    }

    fn rollback(&mut self, generation: u64, after: u64) -> Result<u64> {
        let mut beyond = Vec::new();
        self.each_published("", &mut |directory, name| {
            if self.run.epoch_of(name, false).is_some_and(|epoch| epoch.is_beyond(generation, after)) {
                beyond.push((self.path_of(directory), name.to_string()));
            }
            Ok(())
        })?;
        beyond.iter().try_for_each(|(directory, name)| self.remove(&directory.join(name)))?;
        let removed = beyond.len() as u64;
        let directories: BTreeSet<PathBuf> = beyond.into_iter().map(|(directory, _)| directory).collect();
        sync_directories(self.disk(), &self.plan.root, directories)?;
        Ok(removed)
    }

    fn finish(&mut self) -> Result<()> {
        // A table without partitions is replaced even by no rows at all.
        if self.plan.job.overwrite && self.plan.key_columns.is_empty() && self.touched.is_empty() {
            self.remove_old(&self.plan.root)?;
        }
        self.commit_partitions(true)
    }
}
