//! A producer of librdkafka.
//!
//! ```text
//!   Outgoing ─ rd_kafka_produce_batch ─►            its queues ─► its threads ─► brokers
//!            ─ rd_kafka_produceva (headers, times) ─►               │
//!   Ledger ◄─ delivery ◄─ poll, on a thread of ours ◄───────────────┘
//! ```
//!
//! All unsafe code of the sink is here. What it rests on:
//! - A topic's handle is destroyed before its client: [`Librdkafka`] destroys them when it is dropped.
//! - A message carries the address of its ledger. The client's context keeps every ledger for as long as it
//!   lives, and reports of deliveries come from that client alone.
//! - Keys and values are copied while a call lasts (`RD_KAFKA_MSG_F_COPY`), headers too.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    ffi::{CString, c_char, c_int, c_void},
    ptr::null_mut,
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flott_connector::{Answers, Clock, Header, SystemClock, io};
use flott_types::{Code, Diagnostic, Result};
use rdkafka::{
    ClientContext, IntoOpaque, Message,
    bindings::{
        RD_KAFKA_MSG_F_COPY, rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_error_string,
        rd_kafka_header_add, rd_kafka_headers_destroy, rd_kafka_headers_new, rd_kafka_message_t,
        rd_kafka_produce_batch, rd_kafka_produceva, rd_kafka_resp_err_t, rd_kafka_topic_destroy,
        rd_kafka_topic_new, rd_kafka_topic_t, rd_kafka_vtype_t, rd_kafka_vu_s, rd_kafka_vu_s__bindgen_ty_1,
        rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1,
    },
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
    message::DeliveryResult,
    producer::{BaseProducer, PARTITION_UA, Producer as _, ProducerContext},
    types::RDKafkaErrorCode,
};

use super::{
    Committed, Failure, Kind, Ledger, LedgerId, NOW, Outgoing, Patience, Producer, Refusal, TopicId,
    tokens::pause,
};
use crate::{context::Context, options::client::ClientSettings, source::topic_ids};

/// Messages handed over in one call.
const BATCH: usize = 512;
/// How long the thread that takes deliveries waits for one.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Ledgers of such a producer aren't looked at.
const REPORTS_ONLY_FAILURES: &str = "delivery.report.only.error";
/// How long a call goes on before the stop signal is looked at.
const PIECE: Duration = Duration::from_millis(500);
/// And at the least: librdkafka's own thread must have taken notice of it.
const PIECE_LEAST: Duration = Duration::from_millis(50);
/// A long wait is made of pieces; each is twice as long as the one before, and the first twice as long as this.
const FIRST_PIECE: Duration = Duration::from_millis(250);
/// How often to look whether topics are still there.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long it waits for an answer then, or for brokers that were lost.
const LOOK_WAIT: Duration = Duration::from_millis(100);
/// On unless the user says otherwise.
const IDEMPOTENCE: &str = "enable.idempotence";
/// Characters or bytes of a key that a message about it shows.
const SHOWN_KEY: usize = 100;

/// What a producer and those that follow it have in common: ids stay what they are.
#[derive(Default)]
pub(crate) struct Shared {
    /// With the number of their partitions, once asked for.
    names: RwLock<Vec<(String, Arc<AtomicUsize>)>>,
    ledgers: RwLock<Vec<Arc<Ledger>>>,
}

/// What came of the requests to end a transaction.
///
/// librdkafka sends such a request again when the connection breaks before its answer comes, and the first one
/// may still arrive, when the next transaction is open: with the same producer id and epoch, so it would
/// commit that one in the middle. (Brokers tell them apart only with clients that raise the epoch with every
/// transaction, which librdkafka doesn't.) Each answer, and each lost one, is told with `debug=eos`, in their
/// order and before the commit returns; but the lines come through the queue that our thread polls, so the last
/// one, the good answer, may still be on its way then.
#[derive(Default)]
struct Ends {
    /// Good answers, and others.
    seen: Mutex<(u32, u32)>,
    told: Condvar,
}

