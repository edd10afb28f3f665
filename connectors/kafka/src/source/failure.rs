//! What users are told when brokers say no to a reader.

use flott_types::{Code, Diagnostic};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{client::Failure, options::client::ClientSettings};

/// A call that failed while doing this (`"read from"`, …).
pub(crate) fn failed(settings: &ClientSettings, doing: &str, error: &KafkaError) -> Box<Diagnostic> {
    input(Failure::from(error.clone()).diagnose(&at(settings, doing)))
}

/// The same with a failure of which more is known.
pub(crate) fn of_kind(settings: &ClientSettings, doing: &str, failure: &Failure) -> Box<Diagnostic> {
    input(failure.diagnose(&at(settings, doing)))
}

/// The same with an error's code.
pub(crate) fn of_code(
    settings: &ClientSettings,
    doing: &str,
    code: RDKafkaErrorCode,
    text: &str,
) -> Box<Diagnostic> {
    input(Failure::of(code, text).diagnose(&at(settings, doing)))
}

fn at(settings: &ClientSettings, doing: &str) -> String {
    format!("{doing} Kafka at '{}'", settings.servers)
}

/// What isn't more precise concerns an input.
fn input(mut error: Box<Diagnostic>) -> Box<Diagnostic> {
    if error.code == Code::OutputFailed {
        error.code = Code::InputUnreadable;
    }
    error
}

/// A topic that isn't there.
pub(crate) fn no_topic<'a>(
    settings: &ClientSettings,
    topic: &str,
    there: impl IntoIterator<Item = &'a str>,
) -> Box<Diagnostic> {
    let message = format!("no topic '{topic}' at '{}'", settings.servers);
    let create = format!("kafka-topics.sh --bootstrap-server {} --create --topic {topic}", settings.servers);
    Diagnostic::error(Code::TopicMissing, message)
        .did_you_mean(topic, there)
        .help(format!("create it: `{create}`"))
}
