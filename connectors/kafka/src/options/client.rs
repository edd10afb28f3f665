//! What librdkafka gets: `properties.*`, translated, and what the connector itself wants.
//!
//! ```text
//!   properties.* ─► translate ─► entries ─► consumer() + what a reader needs ─► ClientConfig
//!                       └──────► oauth      (tokens are fetched by us: see crate::oauth)
//! ```

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use flott_connector::TableDescription;
use flott_types::{Code, Diagnostic, Options, Result, Severity, Span};
use rdkafka::{ClientConfig, error::KafkaError};

use super::{
    PROPERTIES,
    jaas::Login,
    properties::{Fate, KNOWN, fate},
};
use crate::oauth::TokenSource;

/// How to reach the brokers, and as whom. Shows no values: they hold secrets.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    entries: BTreeMap<String, String>,
    /// Where OAUTHBEARER tokens come from.
    pub oauth: Option<TokenSource>,
    /// `bootstrap.servers`, for messages.
    pub servers: String,
    /// `max.block.ms`: how long a producer waits for brokers.
    pub max_block: Option<Duration>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl ClientSettings {
    /// The first problem of [`ClientSettings::check`], or the settings.
    ///
    /// # Errors
    /// `InvalidOption`, `UnknownOption`, `NotSupported`
    pub(crate) fn new(table: &TableDescription) -> Result<Self> {
        let mut errors = Vec::new();
        let settings = Self::check(table, &mut errors);
        match errors.into_iter().find(|it| it.severity == Severity::Error) {
            Some(error) => Err(error),
            None => Ok(settings),
        }
    }

    /// Translates all properties; reports every problem.
    pub(crate) fn check(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) -> Self {
        let mut it = Translation { options: &table.options, settings: Self::default(), errors };
        it.each();
        it.max_block();
        it.tls();
        it.sasl();
        let mut settings = it.settings;
        settings.servers = settings.entries.get("bootstrap.servers").cloned().unwrap_or_default();
        settings
    }

    /// What librdkafka gets, before a reader or a writer adds what it needs.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.entries {
            config.set(name, value);
        }
        config
    }

    /// The first property that isn't the same.
    pub(crate) fn differs_from(&self, other: &Self) -> Option<String> {
        if self.max_block != other.max_block {
            return Some(MAX_BLOCK.into());
        }
        let mut names = self.entries.keys().chain(other.entries.keys());
        names.find(|name| self.entries.get(*name) != other.entries.get(*name)).cloned()
    }

    /// The property that doesn't go with idempotence, if there is one.
    pub(crate) fn rules_out_idempotence(&self) -> Option<&'static str> {
        let number = |name| self.get(name).and_then(|it| it.trim().parse::<i64>().ok());
        if matches!(self.get("acks"), Some("0" | "1")) {
            Some("acks")
        } else if number("retries") == Some(0) {
            Some("retries")
        } else {
            let in_flight = "max.in.flight.requests.per.connection";
            number(in_flight).is_some_and(|it| it > 5).then_some(in_flight)
        }
    }

    /// A property as the user has set it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }
}

struct Translation<'a> {
    options: &'a Options,
    settings: ClientSettings,
    errors: &'a mut Vec<Box<Diagnostic>>,
}

