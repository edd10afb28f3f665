//! Questions and answers, what is remembered of them, and what is done when none comes.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flott_connector::{Clock, StopSignal, SystemClock};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};
use ureq::Agent;

use crate::{
    options::{Base, Credentials, Settings},
    request::{self, Answer, Request},
    tls,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a whole request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);
/// After this time no further request is begun.
const ASK_MAX: Duration = Duration::from_secs(15);
/// How long a failure is the answer for whoever asks next; those who waited meanwhile get it anyway.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// Pauses between rounds of requests that no URL answered.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];
/// How long a schema counts as unknown before the registry is asked again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Schemas remembered as unknown at the most.
const UNKNOWN_MAX: usize = 10_000;

type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl Kind {
    /// As the registry calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Avro => "AVRO",
            Kind::Protobuf => "PROTOBUF",
            Kind::Json => "JSON",
        }
    }
    fn named(name: &str) -> Option<Self> {
        [Kind::Avro, Kind::Protobuf, Kind::Json].into_iter().find(|kind| kind.name() == name)
    }
}

/// A schema that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// What it is called there: an Avro name, or the path of a `.proto` file.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// In which version.
    pub version: u32,
}

/// A schema as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its language.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// What it needs.
    pub references: Vec<Reference>,
}

/// A schema to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewSchema {
    /// Its language.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// What it needs.
    pub references: Vec<Reference>,
}

/// Why there is no schema.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The registry has none of this name that can be used: the record that names it is bad.
    Unknown(String),
    /// The registry doesn't answer, or not as it should: no record's fault.
    Failed(Box<Diagnostic>),
}

impl From<Box<Diagnostic>> for Fault {
    fn from(error: Box<Diagnostic>) -> Self {
        Fault::Failed(error)
    }
}

/// What a schema is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Id(u32),
    /// Of a subject.
    Version(String, u32),
}

impl Key {
    fn path(&self) -> String {
        match self {
            Key::Id(id) => format!("/schemas/ids/{id}"),
            Key::Version(subject, version) => {
                format!("/subjects/{}/versions/{version}", path_segment(subject))
            }
        }
    }
    /// The errors by which the registry says that it doesn't have it.
    fn is_missing(&self, answer: &Answer) -> bool {
        let codes: &[u64] = match self {
            Key::Id(_) => &[NO_SCHEMA],
            Key::Version(..) => &[NO_SUBJECT, NO_VERSION, NO_SCHEMA],
        };
        let code = answer.body.get("error_code").and_then(Value::as_u64);
        answer.status == 404 && code.is_some_and(|code| codes.contains(&code))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Id(id) => write!(f, "schema {id}"),
            Key::Version(subject, version) => write!(f, "version {version} of subject '{subject}'"),
        }
    }
}

/// The registry's own numbers of errors.
const NO_SUBJECT: u64 = 40401;
const NO_VERSION: u64 = 40402;
const NO_SCHEMA: u64 = 40403;

/// What is known of a schema.
#[derive(Default)]
enum Known {
    #[default]
    Nothing,
    Schema(Arc<Registered>),
    /// The registry doesn't have it or has no use of it, since when, and what is wrong.
    Unknown(Duration, String),
}

type Slot = Arc<Mutex<Known>>;

/// A registry.
pub struct Registry {
    settings: Settings,
    agent: Agent,
    clock: SystemClock,
    /// Held while it is fetched: whoever needs the same waits for the one answer.
    schemas: Mutex<Map<Key, Slot>>,
    ids: Mutex<Map<(String, NewSchema), u32>>,
    /// When it could last not be reached, and why.
    failed: Mutex<Option<(Duration, Box<Diagnostic>)>>,
    /// Ends requests; none: the process's.
    stop: Option<StopSignal>,
    /// It was silent after the signal: nothing more is asked.
    is_given_up: AtomicBool,
}

