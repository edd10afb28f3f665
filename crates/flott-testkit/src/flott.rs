//! Running the binary.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The binary, and where it runs.
#[derive(Debug, Clone)]
pub struct Flott {
    binary: PathBuf,
    directory: PathBuf,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended the process.
    pub status: Option<i32>,
    /// Standard output. Bytes that aren't UTF-8 are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The last line of standard error, if it is a JSON object (`--json`).
    pub summary: Option<Value>,
}

impl Outcome {
    /// Whether the exit code was 0.
    pub fn is_success(&self) -> bool {
        self.status == Some(0)
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = stderr.lines().rfind(|line| !line.trim().is_empty());
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            summary: last.and_then(|line| serde_json::from_str(line).ok()).filter(Value::is_object),
            stderr,
        }
    }
}

impl Flott {
    /// The binary at this path (in the tests of its own package: `env!("CARGO_BIN_EXE_flott")`),
    /// run in this directory.
    pub fn new(binary: impl AsRef<Path>, directory: impl AsRef<Path>) -> Self {
        Self { binary: binary.as_ref().into(), directory: directory.as_ref().into() }
    }

    /// A command with these arguments, without input, its output captured: for tests that start it
    /// themselves and stop it with a signal. Nothing of the caller's settings leaks in.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.directory).args(arguments);
        command.env("TZ", "UTC").env("NO_COLOR", "1").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it and waits for its end.
    ///
    /// # Errors
    /// The binary can't be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> io::Result<Outcome> {
        self.command(arguments).output().map(Outcome::from)
    }

    /// `flott run --json -e SQL`
    ///
    /// # Errors
    /// The binary can't be started.
    pub fn run_sql(&self, sql: &str) -> io::Result<Outcome> {
        self.run(["run", "--json", "-e", sql])
    }

    /// Runs it with bytes on standard input.
    ///
    /// # Errors
    /// The binary can't be started.
    pub fn run_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> io::Result<Outcome> {
        use std::io::{Seek, Write};
        let mut file = tempfile::tempfile()?;
        file.write_all(input)?;
        file.rewind()?;
        self.command(arguments).stdin(file).output().map(Outcome::from)
    }
}
