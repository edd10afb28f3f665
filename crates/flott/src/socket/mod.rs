//! A run's Unix socket: where it is, and how one asks.
//!
//! ```text
//!   DIR/job/.run/7.sock            the socket of generation 7
//!   DIR/job/.run/7.at              where that path is too long, or the file system has no sockets: a file
//!                                  that names a socket below the temporary directory
//!
//!   client                         run
//!   {"ask":"sample"}⏎        ──►
//!                            ◄──   {"protocol":1,"sample":{…}}⏎
//!   {"ask":"plan"}⏎          ──►
//!                            ◄──   {"protocol":1,"plan":{…}}⏎
//! ```
//!
//! Invariants
//! - A connection is one question and one answer. Whoever is slow loses the connection, not the run.
//! - Only the user who started the run can ask: the directory has mode 0700, the socket 0600.
//! - Names that begin with a dot are no objects of the checkpoint store.
//! - What a dead run left behind is removed by the next; a live run's socket is never touched.

pub mod client;
pub mod server;

use std::path::{Path, PathBuf};

use flott_engine::activity::{Place, Sample};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a question looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Question {
    /// What are you doing?
    Sample,
    /// What do you run?
    Plan,
}

/// What an answer looks like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// [`PROTOCOL`]
    pub protocol: u32,
    /// To [`Question::Sample`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// To [`Question::Plan`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<ShownPlan>,
    /// To anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A plan as `explain` prints it, and which part of the run each node is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownPlan {
    /// The tree.
    pub lines: Vec<ShownLine>,
    /// The object.
    pub json: Value,
    /// Per node: the part of the run that it is; none for what is computed on the way.
    pub places: Vec<Option<Place>>,
}

/// A line of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownLine {
    /// It.
    pub text: String,
    /// The node whose last line it is.
    pub last_of: Option<usize>,
    /// How far what is said of the node is to be indented.
    pub indent: usize,
}

/// The protocol's version.
pub const PROTOCOL: u32 = 1;

/// A question is no longer than this.
const QUESTION_BYTES_MAX: u64 = 4 << 10;

/// The longest path that every system takes for a socket, with room for its end.
const PATH_BYTES_MAX: usize = 100;

/// Where the sockets of a job's runs are.
fn folder(job: &Path) -> PathBuf {
    job.join(".run")
}

/// A file in the folder: its generation, and whether it is a socket (else it names one).
fn generation_of(path: &Path) -> Option<(u64, bool)> {
    let generation = path.file_stem()?.to_str()?.parse().ok()?;
    match path.extension()?.to_str()? {
        "sock" => Some((generation, true)),
        "at" => Some((generation, false)),
        _ => None,
    }
}

/// The socket that a file in the folder is, or names.
fn socket_at(path: &Path, is_socket: bool) -> Option<PathBuf> {
    if is_socket {
        return Some(path.to_path_buf());
    }
    let named = std::fs::read_to_string(path).ok()?;
    Some(PathBuf::from(named.trim_end_matches('\n')))
}

/// All files of the folder that stand for runs, the newest first.
fn entries(job: &Path) -> Vec<(u64, PathBuf, bool)> {
    let files = std::fs::read_dir(folder(job)).into_iter().flatten().flatten();
    let known = |file: std::fs::DirEntry| {
        let path = file.path();
        generation_of(&path).map(|(generation, is_socket)| (generation, path, is_socket))
    };
    let mut all: Vec<_> = files.filter_map(known).collect();
    all.sort_by_key(|(generation, ..)| std::cmp::Reverse(*generation));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_names_are_what_the_module_says() {
        assert_eq!(serde_json::to_string(&Question::Sample).unwrap(), r#"{"ask":"sample"}"#);
        assert_eq!(serde_json::from_str::<Question>(r#"{"ask":"plan"}"#).unwrap(), Question::Plan);
        assert!(serde_json::from_str::<Question>(r#"{"ask":"stop"}"#).is_err());
        assert_eq!(generation_of(Path::new("/c/j/.run/12.sock")), Some((12, true)));
        assert_eq!(generation_of(Path::new("/c/j/.run/12.at")), Some((12, false)));
        assert_eq!(generation_of(Path::new("/c/j/.run/x.sock")), None);
    }
}
