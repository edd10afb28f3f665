//! What librdkafka tells and asks beside messages: logs, lost brokers, tokens, answers to commits.

use std::{
    error::Error,
    ffi::{CString, c_char},
    ptr::null_mut,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use flott_connector::{Clock, SystemClock};
use rdkafka::{
    ClientContext, TopicPartitionList,
    bindings::{rd_kafka_oauthbearer_set_token, rd_kafka_resp_err_t},
    client::{Client, OAuthToken},
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use crate::{
    client::{Failure, Kind},
    oauth::{NoToken, TokenSource},
    options::client::ClientSettings,
};

/// What a client's brokers are like, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    /// No broker can be reached.
    down: AtomicBool,
    /// Why not, or what else is wrong.
    trouble: Mutex<Option<String>>,
    /// Who we are wasn't believed, in a broker's words or a token endpoint's.
    denied: Mutex<Option<String>>,
    /// Brokers have let us in before.
    let_in: AtomicBool,
}

impl Brokers {
    /// A broker has answered. True: there were none before.
    pub(crate) fn are_back(&self) -> bool {
        self.let_us_in();
        self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed)
    }
    /// What is wrong, while no broker can be reached.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = || self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.down.load(Ordering::Relaxed).then(|| trouble().unwrap_or_else(|| "no answer".into()))
    }
    /// The last thing that went wrong.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// True: there were brokers before.
    fn are_lost(&self) -> bool {
        !self.down.swap(true, Ordering::Relaxed)
    }
    /// A question was answered.
    pub(crate) fn let_us_in(&self) {
        self.let_in.store(true, Ordering::Relaxed);
        self.forget_denial();
    }
    /// Who was let in before is asking again: what went wrong in between may have passed.
    pub(crate) fn forget_denial(&self) {
        if self.let_in.load(Ordering::Relaxed) {
            *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
    fn deny(&self, reason: &str) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }
    fn say(&self, reason: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }
}

/// Of one client.
#[derive(Clone)]
pub(crate) struct Context {
    oauth: Option<TokenSource>,
    clock: Arc<dyn Clock>,
    servers: String,
    /// What its brokers are like.
    pub brokers: Arc<Brokers>,
}

impl Context {
    pub(crate) fn new(settings: &ClientSettings) -> Self {
        Self {
            oauth: settings.oauth.clone(),
            clock: Arc::new(SystemClock::new()),
            servers: settings.servers.clone(),
            brokers: Arc::default(),
        }
    }

    /// What is wrong, while no broker can be reached: half a sentence.
    pub(crate) fn trouble(&self) -> Option<String> {
        let why = self.brokers.trouble()?;
        Some(format!("no Kafka broker of '{}' can be reached ({why})", self.servers))
    }

    /// So many questions have had no answer, though no connection broke.
    pub(crate) fn note_silence(&self, questions: u32) {
        if self.brokers.trouble().is_none() {
            self.brokers.say(&format!("no answer to the last {questions} questions"));
            self.lose();
        }
    }

    fn lose(&self) {
        if self.brokers.are_lost() {
            let last = self.brokers.last_trouble();
            let why = last.map(|it| format!(": {it}")).unwrap_or_default();
            tracing::warn!("no Kafka broker of '{}' can be reached, waiting for one{why}", self.servers);
        }
    }

    /// That the brokers don't let us in. Without an answer there is nothing to wait for then.
    pub(crate) fn denied(&self) -> Option<Failure> {
        let why = self.brokers.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Failure { kind: Kind::Denied, text: why })
    }

    /// A failure with what is known of its cause: that we aren't let in, or why no broker can be reached.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        if let Some(denied) = self.denied() {
            return denied;
        }
        match self.brokers.last_trouble().filter(|_| failure.kind == Kind::Unreachable) {
            Some(why) => Failure { text: format!("{why}; {}", failure.text), ..failure },
            None => failure,
        }
    }

    /// A broker has answered: if there was none before, that is worth a line, and so is losing them again.
    pub(crate) fn note_answer(&self) {
        if self.brokers.are_back() {
            tracing::info!("Kafka at '{}' answers again", self.servers);
        }
    }
}

/// How librdkafka passes on what our own token source has said.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

/// Whether a broker doesn't believe who we are, or we don't believe who it is.
fn is_denial(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(code, Kafka::Authentication | Kafka::SaslAuthenticationFailed | Kafka::SSL)
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error, too: a broker that is away would fill the log.
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::trace!("librdkafka: {facility} {message}");
            }
            _ => tracing::debug!("librdkafka: {facility} {message}"),
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.lose();
        } else {
            self.brokers.say(reason);
            // Of a token that can't be had just now the endpoint's own answer says whether it was a refusal.
            if code.is_some_and(is_denial) && !reason.contains(NO_TOKEN) {
                self.brokers.deny(reason);
            }
            tracing::debug!("Kafka: {reason}");
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let source = self.oauth.as_ref().ok_or("no token endpoint is set")?;
        source.token(&self.clock).map_err(|NoToken { why, refused }| {
            self.brokers.say(&why);
            if refused {
                self.brokers.deny(&why);
            }
            tracing::warn!("no OAUTHBEARER token for '{}': {why}", self.servers);
            why.into()
        })
    }
}

/// Gives a client its first token of OAUTHBEARER, if it needs one.
///
/// librdkafka asks for tokens through its main queue, which an administration client never looks into, and a
/// consumer only when it is polled: until then such a client doesn't connect. (Its thread in the background
/// can't be asked to see to it: it calls a function that rdkafka, which goes by events, doesn't set.)
///
/// Without a token it is left as it is: why there is none has been told, and a client that is polled asks again.
pub(crate) fn give_token(client: &Client<Context>) {
    if client.context().oauth.is_none() {
        return;
    }
    let Ok(OAuthToken { token, principal_name, lifetime_ms }) = client.context().generate_oauth_token(None)
    else {
        return;
    };
    let (Ok(token), Ok(principal)) = (CString::new(token), CString::new(principal_name)) else { return };
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: the client is alive; both texts end with a zero and outlive the call, which copies them; there
    // are no extensions; `why` is as long as is said.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            lifetime_ms,
            principal.as_ptr(),
            null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        let code = RDKafkaErrorCode::from(code);
        tracing::warn!("the OAUTHBEARER token for '{}' isn't taken: {code}", client.context().servers);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(
                "offsets weren't committed to Kafka ({error}); the job's own checkpoint isn't concerned"
            );
        }
    }
}
