//! Real servers for tests: installed on first use, started on free ports, gone with whoever started them.
//!
//! ```text
//!   kafka.lock ─► install ─► ~/.cache/flott/services/kafka-4.2.1/   (once, checked against SHA-256)
//!                                   │
//!   settings ───► Server: a process of its own, fresh data, a log ─── asks until it answers ─► test
//!                    │ stop (TERM), kill (KILL), pause, go on, start again
//!                    └ watchdog: ends it when the test process ends, however that ends
//!
//!   kafka      one broker for all tests of a process; brokers and clusters of one's own
//!   secured    a broker with TLS, mutual TLS, SASL PLAIN, SCRAM and OAUTHBEARER (feature
//!              `secured`)
//!   registry   a schema registry with Confluent's API
//!   proxy      TCP between a client and a broker: cut, slow, silent, at the request that one names
//!   detached   the same for developers: `cargo xtask services up`
//! ```
//!
//! Invariants
//! - Nothing of a server lies in the checkout, and no two processes share a port or a data directory.
//! - A server that can't be had is [`Skipped`] with a reason, which the test says; one that was installed
//!   and does not start is a failure, with the end of its log.
//! - No server outlives the test process.
//!
//! Another server is one more small file: what to download, how to start it, how to ask whether it answers.

use std::fmt;

pub mod detached;
mod install;
mod java;
pub mod kafka;
mod ports;
mod process;
pub mod proxy;
pub mod registry;
#[cfg(feature = "secured")]
pub mod secured;
pub mod wire;

pub use self::{
    kafka::{Broker, Cluster, Kafka, kafka},
    ports::Port,
    process::{Server, Spec},
    proxy::Proxy,
    registry::{Registry, registry},
};

#[cfg(feature = "secured")]
pub use self::secured::{Secured, secured};

/// Why a test has no server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    why: String,
    failed: bool,
}

impl Skipped {
    /// It can't be had on this machine.
    pub(crate) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), failed: false }
    }

    /// It is there, and does not work.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self { why: why.into(), failed: true }
    }

    /// Whether the test must fail instead of being skipped: the server is there and does not work, or
    /// `FLOTT_SERVICES=required` says that it has to be there.
    pub fn must_fail(&self) -> bool {
        self.failed || std::env::var_os("FLOTT_SERVICES").is_some_and(|it| it == "required")
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", if self.failed { "failed" } else { "skipped" }, self.why)
    }
}

impl std::error::Error for Skipped {}

/// The server, or the end of the test: it says `skipped: <why>` and returns.
///
/// ```no_run
/// use flott_testkit::{need, services};
///
/// fn test() {
///     let kafka = need!(services::kafka());
///     println!("{}", kafka.bootstrap());
/// }
/// ```
#[macro_export]
macro_rules! need {
    ($service:expr) => {
        match $service {
            Ok(service) => service,
            Err(skipped) => {
                let skipped: $crate::services::Skipped = skipped;
                assert!(!skipped.must_fail(), "{skipped}");
                eprintln!("{skipped} ({})", module_path!());
                return;
            }
        }
    };
}
