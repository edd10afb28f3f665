//! Servers for a developer: they stay until they are told to go.
//!
//! ```text
//!   ~/.cache/flott/services/running/kafka/   process   its id
//!                                            address   what clients need
//!                                            log, data
//! ```
//!
//! A process is ended only if its command line names that directory: ids are given again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Skipped,
    install::{self, Package},
    kafka,
    ports::Port,
    process::{self, Spec},
    registry,
};

/// How many looks at a server that ends, and how long from one to the next.
const LOOKS: (u32, Duration) = (300, Duration::from_millis(50));

/// A server that can be started.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The environment variable that its address is given as.
    pub variable: &'static str,
    package: Package,
    usual_port: u16,
    spec: fn(Port, &Path) -> Result<Spec, Skipped>,
    address: fn(&Port) -> String,
}

/// All servers that can be started.
pub const SERVICES: [Service; 2] = [
    Service {
        name: "kafka",
        about: "a Kafka broker",
        variable: "KAFKA_BOOTSTRAP_SERVERS",
        package: kafka::PACKAGE,
        usual_port: 9092,
        spec: |port, directory| {
            let settings = kafka::Settings::default().heap(512).property("auto.create.topics.enable", true);
            kafka::spec_at(&settings, port, directory)
        },
        address: Port::address,
    },
    Service {
        name: "registry",
        about: "a schema registry with Confluent's API (Apicurio)",
        variable: "SCHEMA_REGISTRY_URL",
        package: registry::PACKAGE,
        usual_port: 8081,
        spec: registry::spec_at,
        address: registry::url,
    },
];

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running {
        /// Its process id.
        process: u32,
        /// What clients need.
        address: String,
        /// Where it writes what it says.
        log: PathBuf,
    },
    /// It lies in the cache.
    Installed,
    /// It is downloaded when it is started.
    Absent,
}

impl Service {
    /// The server of that name.
    pub fn named(name: &str) -> Option<Self> {
        SERVICES.into_iter().find(|it| it.name == name)
    }

    /// Its version.
    pub fn version(&self) -> &'static str {
        self.package.version
    }

    /// How it is.
    pub fn state(&self) -> State {
        let running = || {
            let directory = self.directory().ok()?;
            let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
            let process = read("process")?.trim().parse().ok()?;
            let log = directory.join("log");
            is_ours(process, &directory).then_some(State::Running { process, address: read("address")?, log })
        };
        let installed = || if self.package.is_installed() { State::Installed } else { State::Absent };
        running().unwrap_or_else(installed)
    }

    /// Starts it with fresh data, unless it runs; what clients need.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn up(&self) -> Result<String, Skipped> {
        let directory = self.directory()?;
        let _lock = install::lock(&install::with_suffix(&directory, "lock")).map_err(Skipped::failed)?;
        if let State::Running { address, .. } = self.state() {
            return Ok(address);
        }
        let told = |error: io::Error| Skipped::failed(format!("{}: {error}", directory.display()));
        remove(&directory).and_then(|()| fs::create_dir_all(&directory)).map_err(told)?;
        let port = Port::at(self.usual_port).map_or_else(Port::free, Ok)?;
        let address = (self.address)(&port);
        let spec = (self.spec)(port, &directory)?;
        let mut child = spec.spawn().map_err(told)?;
        spec.wait(&mut child).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        fs::write(directory.join("address"), &address).map_err(told)?;
        fs::write(directory.join("process"), child.id().to_string()).map_err(told)?;
        Ok(address)
    }

    /// Ends it and removes its data; whether it ran.
    ///
    /// # Errors
    /// Its data can't be removed.
    pub fn down(&self) -> Result<bool, Skipped> {
        let directory = self.directory()?;
        let _lock = install::lock(&install::with_suffix(&directory, "lock")).map_err(Skipped::failed)?;
        let State::Running { process, .. } = self.state() else { return Ok(false) };
        process::signal("TERM", process);
        let ended = (0..LOOKS.0).any(|_| {
            process::pause(LOOKS.1);
            !is_ours(process, &directory)
        });
        if !ended {
            process::signal("KILL", process);
        }
        remove(&directory).map_err(|error| Skipped::failed(format!("{}: {error}", directory.display())))?;
        Ok(true)
    }

    fn directory(&self) -> Result<PathBuf, Skipped> {
        let running = install::services_directory()?.join("running");
        fs::create_dir_all(&running)
            .map_err(|error| Skipped::because(format!("{}: {error}", running.display())))?;
        Ok(running.join(self.name))
    }
}

/// Whether that process is the server whose directory this is.
fn is_ours(process: u32, directory: &Path) -> bool {
    let asked = Command::new("ps").args(["-ww", "-o", "args=", "-p", &process.to_string()]).output();
    let named = directory.display().to_string();
    asked.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(&named))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
