//! The job's one producer with a transactional id, and its tokens.
//!
//! ```text
//!   fence    new producer ─ init_transactions ─► token read (none: 0 is written) ─► begin
//!   epoch n  rows of all writers ─► token n ─ commit ─► begin ─► rows behind the epoch may come
//!                                              └ uncertain, fenced: the producer is given up
//! ```
//!
//! Invariants: those of [`flott_connector::Decider`]; and
//! - A producer whose commit wasn't answered is never used again: what it committed late would be half an
//!   epoch. So is one whose commit succeeded after it had been asked for again: see
//!   [`crate::client::Committed`]. Another one takes its place, which keeps out what is still on its way.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flott_connector::{Decider, DeciderRequest, LastCommit, Outcome, TableDescription};
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use super::{
    bundle,
    gate::Gate,
    settings::{GUARANTEE, ID_PREFIX, SinkSettings, token_topic, transaction},
};
use crate::{
    client::{
        Committed, Failure, Kind, LedgerId, Patience, Producer, TopicId,
        librdkafka::{Librdkafka, Succession},
        patience::MOST,
        tokens::Tokens,
    },
    options::client::ClientSettings,
};

/// How long a commit may still take once the run is to stop: whoever stops it often kills it after ten seconds. Whether
/// it took effect the next start finds out.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long the end of a run waits until what is open is aborted.
const ABORT_WAIT: Duration = Duration::from_secs(3);
/// What brokers let a transaction last unless told otherwise.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(900);
const TIMEOUT_PROPERTY: &str = "transaction.timeout.ms";

/// How long the table's transactions may last.
pub(crate) fn transaction_timeout(settings: &ClientSettings) -> Duration {
    let set = settings.get(TIMEOUT_PROPERTY).and_then(|it| it.trim().parse().ok());
    set.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
}

/// Decides the epochs of a job's tables that are written exactly once.
pub(crate) struct KafkaDecider {
    client: ClientSettings,
    checkpoints: bool,
    id: String,
    token_topic: String,
    /// How long a fence, the tokens and a commit may take.
    patience: Patience,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since the fence, until it is given up.
    open: Option<Open>,
    token: Option<u64>,
    /// Whose the last token was, as it says.
    owner: Option<String>,
    /// Whose the next ones are.
    is_of: Option<String>,
}

#[derive(Clone)]
struct Open {
    producer: Arc<Succession>,
    tokens: TopicId,
    ledger: LedgerId,
}