/// What ends requests.
fn process_stop() -> &'static Mutex<StopSignal> {
    static STOP: OnceLock<Mutex<StopSignal>> = OnceLock::new();
    STOP.get_or_init(Mutex::default)
}

/// From now on this signal ends whatever is asked of registries, all of which the process's runs share.
pub fn end_with(stop: StopSignal) {
    *lock(process_stop()) = stop;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// The registry of these settings; the same one for all who ask with the same.
    ///
    /// # Errors
    /// Certificates that can't be read. Nothing is asked of the registry yet.
    pub fn shared(settings: &Settings) -> Result<Arc<Registry>> {
        static ALL: OnceLock<Mutex<Map<Settings, Arc<Registry>>>> = OnceLock::new();
        let mut all = lock(ALL.get_or_init(Mutex::default));
        if let Some(known) = all.get(settings) {
            return Ok(known.clone());
        }
        let new = Arc::new(Self::new(settings.clone())?);
        all.insert(settings.clone(), new.clone());
        Ok(new)
    }

    fn new(settings: Settings) -> Result<Self> {
        let agent = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .user_agent(concat!("flott/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls::config(&settings)?)
            .build()
            .into();
        let (schemas, ids, failed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let is_given_up = AtomicBool::new(false);
        Ok(Self { settings, agent, clock: SystemClock::new(), schemas, ids, failed, stop: None, is_given_up })
    }

    /// Its first URL, for messages.
    pub fn url(&self) -> &str {
        self.settings.bases.first().map_or("", |base| base.url.as_str())
    }

    /// The schema of this id. Blocks when it is asked for the first time.
    ///
    /// # Errors
    /// Why there is none.
    pub fn schema(&self, id: u32) -> Result<Arc<Registered>, Fault> {
        // The registry's ids are signed.
        if i32::try_from(id).is_err() {
            return Err(Fault::Unknown(self.unknown(&Key::Id(id))));
        }
        self.get(Key::Id(id))
    }

    /// The schema of a subject in a version. Blocks when it is asked for the first time.
    ///
    /// # Errors
    /// Why there is none.
    pub fn version(&self, subject: &str, version: u32) -> Result<Arc<Registered>, Fault> {
        self.get(Key::Version(subject.to_string(), version))
    }

    fn get(&self, key: Key) -> Result<Arc<Registered>, Fault> {
        let since = self.clock.monotonic();
        let slot = self.slot(&key);
        let mut known = lock(&slot);
        match &*known {
            Known::Schema(schema) => return Ok(schema.clone()),
            Known::Unknown(at, why) if self.clock.monotonic().saturating_sub(*at) < UNKNOWN_FOR => {
                return Err(Fault::Unknown(why.clone()));
            }
            _ => {}
        }
        let answer = self.ask(&key.path(), None, since, |answer| key.is_missing(answer))?;
        match self.registered(&key, &answer) {
            Ok(schema) => {
                let schema = Arc::new(schema);
                *known = Known::Schema(schema.clone());
                Ok(schema)
            }
            Err(fault) => {
                if let Fault::Unknown(why) = &fault {
                    *known = Known::Unknown(self.clock.monotonic(), why.clone());
                }
                Err(fault)
            }
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        let mut schemas = lock(&self.schemas);
        if schemas.len() >= UNKNOWN_MAX {
            schemas.retain(|_, slot| {
                slot.try_lock().map_or(true, |known| !matches!(*known, Known::Unknown(..)))
            });
        }
        schemas.entry(key.clone()).or_default().clone()
    }

    fn unknown(&self, key: &Key) -> String {
        format!("the schema registry {} has no {key}", self.url())
    }

    /// What an answer holds, or whose fault it is that it doesn't.
    fn registered(&self, key: &Key, answer: &Answer) -> Result<Registered, Fault> {
        let unfit = |why: &str| {
            Fault::Unknown(format!("the schema registry {} has no use of {key}: {why}", self.url()))
        };
        match answer.status {
            200..300 => {}
            404 => return Err(Fault::Unknown(self.unknown(key))),
            401 | 403 => {
                let error = self.failed(&answer.message());
                return Err(error.help("check user and password (or token) in the format's options").into());
            }
            400..500 => return Err(unfit(&answer.message())),
            _ => return Err(self.failed(&answer.message()).into()),
        }
        let kind = match answer.body.get("schemaType").and_then(Value::as_str) {
            Some(name) => Kind::named(name).ok_or_else(|| unfit(&format!("it is of the kind {name}")))?,
            None => Kind::Avro,
        };
        self.parse(kind, &answer.body).ok_or_else(|| {
            let error = self.failed("its answer is not a schema");
            error.help("check that the URL is that of a schema registry").into()
        })
    }

    fn parse(&self, kind: Kind, body: &Value) -> Option<Registered> {
        let text = body.get("schema")?.as_str()?.to_string();
        let references = match body.get("references").and_then(Value::as_array) {
            Some(all) => all.iter().map(reference).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Registered { kind, text, references })
    }

    /// The id of a schema in a subject: that of an equal one, or a new one. With `registers` false only the
    /// former. Blocks when it is asked for the first time.
    ///
    /// # Errors
    /// `OutputFailed`: the registry refuses it, say because it isn't compatible with what is there.
    pub fn register(&self, subject: &str, schema: &NewSchema, registers: bool) -> Result<u32> {
        let since = self.clock.monotonic();
        let key = (subject.to_string(), schema.clone());
        // Held while it is registered: other shards wait for the answer rather than ask too.
        let mut ids = lock(&self.ids);
        if let Some(id) = ids.get(&key) {
            return Ok(*id);
        }
        let mut body = json!({ "schema": schema.text });
        if schema.kind != Kind::Avro {
            body["schemaType"] = schema.kind.name().into();
        }
        if !schema.references.is_empty() {
            let one = |it: &Reference| json!({"name": it.name, "subject": it.subject, "version": it.version});
            body["references"] = schema.references.iter().map(one).collect();
        }
        let mut path = format!("/subjects/{}", path_segment(subject));
        if registers {
            path.push_str("/versions");
        }
        let answer = self.ask(&path, Some(&body), since, |_| false)?;
        let id = answer.body.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        match id {
            Some(id) if answer.is_good() => {
                ids.insert(key, id);
                Ok(id)
            }
            _ => Err(self.not_registered(subject, registers, &answer)),
        }
    }

    fn not_registered(&self, subject: &str, registers: bool, answer: &Answer) -> Box<Diagnostic> {
        let (url, why) = (self.url(), answer.message());
        if !registers && answer.status == 404 {
            let message =
                format!("the schema registry {url} does not have this sink's schema in subject '{subject}'");
            return Diagnostic::error(Code::OutputFailed, message)
                .help("register it, or leave 'auto.register.schemas' at 'true'");
        }
        let message = format!("the schema registry {url} refuses the schema of subject '{subject}': {why}");
        let error = Diagnostic::error(Code::OutputFailed, message);
        match answer.status {
            409 => error.help(
                "it isn't compatible with the subject's other schemas: change the columns, or the \
                 compatibility level of the subject",
            ),
            401 | 403 => error.help("check user and password (or token) in the format's options"),
            _ => error,
        }
    }

    fn failed(&self, why: &str) -> Box<Diagnostic> {
        let message = format!("the schema registry {} gives no schema: {why}", self.url());
        Diagnostic::error(Code::InputUnreadable, message)
    }

    /// Asks every URL in turn, and again after a pause, until one answers. That something isn't there counts once
    /// all say so twice: one that has just been registered may not have come to all of them yet. `since` is
    /// when the asker began to wait: a failure since then is its answer, too.
    fn ask(
        &self,
        path: &str,
        body: Option<&Value>,
        since: Duration,
        is_missing: impl Fn(&Answer) -> bool,
    ) -> Result<Answer> {
        let start = self.clock.monotonic();
        let stop = self.stop.clone().unwrap_or_else(|| lock(process_stop()).clone());
        if stop.is_stopped() && self.is_given_up.load(Ordering::Acquire) {
            return Err(self.interrupted());
        }
        if let Some((at, error)) = &*lock(&self.failed)
            && (*at >= since || start.saturating_sub(*at) < FAILED_FOR)
        {
            return Err(error.clone());
        }
        // Whether somebody has answered, and what.
        let (mut last, mut missing) = ((false, String::new()), None);
        'all: for (round, pause) in PAUSES.iter().map(Some).chain([None]).enumerate() {
            let mut say_so = 0;
            for base in &self.settings.bases {
                if self.clock.monotonic().saturating_sub(start) > ASK_MAX {
                    break 'all;
                }
                let Some(answer) = request::answer(self.request(base, path, body), &stop) else {
                    return Err(self.interrupted());
                };
                match answer {
                    Ok(answer) if is_missing(&answer) => {
                        missing = Some(answer);
                        say_so += 1;
                    }
                    Ok(answer) if is_final(&answer, body.is_some()) => return Ok(answer),
                    Ok(answer) => last = (true, answer.message()),
                    Err(why) => last = (false, why),
                }
            }
            if round > 0 && say_so == self.settings.bases.len() {
                break;
            }
            if let Some(pause) = pause.filter(|pause| stop.wait(**pause)) {
                if say_so == 0 || round > 0 {
                    return Err(self.interrupted());
                }
                // That it isn't there makes a record a bad one: that is asked once more all the same.
                StopSignal::new().wait(*pause);
            }
        }
        // Of several some may be gone for long; those that answer agree.
        if let Some(answer) = missing {
            return Ok(answer);
        }
        let (message, help) = match last {
            (true, answer) => (
                format!("the schema registry {} answers '{path}' with {answer}", self.url()),
                "check the path in the format's option 'url', and whether it is the registry that answers there",
            ),
            (false, why) => (
                format!("cannot reach the schema registry {}: {why}", self.url()),
                "check that it runs and that the format's option 'url' is right",
            ),
        };
        let code = if body.is_some() { Code::OutputFailed } else { Code::InputUnreadable };
        let error = Diagnostic::error(code, message).that_may_pass().help(help);
        *lock(&self.failed) = Some((self.clock.monotonic(), error.clone()));
        Err(error)
    }

    fn request(&self, base: &Base, path: &str, body: Option<&Value>) -> Request {
        Request {
            agent: self.agent.clone(),
            url: format!("{}{path}", base.url),
            authorization: match &base.credentials {
                Credentials::None => None,
                Credentials::Basic(user) => Some(format!("Basic {}", STANDARD.encode(user))),
                Credentials::Bearer(token) => Some(format!("Bearer {token}")),
            },
            body: body.map(Value::to_string),
        }
    }

    /// Nobody waits for the answer any more. It is no failure of the registry's that others should hear of.
    fn interrupted(&self) -> Box<Diagnostic> {
        self.is_given_up.store(true, Ordering::Release);
        let message = format!("stopped while the schema registry {} was asked", self.url());
        Diagnostic::error(Code::InputUnreadable, message).that_may_pass()
    }
}

/// Whether asking again would bring no other answer. That a path isn't there says a proxy, too, behind which
/// the registry will be again.
fn is_final(answer: &Answer, registers: bool) -> bool {
    match answer.status {
        408 | 429 => false,
        404 => registers,
        status => status < 500,
    }
}

fn reference(value: &Value) -> Option<Reference> {
    Some(Reference {
        name: value.get("name")?.as_str()?.to_string(),
        subject: value.get("subject")?.as_str()?.to_string(),
        version: u32::try_from(value.get("version")?.as_u64()?).ok()?,
    })
}

/// A name as a part of a path.
fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                out.push('%');
                out.push_str(&format!("{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
