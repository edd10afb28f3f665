//! A schema registry that speaks Confluent's API: Apicurio Registry, in memory.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Skipped,
    install::Package,
    java,
    ports::Port,
    process::{Server, Spec},
};

/// What a registry consists of: the newest that runs on Java 17.
pub(super) const PACKAGE: Package =
    Package { name: "apicurio-registry", version: "3.0.9", lock: include_str!("registry.lock") };

/// Where Confluent's API begins.
const API: &str = "/apis/ccompat/v7";

/// A schema registry.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    port: Port,
    // After the server: it is gone when its directory goes.
    _directory: TempDir,
}

impl Registry {
    /// A registry of one's own.
    ///
    /// # Errors
    /// It can't be had here, or does not start.
    pub fn start() -> Result<Self, Skipped> {
        let port = Port::free()?;
        let directory = tempfile::Builder::new().prefix("flott-registry-").tempdir();
        let directory = directory.map_err(|error| Skipped::failed(error.to_string()))?;
        let server = Server::start(spec_at(port.clone(), directory.path())?)?;
        Ok(Self { server, port, _directory: directory })
    }

    /// Its address for the option `avro-confluent.url`.
    pub fn url(&self) -> String {
        url(&self.port)
    }

    /// Registers a schema of that kind (`AVRO`, `PROTOBUF`, `JSON`); its id.
    ///
    /// # Errors
    /// The registry refuses.
    pub fn register(&self, subject: &str, kind: &str, schema: &str) -> io::Result<i32> {
        let body = serde_json::json!({"schemaType": kind, "schema": schema}).to_string();
        let said = ask(&self.port.address(), &format!("/subjects/{subject}/versions"), Some(&body))?;
        let id = said["id"].as_i64().and_then(|id| i32::try_from(id).ok());
        id.ok_or_else(|| io::Error::other(format!("no id: {said}")))
    }

    /// The schema with that id.
    ///
    /// # Errors
    /// There is none.
    pub fn schema(&self, id: i32) -> io::Result<String> {
        let said = ask(&self.port.address(), &format!("/schemas/ids/{id}"), None)?;
        said["schema"]
            .as_str()
            .map(str::to_string)
            .ok_or_else(|| io::Error::other(format!("no schema: {said}")))
    }

    /// The process, to stop, kill or start it again (it forgets what it knew).
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// The registry that all tests of this process share; subjects keep them apart.
///
/// # Errors
/// It can't be had here, or does not start.
pub fn registry() -> Result<&'static Registry, Skipped> {
    static SHARED: OnceLock<Result<Registry, Skipped>> = OnceLock::new();
    SHARED.get_or_init(Registry::start).as_ref().map_err(Clone::clone)
}

/// Its address.
pub(super) fn url(port: &Port) -> String {
    format!("http://{}{API}", port.address())
}

/// How a registry is started at that port.
pub(super) fn spec_at(port: Port, directory: &Path) -> Result<Spec, Skipped> {
    let jar = PACKAGE.install()?.join(format!("apicurio-registry-app-{}-runner.jar", PACKAGE.version));
    let arguments = [
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        "-Dquarkus.http.host=127.0.0.1",
        &format!("-Dquarkus.http.port={}", port.number()),
        "-Dquarkus.http.access-log.enabled=false",
        &format!("-Djava.io.tmpdir={}", directory.display()),
        "-jar",
        &jar.display().to_string(),
    ];
    Ok(Spec {
        name: "schema registry".into(),
        program: java::java()?,
        arguments: arguments.map(str::to_string).into(),
        directory: directory.into(),
        answers: Arc::new(move || match get(&port.address(), &format!("{API}/subjects")) {
            Ok(said) if said.starts_with("HTTP/1.1 200") => Ok(()),
            Ok(said) => Err(said.lines().next().unwrap_or_default().to_string()),
            Err(error) => Err(error.to_string()),
        }),
    })
}

/// What a server answers to a GET.
fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut said = vec![];
    stream.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// What the registry answers to a GET, or to a POST of that body.
fn ask(address: &str, path: &str, body: Option<&str>) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (method, body) = body.map_or(("GET", ""), |body| ("POST", body));
    // HTTP/1.0: the answer comes in one piece.
    let head = format!("{method} {API}{path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n");
    let kind = "Content-Type: application/vnd.schemaregistry.v1+json";
    write!(stream, "{head}{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut said = vec![];
    stream.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let refused = || io::Error::other(format!("{method} {path}: {said}"));
    let (status, content) = said.split_once("\r\n\r\n").ok_or_else(refused)?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(refused());
    }
    serde_json::from_str(content).map_err(|_| refused())
}
