//! A broker whose listeners want proof: TLS, mutual TLS, SASL with PLAIN, SCRAM and OAUTHBEARER.
//!
//! ```text
//!   TLS      the broker proves itself             by a certificate of an authority made for the test
//!   MUTUAL   and so does the client                by another one
//!   SASL     user and password, or a token         PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
//!   SASLTLS  the same, encrypted
//!
//!   tokens   an end point that gives tokens for a client's id and secret (OAuth's client credentials);
//!            they are unsigned, and the broker believes them
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{
    Skipped,
    kafka::{Broker, Listener, Settings},
    ports::Port,
};

/// Who clients are.
pub const USER: &str = "flott";
/// What they prove it with.
pub const PASSWORD: &str = "a-river";
/// The same for the end point of tokens.
pub const CLIENT: &str = "flott-client";
/// The same for the end point of tokens.
pub const SECRET: &str = "a-delta";
/// How long a token holds, in seconds.
const TOKEN_HOLDS: u64 = 3600;

/// A broker that wants proof, and what clients prove themselves with.
#[derive(Debug)]
pub struct Secured {
    broker: Broker,
    certificates: Certificates,
    tokens: Tokens,
    ports: [Port; 4],
}

impl Secured {
    /// A broker of one's own.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn start() -> Result<Self, Skipped> {
        let certificates =
            Certificates::make().map_err(|why| Skipped::failed(format!("certificates: {why}")))?;
        let ports = [Port::free()?, Port::free()?, Port::free()?, Port::free()?];
        let broker = Broker::start(&settings(&certificates, &ports))?;
        Ok(Self { broker, certificates, tokens: Tokens::start()?, ports })
    }

    /// The broker; its usual listener wants no proof.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// `security.protocol=SSL`
    pub fn tls(&self) -> String {
        self.address(0)
    }

    /// `security.protocol=SSL`, with a certificate of the client.
    pub fn mutual_tls(&self) -> String {
        self.address(1)
    }

    /// `security.protocol=SASL_PLAINTEXT`
    pub fn sasl(&self) -> String {
        self.address(2)
    }

    /// `security.protocol=SASL_SSL`
    pub fn sasl_tls(&self) -> String {
        self.address(3)
    }

    /// What the client may prove itself with, and trust: files in PEM.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// `sasl.oauthbearer.token.endpoint.url`
    pub fn token_endpoint(&self) -> String {
        format!("http://{}/token", self.tokens.port.address())
    }

    /// A token that the broker believes.
    pub fn token(&self) -> String {
        token(CLIENT)
    }

    fn address(&self, listener: usize) -> String {
        self.ports.get(listener).map(Port::address).unwrap_or_default()
    }
}

/// The broker that wants proof, for all tests of this process.
///
/// # Errors
/// It can't be had here, or does not start.
pub fn secured() -> Result<&'static Secured, Skipped> {
    static SHARED: OnceLock<Result<Secured, Skipped>> = OnceLock::new();
    SHARED.get_or_init(Secured::start).as_ref().map_err(Clone::clone)
}

fn settings(certificates: &Certificates, ports: &[Port; 4]) -> Settings {
    const LISTENERS: [(&str, &str); 4] =
        [("TLS", "SSL"), ("MUTUAL", "SSL"), ("SASL", "SASL_PLAINTEXT"), ("SASLTLS", "SASL_SSL")];
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let mut settings = Settings::default()
        .property("ssl.keystore.type", "PEM")
        .property("ssl.keystore.location", certificates.broker.display())
        .property("ssl.truststore.type", "PEM")
        .property("ssl.truststore.location", certificates.authority.display())
        .property("listener.name.mutual.ssl.client.auth", "required");
    for listener in ["sasl", "sasltls"] {
        let mut set = |name: &str, value: String| {
            settings = settings.clone().property(&format!("listener.name.{listener}.{name}"), value);
        };
        set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".into());
        set("plain.sasl.jaas.config", format!("{plain} required user_{USER}=\"{PASSWORD}\";"));
        set("scram-sha-256.sasl.jaas.config", format!("{scram} required;"));
        set("scram-sha-512.sasl.jaas.config", format!("{scram} required;"));
        set(
            "oauthbearer.sasl.jaas.config",
            format!("{oauth} required unsecuredLoginStringClaim_sub=\"broker\";"),
        );
    }
    settings.listeners = LISTENERS
        .into_iter()
        .zip(ports)
        .map(|((name, protocol), port)| Listener { name, protocol, port: port.clone() })
        .collect();
    settings.scram =
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|it| format!("{it}=[name={USER},password={PASSWORD}]")).into();
    settings
}