/// How long the line of an answer that has come may be on its way.
const LINES_WAIT: Duration = Duration::from_millis(500);
/// What its lines are called.
const END_LINES: &str = "ENDTXN";
const END_IS_CLEAR: &str = "EndTxn returned NO_ERROR";

impl Ends {
    fn begin(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (0, 0);
    }
    fn tell(&self, line: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = if line.contains(END_IS_CLEAR) { &mut seen.0 } else { &mut seen.1 };
        *count = count.saturating_add(1);
        self.told.notify_all();
    }
    /// One answer, a good one. Should the lines ever be called something else, nothing is clear.
    fn committed(&self) -> Committed {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(seen, LINES_WAIT, |seen| seen.0 == 0);
        let seen = *waited.unwrap_or_else(PoisonError::into_inner).0;
        if seen == (1, 0) { Committed::Once } else { Committed::PerhapsAgain }
    }
}

/// What librdkafka tells a producer's owner.
pub(crate) struct Deliveries {
    client: Context,
    shared: Arc<Shared>,
    ends: Ends,
    failure: Mutex<Option<Box<Diagnostic>>>,
    failed: AtomicBool,
    /// The failure may be replaced by one that says more.
    for_now: AtomicBool,
    delivered: AtomicU64,
    /// Messages that are given up, and may have been written.
    unanswered: AtomicU64,
}

impl Deliveries {
    fn new(settings: &ClientSettings, shared: Arc<Shared>) -> Self {
        Self {
            client: Context::new(settings),
            shared,
            ends: Ends::default(),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            for_now: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        }
    }
    /// Keeps the first failure; later ones follow from it.
    fn fail(&self, error: Box<Diagnostic>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() || self.for_now.swap(false, Ordering::AcqRel) {
            *failure = Some(error);
        }
        self.failed.store(true, Ordering::Release);
    }
    /// Keeps a failure until a better one comes.
    fn fail_for_now(&self, error: Box<Diagnostic>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(error);
            self.for_now.store(true, Ordering::Release);
        }
        self.failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == END_LINES {
            self.ends.tell(message);
        }
        self.client.log(level, facility, message);
    }
    fn stats_raw(&self, _: &[u8]) {}
    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.client.generate_oauth_token(config)
    }
}

/// The address of a ledger on its way through librdkafka.
pub(crate) struct LedgerAddress(*const Ledger);

// SAFETY: the address of something that may be shared between threads.
unsafe impl Send for LedgerAddress {}
// SAFETY: as above.
unsafe impl Sync for LedgerAddress {}

