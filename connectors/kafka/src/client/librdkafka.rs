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
    ffi::{CString, c_char, c_int, c_void},
    ptr::null_mut,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flott_connector::{Header, io};
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
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, PARTITION_UA, Producer as _, ProducerContext},
    types::RDKafkaErrorCode,
};

use super::{Failure, Kind, Ledger, LedgerId, Outgoing, Producer, TopicId};
use crate::{context::Context, options::client::ClientSettings};

/// Messages handed over in one call.
const BATCH: usize = 512;
/// How long the thread that takes deliveries waits for one.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Bytes of a key that a message about it shows.
const SHOWN_KEY: usize = 100;

/// What librdkafka tells a producer's owner.
pub(crate) struct Deliveries {
    client: Context,
    ledgers: RwLock<Vec<Arc<Ledger>>>,
    failure: Mutex<Option<Box<Diagnostic>>>,
    failed: AtomicBool,
}

impl Deliveries {
    fn new(settings: &ClientSettings) -> Self {
        Self {
            client: Context::new(settings),
            ledgers: RwLock::default(),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }
    /// Keeps the first failure; later ones follow from it.
    fn fail(&self, error: Box<Diagnostic>) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
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
            if failure.kind != Kind::GivenUp {
                self.fail(undelivered(&failure, message.topic(), message.key(), message.payload_len()));
            }
        }
        // SAFETY: only `Librdkafka::produce` makes messages, with ledgers that `self.ledgers` keeps.
        if let Some(ledger) = unsafe { ledger.0.as_ref() } {
            ledger.remove(1);
        }
    }
}

fn undelivered(failure: &Failure, topic: &str, key: Option<&[u8]>, bytes: usize) -> Box<Diagnostic> {
    let error = failure.diagnose(&format!("write topic '{topic}'"));
    if !matches!(failure.kind, Kind::TooLarge | Kind::Refused) {
        return error;
    }
    let key = key.map_or("none".to_string(), |key| {
        format!("'{}'", String::from_utf8_lossy(key.get(..SHOWN_KEY).unwrap_or(key)))
    });
    error.help(format!("the message has {bytes} bytes; its key: {key}"))
}

/// A topic's handle.
struct Topic {
    name: String,
    handle: *mut rd_kafka_topic_t,
    /// Once asked for.
    partitions: usize,
}

// SAFETY: librdkafka's handles may be used by every thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

/// A producer of librdkafka.
pub(crate) struct Librdkafka {
    client: Arc<BaseProducer<Deliveries>>,
    topics: RwLock<Vec<Topic>>,
    stop: Arc<AtomicBool>,
    /// Takes deliveries.
    poll: Option<io::Thread>,
}

impl Librdkafka {
    /// A producer with these settings: `wanted` come before what the user has set, `defaults` behind it.
    ///
    /// # Errors
    /// `InvalidOption`: librdkafka doesn't take the settings.
    pub(crate) fn new(
        settings: &ClientSettings,
        wanted: &[(&str, String)],
        defaults: &[(&str, &str)],
    ) -> Result<Self> {
        let mut config = settings.config();
        for (name, value) in defaults {
            if settings.get(name).is_none() {
                config.set(*name, *value);
            }
        }
        for (name, value) in wanted {
            config.set(*name, value);
        }
        let client: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::new(settings)).map_err(|error| {
                Diagnostic::error(
                    Code::InvalidOption,
                    format!("kafka's client doesn't take its settings: {error}"),
                )
            })?;
        let (client, stop) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        let (polled, stopped) = (client.clone(), stop.clone());
        let poll = io::spawn("kafka-deliveries", move || {
            while !stopped.load(Ordering::Acquire) {
                polled.poll(POLL_WAIT);
            }
        })?;
        Ok(Self { client, topics: RwLock::default(), stop, poll: Some(poll) })
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

    fn address(&self, ledger: LedgerId) -> *const Ledger {
        let ledgers = self.client.context().ledgers.read().unwrap_or_else(PoisonError::into_inner);
        ledgers.get(ledger.0).map_or(std::ptr::null(), Arc::as_ptr)
    }