/// Certificates and keys of a test, as files in PEM.
#[derive(Debug)]
pub struct Certificates {
    /// The certificate of the authority that both sides trust.
    pub authority: PathBuf,
    /// The certificate of the client.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
    /// The broker's key and certificate.
    broker: PathBuf,
    _directory: TempDir,
}

impl Certificates {
    fn make() -> Result<Self, Box<dyn std::error::Error>> {
        let directory = crate::temp_dir()?;
        let file = |name: &str| directory.path().join(name);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority for a test");
        let key = KeyPair::generate()?;
        write(&file("authority.pem"), &[&params.self_signed(&key)?.pem()])?;
        let issuer = Issuer::new(params, key);
        let signed = |name: &str, hosts: &[&str]| {
            let mut params =
                CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &issuer)?;
            Ok::<_, rcgen::Error>((certificate.pem(), key.serialize_pem()))
        };
        let (certificate, key) = signed("broker", &["localhost", "127.0.0.1"])?;
        write(&file("broker.pem"), &[&key, &certificate])?;
        let (certificate, key) = signed(USER, &[])?;
        write(&file("client.pem"), &[&certificate])?;
        write(&file("client.key"), &[&key])?;
        Ok(Self {
            authority: file("authority.pem"),
            client: file("client.pem"),
            client_key: file("client.key"),
            broker: file("broker.pem"),
            _directory: directory,
        })
    }
}

fn write(path: &Path, texts: &[&str]) -> io::Result<()> {
    fs::write(path, texts.concat())
}

/// An end point that gives tokens.
struct Tokens {
    port: Port,
    server: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "tokens at {}", self.port.address())
    }
}

impl Tokens {
    fn start() -> Result<Self, Skipped> {
        let port = Port::free()?;
        let failed = |why: String| Skipped::failed(format!("the end point of tokens: {why}"));
        let server = tiny_http::Server::http(port.address()).map_err(|it| failed(it.to_string()))?;
        let server = Arc::new(server);
        let shared = Arc::clone(&server);
        let serve = move || shared.incoming_requests().for_each(|request| _ = answer(request));
        let thread = thread::Builder::new().name("tokens".into()).spawn(serve);
        let thread = thread.map_err(|it| failed(it.to_string()))?;
        Ok(Self { port, server, thread: Some(thread) })
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut request: tiny_http::Request) -> io::Result<()> {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body)?;
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    let said =
        request.headers().iter().any(|it| it.field.equiv("Authorization") && it.value.as_str() == basic);
    let has = |pair: String| body.split('&').any(|it| it == pair);
    let known = said || (has(format!("client_id={CLIENT}")) && has(format!("client_secret={SECRET}")));
    let (status, text) = if known && has("grant_type=client_credentials".into()) {
        let token = token(CLIENT);
        (200, format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{TOKEN_HOLDS}}}"#))
    } else {
        (401, r#"{"error":"invalid_client"}"#.into())
    };
    let json = tiny_http::Header::from_bytes("Content-Type", "application/json")
        .map_err(|()| io::ErrorKind::Other)?;
    request.respond(tiny_http::Response::from_string(text).with_status_code(status).with_header(json))
}

/// An unsigned token that says who one is.
#[expect(clippy::disallowed_methods, reason = "the broker compares with its clock")]
fn token(subject: &str) -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = format!(r#"{{"sub":"{subject}","iat":{now},"exp":{}}}"#, now + TOKEN_HOLDS);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
}