impl IntoOpaque for LedgerAddress {
    fn into_ptr(self) -> *mut c_void {
        self.0.cast_mut().cast()
    }
    unsafe fn from_ptr(address: *mut c_void) -> Self {
        Self(address.cast_const().cast())
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = LedgerAddress;

    fn delivery(&self, result: &DeliveryResult<'_>, ledger: LedgerAddress) {
        if let Err((error, message)) = result {
            let failure = Failure::from(error.clone());
            let is_answer =
                matches!(failure.kind, Kind::TooLarge | Kind::Refused(_) | Kind::TopicMissing | Kind::Denied);
            let may_be_there = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::PurgeQueue) => false,
                Some(RDKafkaErrorCode::NotEnoughReplicasAfterAppend) => true,
                _ => !is_answer,
            };
            if may_be_there {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            let error = || undelivered(&failure, message.topic(), message.key(), message.payload_len());
            match failure.kind {
                Kind::GivenUp => {}
                // Which one it was comes with another report.
                Kind::Refused(Refusal::Neighbour) => self.fail_for_now(error()),
                _ => self.fail(error()),
            }
        } else {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: only `Librdkafka::produce` makes messages, with ledgers that `self.shared` keeps.
        if let Some(ledger) = unsafe { ledger.0.as_ref() } {
            ledger.remove(1);
        }
    }
}

fn undelivered(failure: &Failure, topic: &str, key: Option<&[u8]>, bytes: usize) -> Box<Diagnostic> {
    let error = failure.diagnose(&format!("write topic '{topic}'"));
    let what = match failure.kind {
        Kind::TooLarge => "the message",
        // Brokers take a batch as a whole or not at all.
        Kind::Refused(_) => "a message of the batch, not necessarily the one that is to blame,",
        _ => return error,
    };
    let key = key.map_or("none".to_string(), shown_key);
    error.help(format!("{what} has {bytes} bytes; its key: {key}"))
}

/// A key as a terminal can show it: text, or `0x` and its bytes.
fn shown_key(key: &[u8]) -> String {
    let text = std::str::from_utf8(key).ok().filter(|text| !text.chars().any(char::is_control));
    let (mut shown, all) = match text {
        Some(text) => (text.chars().take(SHOWN_KEY).collect(), text.chars().count()),
        None => {
            let hex = key.iter().take(SHOWN_KEY).map(|byte| format!("{byte:02x}"));
            (hex.fold("0x".to_string(), |all, byte| all + &byte), key.len())
        }
    };
    if all > SHOWN_KEY {
        shown.push('…');
    }
    if text.is_some() { format!("'{shown}'") } else { shown }
}

/// Brokers that are back say so only when they are asked, and a producer may have nothing to send.
fn look_for_brokers(producer: &BaseProducer<Deliveries>) {
    let context = producer.context();
    if context.client.trouble().is_none() {
        return;
    }
    let names = context.shared.names.read().unwrap_or_else(PoisonError::into_inner);
    let Some((name, _)) = names.first().cloned() else { return };
    drop(names);
    if producer.client().fetch_metadata(Some(&name), LOOK_WAIT).is_ok() {
        context.client.note_answer();
    }
}

/// Whether topics are still there. librdkafka keeps messages for one that was deleted until they time out.
struct Topics {
    clock: SystemClock,
    looked: Duration,
    /// Those that weren't there when it looked last: a broker that has just come up may not know all.
    missing: HashSet<String>,
}

impl Topics {
    fn new() -> Self {
        Self { clock: SystemClock::new(), looked: Duration::ZERO, missing: HashSet::new() }
    }
    /// Looks for those that are known by now, while messages wait.
    fn look(&mut self, producer: &BaseProducer<Deliveries>) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.looked) < LOOK_EVERY || producer.in_flight_count() == 0 {
            return;
        }
        self.looked = now;
        let context = producer.context();
        let names = context.shared.names.read().unwrap_or_else(PoisonError::into_inner);
        // Only those that were there.
        let known = names.iter().filter(|(_, partitions)| partitions.load(Ordering::Acquire) > 0);
        let known: Vec<String> = known.map(|(name, _)| name.clone()).collect();
        drop(names);
        let before = std::mem::take(&mut self.missing);
        for name in known {
            let Ok(metadata) = producer.client().fetch_metadata(Some(&name), LOOK_WAIT) else { return };
            let found = metadata.topics().iter().find(|it| it.name() == name);
            let code = found.and_then(|it| it.error()).map(RDKafkaErrorCode::from);
            if code != Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                continue;
            }
            if before.contains(&name) {
                let failure = Failure { kind: Kind::TopicMissing, text: "it was deleted".into() };
                context.fail(failure.diagnose(&format!("write topic '{name}'")));
            }
            self.missing.insert(name);
        }
    }
}

/// A topic's handle.
struct Topic {
    name: String,
    handle: *mut rd_kafka_topic_t,
    /// 0: not known.
    partitions: Arc<AtomicUsize>,
}

// SAFETY: librdkafka's handles may be used by every thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

