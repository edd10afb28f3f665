//! The client library proves itself to a real broker in every way there is: what the connector's own
//! options build on.

#![allow(clippy::unwrap_used, reason = "helpers of tests end the test")]

use std::{error::Error, time::Duration};

use flott_testkit::{
    need,
    services::{
        self,
        secured::{PASSWORD, Secured, USER},
    },
};
use rdkafka::{
    ClientConfig, ClientContext,
    client::OAuthToken,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
};

const PATIENCE: Duration = Duration::from_secs(15);

/// Settings of a client: `name=value`.
fn client(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "secured").set("log_level", "0");
    settings.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    config
}

/// Whether the broker tells that client about its cluster.
fn is_let_in(config: &ClientConfig) -> bool {
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.fetch_metadata(None, PATIENCE).is_ok()
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn tls_and_mutual_tls() {
    let secured = need!(services::secured());
    let files = secured.certificates();
    let trust = [("security.protocol", "ssl"), ("ssl.ca.location", path(&files.authority))];
    assert!(is_let_in(&client(&secured.tls(), &trust)));
    let proof =
        [("ssl.certificate.location", path(&files.client)), ("ssl.key.location", path(&files.client_key))];
    assert!(is_let_in(&client(&secured.mutual_tls(), &[trust, proof].concat())));
    let mut unproven = client(&secured.mutual_tls(), &trust);
    unproven.set("socket.timeout.ms", "2000");
    let consumer: BaseConsumer = unproven.create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_secs(4)).is_err());
}

#[test]
fn passwords() {
    let secured = need!(services::secured());
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let with = |password| {
            [
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", mechanism),
                ("sasl.username", USER),
                ("sasl.password", password),
            ]
        };
        assert!(is_let_in(&client(&secured.sasl(), &with(PASSWORD))), "{mechanism}");
        let consumer: BaseConsumer = client(&secured.sasl(), &with("wrong")).create().unwrap();
        assert!(consumer.fetch_metadata(None, Duration::from_secs(3)).is_err(), "{mechanism}");
        let encrypted =
            [("security.protocol", "sasl_ssl"), ("ssl.ca.location", path(&secured.certificates().authority))];
        let both = [&with(PASSWORD)[..], &encrypted].concat();
        assert!(is_let_in(&client(&secured.sasl_tls(), &both)), "{mechanism}");
    }
}

/// Takes a token as it is.
struct Token(&'static Secured);

impl ClientContext for Token {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        // In the year 2096; the library counts in microseconds, and has 64 bits for them.
        let lifetime_ms = 4_000_000_000_000;
        Ok(OAuthToken { token: self.0.token(), principal_name: USER.into(), lifetime_ms })
    }
}

impl ConsumerContext for Token {}

#[test]
fn tokens() {
    let secured = need!(services::secured());
    let settings = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")];
    let config = client(&secured.sasl(), &settings);
    let consumer: BaseConsumer<Token> = config.create_with_context(Token(secured)).unwrap();
    // The client asks for its token when it is polled.
    let _ = consumer.poll(Duration::from_millis(100));
    consumer.fetch_metadata(None, PATIENCE).unwrap();
}