impl<'a> Translation<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.options.get(&format!("{PROPERTIES}{name}"))
    }

    fn span(&self, name: &str) -> Span {
        self.options.span(&format!("{PROPERTIES}{name}"))
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.entries.insert(name.to_string(), value.into());
    }

    fn invalid(&mut self, name: &str, why: impl fmt::Display, help: &str) {
        let message = format!("option '{PROPERTIES}{name}': {why}");
        let mut error = Diagnostic::error(Code::InvalidOption, message).at(self.span(name));
        if let (Some(words), Some(value)) = (words_of(name), self.get(name)) {
            let near = value.trim().to_ascii_lowercase();
            error = error.did_you_mean(&near, words.iter().copied());
            error = error.help(format!("one of {}", words.join(", ")));
        }
        self.errors.push(if help.is_empty() { error } else { error.help(help) });
    }

    fn each(&mut self) {
        let options = self.options.under(PROPERTIES);
        for (name, value) in options.iter() {
            let passed = match fate(name) {
                Fate::Passed => name,
                Fate::Renamed(other) => other,
                Fate::Kilobytes(other) => {
                    match value.value.trim().parse::<u64>() {
                        Ok(bytes) => self.set(other, bytes.div_ceil(1024).to_string()),
                        Err(_) => self.invalid(name, "expected a number of bytes", ""),
                    }
                    continue;
                }
                Fate::Meaningless | Fate::Overridden | Fate::Translated => continue,
                Fate::NoEffect(_) if is_off(name, &value.value) => continue,
                Fate::NoEffect(instead) => {
                    let message = format!("option '{PROPERTIES}{name}' has no effect");
                    let warning = Diagnostic::warning(Code::InvalidOption, message);
                    self.errors.push(warning.at(value.key_span).help(instead));
                    continue;
                }
                Fate::Refused(instead) => {
                    let what = format!("'{PROPERTIES}{name}'");
                    self.errors.push(Diagnostic::not_supported(what).at(value.key_span).help(instead));
                    continue;
                }
            };
            let text = java_value(name, &value.value);
            if passed == "acks" && !ACKS.contains(&text.as_str()) {
                self.invalid(name, "brokers know no such number", "");
                continue;
            }
            if passed == "bootstrap.servers"
                && let Some(wrong) = wrong_server(&text)
            {
                let why = if value.secret { "not a list of brokers".into() } else { wrong };
                self.invalid(
                    name,
                    why,
                    "host:port, several with commas between them: 'kafka-1:9092,kafka-2:9092'",
                );
            }
            match try_set(passed, &text) {
                Ok(()) => self.set(passed, text),
                Err(Trouble::Unknown) => self.errors.push(
                    Diagnostic::error(
                        Code::UnknownOption,
                        format!("Kafka's clients have no property '{name}'"),
                    )
                    .at(value.key_span)
                    .did_you_mean(name, KNOWN.iter().copied())
                    .help("properties are those of Kafka's Java clients, and those of librdkafka"),
                ),
                Err(Trouble::Value(why)) if value.secret => {
                    drop(why);
                    self.invalid(name, "not a value of this property", "");
                }
                Err(Trouble::Value(why)) => self.invalid(name, why, ""),
            }
        }
    }

    fn max_block(&mut self) {
        let Some(text) = self.get(MAX_BLOCK) else { return };
        match text.trim().parse::<u64>() {
            Ok(millis @ 1..) => self.settings.max_block = Some(Duration::from_millis(millis)),
            _ => self.invalid(MAX_BLOCK, "expected milliseconds, at least 1", ""),
        }
    }

    fn tls(&mut self) {
        if let Some(algorithm) = self.get("ssl.endpoint.identification.algorithm") {
            self.set(
                "ssl.endpoint.identification.algorithm",
                if algorithm.is_empty() { "none" } else { algorithm },
            );
        }
        if let Some(location) = self.get("ssl.truststore.location") {
            match store_kind(self.get("ssl.truststore.type"), location) {
                Store::Pem => self.set("ssl.ca.location", location),
                kind => self.refuse_store("ssl.truststore.location", location, kind, true),
            }
        }
        if let Some(certificates) = self.get("ssl.truststore.certificates") {
            self.set("ssl.ca.pem", certificates);
        }
        if let Some(location) = self.get("ssl.keystore.location") {
            match store_kind(self.get("ssl.keystore.type"), location) {
                Store::Pem => {
                    self.set("ssl.certificate.location", location);
                    self.set("ssl.key.location", location);
                }
                Store::Pkcs12 => self.set("ssl.keystore.location", location),
                Store::Jks => self.refuse_store("ssl.keystore.location", location, Store::Jks, false),
            }
        }
        if let (Some(password), true) =
            (self.get("ssl.keystore.password"), self.settings.entries.contains_key("ssl.keystore.location"))
        {
            self.set("ssl.keystore.password", password);
        }
        if let Some(chain) = self.get("ssl.keystore.certificate.chain") {
            self.set("ssl.certificate.pem", chain);
        }
        if let Some(key) = self.get("ssl.keystore.key") {
            self.set("ssl.key.pem", key);
        }
    }

    fn refuse_store(&mut self, name: &str, location: &str, kind: Store, trust: bool) {
        let stem = Path::new(location).with_extension("");
        let stem = stem.display();
        let how = match (kind, trust) {
            (Store::Jks, true) => format!(
                "`keytool -importkeystore -srckeystore {location} -destkeystore {stem}.p12 -deststoretype PKCS12 && \
                 openssl pkcs12 -in {stem}.p12 -nokeys -out {stem}.pem` converts it; then set the type to 'PEM'"
            ),
            (_, true) => format!(
                "`openssl pkcs12 -in {location} -nokeys -out {stem}.pem` converts it; then set the type to 'PEM'"
            ),
            (_, false) => format!(
                "`keytool -importkeystore -srckeystore {location} -destkeystore {stem}.p12 -deststoretype PKCS12` \
                 converts it; then set the type to 'PKCS12'"
            ),
        };
        let what = if kind == Store::Jks { "a Java key store (JKS)" } else { "a PKCS12 trust store" };
        let error = Diagnostic::not_supported(format!("{what} in '{PROPERTIES}{name}'"));
        self.errors.push(error.at(self.span(name)).help(how));
    }

    fn sasl(&mut self) {
        let mechanism = self.get("sasl.mechanism").or_else(|| self.get("sasl.mechanisms"));
        let mechanism = mechanism.unwrap_or("GSSAPI").to_ascii_uppercase();
        // One that there isn't was told.
        let protocol = self.settings.get("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
        let login = match self.get("sasl.jaas.config").map(Login::parse) {
            None => None,
            Some(Ok(login)) => Some(login),
            Some(Err(why)) => {
                let help = "as in 'org.apache.kafka.common.security.plain.PlainLoginModule required \
                            username=\"…\" password=\"…\";'";
                return self.invalid("sasl.jaas.config", why, help);
            }
        };
        if protocol.starts_with("SASL") && mechanism == "GSSAPI" && !cfg!(feature = "gssapi") {
            let error = Diagnostic::not_supported("SASL GSSAPI (Kerberos) in this binary");
            self.errors.push(
                error
                    .at(self.span("security.protocol"))
                    .help("set 'properties.sasl.mechanism', or build with `--features gssapi`"),
            );
            return;
        }
        if let Some(login) = &login {
            self.login(login, &mechanism);
        }
        let handler = self.get(LOGIN_HANDLER).map(|it| it.rsplit('.').next().unwrap_or(it));
        if let Some(handler) = handler.filter(|it| !LOGIN_HANDLERS.contains(it)) {
            let error = Diagnostic::not_supported(format!("the login handler '{handler}'"));
            let help = "leave it out: there is no Java to run the class; tokens are fetched from \
                        'properties.sasl.oauthbearer.token.endpoint.url'";
            self.errors.push(error.at(self.span(LOGIN_HANDLER)).help(help));
        }
        if mechanism == "OAUTHBEARER" {
            self.oauth(&login.unwrap_or_default());
        }
    }

    fn login(&mut self, login: &Login, mechanism: &str) {
        let fits = match login.module.as_str() {
            "PlainLoginModule" => mechanism == "PLAIN",
            "ScramLoginModule" => mechanism.starts_with("SCRAM"),
            "OAuthBearerLoginModule" => mechanism == "OAUTHBEARER",
            "Krb5LoginModule" => mechanism == "GSSAPI",
            other => {
                let error = Diagnostic::not_supported(format!("the login module '{other}'"));
                let help = "PlainLoginModule, ScramLoginModule, OAuthBearerLoginModule and Krb5LoginModule are known";
                return self.errors.push(error.at(self.span("sasl.jaas.config")).help(help));
            }
        };
        if !fits {
            let why = format!("{} isn't for 'sasl.mechanism' = '{mechanism}'", login.module);
            return self.invalid(
                "sasl.jaas.config",
                why,
                "set 'properties.sasl.mechanism' to what the module is for",
            );
        }
        match login.module.as_str() {
            "PlainLoginModule" | "ScramLoginModule" => {
                match (login.option("username"), login.option("password")) {
                    (Some(user), Some(password)) => {
                        self.set("sasl.username", user);
                        self.set("sasl.password", password);
                    }
                    _ => self.invalid("sasl.jaas.config", "username and password are needed", ""),
                }
            }
            "Krb5LoginModule" => {
                for (option, name) in
                    [("keyTab", "sasl.kerberos.keytab"), ("principal", "sasl.kerberos.principal")]
                {
                    if let Some(value) = login.option(option) {
                        self.set(name, value);
                    }
                }
            }
            _ => {}
        }
    }

    fn oauth(&mut self, login: &Login) {
        let endpoint = self.get("sasl.oauthbearer.token.endpoint.url");
        let pick = |name: &str, own: &str| self.get(own).or(login.option(name)).map(str::to_string);
        let id = pick("clientId", "sasl.oauthbearer.client.id");
        let secret = pick("clientSecret", "sasl.oauthbearer.client.secret");
        let scope = pick("scope", "sasl.oauthbearer.scope");
        for name in ["client.id", "client.secret", "scope"] {
            self.settings.entries.remove(&format!("sasl.oauthbearer.{name}"));
        }
        let subject = login.option("unsecuredLoginStringClaim_sub");
        self.settings.oauth = match (endpoint, id, secret, subject) {
            (Some(url), Some(id), Some(secret), _) => {
                Some(TokenSource::Endpoint { url: url.to_string(), id, secret, scope })
            }
            (None, _, _, Some(subject)) => Some(TokenSource::Unsecured { subject: subject.to_string() }),
            _ => {
                let why = "OAUTHBEARER needs a token endpoint, a client's id and its secret";
                let help = "set 'properties.sasl.oauthbearer.token.endpoint.url', and clientId and clientSecret in \
                            'properties.sasl.jaas.config'";
                self.invalid("sasl.mechanism", why, help);
                None
            }
        };
    }
}