/// How a producer was made, for the next one.
#[derive(Clone)]
struct Make {
    settings: ClientSettings,
    wanted: Vec<(&'static str, String)>,
    defaults: &'static [(&'static str, &'static str)],
    transactional: bool,
}

/// A producer of librdkafka.
pub(crate) struct Librdkafka {
    client: Arc<BaseProducer<Deliveries>>,
    topics: RwLock<HashMap<usize, Arc<Topic>>>,
    make: Make,
    stop: Arc<AtomicBool>,
    /// Takes deliveries.
    poll: Option<io::Thread>,
    /// How often it has looked for some.
    polls: Arc<AtomicU64>,
}

impl Librdkafka {
    /// A producer with these settings: `wanted` come before what the user has set, `defaults` behind it.
    ///
    /// # Errors
    /// `InvalidOption`: librdkafka doesn't take the settings.
    pub(crate) fn new(
        settings: &ClientSettings,
        wanted: &[(&'static str, String)],
        defaults: &'static [(&'static str, &'static str)],
    ) -> Result<Self> {
        let transactional = wanted.iter().any(|(name, _)| *name == "transactional.id");
        let make = Make { settings: settings.clone(), wanted: wanted.to_vec(), defaults, transactional };
        Self::made(make, Arc::default())
    }

    /// Another one with the same settings, for the same topics and ledgers.
    ///
    /// # Errors
    /// As [`Librdkafka::new`].
    pub(crate) fn successor(&self) -> Result<Self> {
        Self::made(self.make.clone(), self.client.context().shared.clone())
    }

    fn made(make: Make, shared: Arc<Shared>) -> Result<Self> {
        let mut config = make.settings.config();
        for (name, value) in make.defaults {
            if make.settings.get(name).is_none()
                // Then it is off, as in Kafka's own client.
                && !(*name == IDEMPOTENCE && make.settings.rules_out_idempotence().is_some())
            {
                config.set(*name, *value);
            }
        }
        for (name, value) in &make.wanted {
            config.set(*name, value);
        }
        if make.transactional {
            let more = make.settings.get("debug").map(|it| format!(",{it}")).unwrap_or_default();
            config.set("debug", format!("eos{more}")).set_log_level(RDKafkaLogLevel::Debug);
            // A report of each message costs as much as its encoding; the commit tells of all of them.
            config.set(REPORTS_ONLY_FAILURES, "true");
        }
        let client: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::new(&make.settings, shared)).map_err(|error| {
                let message = format!("kafka's client doesn't take its settings: {error}");
                Diagnostic::error(Code::InvalidOption, message)
            })?;
        let (client, stop) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        let polls = Arc::new(AtomicU64::new(0));
        let (polled, stopped, count) = (client.clone(), stop.clone(), polls.clone());
        let poll = io::spawn("kafka-deliveries", move || {
            let mut topics = Topics::new();
            while !stopped.load(Ordering::Acquire) {
                polled.poll(POLL_WAIT);
                count.fetch_add(1, Ordering::Release);
                look_for_brokers(&polled);
                topics.look(&polled);
            }
        })?;
        Ok(Self { client, topics: RwLock::default(), make, stop, poll: Some(poll), polls })
    }

    /// The handle of a topic, made when it is first used.
    fn handle(&self, id: TopicId) -> Result<Arc<Topic>> {
        if let Some(topic) = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(&id.0) {
            return Ok(topic.clone());
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&id.0) {
            return Ok(topic.clone());
        }
        let names = self.client.context().shared.names.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Diagnostic::error(Code::Internal, "a message without a topic");
        let (name, partitions) = names.get(id.0).ok_or_else(unknown)?.clone();
        let invalid =
            || Diagnostic::error(Code::TopicMissing, format!("'{name}' can't be the name of a topic"));
        let native = CString::new(name.as_str()).map_err(|_| invalid())?;
        // SAFETY: the client is alive, the name ends with a zero. No settings of its own: the client's.
        let handle =
            unsafe { rd_kafka_topic_new(self.client.client().native_ptr(), native.as_ptr(), null_mut()) };
        if handle.is_null() {
            return Err(invalid());
        }
        let topic = Arc::new(Topic { name, handle, partitions });
        topics.insert(id.0, topic.clone());
        Ok(topic)
    }

    /// The error of a message that wasn't taken.
    fn untaken(
        &self,
        code: RDKafkaErrorCode,
        topic: &str,
        messages: &Outgoing<'_>,
        at: usize,
    ) -> Box<Diagnostic> {
        let fatal = self.client.client().fatal_error();
        let failure = match fatal.filter(|_| code != RDKafkaErrorCode::MessageSizeTooLarge) {
            Some((code, text)) => Failure::of(code, text),
            None => Failure::of(code, code.to_string()),
        };
        if let Some(first) = self.failure() {
            return first;
        }
        let bytes = messages.value(at).map_or(0, <[u8]>::len);
        undelivered(&failure, topic, messages.keys.get(at), bytes)
    }

    /// Asks again and again, for so long: who isn't let in doesn't have to wait until the end.
    fn patiently<T>(
        &self,
        wait: Duration,
        ask: impl Fn(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Failure> {
        let (mut left, mut piece, context) = (wait, FIRST_PIECE, &self.client.context().client);
        context.brokers.forget_denial();
        loop {
            piece = left.min(piece * 2);
            left = left.saturating_sub(piece);
            let failure = match ask(piece) {
                Ok(answer) => {
                    context.brokers.let_us_in();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let again = matches!(&failure, KafkaError::Transaction(it) if it.is_retriable());
            let failure = context.explain(failure.into());
            if failure.kind == Kind::Denied {
                return Err(failure);
            }
            if !(again || failure.kind == Kind::Unreachable) || left.is_zero() {
                return Err(failure);
            }
        }
    }

    fn address(&self, ledger: LedgerId) -> *const Ledger {
        let ledgers = self.client.context().shared.ledgers.read().unwrap_or_else(PoisonError::into_inner);
        ledgers.get(ledger.0).map_or(std::ptr::null(), Arc::as_ptr)
    }

    fn count(&self, ledger: LedgerId, change: impl FnOnce(&Ledger)) {
        let ledgers = self.client.context().shared.ledgers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = ledgers.get(ledger.0) {
            change(ledger);
        }
    }

    /// Messages without headers or times of their own, into one topic. How many of them were taken.
    fn batch(&self, topic: &Topic, messages: &Outgoing<'_>, from: usize, ledger: LedgerId) -> Result<usize> {
        let address = self.address(ledger).cast_mut().cast::<c_void>();
        let until = messages.count.min(from + BATCH);
        let mut native: Vec<rd_kafka_message_t> = (from..until)
            .map(|at| {
                let (payload, len) = raw(messages.value(at));
                let (key, key_len) = raw(messages.keys.get(at));
                rd_kafka_message_t {
                    err: rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                    rkt: null_mut(),
                    partition: PARTITION_UA,
                    payload,
                    len,
                    key,
                    key_len,
                    offset: 0,
                    _private: address,
                }
            })
            .collect();
        self.count(ledger, |it| it.add(native.len()));
        let count = c_int::try_from(native.len()).unwrap_or(0);
        let partition = partition(topic, messages);
        // SAFETY: the handle is alive; keys and values outlive the call, which copies them; the ledger
        // outlives the client.
        let taken = unsafe {
            let flags = c_int::try_from(RD_KAFKA_MSG_F_COPY).unwrap_or(0);
            rd_kafka_produce_batch(topic.handle, partition, flags, native.as_mut_ptr(), count)
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        self.count(ledger, |it| it.remove(native.len() - taken.min(native.len())));
        // Those that weren't taken are the last ones if the buffer is full; any other error ends the run.
        let ok = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let full = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL;
        if taken < native.len()
            && let Some((at, it)) = (from..).zip(&native).find(|(_, it)| it.err != ok && it.err != full)
        {
            return Err(self.untaken(RDKafkaErrorCode::from(it.err), &topic.name, messages, at));
        }
        Ok(taken)
    }

    /// One message. Whether it was taken.
    fn single(&self, topic: &Topic, messages: &Outgoing<'_>, at: usize, ledger: LedgerId) -> Result<bool> {
        use rd_kafka_vtype_t as Tag;
        let bytes = |(ptr, size)| rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let headers = match messages.headers.get(at).map(Vec::as_slice) {
            None | Some([]) => null_mut(),
            Some(headers) => native_headers(headers),
        };
        let flags = c_int::try_from(RD_KAFKA_MSG_F_COPY).unwrap_or(0);
        let address = self.address(ledger).cast_mut().cast::<c_void>();
        let mut fields = vec![
            (Tag::RD_KAFKA_VTYPE_RKT, rd_kafka_vu_s__bindgen_ty_1 { rkt: topic.handle }),
            (Tag::RD_KAFKA_VTYPE_PARTITION, rd_kafka_vu_s__bindgen_ty_1 { i32_: partition(topic, messages) }),
            (Tag::RD_KAFKA_VTYPE_MSGFLAGS, rd_kafka_vu_s__bindgen_ty_1 { i: flags }),
            (Tag::RD_KAFKA_VTYPE_VALUE, bytes(raw(messages.value(at)))),
            (Tag::RD_KAFKA_VTYPE_KEY, bytes(raw(messages.keys.get(at)))),
            (Tag::RD_KAFKA_VTYPE_OPAQUE, rd_kafka_vu_s__bindgen_ty_1 { ptr: address }),
        ];
        if let Some(&timestamp) = messages.timestamps.get(at).filter(|it| **it != NOW) {
            fields.push((Tag::RD_KAFKA_VTYPE_TIMESTAMP, rd_kafka_vu_s__bindgen_ty_1 { i64_: timestamp }));
        }
        if !headers.is_null() {
            fields.push((Tag::RD_KAFKA_VTYPE_HEADERS, rd_kafka_vu_s__bindgen_ty_1 { headers }));
        }
        let fields: Vec<rd_kafka_vu_s> =
            fields.into_iter().map(|(vtype, u)| rd_kafka_vu_s { vtype, u }).collect();
        self.count(ledger, |it| it.add(1));
        // SAFETY: every field has the member of the union that its tag names; the rest as in `batch`. Headers
        // are librdkafka's if the message is taken, and still ours if it isn't.
        let code = unsafe {
            let error = rd_kafka_produceva(self.client.client().native_ptr(), fields.as_ptr(), fields.len());
            if error.is_null() {
                return Ok(true);
            }
            if !headers.is_null() {
                rd_kafka_headers_destroy(headers);
            }
            let code = RDKafkaErrorCode::from(rd_kafka_error_code(error));
            tracing::debug!("not taken: {:?}", std::ffi::CStr::from_ptr(rd_kafka_error_string(error)));
            rd_kafka_error_destroy(error);
            code
        };
        self.count(ledger, |it| it.remove(1));
        match code {
            RDKafkaErrorCode::QueueFull => Ok(false),
            code => Err(self.untaken(code, &topic.name, messages, at)),
        }
    }
}

/// Address and length; null for none.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}

fn partition(topic: &Topic, messages: &Outgoing<'_>) -> i32 {
    let number =
        messages.fixed.and_then(|number| number.checked_rem(topic.partitions.load(Ordering::Acquire)));
    number.and_then(|it| i32::try_from(it).ok()).unwrap_or(PARTITION_UA)
}

/// Headers of librdkafka, with copies of these.
fn native_headers(headers: &[Header]) -> *mut rdkafka::bindings::rd_kafka_headers_t {
    // SAFETY: names and values outlive the calls, which copy them.
    unsafe {
        let native = rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (value, length) = raw(value.as_deref());
            let name_length = isize::try_from(name.len()).unwrap_or(0);
            let length = isize::try_from(length).unwrap_or(0);
            rd_kafka_header_add(native, name.as_ptr().cast::<c_char>(), name_length, value, length);
        }
        native
    }
}

impl Producer for Librdkafka {
    fn ledger(&self) -> LedgerId {
        let mut ledgers =
            self.client.context().shared.ledgers.write().unwrap_or_else(PoisonError::into_inner);
        ledgers.push(Arc::default());
        LedgerId(ledgers.len() - 1)
    }
    fn is_settled(&self, ledger: LedgerId) -> bool {
        if self.make.transactional {
            // Nobody writes what comes after the transaction before it is committed: nothing else is under way.
            return self.client.in_flight_count() == 0;
        }
        let mut settled = true;
        self.count(ledger, |it| settled = it.is_settled());
        settled
    }
    fn topic(&self, name: &str) -> Result<TopicId> {
        let mut names = self.client.context().shared.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = names.iter().position(|(it, _)| it == name) {
            return Ok(TopicId(at));
        }
        names.push((name.to_string(), Arc::default()));
        Ok(TopicId(names.len() - 1))
    }
    fn lacks(&self, topic: TopicId, wait: Duration) -> bool {
        let names = self.client.context().shared.names.read().unwrap_or_else(PoisonError::into_inner);
        let Some((name, partitions)) = names.get(topic.0).cloned() else { return false };
        drop(names);
        partitions.load(Ordering::Acquire) == 0
            && topic_ids::ask_with(self.client.client(), [name.as_str()], wait).missing.contains(&name)
    }
    fn partitions(&self, topic: TopicId, wait: Duration) -> Result<usize, Failure> {
        let topic = self.handle(topic).map_err(|error| Failure { kind: Kind::Other, text: error.message })?;
        let name = topic.name.clone();
        let metadata = self.patiently(wait, |wait| self.client.client().fetch_metadata(Some(&name), wait))?;
        let found = metadata.topics().iter().find(|it| it.name() == name);
        if let Some(error) = found.and_then(|it| it.error()) {
            let code = RDKafkaErrorCode::from(error);
            return Err(Failure::of(code, code.to_string()));
        }
        let partitions = found.map_or(0, |it| it.partitions().len());
        if partitions == 0 {
            return Err(Failure { kind: Kind::TopicMissing, text: "it has no partitions".into() });
        }
        topic.partitions.store(partitions, Ordering::Release);
        Ok(partitions)
    }
    fn produce(&self, messages: &Outgoing<'_>, from: usize, ledger: LedgerId) -> Result<usize> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let topic = |at: usize| {
            let id = messages.topics.get(if messages.topics.len() == 1 { 0 } else { at });
            let unknown = || Diagnostic::error(Code::Internal, "a message without a topic");
            self.handle(*id.ok_or_else(unknown)?)
        };
        let alike =
            messages.topics.len() == 1 && messages.headers.is_empty() && messages.timestamps.is_empty();
        let mut at = from;
        while at < messages.count {
            let taken = if alike {
                self.batch(&*topic(at)?, messages, at, ledger)?
            } else {
                usize::from(self.single(&*topic(at)?, messages, at, ledger)?)
            };
            at += taken;
            if taken == 0 || (alike && taken < BATCH) {
                break;
            }
        }
        Ok(at)
    }
    fn failure(&self) -> Option<Box<Diagnostic>> {
        let context = self.client.context();
        if !context.failed.load(Ordering::Acquire) {
            return None;
        }
        context.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn answers(&self) -> Answers {
        let context = self.client.context();
        let under_way = u64::try_from(self.client.in_flight_count()).unwrap_or(0);
        Answers {
            delivered: context.delivered.load(Ordering::Relaxed),
            open: under_way + context.unanswered.load(Ordering::Relaxed),
        }
    }
    fn trouble(&self) -> Option<String> {
        self.client.context().client.trouble()
    }
    fn init_transactions(&self, patience: &Patience) -> Result<(), Failure> {
        in_pieces(
            patience,
            |wait| self.client.init_transactions(wait),
            |error| matches!(error, KafkaError::Transaction(it) if it.is_retriable()),
        )
    }
    fn begin(&self) -> Result<(), Failure> {
        self.client.begin_transaction().map_err(Failure::from)
    }
    fn commit(&self, patience: &Patience) -> Result<Committed, Failure> {
        let ends = &self.client.context().ends;
        ends.begin();
        // Each piece begins with a flush, which takes lines off the queue beside our own thread: what that one has
        // in its hands may come before the last line, and be counted after it.
        let resumed = Cell::new(false);
        in_pieces(
            patience,
            |wait| self.client.commit_transaction(wait),
            |error| match error {
                KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
                KafkaError::Transaction(it) => {
                    resumed.set(true);
                    it.is_retriable() && it.code() == RDKafkaErrorCode::OperationTimedOut
                }
                _ => false,
            },
        )?;
        let is_counted = !resumed.get() || self.has_polled();
        Ok(if is_counted { ends.committed() } else { Committed::PerhapsAgain })
    }
    fn abort(&self, wait: Duration) -> Result<(), Failure> {
        self.client.abort_transaction(wait).map_err(Failure::from)
    }
}

impl Librdkafka {
    /// Waits until our thread has dealt with all that it has taken off the queue so far.
    fn has_polled(&self) -> bool {
        let (clock, before) = (SystemClock::new(), self.polls.load(Ordering::Acquire));
        while self.polls.load(Ordering::Acquire) == before {
            if clock.monotonic() > LINES_WAIT {
                return false;
            }
            pause();
        }
        true
    }
}

/// A call of librdkafka that goes on in the background when its time is over, and is taken up by the next one: it is
/// made piece by piece, so that a stop is heard of meanwhile.
fn in_pieces(
    patience: &Patience,
    call: impl Fn(Duration) -> KafkaResult<()>,
    goes_on: impl Fn(&KafkaError) -> bool,
) -> Result<(), Failure> {
    let mut wait = patience.begin();
    loop {
        let piece = wait.left().clamp(PIECE_LEAST, PIECE);
        match call(piece) {
            Err(error) if goes_on(&error) && !wait.is_over() => pause(),
            answer => return answer.map_err(Failure::from),
        }
    }
}

impl Drop for Librdkafka {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.poll.take());
        for (_, topic) in self.topics.get_mut().unwrap_or_else(PoisonError::into_inner).drain() {
            // SAFETY: made by `rd_kafka_topic_new`, destroyed once, before the client.
            unsafe { rd_kafka_topic_destroy(topic.handle) };
        }
    }
}

/// Producers of one transactional id, one after the other. Nothing must be under way when one follows.
pub(crate) struct Succession {
    current: RwLock<Arc<Librdkafka>>,
}

impl Succession {
    pub(crate) fn new(first: Librdkafka) -> Self {
        Self { current: RwLock::new(Arc::new(first)) }
    }
    fn current(&self) -> Arc<Librdkafka> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Another producer in place of the current one, whose requests nobody heeds any more.
    ///
    /// # Errors
    /// It can't be had in time.
    pub(crate) fn renew(&self, patience: &Patience) -> Result<Result<(), Failure>> {
        let next = self.current().successor()?;
        let began = next.init_transactions(patience);
        if began.is_ok() {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        Ok(began)
    }
}

impl Producer for Succession {
    fn ledger(&self) -> LedgerId {
        self.current().ledger()
    }
    fn is_settled(&self, ledger: LedgerId) -> bool {
        self.current().is_settled(ledger)
    }
    fn topic(&self, name: &str) -> Result<TopicId> {
        self.current().topic(name)
    }
    fn lacks(&self, topic: TopicId, wait: Duration) -> bool {
        self.current().lacks(topic, wait)
    }
    fn partitions(&self, topic: TopicId, wait: Duration) -> Result<usize, Failure> {
        self.current().partitions(topic, wait)
    }
    fn produce(&self, messages: &Outgoing<'_>, from: usize, ledger: LedgerId) -> Result<usize> {
        self.current().produce(messages, from, ledger)
    }
    fn failure(&self) -> Option<Box<Diagnostic>> {
        self.current().failure()
    }
    fn answers(&self) -> Answers {
        self.current().answers()
    }
    fn trouble(&self) -> Option<String> {
        self.current().trouble()
    }
    fn init_transactions(&self, patience: &Patience) -> Result<(), Failure> {
        self.current().init_transactions(patience)
    }
    fn begin(&self) -> Result<(), Failure> {
        self.current().begin()
    }
    fn commit(&self, patience: &Patience) -> Result<Committed, Failure> {
        self.current().commit(patience)
    }
    fn abort(&self, wait: Duration) -> Result<(), Failure> {
        self.current().abort(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_text_or_as_bytes() {
        assert_eq!(shown_key("größe 7".as_bytes()), "'größe 7'");
        assert_eq!(shown_key(&30_i64.to_be_bytes()), "0x000000000000001e");
        assert_eq!(shown_key(b"\xff\x1b[2J"), "0xff1b5b324a");
        assert_eq!(shown_key("ä".repeat(101).as_bytes()), format!("'{}…'", "ä".repeat(100)));
    }
}
