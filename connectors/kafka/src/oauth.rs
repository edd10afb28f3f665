//! OAUTHBEARER: where a client's tokens come from.
//!
//! librdkafka asks for a token in time before the old one ends; until it has one, it doesn't connect.

use std::{fmt, sync::Arc, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use flott_connector::Clock;
use rdkafka::client::OAuthToken;
use serde_json::{Value, json};

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

/// Why there is no token. Holds no secret.
#[derive(Debug)]
pub(crate) struct NoToken {
    pub why: String,
    /// The server doesn't believe who asks: asking again wouldn't help.
    pub refused: bool,
}

impl From<String> for NoToken {
    fn from(why: String) -> Self {
        Self { why, refused: false }
    }
}

impl TokenSource {
    /// A token.
    pub(crate) fn token(&self, clock: &Arc<dyn Clock>) -> Result<OAuthToken, NoToken> {
        let now = clock.now_micros() / 1_000_000;
        match self {
            TokenSource::Unsecured { subject } => {
                let end = now + UNSECURED_LIFETIME_SECONDS;
                let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
                let claims = json!({"sub": subject, "iat": now, "exp": end});
                let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
                Ok(OAuthToken { token, principal_name: subject.clone(), lifetime_ms: end * 1000 })
            }
            TokenSource::Endpoint { url, id, secret, scope } => {
                let answer = ask(url, id, secret, scope.as_deref())?;
                let token = read(&answer, id, now);
                Ok(token.ok_or_else(|| format!("{url} gives no token: 'access_token' is missing"))?)
            }
        }
    }
}

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a token lives whose server doesn't say.
const LIFETIME_DEFAULT_SECONDS: i64 = 300;

/// The server's answer to the client-credentials grant.
fn ask(url: &str, id: &str, secret: &str, scope: Option<&str>) -> Result<Value, NoToken> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .tls_config(tls)
        .build()
        .into();
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(scope.map(|scope| ("scope", scope)));
    let login = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let request = agent.post(url).header("Accept", "application/json").header("Authorization", login);
    let mut response = request.send_form(form).map_err(|error| format!("{url}: {error}"))?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(|error| format!("{url}: {error}"))?;
    if status != 200 {
        let why = format!("{url} gives no token: it answers with status {status}");
        return Err(NoToken { why, refused: matches!(status, 400 | 401 | 403) });
    }
    Ok(serde_json::from_str(&text).map_err(|_| format!("{url} gives no token: its answer isn't JSON"))?)
}

fn read(answer: &Value, id: &str, now: i64) -> Option<OAuthToken> {
    let token = answer.get("access_token")?.as_str()?.to_string();
    let lifetime = answer.get("expires_in").and_then(Value::as_i64).unwrap_or(LIFETIME_DEFAULT_SECONDS);
    // Whom the broker takes it for stands in the token; what stands here is for logs.
    let principal_name = claim(&token, "sub").unwrap_or_else(|| id.to_string());
    Some(OAuthToken { token, principal_name, lifetime_ms: now.saturating_add(lifetime).saturating_mul(1000) })
}

/// A claim of a JSON web token.
fn claim(token: &str, name: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get(name)?.as_str().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use flott_connector::ManualClock;

    use super::*;

    #[test]
    fn an_unsecured_token_says_who_and_until_when() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(10_000_000));
        let token = TokenSource::Unsecured { subject: "alice".into() }.token(&clock).unwrap();
        assert_eq!(claim(&token.token, "sub").as_deref(), Some("alice"));
        assert_eq!(token.lifetime_ms, (10 + UNSECURED_LIFETIME_SECONDS) * 1000);
        assert!(token.token.ends_with('.'), "nobody signs it");
    }

    #[test]
    fn an_answer_is_a_token_or_is_not() {
        let token = read(&json!({"access_token": "opaque", "expires_in": 60}), "me", 100).unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("me", 160_000));
        assert!(read(&json!({"error": "invalid_client"}), "me", 100).is_none());
    }
}