const MAX_BLOCK: &str = "max.block.ms";
const LOGIN_HANDLER: &str = "sasl.login.callback.handler.class";
/// What these do is done here, too.
const LOGIN_HANDLERS: &[&str] =
    &["OAuthBearerLoginCallbackHandler", "OAuthBearerUnsecuredLoginCallbackHandler"];

/// The values of a property that has few.
fn words_of(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "isolation.level" => &["read_committed", "read_uncommitted"],
        "security.protocol" => &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        "compression.type" => &["none", "gzip", "snappy", "lz4", "zstd"],
        "client.dns.lookup" => &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"],
        "enable.idempotence" | "check.crcs" | "allow.auto.create.topics" => &["true", "false"],
        "acks" | "request.required.acks" => ACKS,
        _ => return None,
    })
}

/// How many replicas are asked for: brokers know no other numbers.
const ACKS: &[&str] = &["all", "-1", "0", "1"];

/// Whether a switch without effect says what is done anyway.
fn is_off(name: &str, value: &str) -> bool {
    matches!(name, "enable.auto.commit" | "auto.commit.enable") && value.trim().eq_ignore_ascii_case("false")
}

/// What is wrong with a list of brokers.
fn wrong_server(servers: &str) -> Option<String> {
    let mut entries = servers.split(',').map(str::trim).filter(|it| !it.is_empty()).peekable();
    if entries.peek().is_none() {
        return Some("it names no broker".into());
    }
    entries.find_map(|entry| {
        if entry.contains("://") {
            return Some(format!("'{entry}' is a URL: a broker is a host and a port"));
        }
        let port = entry.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        match port {
            Some((host, Ok(1..))) if !host.is_empty() => None,
            _ => Some(format!("'{entry}' has no port")),
        }
    })
}

