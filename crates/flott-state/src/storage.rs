//! Where checkpoints lie: named objects that are written once.
//!
//! What every provider must give, and [`conformance::check`] tests:
//! - `put_if_absent` is atomic: of any number of writers under one name exactly one is told
//!   `Written`, and no reader ever sees a part of an object.
//! - After `Written`, or after a `write` that returned well, the object is durable: it is there
//!   after a power cut.
//! - `read`, `read_range` and `list` see at once what was written and deleted.
//! - Nothing is deleted that nobody asked to delete: no life-cycle rule.
//!
//! A failure says whether it may have had an effect ([`Effect`]). A lost answer is neither success
//! nor failure: the caller asks again, with the same bytes under the same name.

mod conformance;
mod local;
mod memory;
mod scratch;

pub use conformance::check;
pub use local::LocalStorage;
pub use memory::{Fault, MemoryStorage};
pub use scratch::{ScratchStorage, sweep_scratch};

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use flott_types::{Code, Diagnostic};

/// The answer to [`Storage::put_if_absent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now, and durable.
    Written,
    /// An object of this name was there before. Perhaps one's own, if an earlier answer was lost.
    Taken,
}

/// What a failed request may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Certainly nothing.
    None,
    /// Nobody knows: all of it, nothing, or all of it later.
    Unknown,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageError {
    /// The object.
    pub name: String,
    /// What was tried and why it failed, e.g. `could not be written: no space left on device`.
    pub what: String,
    /// What it may have done all the same.
    pub effect: Effect,
    /// Whether it may go well later: a full disk does, missing rights don't.
    pub passing: bool,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)
    }
}

impl std::error::Error for StorageError {}

impl From<StorageError> for Box<Diagnostic> {
    fn from(error: StorageError) -> Self {
        let diagnostic = Diagnostic::error(Code::CheckpointFailed, error.to_string());
        if error.passing { diagnostic.that_may_pass() } else { diagnostic }
    }
}

/// Result of a request.
pub type StorageResult<T> = Result<T, StorageError>;

/// Named objects, written once. Names are relative, with `/` between folders, of printable ASCII.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Writes an object unless one of this name is there. Atomic and durable.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> StorageResult<Put>;

    /// Writes an object under a name that was never used. Durable on return; readers who were not
    /// told its name may see a part of it before. Fails if the name is taken.
    fn write(&self, name: &str, bytes: &[u8]) -> StorageResult<()>;

    /// Writes an object, whatever lies there. Readers see what was there or what is, never a part. What is
    /// written so need not outlive a power cut: it is for signs of life, and is cheap.
    fn replace(&self, name: &str, bytes: &[u8]) -> StorageResult<()> {
        self.delete(name)?;
        self.put_if_absent(name, bytes).map(|_| ())
    }

    /// All bytes of an object; `None` if there is none.
    fn read(&self, name: &str) -> StorageResult<Option<Vec<u8>>>;

    /// The bytes of an object from `offset` on: `length` of them, or fewer where it ends. `None` if
    /// there is none.
    fn read_range(&self, name: &str, offset: u64, length: u64) -> StorageResult<Option<Vec<u8>>>;

    /// The names that start with `prefix`, rising. Includes folders' contents.
    fn list(&self, prefix: &str) -> StorageResult<Vec<String>>;

    /// Removes an object. One that isn't there is no failure.
    fn delete(&self, name: &str) -> StorageResult<()>;
}

/// Where storages are found: by the directory that names them.
pub trait Stores: Send + Sync + fmt::Debug {
    /// The storage of this directory. Touches nothing yet.
    fn open(&self, directory: &Path) -> Arc<dyn Storage>;

    /// Whether several threads should read at once. Not where the order of requests must be the same again.
    fn parallel(&self) -> bool {
        false
    }
}

/// Directories of this machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalStores;

impl Stores for LocalStores {
    fn open(&self, directory: &Path) -> Arc<dyn Storage> {
        Arc::new(LocalStorage::new(directory))
    }
    fn parallel(&self) -> bool {
        true
    }
}