impl KafkaDecider {
    /// For these tables. No I/O.
    ///
    /// # Errors
    /// `UnsupportedUse`: no one transaction spans them.
    pub(crate) fn new(tables: &[&TableDescription], request: &DeciderRequest) -> Result<Self> {
        let Some(first) = tables.first() else {
            return Err(Diagnostic::error(Code::Internal, "a transaction of no tables"));
        };
        let settings = SinkSettings::new(first)?;
        for other in &tables[1..] {
            if transaction(other) != transaction(first) {
                return Err(apart(first, other));
            }
            if let Some(name) = settings.client.differs_from(&SinkSettings::new(other)?.client) {
                let message = format!(
                    "tables '{}' and '{}' are written by one producer, but have another 'properties.{name}'",
                    first.name, other.name
                );
                return Err(Diagnostic::error(Code::UnsupportedUse, message)
                    .at(other.options.span(&format!("properties.{name}")))
                    .at(other.span)
                    .help("give both the same 'properties.*', or write them in two jobs"));
            }
        }
        let (timeout, interval) = (transaction_timeout(&settings.client), request.interval);
        if request.checkpoints && interval >= timeout {
            let message = format!(
                "checkpoints come every {} s, but transactions last {} s at the most: none would ever be committed",
                interval.as_secs(),
                timeout.as_secs()
            );
            return Err(Diagnostic::error(Code::InvalidOption, message)
                .at(first.options.span(&format!("properties.{TIMEOUT_PROPERTY}")))
                .at(first.options.span(GUARANTEE))
                .help("make 'execution.checkpointing.interval' smaller")
                .help(format!("or 'properties.{TIMEOUT_PROPERTY}' larger, and the cluster's 'transaction.max.timeout.ms' with it")));
        }
        let prefix = first.options.get(ID_PREFIX).unwrap_or_default();
        let id = format!("{prefix}-{}", request.pipeline_name);
        // A run without checkpoints has no part in the tokens of a job that has them, nor may it fence that.
        let id = if request.checkpoints { id } else { format!("{id}-{}", request.run_id) };
        let patience = Patience {
            clock: request.clock.clone(),
            stop: request.stop.clone(),
            most: settings.client.max_block.unwrap_or(MOST),
            when_stopped: STOP_WAIT,
        };
        Ok(Self {
            client: settings.client,
            checkpoints: request.checkpoints,
            id,
            token_topic: token_topic(first).to_string(),
            patience,
            gate: Arc::default(),
            state: Mutex::default(),
        })
    }
    /// What writers share.
    ///
    /// # Errors
    /// `Internal` before the fence. `TransactionLost`: the producer was given up.
    pub(crate) fn producer(&self) -> Result<Arc<dyn Producer>> {
        let open = self.lock().open.as_ref().map(|open| open.producer.clone() as Arc<dyn Producer>);
        open.ok_or_else(|| {
            Diagnostic::error(Code::TransactionLost, "there is no open transaction").that_may_pass()
        })
    }
    /// What may go into its transaction.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }
    /// The producer's own settings: librdkafka's.
    fn connect(&self) -> Result<Librdkafka> {
        let timeout = transaction_timeout(&self.client).as_millis().to_string();
        let wanted = [("transactional.id", self.id.clone()), (TIMEOUT_PROPERTY, timeout)];
        Librdkafka::new(&self.client, &wanted, super::DEFAULTS)
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn send_token(&self, open: &Open, number: u64) -> Result<()> {
        let mut value = json!({"token": number, "transactional-id": self.id});
        if let (Some(owner), Some(value)) = (self.lock().is_of.clone(), value.as_object_mut()) {
            value.insert("owner".into(), owner.into());
        }
        let value = value.to_string();
        let lost =
            || Diagnostic::error(Code::TransactionLost, "the token couldn't be written").that_may_pass();
        let bundle = bundle::single(self.id.as_bytes(), value.as_bytes(), open.tokens).ok_or_else(lost)?;
        match open.producer.produce(&bundle.outgoing(None), 0, open.ledger)? {
            1 => Ok(()),
            _ => Err(lost()),
        }
    }
    /// The token that is there. None: there was never one, so the first is written.
    fn find_token(&self, open: &Open, tokens: &Tokens<'_>) -> Result<LastCommit> {
        if let Some(value) = tokens.last(self.id.as_bytes())? {
            return last_commit(&value).ok_or_else(|| {
                let (topic, id) = (&self.token_topic, &self.id);
                let message =
                    format!("the token of '{id}' in the topic '{topic}' is none that Flott has written");
                Diagnostic::error(Code::CheckpointUnusable, message)
            });
        }
        open.producer.begin().map_err(|failure| self.failed(&failure, "begin"))?;
        self.send_token(open, 0)?;
        let committed = open.producer.commit(&tokens.patience);
        match committed.map_err(|failure| self.not_begun(open, failure, "write the first token of"))? {
            Committed::Once => {}
            Committed::PerhapsAgain => {
                let renewed = open.producer.renew(&tokens.patience)?;
                renewed.map_err(|failure| self.not_begun(open, failure, "begin"))?;
            }
        }
        Ok(LastCommit { number: 0, owner: self.lock().is_of.clone() })
    }
    /// Before the first row: a run that is to stop waits for nothing.
    fn tokens(&self) -> Tokens<'_> {
        let patience = self.patience.when_stopped(Duration::ZERO);
        Tokens { settings: &self.client, topic: &self.token_topic, patience }
    }
    /// An epoch is committed: begins the next transaction. What keeps it from beginning is told to whoever
    /// writes into it.
    fn next_transaction(&self, open: &Open, committed: Committed, epoch: u64) {
        let renewed = match committed {
            Committed::Once => Ok(()),
            Committed::PerhapsAgain => {
                tracing::info!(
                    "the end of a transaction of '{}' was asked for again: another producer",
                    self.id
                );
                let renewed = open.producer.renew(&self.patience);
                renewed.and_then(|it| it.map_err(|failure| self.failed(&failure, "renew")))
            }
        };
        let begun =
            renewed.and_then(|()| open.producer.begin().map_err(|failure| self.failed(&failure, "begin")));
        match begun {
            Ok(()) => self.gate.open(epoch),
            Err(error) => {
                tracing::warn!("no next transaction of '{}': {}", self.id, error.message);
                self.give_up();
            }
        }
    }
    fn give_up(&self) {
        self.gate.close();
        self.lock().open = None;
    }
    fn failed(&self, failure: &Failure, doing: &str) -> Box<Diagnostic> {
        failure.diagnose(&format!("{doing} transactions of '{}'", self.id))
    }
    /// Before the first row.
    fn not_begun(&self, open: &Open, failure: Failure, doing: &str) -> Box<Diagnostic> {
        self.failed(&failure.unless_stopped(&self.patience.stop, open.producer.trouble()), doing)
    }
    fn uncertain(&self, number: u64, text: &str) -> Box<Diagnostic> {
        let id = &self.id;
        if !self.checkpoints {
            let message = format!("whether the rows of '{id}' were committed to Kafka is unknown ({text})");
            return Diagnostic::error(Code::TransactionLost, message)
                .help("look whether they are there before you run it again: it would write them once more")
                .help("with 'execution.checkpointing.dir' the next run would find out by itself");
        }
        let message =
            format!("whether checkpoint {number} of '{id}' was committed to Kafka is unknown ({text})");
        Diagnostic::error(Code::TransactionLost, message)
            .help("the next start asks the cluster, and neither loses nor doubles a row")
            .help("with a restart strategy ('restart-strategy.type') that is done at once")
            .that_may_pass()
    }
}

