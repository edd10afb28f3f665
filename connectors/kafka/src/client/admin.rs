//! What a cluster says about its topics and itself.

use std::time::Duration;

use flott_connector::StopSignal;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};

use super::tokens::wait_for;
use crate::{
    context::{Context, give_token},
    options::client::ClientSettings,
};

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(5);

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
}

impl Admin {
    pub(crate) fn new(settings: &ClientSettings) -> Option<Self> {
        let mut config = settings.config();
        // Who only asks makes no topics.
        config.set("allow.auto.create.topics", "false");
        let client: AdminClient<Context> = config.create_with_context(Context::new(settings)).ok()?;
        give_token(client.inner());
        Some(Self { client })
    }
    /// How safe a topic's messages are.
    pub(crate) fn safety(&self, topic: &str) -> Option<Safety> {
        let metadata = self.client.inner().fetch_metadata(Some(topic), QUESTION).ok()?;
        let found = metadata.topics().iter().find(|it| it.name() == topic)?;
        let replicas = found.partitions().iter().map(|it| it.replicas().len()).min()?;
        let min_in_sync = self.setting(&ResourceSpecifier::Topic(topic), "min.insync.replicas");
        Some(Safety { replicas, min_in_sync: min_in_sync.and_then(|it| it.parse().ok()) })
    }
    /// How long the cluster lets transactions last.
    pub(crate) fn transaction_max(&self) -> Option<Duration> {
        let metadata = self.client.inner().fetch_metadata(None, QUESTION).ok()?;
        let broker = ResourceSpecifier::Broker(metadata.brokers().first()?.id());
        let millis = self.setting(&broker, "transaction.max.timeout.ms")?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }
    fn setting(&self, of: &ResourceSpecifier<'_>, name: &str) -> Option<String> {
        let options = AdminOptions::new().request_timeout(Some(QUESTION));
        let answers = wait_for(self.client.describe_configs([of], &options), &StopSignal::new())?.ok()?;
        let resource: ConfigResource = answers.into_iter().next()?.ok()?;
        resource.get(name)?.value.clone()
    }
}
