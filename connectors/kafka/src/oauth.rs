//! OAUTHBEARER: where a client's tokens come from.
//!
//! librdkafka asks for a token in time before the old one ends; until it has one, it doesn't connect.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flott_connector::Clock;
use rdkafka::client::OAuthToken;
use serde_json::json;

/// How long a token lives that nobody signs.
const UNSECURED_LIFETIME_SECONDS: i64 = 3600;

/// Where tokens come from. Shows no secrets.
#[derive(Clone)]
pub(crate) enum TokenSource {
    /// The client-credentials grant of an OAuth 2 server.
    Endpoint {
        /// Its token endpoint.
        url: String,
        /// The client.
        id: String,
        /// Its secret.
        secret: String,
        /// What it asks for.
        scope: Option<String>,
    },
    /// A token that nobody signs, as brokers for tests take it.
    Unsecured {
        /// Who it is.
        subject: String,
    },
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::Endpoint { url, .. } => {
                f.debug_struct("Endpoint").field("url", url).finish_non_exhaustive()
            }
            TokenSource::Unsecured { subject } => {
                f.debug_struct("Unsecured").field("subject", subject).finish()
            }
        }
    }
}

impl TokenSource {
    /// A token. Its errors hold no secret.
    pub(crate) fn token(&self, clock: &Arc<dyn Clock>) -> Result<OAuthToken, String> {
        let now = clock.now_micros() / 1_000_000;
        match self {
            TokenSource::Unsecured { subject } => {
                let end = now + UNSECURED_LIFETIME_SECONDS;
                let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
                let claims = json!({"sub": subject, "iat": now, "exp": end});
                let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
                Ok(OAuthToken { token, principal_name: subject.clone(), lifetime_ms: end * 1000 })
            }
            TokenSource::Endpoint { .. } => Err("not yet".into()),
        }
    }
}
