//! What goes wrong with Kafka, in kinds that a user can do something about.

use flott_connector::StopSignal;
use flott_types::{Code, Diagnostic};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Raw};

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No broker, or not in time.
    Unreachable,
    /// The run was stopped before there was an answer; nothing else is known to be wrong.
    Stopped,
    /// What answers isn't a broker that takes our requests.
    NotABroker,
    /// No such topic or partition.
    TopicMissing,
    /// A broker doesn't let us.
    Denied,
    /// Another producer of the transactional id has begun, or the transaction has expired.
    Fenced,
    /// The transaction may last longer than brokers let it.
    TransactionTimeout,
    /// A message above a limit.
    TooLarge,
    /// Messages that a broker doesn't take.
    Refused(Refusal),
    /// Given up by us.
    GivenUp,
    /// Anything else.
    Other,
}

/// Why a broker doesn't take messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A timestamp is too far from the broker's clock.
    Time,
    /// What a record is: without a key in a compacted topic, for one.
    Record,
    /// Another one of its batch is refused.
    Neighbour,
    /// There are too few replicas in sync.
    Replicas,
    /// The cluster's own rules.
    Policy,
}

impl Refusal {
    fn diagnose(self, doing: &str, text: &str) -> Box<Diagnostic> {
        let error =
            |why: &str| Diagnostic::error(Code::MessageRefused, format!("cannot {doing}: {why} ({text})"));
        match self {
            Self::Time => error("a message's timestamp is too far from the broker's clock")
                .help(
                    "the topic's limits are 'message.timestamp.before.max.ms' (how old) and \
                     'message.timestamp.after.max.ms' (how far ahead, an hour unless set)",
                )
                .help("a metadata column `timestamp` that is NULL, or isn't there, writes the current time"),
            Self::Record => error("a message is refused")
                .help("a topic that is compacted ('cleanup.policy') takes no message without a key: 'key.format' and \
                       'key.fields', or 'upsert-kafka'")
                .help("the broker's log says more: a timestamp or a schema may be refused so, too"),
            Self::Neighbour => error("another message of its batch is refused")
                .help("the broker's log says which one, and why"),
            Self::Replicas => error("too few replicas are in sync")
                .help("see which brokers are away: 'min.insync.replicas' of the topic says how many it takes")
                .that_may_pass(),
            Self::Policy => error("the cluster's policy refuses a message")
                .help("whoever runs the cluster knows its rules ('create.topic.policy.class.name', interceptors, quotas)"),
        }
    }
}

/// A failure, with the client's own words.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What kind.
    pub kind: Kind,
    /// The client's words.
    pub text: String,
}

impl Failure {
    /// By the client's code.
    pub(crate) fn of(code: Raw, text: impl Into<String>) -> Self {
        Self { kind: kind(code), text: text.into() }
    }
    /// Nobody is to blame for an answer that hadn't come when the run was stopped, unless there is trouble.
    pub(crate) fn unless_stopped(mut self, stop: &StopSignal, trouble: Option<String>) -> Self {
        if self.kind == Kind::Unreachable && stop.is_stopped() && trouble.is_none() {
            self.kind = Kind::Stopped;
        }
        self
    }
    /// What a user is told: `doing` is what was tried ("write topic 'orders'").
    pub(crate) fn diagnose(&self, doing: &str) -> Box<Diagnostic> {
        let text = &self.text;
        let error = |code, message: String| Diagnostic::error(code, message);
        match self.kind {
            Kind::Unreachable => error(Code::BrokerUnreachable, format!("cannot {doing}: no answer from the brokers ({text})"))
                .help("check 'properties.bootstrap.servers' and that the brokers' advertised addresses can be reached from here")
                .that_may_pass(),
            Kind::Stopped => {
                Diagnostic::warning(Code::BrokerUnreachable, "the run was stopped before the brokers had answered")
                    .that_may_pass()
            }
            Kind::NotABroker => error(
                Code::BrokerUnreachable,
                format!("cannot {doing}: what answers there doesn't take a client's requests ({text})"),
            )
            .help("is this a broker's client port? A controller's port answers so, and a broker that is much too old"),
            Kind::TopicMissing => error(Code::TopicMissing, format!("cannot {doing}: there is no such topic ({text})"))
                .help("create it, or check its name and 'properties.bootstrap.servers'"),
            Kind::Denied => error(Code::AccessDenied, format!("cannot {doing}: not allowed ({text})"))
                .help("check 'properties.sasl.*' and 'properties.ssl.*', and the rights of that user"),
            Kind::Fenced => error(
                Code::TransactionLost,
                format!("cannot {doing}: the transaction has expired, or another producer has begun to use its id ({text})"),
            )
            .help("a checkpoint must not take longer than 'properties.transaction.timeout.ms'")
            .help("two jobs must not share 'sink.transactional-id-prefix' and 'pipeline.name'")
            .that_may_pass(),
            Kind::TransactionTimeout => error(
                Code::InvalidOption,
                format!("cannot {doing}: the cluster allows no transaction that lasts that long ({text})"),
            )
            .help("make 'properties.transaction.timeout.ms' smaller, or the cluster's 'transaction.max.timeout.ms' larger"),
            Kind::TooLarge => error(Code::RecordTooLarge, format!("cannot {doing}: the message is too large ({text})"))
                .help("the limits: 'properties.max.request.size' here, 'max.message.bytes' of the topic, 'message.max.bytes' of the brokers"),
            Kind::Refused(refusal) => refusal.diagnose(doing, text),
            Kind::GivenUp | Kind::Other => {
                error(Code::OutputFailed, format!("cannot {doing}: {text}")).that_may_pass()
            }
        }
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        if let KafkaError::Transaction(it) = &error {
            return Self::of(it.code(), it.string());
        }
        let text = error.to_string();
        let code = match &error {
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(code) => Self::of(code, text),
            None => Self { kind: Kind::Other, text },
        }
    }
}

