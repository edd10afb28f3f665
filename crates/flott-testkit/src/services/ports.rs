//! Ports of the loopback device that nobody else takes while a test has them.
//!
//! They lie below the range that systems give to outgoing connections: a client that tries again and again
//! to reach a stopped server there might be given the very port as its own, and talk with itself.
//! A lock file per port keeps processes apart between choosing a port and listening on it.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use super::{Skipped, install};

const FIRST: u16 = 20_000;
const LAST: u16 = 29_999;

/// A port, which is ours until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Port {
    number: u16,
    _claim: Arc<fs::File>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// There is none.
    pub fn free() -> Result<Self, Skipped> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let span = LAST - FIRST + 1;
        // Processes begin at different ports, to meet rarely.
        let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(span)).unwrap_or_default();
        for _ in 0..span {
            let number = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % span) % span;
            if let Some(port) = Self::at(number) {
                return Ok(port);
            }
        }
        Err(Skipped::because(format!("no port from {FIRST} to {LAST} is free")))
    }

    /// That port, if it is free.
    pub fn at(number: u16) -> Option<Self> {
        let directory = install::services_directory().ok()?.join("ports");
        fs::create_dir_all(&directory).ok()?;
        let claim = fs::File::create(directory.join(number.to_string())).ok()?;
        let free = claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok();
        free.then(|| Self { number, _claim: Arc::new(claim) })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:12345`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
