//! Finds a Java that servers run on, or installs one where that is allowed.

use std::{
    env,
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock},
};

use super::{Skipped, install};
use crate::python;

/// The oldest Java that the servers here run on.
const OLDEST: u32 = 17;
/// The Debian package that has it.
const PACKAGE: &str = "openjdk-17-jre-headless";

/// A Java virtual machine that is new enough.
pub fn java() -> Result<PathBuf, Skipped> {
    static FOUND: OnceLock<Result<PathBuf, Skipped>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    FOUND.get_or_init(|| find().map_or_else(get, Ok)).clone()
}

fn find() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|it| PathBuf::from(it).join("bin/java"));
    [home, Some(PathBuf::from("java"))].into_iter().flatten().find(|java| {
        let asked = Command::new(java).arg("-version").output();
        asked.is_ok_and(|said| major(&String::from_utf8_lossy(&said.stderr)).is_some_and(|it| it >= OLDEST))
    })
}

/// `openjdk version "17.0.15" 2025-04-15` is 17.
fn major(said: &str) -> Option<u32> {
    let version = said.split('"').nth(1)?;
    version.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

fn get() -> Result<PathBuf, Skipped> {
    let lacking = || format!("there is no Java of version {OLDEST} or newer (JAVA_HOME, PATH)");
    if !python::is_root() {
        return Err(Skipped::because(format!("{}; Debian's package is {PACKAGE}", lacking())));
    }
    // Several test processes may find no Java at the same time.
    let _lock = install::lock(&install::services_directory()?.join("java.lock")).map_err(Skipped::because)?;
    if let Some(java) = find() {
        return Ok(java);
    }
    install::run(Command::new("apt-get").args(["update", "-q"]))
        .and_then(|()| install::run(Command::new("apt-get").args(["install", "-y", "-q", PACKAGE])))
        .map_err(|why| Skipped::because(format!("{}: {why}", lacking())))?;
    find().ok_or_else(|| Skipped::because(lacking()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions() {
        assert_eq!(super::major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(super::major("java version \"1.8.0_402\""), Some(1));
        assert_eq!(super::major("sh: no java"), None);
    }
}
