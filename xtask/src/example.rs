//! `cargo xtask example kafka`: examples that need a server, with the server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use flott_testkit::services::{Broker, kafka::Settings};

/// Where everything is.
pub struct Example {
    /// The project's root.
    pub root: PathBuf,
    /// Flott.
    pub binary: PathBuf,
}

impl Example {
    /// From topic to topic, beside a broker of its own on a free port.
    pub fn kafka(&self) -> Result<(), String> {
        let broker = Broker::start(&Settings::default()).map_err(|why| why.to_string())?;
        for (topic, partitions) in [("departures", 2), ("days", 2)] {
            broker.create_topic(topic, partitions).map_err(|error| error.to_string())?;
        }
        let server = format!("KAFKA={}", broker.bootstrap());
        let checkpoints = std::env::temp_dir().join(format!("flott-example-{}", std::process::id()));
        let directory = format!("execution.checkpointing.dir={}", checkpoints.display());
        self.run("fill.sql", &["-v", &server])?;
        self.run("days.sql", &["-v", &server, "-v", "UNTIL=latest-offset", "-D", &directory])?;
        self.run("show.sql", &["--quiet", "-v", &server])?;
        std::fs::remove_dir_all(checkpoints).map_err(|error| error.to_string())
    }

    fn run(&self, script: &str, options: &[&str]) -> Result<(), String> {
        let script = Path::new("examples/kafka").join(script);
        println!("\n$ flott run {} {}", script.display(), options.join(" "));
        let mut flott = Command::new(&self.binary);
        flott.arg("run").arg(&script).args(options).current_dir(&self.root);
        match flott.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{}: {status}", script.display())),
            Err(error) => Err(format!("{}: {error}", self.binary.display())),
        }
    }
}
