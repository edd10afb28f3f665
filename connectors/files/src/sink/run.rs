//! Which hidden files belong to whom, and who removes what a killed run left behind.
//!
//! Without checkpoints:
//!
//! ```text
//!   .run-<token>.lock                         held (flock) as long as the process lives
//!   .part-<token>-<shard>-<n>.inprogress      its part files in the making
//!   part-<token>-<shard>-<n>.ext              published
//! ```
//!
//! The operating system lets a lock go when its process dies, however it dies. So a run that
//! starts may remove the hidden files of a token whose lock it can get. It does so only if the
//! lock file names the same pipeline, and says that no checkpoint can refer to the files.
//!
//! With checkpoints there are no locks: files are named by [`EpochName`], and who may remove what
//! follows from the generations (`FileCommitter::sweep`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use flott_connector::{
    Disk,
    epoch_name::{self, EpochName},
};
use flott_types::{
    Result,
    planted::{Bug, planted},
};
use serde_json::{Value, json};

use super::{SinkPlan, durable::create_directory, failed};

/// A run's hold on its files in one directory.
pub(crate) struct RunGuard {
    names: Names,
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

enum Names {
    /// Without checkpoints: the token is part of every file name of this sink in this run.
    Run { token: String, _lock: File },
    /// With checkpoints: names hold the job's tag, the generation and the epoch.
    Epochs { tag: String, generation: u64, first_generation: u64 },
}

impl RunGuard {
    /// Creates the directory if need be, removes what dead runs left, claims a token. With
    /// checkpoints there is nothing to claim: that was done where the checkpoints are.
    ///
    /// # Errors
    /// `OutputFailed`
    pub(crate) fn start(plan: &SinkPlan) -> Result<Self> {
        let (root, job, disk) = (plan.root.clone(), &plan.job, plan.job.disk.clone());
        create_directory(disk.as_ref(), &root)?;
        sweep_dead(disk.as_ref(), &root, &job.pipeline_name);
        if job.checkpoints {
            let tag = epoch_name::tag(&job.pipeline_name, &job.job_id, job.sink_number);
            let (generation, first_generation) = (job.generation, job.first_generation);
            return Ok(Self { names: Names::Epochs { tag, generation, first_generation }, root, disk });
        }
        let (token, lock) = claim(&root, &job.run_id, &job.pipeline_name)
            .map_err(|error| failed("write into", &root, &error))?;
        Ok(Self { names: Names::Run { token, _lock: lock }, root, disk })
    }

    /// A part file's name without ending. `number` is at most that of the epoch it will belong to. Names
    /// sort as the files were begun, which is the order in which a directory is read: changes of a key
    /// come back in their order.
    pub(crate) fn stem(&self, number: u64, shard: usize, part: u64) -> String {
        let begin = match &self.names {
            Names::Run { token, .. } => token.clone(),
            Names::Epochs { tag, generation, .. } => {
                let generation = if planted(Bug::NamesUsedTwice) { 1 } else { *generation };
                EpochName { generation, number }.text(tag)
            }
        };
        format!("{PUBLISHED}{begin}-{shard}-{part:06}")
    }
    /// Whether a file that is published comes from this run, or from what this run has resumed.
    pub(crate) fn has_published(&self, name: &str) -> bool {
        match &self.names {
            Names::Run { token, .. } => name.starts_with(&format!("{PUBLISHED}{token}-")),
            Names::Epochs { tag, first_generation, .. } => {
                EpochName::parse(name, PUBLISHED, tag).is_some_and(|it| it.generation >= *first_generation)
            }
        }
    }
    /// Whether an earlier incarnation may have published something that this run goes on with.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(&self.names, Names::Epochs { generation, first_generation, .. } if first_generation < generation)
    }
    /// What the name of one of this job's files says.
    pub(crate) fn epoch_of(&self, name: &str, is_hidden: bool) -> Option<EpochName> {
        let Names::Epochs { tag, .. } = &self.names else { return None };
        EpochName::parse(name, if is_hidden { HIDDEN } else { PUBLISHED }, tag)
    }
    /// The hidden files of this job's incarnations. They all lie in the table's own directory.
    pub(crate) fn hidden_files(&self) -> impl Iterator<Item = (EpochName, String)> {
        names(self.disk.as_ref(), &self.root)
            .into_iter()
            .filter_map(|name| Some((self.epoch_of(&name, true)?, name)))
    }
}

impl Drop for RunGuard {
    /// Without checkpoints nothing that is still hidden can ever be published. With them only a
    /// newer incarnation knows.
    fn drop(&mut self) {
        if let Names::Run { token, .. } = &self.names {
            remove_hidden(self.disk.as_ref(), &self.root, token);
            let _ = self.disk.remove(&lock_path(&self.root, token));
        }
    }
}

const HIDDEN: &str = ".part-";
const PUBLISHED: &str = "part-";

fn hidden_prefix(token: &str) -> String {
    format!("{HIDDEN}{token}-")
}

fn lock_path(root: &Path, token: &str) -> PathBuf {
    root.join(format!(".run-{token}.lock"))
}

/// Claims the first free token of this run: one statement may write a table that another
/// statement of the same run writes too.
fn claim(root: &Path, run_id: &str, pipeline: &str) -> io::Result<(String, File)> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
    let run_id: String = run_id.chars().map(plain).collect();
    for number in 0.. {
        let token = if number == 0 { run_id.clone() } else { format!("{run_id}.{number}") };
        match OpenOptions::new().write(true).create_new(true).open(lock_path(root, &token)) {
            Ok(mut file) => {
                // Until its content is there nobody takes it for a dead run's; whoever looks at
                // it holds the lock for a moment only.
                lock(&file, libc::LOCK_EX);
                file.write_all(json!({"pipeline": pipeline, "checkpoints": false}).to_string().as_bytes())?;
                return Ok((token, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether the lock was got. On file systems without locks nobody ever gets it, and nothing is
/// ever swept.
fn lock(file: &File, how: libc::c_int) -> bool {
    // SAFETY: the descriptor is open.
    unsafe { libc::flock(file.as_raw_fd(), how) == 0 }
}

/// Removes what dead runs of this pipeline left. Whatever fails is left for the next run.
fn sweep_dead(disk: &dyn Disk, root: &Path, pipeline: &str) {
    for name in names(disk, root) {
        let Some(token) = name.strip_prefix(".run-").and_then(|it| it.strip_suffix(".lock")) else {
            continue;
        };
        let path = lock_path(root, token);
        if is_dead(&path, pipeline).unwrap_or(false) {
            tracing::info!(directory = %root.display(), run = token, "removing what a killed run left");
            remove_hidden(disk, root, token);
            let _ = disk.remove(&path);
        }
    }
}

fn is_dead(path: &Path, pipeline: &str) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if !lock(&file, libc::LOCK_EX | libc::LOCK_NB) {
        return Ok(false);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let Ok(owner) = serde_json::from_str::<Value>(&text) else { return Ok(false) };
    let same = owner.get("pipeline").and_then(Value::as_str) == Some(pipeline);
    Ok(same && owner.get("checkpoints").and_then(Value::as_bool) == Some(false))
}

fn names(disk: &dyn Disk, root: &Path) -> Vec<String> {
    let entries = disk.entries(root).unwrap_or_default();
    entries.into_iter().map(|entry| entry.name).collect()
}

fn remove_hidden(disk: &dyn Disk, root: &Path, token: &str) {
    let prefix = hidden_prefix(token);
    for name in names(disk, root).iter().filter(|name| name.starts_with(&prefix)) {
        let _ = disk.remove(&root.join(name));
    }
}
