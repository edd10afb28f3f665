//! What a cluster says about its topics and itself.

use std::{cell::Cell, time::Duration};

use flott_connector::StopSignal;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier},
    metadata::Metadata,
    types::RDKafkaErrorCode,
};

use super::tokens::wait_for;
use crate::{
    context::{Context, give_token},
    options::client::ClientSettings,
};

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// How long of it is waited at first without looking whether the answer is no; then twice as long, and so on.
const PIECE: Duration = Duration::from_millis(500);

/// A topic, as far as its safety goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Safety {
    /// Replicas of its partition that has the fewest.
    pub replicas: usize,
    /// How many of them must have a message before it counts as written.
    pub min_in_sync: Option<usize>,
}

/// Asks a cluster. What it doesn't say is none.
pub(crate) struct Admin {
    client: AdminClient<Context>,
    /// It hasn't answered: it is asked no more.
    silent: Cell<bool>,
}

impl Admin {
    pub(crate) fn new(settings: &ClientSettings) -> Option<Self> {
        let mut config = settings.config();
        // Who only asks makes no topics.
        config.set("allow.auto.create.topics", "false");
        let client: AdminClient<Context> = config.create_with_context(Context::new(settings)).ok()?;
        give_token(client.inner());
        Some(Self { client, silent: Cell::new(false) })
    }
    /// How safe a topic's messages are.
    pub(crate) fn safety(&self, topic: &str) -> Option<Safety> {
        let metadata = self.metadata(Some(topic))?;
        let found = metadata.topics().iter().find(|it| it.name() == topic)?;
        let replicas = found.partitions().iter().map(|it| it.replicas().len()).min()?;
        let min_in_sync = self.setting(&ResourceSpecifier::Topic(topic), "min.insync.replicas");
        Some(Safety { replicas, min_in_sync: min_in_sync.and_then(|it| it.parse().ok()) })
    }
    /// Whether the cluster says that there is no such topic.
    pub(crate) fn lacks(&self, topic: &str) -> bool {
        let Some(metadata) = self.metadata(Some(topic)) else { return false };
        let found = metadata.topics().iter().find(|it| it.name() == topic);
        found.and_then(|it| it.error()).map(RDKafkaErrorCode::from)
            == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
    }
    /// How long the cluster lets transactions last.
    pub(crate) fn transaction_max(&self) -> Option<Duration> {
        let metadata = self.metadata(None)?;
        let broker = ResourceSpecifier::Broker(metadata.brokers().first()?.id());
        let millis = self.setting(&broker, "transaction.max.timeout.ms")?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }
    /// In pieces: whoever isn't let in hears of it long before the question is over.
    fn metadata(&self, topic: Option<&str>) -> Option<Metadata> {
        let (mut left, mut piece) = (if self.silent.get() { Duration::ZERO } else { QUESTION }, PIECE / 2);
        while !left.is_zero() {
            piece = left.min(piece * 2);
            if let Ok(metadata) = self.client.inner().fetch_metadata(topic, piece) {
                return Some(metadata);
            }
            let is_denied = self.client.inner().context().denied().is_some();
            left = if is_denied { Duration::ZERO } else { left.saturating_sub(piece) };
        }
        self.silent.set(true);
        None
    }
    fn setting(&self, of: &ResourceSpecifier<'_>, name: &str) -> Option<String> {
        let options = AdminOptions::new().request_timeout(Some(QUESTION));
        let answers = wait_for(self.client.describe_configs([of], &options), &StopSignal::new())?.ok()?;
        let resource: ConfigResource = answers.into_iter().next()?.ok()?;
        resource.get(name)?.value.clone()
    }
}
