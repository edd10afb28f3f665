//! Other programs that tests compare with, from Python's package index.
//!
//! They live outside the checkout, in `$FLOTT_TEST_CACHE`, else `$XDG_CACHE_HOME/flott`, else
//! `~/.cache/flott`: one virtual environment per name, filled on first use. A half-made one is
//! never used: a file `ready` is written last, and names the packages.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A program for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// The path of its interpreter.
    Ready(PathBuf),
    /// Why it can't be had here; the test says so and passes.
    Skipped(String),
}

/// A Python with these packages (`pyarrow==21.0.0`), under this name.
pub fn python_tool(name: &str, packages: &[&str]) -> Tool {
    let Some(cache) = cache_directory() else {
        return Tool::Skipped(format!("skipped: no home directory to keep '{name}' in"));
    };
    match prepare(&cache.join("python").join(name), packages) {
        Ok(python) => Tool::Ready(python),
        Err(why) => Tool::Skipped(format!("skipped: '{name}' can't be installed: {why}")),
    }
}

pub(crate) fn cache_directory() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FLOTT_TEST_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|it| it.join("flott")))
        .or_else(|| set("HOME").map(|it| it.join(".cache/flott")))
}

fn prepare(directory: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let python = directory.join("bin/python");
    let ready = directory.join("ready");
    let wanted = packages.join("\n");
    if fs::read_to_string(&ready).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    let parent = directory.parent().unwrap_or(directory);
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    // Tests run side by side, in several processes: one of them installs, the others wait.
    let lock = fs::File::create(directory.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if fs::read_to_string(&ready).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    make_environment(directory)?;
    let pip = [&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], packages].concat();
    succeed(Command::new(&python).args(pip))?;
    fs::write(&ready, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

fn make_environment(directory: &Path) -> Result<(), String> {
    let create = || succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory));
    create().or_else(|why| {
        if !is_root() {
            return Err(format!("{why} (is the package python3-venv installed?)"));
        }
        succeed(Command::new("apt-get").args(["install", "-y", "-q", "python3-venv"]))?;
        create()
    })
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs a command; the last line it said if it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let said = |output: &Output| {
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_string()
    };
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", said(&output))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("no program '{program}'")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
