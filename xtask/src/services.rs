//! `cargo xtask services up|down|list`: the servers that tests use, for a developer.
//!
//! They listen on their usual ports if these are free, keep their data until they go, and survive the
//! terminal that started them.

use clap::Subcommand;
use flott_testkit::services::detached::{SERVICES, Service, State};

/// What to do with servers.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Start servers with fresh data, and print what clients need
    Up {
        /// Which ones; default: all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Stop servers, and remove their data
    Down {
        /// Which ones; default: all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show the servers there are, and which of them run
    List,
}

/// Does it.
pub fn run(action: &Action) -> Result<(), String> {
    match action {
        Action::Up { names } => each(names, up),
        Action::Down { names } => each(names, down),
        Action::List => {
            SERVICES.iter().for_each(list);
            Ok(())
        }
    }
}

/// Does it with each of the named servers, and says at the end whether one of them could not.
fn each(names: &[String], act: impl Fn(&Service) -> Result<(), String>) -> Result<(), String> {
    let known = || SERVICES.map(|it| it.name).join(", ");
    let named = |name: &String| {
        Service::named(name).ok_or_else(|| format!("no server '{name}'; there are: {}", known()))
    };
    let chosen: Vec<Service> = match names {
        [] => SERVICES.to_vec(),
        names => names.iter().map(named).collect::<Result<_, _>>()?,
    };
    let failed: Vec<&str> = chosen
        .iter()
        .filter_map(|service| act(service).err().map(|why| (service.name, why)))
        .map(|(name, why)| {
            eprintln!("# {name}: {why}");
            name
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("not done: {}", failed.join(", "))) }
}

/// Prints lines that a shell can read: `eval "$(cargo xtask services up)"`.
fn up(service: &Service) -> Result<(), String> {
    eprintln!("# starting {} {}", service.name, service.version());
    let address = service.up().map_err(|why| why.to_string())?;
    println!("export {}={address}", service.variable);
    Ok(())
}

fn down(service: &Service) -> Result<(), String> {
    let ran = service.down().map_err(|why| why.to_string())?;
    println!("{} {}", service.name, if ran { "stopped" } else { "did not run" });
    Ok(())
}

fn list(service: &Service) {
    let state = match service.state() {
        State::Running { process, address, log } => {
            format!("runs at {address} (process {process}, log {})", log.display())
        }
        State::Installed => "installed".into(),
        State::Absent => "downloaded on first use".into(),
    };
    println!("{:<10}{:<8}{state}\n{:18}{}", service.name, service.version(), "", service.about);
}
