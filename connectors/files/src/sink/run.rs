//! Which hidden files belong to whom, and who removes what a killed run left behind.
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

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use flott_types::Result;
use serde_json::{Value, json};

use super::{SinkPlan, durable::create_directory, failed};

/// A run's claim on its hidden files in one directory.
pub(crate) struct RunGuard {
    /// Part of every file name of this sink in this run.
    pub token: String,
    root: PathBuf,
    checkpoints: bool,
    _lock: File,
}

impl RunGuard {
    /// Creates the directory if need be, removes what dead runs left, claims a token.
    ///
    /// # Errors
    /// `OutputFailed`
    pub(crate) fn start(plan: &SinkPlan) -> Result<Self> {
        let root = plan.root.clone();
        create_directory(&root)?;
        let (pipeline, checkpoints) = (plan.job.pipeline_name.as_str(), plan.job.checkpoints);
        sweep_dead(&root, pipeline);
        let (token, lock) = claim(&root, &plan.job.run_id, pipeline, checkpoints)
            .map_err(|error| failed("write into", &root, &error))?;
        Ok(Self { token, root, checkpoints, _lock: lock })
    }

    /// The hidden name of a part file.
    pub(crate) fn hidden_name(&self, shard: usize, part: u64) -> String {
        format!("{}{shard}-{part}.inprogress", hidden_prefix(&self.token))
    }
    /// The name under which it is published.
    pub(crate) fn final_name(&self, shard: usize, part: u64, extension: &str) -> String {
        format!("{}{shard}-{part}.{extension}", self.final_prefix())
    }
    /// How the published files of this run begin.
    pub(crate) fn final_prefix(&self) -> String {
        format!("part-{}-", self.token)
    }
}

impl Drop for RunGuard {
    /// Without checkpoints nothing that is still hidden can ever be published.
    fn drop(&mut self) {
        if !self.checkpoints {
            remove_hidden(&self.root, &self.token);
        }
        if self.checkpoints && has_hidden(&self.root, &self.token) {
            return;
        }
        let _ = fs::remove_file(lock_path(&self.root, &self.token));
    }
}

fn hidden_prefix(token: &str) -> String {
    format!(".part-{token}-")
}

fn lock_path(root: &Path, token: &str) -> PathBuf {
    root.join(format!(".run-{token}.lock"))
}

/// Claims the first free token of this run: one statement may write a table that another
/// statement of the same run writes too.
fn claim(root: &Path, run_id: &str, pipeline: &str, checkpoints: bool) -> io::Result<(String, File)> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
    let run_id: String = run_id.chars().map(plain).collect();
    for number in 0.. {
        let token = if number == 0 { run_id.clone() } else { format!("{run_id}.{number}") };
        match OpenOptions::new().write(true).create_new(true).open(lock_path(root, &token)) {
            Ok(mut file) => {
                // Until its content is there nobody takes it for a dead run's; whoever looks at
                // it holds the lock for a moment only.
                lock(&file, libc::LOCK_EX);
                file.write_all(
                    json!({"pipeline": pipeline, "checkpoints": checkpoints}).to_string().as_bytes(),
                )?;
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
fn sweep_dead(root: &Path, pipeline: &str) {
    for name in names(root) {
        let Some(token) = name.strip_prefix(".run-").and_then(|it| it.strip_suffix(".lock")) else {
            continue;
        };
        let path = lock_path(root, token);
        if is_dead(&path, pipeline).unwrap_or(false) {
            tracing::info!(directory = %root.display(), run = token, "removing what a killed run left");
            remove_hidden(root, token);
            let _ = fs::remove_file(path);
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

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn hidden(root: &Path, token: &str) -> impl Iterator<Item = String> {
    let prefix = hidden_prefix(token);
    names(root).into_iter().filter(move |name| name.starts_with(&prefix))
}

fn has_hidden(root: &Path, token: &str) -> bool {
    hidden(root, token).next().is_some()
}

fn remove_hidden(root: &Path, token: &str) {
    for name in hidden(root, token) {
        let _ = fs::remove_file(root.join(name));
    }
}
