//! How much memory a run's state may take, and where the rest of it goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flott_engine::{MemoryBudget, StateSettings};
use flott_state::{ScratchStorage, sweep_scratch};
use flott_types::{Code, Diagnostic, Options, Result};

/// With less the engine would only read and write.
const LEAST: u64 = 64 << 10;

/// If nobody says how much memory there is.
const UNKNOWN: u64 = 4 << 30;

/// `state.memory.budget`, `state.dir`. Nothing is touched there.
///
/// # Errors
/// `InvalidOption`
pub fn settings(options: &Options, run_id: &str) -> Result<StateSettings> {
    let budget = options.memory_size("state.memory.budget")?;
    if budget.is_some_and(|it| it < LEAST) {
        let message = "option 'state.memory.budget': a run needs 64 kb for its state at the least";
        return Err(Diagnostic::error(Code::InvalidOption, message).at(options.span("state.memory.budget")));
    }
    let budget = budget.unwrap_or_else(|| memory().unwrap_or(UNKNOWN) / 2);
    let directory = directory(options)?;
    Ok(StateSettings {
        budget: MemoryBudget::new(usize::try_from(budget).unwrap_or(usize::MAX)),
        scratch: Arc::new(ScratchStorage::new(&directory, run_id)),
    })
}

/// Removes what killed runs left in `state.dir`, and sees whether anything can be written there: a run that learns of
/// it with its first spill has worked for nothing.
///
/// # Errors
/// As [`settings`]; `StateSpillFailed`.
pub fn prepare(options: &Options, run_id: &str) -> Result<()> {
    let directory = directory(options)?;
    if options.get("state.dir").is_some_and(|it| !it.is_empty()) {
        probe(&directory, run_id).map_err(|error| {
            let message =
                format!("state can't be written to '{}' ('state.dir'): {error}", directory.display());
            Diagnostic::error(Code::StateSpillFailed, message)
                .at(options.span("state.dir"))
                .help("give the user that runs flott the right to write there, or name another directory")
        })?;
    }
    let swept = sweep_scratch(&directory);
    if swept > 0 {
        tracing::info!(runs = swept, directory = %directory.display(), "removed state that killed runs left");
    }
    Ok(())
}

/// Makes the directory, and a file in it, of a name that no other run has: also in containers, which all have the same
/// process number and perhaps the same directory.
fn probe(directory: &Path, run_id: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = directory.join(format!(".flott-probe-{run_id}"));
    fs::write(&file, b"flott")?;
    fs::remove_file(&file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn directory(options: &Options) -> Result<PathBuf> {
    let local = |text: &str| text.strip_prefix("file://").unwrap_or(text).to_string();
    if let Some(directory) = options.get("state.dir").filter(|it| !it.is_empty()) {
        let directory = local(directory);
        if directory.contains("://") {
            return Err(Diagnostic::not_supported(format!("state in '{directory}'"))
                .at(options.span("state.dir"))
                .help("a path of this machine's file system: its disk is an extension of its memory"));
        }
        return Ok(directory.into());
    }
    Ok(match options.get("execution.checkpointing.dir").filter(|it| !it.is_empty()) {
        Some(checkpoints) => Path::new(&local(checkpoints)).join(".state"),
        None => std::env::temp_dir(),
    })
}

/// Bytes that the machine has, or that this process's group may take.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok();
    let total = text.as_deref().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    limit.chain(total).min()
}