/// What a store of keys or certificates is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Pem,
    Pkcs12,
    Jks,
}

/// By its type; if there is none, by the name of the file. Java's default is JKS.
fn store_kind(named: Option<&str>, location: &str) -> Store {
    let end =
        Path::new(location).extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
    match (named.map(str::to_ascii_uppercase).as_deref(), end.as_str()) {
        (Some("PEM"), _) | (None, "pem" | "crt" | "cer") => Store::Pem,
        (Some("PKCS12"), _) | (None, "p12" | "pfx") => Store::Pkcs12,
        _ => Store::Jks,
    }
}

/// Values that are written otherwise in Java.
fn java_value(name: &str, value: &str) -> String {
    match name {
        "bootstrap.servers" => {
            // A listener's name before it says nothing, as in Kafka's own client. A web address is a mistake.
            let address = |entry: &'_ str| match entry.trim().split_once("://") {
                Some((listener, address)) if !listener.starts_with("http") => address.to_string(),
                _ => entry.trim().to_string(),
            };
            value.split(',').map(address).collect::<Vec<_>>().join(",")
        }
        "security.protocol" | "isolation.level" | "compression.type" => value.trim().to_ascii_lowercase(),
        "acks" | "request.required.acks" => value.trim().to_ascii_lowercase(),
        "sasl.mechanism" => value.trim().to_ascii_uppercase(),
        _ => value.to_string(),
    }
}

enum Trouble {
    Unknown,
    Value(String),
}