fn kind(code: Raw) -> Kind {
    match code {
        Raw::AllBrokersDown
        | Raw::BrokerTransportFailure
        | Raw::OperationTimedOut
        | Raw::TimedOutQueue
        | Raw::MessageTimedOut
        | Raw::Resolve
        | Raw::BrokerNotAvailable
        | Raw::LeaderNotAvailable
        | Raw::NetworkException
        | Raw::RequestTimedOut
        | Raw::CoordinatorNotAvailable
        | Raw::WaitingForCoordinator => Kind::Unreachable,
        Raw::UnsupportedFeature => Kind::NotABroker,
        Raw::UnknownTopic
        | Raw::UnknownPartition
        | Raw::UnknownTopicOrPartition
        | Raw::UnknownTopicId
        | Raw::InvalidTopic => Kind::TopicMissing,
        Raw::TopicAuthorizationFailed
        | Raw::GroupAuthorizationFailed
        | Raw::ClusterAuthorizationFailed
        | Raw::TransactionalIdAuthorizationFailed
        | Raw::SaslAuthenticationFailed
        | Raw::Authentication
        | Raw::SSL => Kind::Denied,
        Raw::Fenced
        | Raw::ProducerFenced
        | Raw::InvalidProducerEpoch
        | Raw::InvalidProducerIdMapping
        | Raw::InvalidTransactionalState
        | Raw::UnknownProducerId => Kind::Fenced,
        Raw::InvalidTransactionTimeout => Kind::TransactionTimeout,
        Raw::MessageSizeTooLarge | Raw::InvalidMessageSize | Raw::MessageBatchTooLarge => Kind::TooLarge,
        Raw::InvalidTimestamp => Kind::Refused(Refusal::Time),
        Raw::InvalidRecord | Raw::InvalidMessage => Kind::Refused(Refusal::Record),
        Raw::InvalidDifferentRecord => Kind::Refused(Refusal::Neighbour),
        Raw::NotEnoughReplicas | Raw::NotEnoughReplicasAfterAppend | Raw::ISRInsufficient => {
            Kind::Refused(Refusal::Replicas)
        }
        Raw::PolicyViolation => Kind::Refused(Refusal::Policy),
        Raw::PurgeQueue | Raw::PurgeInflight => Kind::GivenUp,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use flott_types::Severity;

    use super::*;

    #[test]
    fn each_refusal_has_its_own_way_out() {
        let helps = |code| {
            let error = Failure::of(code, "why").diagnose("write topic 't'");
            assert_eq!(error.code, Code::MessageRefused);
            error.help.join(" ")
        };
        assert!(helps(Raw::InvalidTimestamp).contains("message.timestamp.after.max.ms"));
        assert!(helps(Raw::InvalidRecord).contains("key.fields"));
        assert!(helps(Raw::NotEnoughReplicas).contains("min.insync.replicas"));
        assert!(helps(Raw::PolicyViolation).contains("rules"));
    }

    #[test]
    fn a_stop_is_told_as_such_unless_there_is_trouble() {
        let said = |stopped, trouble: Option<&str>| {
            let stop = StopSignal::new();
            if stopped {
                stop.stop();
            }
            let failure = Failure::of(Raw::OperationTimedOut, "why");
            let error = failure.unless_stopped(&stop, trouble.map(Into::into)).diagnose("begin");
            (error.severity, error.message.contains("no answer from the brokers (why)"))
        };
        assert_eq!(said(true, None), (Severity::Warning, false));
        assert_eq!(said(true, Some("refused")), (Severity::Error, true));
        assert_eq!(said(false, None), (Severity::Error, true));
    }

    #[test]
    fn a_controller_is_told_from_a_broker() {
        let error = Failure::of(Raw::UnsupportedFeature, "why").diagnose("ask Kafka at 'c:9093'");
        assert_eq!((error.code, error.passing), (Code::BrokerUnreachable, false));
        assert!(error.help.join(" ").contains("controller"));
    }
}
