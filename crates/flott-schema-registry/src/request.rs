//! One request, which a stop can end.
//!
//! ```text
//!   whoever asks ── thread: connect, send, read ──► answer
//!        └── looks at the stop signal every 50 ms; after it nobody takes the answer
//! ```
//!
//! The client's calls block and can't be interrupted: resolving a name, connecting, waiting for an answer. So a
//! thread of its own makes the call. Left alone it ends by itself, at the latest with the request's time-out.

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::Duration,
};

use flott_connector::{StopSignal, io};
use serde_json::Value;
use ureq::Agent;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// How often the stop signal is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A second.
const LOOKS_AFTER_STOP: u32 = 20;

/// What is asked.
pub(crate) struct Request {
    pub agent: Agent,
    pub url: String,
    pub authorization: Option<String>,
    /// JSON to be posted.
    pub body: Option<String>,
}

/// An answer of the registry.
pub(crate) struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// What the registry says about its refusal.
    pub(crate) fn message(&self) -> String {
        match self.body.get("message").and_then(Value::as_str) {
            Some(message) => format!("{message} (status {})", self.status),
            None => format!("status {}", self.status),
        }
    }
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The answer, or in words why there is none. None at all: the signal was given, and it didn't come soon after.
/// What was read before a stop may still need an answer, and most registries give one at once.
pub(crate) fn answer(request: Request, stop: &StopSignal) -> Option<Result<Answer, String>> {
    let (sender, receiver) = sync_channel(1);
    let work = move || drop(sender.send(request.call().map_err(|error| error.to_string())));
    if let Err(error) = io::spawn_alone("schema-registry", work) {
        return Some(Err(error.message));
    }
    let mut looks = 0;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if stop.is_stopped() => {
                looks += 1;
                if looks > LOOKS_AFTER_STOP {
                    return None;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Some(Err("the request ended unexpectedly".into()));
            }
        }
    }
}

impl Request {
    fn call(&self) -> Result<Answer, ureq::Error> {
        let mut response = match &self.body {
            None => {
                let mut request = self.agent.get(&self.url).header("Accept", CONTENT_TYPE);
                if let Some(value) = &self.authorization {
                    request = request.header("Authorization", value);
                }
                request.call()?
            }
            Some(body) => {
                let mut request =
                    self.agent.post(&self.url).header("Accept", CONTENT_TYPE).content_type(CONTENT_TYPE);
                if let Some(value) = &self.authorization {
                    request = request.header("Authorization", value);
                }
                request.send(body)?
            }
        };
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }
}
