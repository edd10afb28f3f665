//! Gets what a server consists of from Maven Central into the cache, once.
//!
//! ```text
//!   lock file: SHA-256 group:artifact:version[:classifier][:type]
//!        │ curl, from $FLOTT_MAVEN_MIRROR, else the mirror of ~/.m2/settings.xml, else Maven Central
//!        ▼
//!   kafka-4.2.1.part/ ── each file has its SHA-256? ── archives unpacked ── rename ─► kafka-4.2.1/
//! ```
//!
//! Invariants: a directory under its final name is complete; one process installs, the others wait.

use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use super::Skipped;
use crate::python;

/// Where Maven Central is.
const CENTRAL: &str = "https://repo1.maven.org/maven2";

/// What a server consists of.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its files: lines of a SHA-256 and coordinates.
    pub lock: &'static str,
}

/// One line of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Artifact {
    sha256: String,
    /// Path in a Maven repository.
    path: String,
    /// File name.
    name: String,
}

impl Artifact {
    fn parse(line: &str) -> Option<Self> {
        let (sha256, coordinates) = line.split_once(' ')?;
        let parts: Vec<&str> = coordinates.trim().split(':').collect();
        let (group, artifact, version, classifier, kind) = match parts[..] {
            [group, artifact, version] => (group, artifact, version, None, "jar"),
            [group, artifact, version, classifier, kind] => {
                (group, artifact, version, Some(classifier), kind)
            }
            _ => return None,
        };
        let suffix = classifier.map_or_else(String::new, |it| format!("-{it}"));
        let name = format!("{artifact}-{version}{suffix}.{kind}");
        let path = format!("{}/{artifact}/{version}/{name}", group.replace('.', "/"));
        Some(Self { sha256: sha256.into(), path, name })
    }
}

impl Package {
    /// The directory that has its files, once they are there.
    pub fn install(&self) -> Result<PathBuf, Skipped> {
        let directory = self.directory()?;
        if directory.is_dir() {
            return Ok(directory);
        }
        self.fill(&directory).map_err(|why| {
            Skipped::because(format!("{} {} can't be installed: {why}", self.name, self.version))
        })?;
        Ok(directory)
    }

    /// Whether it lies in the cache.
    pub fn is_installed(&self) -> bool {
        self.directory().is_ok_and(|it| it.is_dir())
    }

    fn directory(&self) -> Result<PathBuf, Skipped> {
        Ok(services_directory()?.join(format!("{}-{}", self.name, self.version)))
    }

    fn fill(&self, directory: &Path) -> Result<(), String> {
        let _lock = lock(&with_suffix(directory, "lock"))?;
        if directory.is_dir() {
            return Ok(());
        }
        let artifacts: Vec<Artifact> = self.lock.lines().filter_map(Artifact::parse).collect();
        let part = with_suffix(directory, "part");
        fs::create_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
        // What an interrupted installation has got is kept.
        let missing: Vec<&Artifact> = artifacts.iter().filter(|it| !it.is_in(&part)).collect();
        download(&missing, &part)?;
        for artifact in &artifacts {
            if !artifact.is_in(&part) {
                return Err(format!("{} has another SHA-256 than {} says", artifact.name, self.name));
            }
        }
        for artifact in artifacts.iter().filter(|it| it.name.ends_with(".tar.gz")) {
            run(Command::new("tar").arg("-xzf").arg(&artifact.name).current_dir(&part))?;
            fs::remove_file(part.join(&artifact.name)).map_err(|error| error.to_string())?;
        }
        fs::rename(&part, directory).map_err(|error| format!("{}: {error}", directory.display()))
    }
}

impl Artifact {
    fn is_in(&self, directory: &Path) -> bool {
        sha256(&directory.join(&self.name)).is_ok_and(|it| it == self.sha256)
    }
}