    fn count(&self, ledger: LedgerId, change: impl FnOnce(&Ledger)) {
        let ledgers = self.client.context().ledgers.read().unwrap_or_else(PoisonError::into_inner);
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
        if let Some(&timestamp) = messages.timestamps.get(at).filter(|it| **it != 0) {
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
    let number = messages.fixed.and_then(|number| number.checked_rem(topic.partitions));
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
        let mut ledgers = self.client.context().ledgers.write().unwrap_or_else(PoisonError::into_inner);
        ledgers.push(Arc::default());
        LedgerId(ledgers.len() - 1)
    }
    fn is_settled(&self, ledger: LedgerId) -> bool {
        let mut settled = true;
        self.count(ledger, |it| settled = it.is_settled());
        settled
    }
    fn topic(&self, name: &str) -> Result<TopicId> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = topics.iter().position(|it| it.name == name) {
            return Ok(TopicId(at));
        }
        let invalid =
            || Diagnostic::error(Code::TopicMissing, format!("'{name}' can't be the name of a topic"));
        let native = CString::new(name).map_err(|_| invalid())?;
        // SAFETY: the client is alive, the name ends with a zero. No settings of its own: the client's.
        let handle =
            unsafe { rd_kafka_topic_new(self.client.client().native_ptr(), native.as_ptr(), null_mut()) };
        if handle.is_null() {
            return Err(invalid());
        }
        topics.push(Topic { name: name.to_string(), handle, partitions: 0 });
        Ok(TopicId(topics.len() - 1))
    }
    fn partitions(&self, topic: TopicId, wait: Duration) -> Result<usize, Failure> {
        let name = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.get(topic.0).map(|it| it.name.clone()).unwrap_or_default()
        };
        let metadata = self.client.client().fetch_metadata(Some(&name), wait).map_err(Failure::from)?;
        let found = metadata.topics().iter().find(|it| it.name() == name);
        if let Some(error) = found.and_then(|it| it.error()) {
            let code = RDKafkaErrorCode::from(error);
            return Err(Failure::of(code, code.to_string()));
        }
        let partitions = found.map_or(0, |it| it.partitions().len());
        if partitions == 0 {
            return Err(Failure { kind: Kind::TopicMissing, text: "it has no partitions".into() });
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.get_mut(topic.0).into_iter().for_each(|it| it.partitions = partitions);
        Ok(partitions)
    }
    fn produce(&self, messages: &Outgoing<'_>, from: usize, ledger: LedgerId) -> Result<usize> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let topic = |at: usize| {
            let id = messages.topics.get(if messages.topics.len() == 1 { 0 } else { at });
            let unknown = || Diagnostic::error(Code::Internal, "a message without a topic");
            id.and_then(|id| topics.get(id.0)).ok_or_else(unknown)
        };
        let alike =
            messages.topics.len() == 1 && messages.headers.is_empty() && messages.timestamps.is_empty();
        let mut at = from;
        while at < messages.count {
            let taken = if alike {
                self.batch(topic(at)?, messages, at, ledger)?
            } else {
                usize::from(self.single(topic(at)?, messages, at, ledger)?)
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
    fn init_transactions(&self, wait: Duration) -> Result<(), Failure> {
        self.client.init_transactions(wait).map_err(Failure::from)
    }
    fn begin(&self) -> Result<(), Failure> {
        self.client.begin_transaction().map_err(Failure::from)
    }
    fn commit(&self, wait: Duration) -> Result<(), Failure> {
        self.client.commit_transaction(wait).map_err(Failure::from)
    }
    fn abort(&self, wait: Duration) -> Result<(), Failure> {
        self.client.abort_transaction(wait).map_err(Failure::from)
    }
}

impl Drop for Librdkafka {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.poll.take());
        for topic in self.topics.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // SAFETY: made by `rd_kafka_topic_new`, destroyed once, before the client.
            unsafe { rd_kafka_topic_destroy(topic.handle) };
        }
    }
}