/// A token as it was written.
fn last_commit(value: &[u8]) -> Option<LastCommit> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let owner = value.get("owner").and_then(Value::as_str).map(str::to_string);
    Some(LastCommit { number: value.get("token")?.as_u64()?, owner })
}

fn apart(first: &TableDescription, other: &TableDescription) -> Box<Diagnostic> {
    let (one, two) = (transaction(first), transaction(other));
    let message = format!(
        "tables '{}' and '{}' are written exactly once, but not in one transaction: {one}; {two}",
        first.name, other.name
    );
    Diagnostic::error(Code::UnsupportedUse, message)
        .at(other.span)
        .help(format!("give both the same brokers and the same '{ID_PREFIX}', or write them in two jobs"))
}

impl Decider for KafkaDecider {
    fn look(&self) -> Result<Option<LastCommit>> {
        let seen = if self.checkpoints { self.tokens().seen(self.id.as_bytes())? } else { None };
        Ok(seen.and_then(|value| last_commit(&value)))
    }
    fn is_of(&self, owner: &str) {
        self.lock().is_of = Some(owner.to_string());
    }
    fn owner(&self) -> Option<String> {
        self.lock().owner.clone()
    }
    fn fence(&self) -> Result<()> {
        let tokens = self.tokens();
        if self.checkpoints {
            tokens.ensure()?;
        }
        let producer = Arc::new(Succession::new(self.connect()?));
        let open = Open { tokens: producer.topic(&self.token_topic)?, ledger: producer.ledger(), producer };
        let ready = open.producer.init_transactions(&tokens.patience);
        ready.map_err(|failure| self.not_begun(&open, failure, "begin"))?;
        let last = if self.checkpoints { Some(self.find_token(&open, &tokens)?) } else { None };
        open.producer.begin().map_err(|failure| self.failed(&failure, "begin"))?;
        let mut state = self.lock();
        state.token = Some(last.as_ref().map_or(0, |it| it.number));
        state.owner = last.and_then(|it| it.owner);
        state.open = Some(open);
        Ok(())
    }
    fn token(&self) -> Result<Option<u64>> {
        Ok(self.lock().token)
    }
    fn commit(&self, number: u64, epoch: u64) -> Result<Outcome> {
        let Some(open) = self.lock().open.clone() else {
            let message = format!("there is no open transaction of '{}'", self.id);
            return Err(Diagnostic::error(Code::TransactionLost, message).that_may_pass());
        };
        if self.checkpoints {
            self.send_token(&open, number)?;
        }
        let failure = match open.producer.commit(&self.patience) {
            Ok(committed) => {
                self.next_transaction(&open, committed, epoch);
                return Ok(Outcome::Committed);
            }
            Err(failure) => failure,
        };
        self.give_up();
        Ok(match failure.kind {
            Kind::Fenced => Outcome::Fenced(self.failed(&failure, &format!("commit checkpoint {number} in"))),
            _ => Outcome::Uncertain(self.uncertain(number, &failure.text)),
        })
    }
    fn goes_on(&self, epoch: u64) {
        self.gate.open(epoch);
    }
    fn close(&self) {
        self.gate.close();
        let Some(open) = self.lock().open.take() else { return };
        if let Err(failure) = open.producer.abort(ABORT_WAIT) {
            tracing::debug!(
                "the open transaction of '{}' isn't aborted, it expires: {}",
                self.id,
                failure.text
            );
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