/// Where servers lie: `services` in the cache of tests.
pub(super) fn services_directory() -> Result<PathBuf, Skipped> {
    let cache = python::cache_directory()
        .ok_or_else(|| Skipped::because("there is no home directory to keep servers in"))?
        .join("services");
    fs::create_dir_all(&cache).map_err(|error| Skipped::because(format!("{}: {error}", cache.display())))?;
    Ok(cache)
}

/// `kafka-4.2.1` is `kafka-4.2.1.lock`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// A lock that this process has until the value is dropped.
pub(super) fn lock(path: &Path) -> Result<fs::File, String> {
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = fs::File::create(path).map_err(told)?;
    file.lock().map_err(told)?;
    Ok(file)
}

fn download(artifacts: &[&Artifact], directory: &Path) -> Result<(), String> {
    if artifacts.is_empty() {
        return Ok(());
    }
    let mirror = mirror();
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--fail-early"]);
    curl.arg("--parallel");
    for artifact in artifacts {
        curl.args(["--output", &artifact.name, &format!("{mirror}/{}", artifact.path)]);
    }
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no program 'curl'".to_string(),
        _ => error.to_string(),
    };
    let ended = curl.current_dir(directory).output().map_err(told)?;
    if ended.status.success() {
        return Ok(());
    }
    // Between its messages it draws how far it is.
    let said = String::from_utf8_lossy(&ended.stderr);
    let why =
        said.lines().find_map(|line| Some(line.split_once("curl: ")?.1.trim())).unwrap_or("curl failed");
    Err(format!("{mirror}: {why}"))
}

/// The Maven repository to ask.
fn mirror() -> String {
    let set = env::var("FLOTT_MAVEN_MIRROR").ok().filter(|it| !it.is_empty());
    let settings = || {
        let home = env::var_os("HOME")?;
        mirror_of(&fs::read_to_string(Path::new(&home).join(".m2/settings.xml")).ok()?)
    };
    set.or_else(settings).map_or_else(|| CENTRAL.into(), |it| it.trim_end_matches('/').to_string())
}

/// The mirror of Maven Central that the settings of Maven name.
fn mirror_of(settings: &str) -> Option<String> {
    let within = |text: &str, tag: &str| -> Option<String> {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (inside, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(inside.trim().to_string())
    };
    let mirrors = within(settings, "mirrors")?;
    mirrors.split("<mirror>").skip(1).find_map(|mirror| {
        let of = within(mirror, "mirrorOf")?;
        let central = of.split(',').any(|it| ["central", "*", "external:*"].contains(&it.trim()));
        central.then(|| within(mirror, "url")).flatten()
    })
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Runs a command to its end; the last line it said if it fails.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    python::succeed(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_lock_file_is_a_path_in_a_repository() {
        let jar = Artifact::parse("00ff org.apache.kafka:kafka-clients:4.2.1").unwrap();
        assert_eq!(jar.path, "org/apache/kafka/kafka-clients/4.2.1/kafka-clients-4.2.1.jar");
        let archive = Artifact::parse("00ff io.apicurio:app:3.0.9:all:tar.gz").unwrap();
        assert_eq!(archive.name, "app-3.0.9-all.tar.gz");
        assert_eq!(Artifact::parse("# comment"), None);
    }

    #[test]
    fn a_mirror_of_central_is_taken_from_mavens_settings() {
        let of = |of: &str| {
            format!(
                "<settings><mirrors><mirror><id>a</id><url>http://other</url><mirrorOf>x</mirrorOf></mirror>
                 <mirror><mirrorOf>{of}</mirrorOf><url> http://here/maven </url></mirror></mirrors></settings>"
            )
        };
        assert_eq!(mirror_of(&of("central")).as_deref(), Some("http://here/maven"));
        assert_eq!(mirror_of(&of("*,!y")).as_deref(), Some("http://here/maven"));
        assert_eq!(mirror_of(&of("jcenter")), None);
    }
}