/// Whether librdkafka takes it.
fn try_set(name: &str, value: &str) -> Result<(), Trouble> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, why, ..)) if why.contains("No such configuration property") => {
            Err(Trouble::Unknown)
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => Err(Trouble::Value(why)),
        Err(_) => Err(Trouble::Value("not a value of this property".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)]) -> (ClientSettings, Vec<Box<Diagnostic>>) {
        let mut table = TableDescription::default();
        properties.iter().for_each(|(name, value)| table.options.set(format!("properties.{name}"), *value));
        let mut errors = Vec::new();
        (ClientSettings::check(&table, &mut errors), errors)
    }

    #[test]
    fn java_names_become_those_of_librdkafka() {
        let (settings, errors) = check(&[
            ("bootstrap.servers", "a:1,b:2"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", "x.ScramLoginModule required username=\"u\" password=\"p\";"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "/ca.pem"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("buffer.memory", "33554432"),
            ("fetch.max.wait.ms", "100"),
            ("max.block.ms", "1500"),
        ]);
        assert!(errors.is_empty(), "{errors:?}");
        for (name, value) in [
            ("sasl.username", "u"),
            ("sasl.password", "p"),
            ("ssl.ca.location", "/ca.pem"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("queue.buffering.max.kbytes", "32768"),
            ("fetch.wait.max.ms", "100"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
        assert_eq!(settings.servers, "a:1,b:2");
        assert_eq!(settings.max_block, Some(Duration::from_millis(1500)));
        assert!(!format!("{settings:?}").contains("\"p\""));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        let (_, errors) = check(&[
            ("fetch.min.byte", "1"),
            ("fetch.min.bytes", "many"),
            ("ssl.truststore.location", "/etc/trust.jks"),
            ("interceptor.classes", "x.Y"),
        ]);
        let shown: Vec<String> = errors.iter().map(|it| format!("{} {:?}", it.message, it.help)).collect();
        assert_eq!(errors.len(), 4, "{shown:?}");
        assert!(shown.iter().any(|it| it.contains("did you mean 'fetch.min.bytes'")), "{shown:?}");
        assert!(
            shown.iter().any(|it| it.contains("keytool -importkeystore -srckeystore /etc/trust.jks")),
            "{shown:?}"
        );
    }

    #[test]
    fn what_has_no_effect_is_told_and_the_table_is_used_all_the_same() {
        let (_, told) = check(&[
            ("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"),
            ("transactional.id", "mine"),
        ]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|it| it.severity == Severity::Warning && !it.help.is_empty()), "{told:?}");
        let mut table = TableDescription::default();
        table.options.set("properties.key.serializer", "x.Y");
        assert!(ClientSettings::new(&table).is_ok());
    }

    #[test]
    fn a_word_that_is_no_value_is_answered_with_those_that_are() {
        let (_, errors) = check(&[("isolation.level", "READ_COMITTED"), ("compression.type", "zip")]);
        let helps: Vec<&String> = errors.iter().flat_map(|it| &it.help).collect();
        assert!(helps.iter().any(|it| it.contains("did you mean 'read_committed'")), "{helps:?}");
        assert!(helps.iter().any(|it| it.contains("read_committed, read_uncommitted")), "{helps:?}");
        assert!(helps.iter().any(|it| it.contains("gzip, snappy")), "{helps:?}");
        let (_, errors) = check(&[("fetch.min.bytes", "many"), ("max.block.ms", "0")]);
        assert_eq!(errors.len(), 2);
        assert!(errors.iter().all(|it| it.help.iter().all(|help| !help.is_empty())), "{errors:?}");
    }

    #[test]
    fn brokers_are_hosts_with_ports() {
        let said = |servers| check(&[("bootstrap.servers", servers)]).1.len();
        for good in ["a:1", "a:1, b:2", "[::1]:9092", "a:1,"] {
            assert_eq!(said(good), 0, "{good}");
        }
        assert_eq!(said("PLAINTEXT://a:1, SSL://b:2"), 0);
        for bad in ["http://a:1", "a", "a:1,b", "a:x", "", ":1"] {
            assert_eq!(said(bad), 1, "{bad}");
        }
    }

    #[test]
    fn one_mistake_is_one_error() {
        for (name, value) in [("security.protocol", "SASL_SLL"), ("acks", "2"), ("acks", "most")] {
            let (_, errors) = check(&[(name, value)]);
            assert_eq!(errors.len(), 1, "{errors:?}");
        }
        let warned = |value| check(&[("enable.auto.commit", value)]).1.len();
        assert_eq!((warned("true"), warned("false")), (1, 0));
    }

    #[test]
    fn a_login_handler_of_ones_own_is_refused() {
        let handler = |class| check(&[("sasl.login.callback.handler.class", class)]).1.len();
        let known = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
        assert_eq!((handler(known), handler("org.example.Mine")), (0, 1));
    }

    #[test]
    fn secrets_are_in_no_message() {
        let jaas = "x.PlainLoginModule required username=\"u\" password=\"geheim\";";
        let (_, errors) = check(&[("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.jaas.config", jaas)]);
        assert_eq!(errors.len(), 1);
        assert!(!format!("{errors:?}").contains("geheim"), "{errors:?}");
    }
}
