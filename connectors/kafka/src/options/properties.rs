//! Properties of Kafka's Java clients as librdkafka takes them.
//!
//! ```text
//!   properties.X ─┬─ librdkafka knows X ───────────► X, if the value is one
//!                 ├─ renamed ──────────────────────► its name there
//!                 ├─ without meaning here ─────────► left out: the Java client's own affairs
//!                 ├─ set by the connector ─────────► left out, as Flink does; said, where it would be missed
//!                 ├─ a Java class, a JKS store ────► refused, with what to do instead
//!                 └─ nobody knows it ──────────────► refused: did you mean …?
//! ```

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// librdkafka's business.
    Passed,
    /// The same under another name.
    Renamed(&'static str),
    /// A number of bytes there, of KiB here.
    Kilobytes(&'static str),
    /// Nothing here does what it is about.
    Meaningless,
    /// The connector decides it.
    Overridden,
    /// The same, and whoever has set it is told what does it instead.
    NoEffect(&'static str),
    /// Taken care of elsewhere, together with others.
    Translated,
    /// What to do instead.
    Refused(&'static str),
}

/// What becomes of the property of this name.
pub(crate) fn fate(name: &str) -> Fate {
    match name {
        "fetch.max.wait.ms" => Fate::Renamed("fetch.wait.max.ms"),
        // librdkafka's aliases: one name each, so that defaults don't come on top.
        "max.partition.fetch.bytes" => Fate::Renamed("fetch.message.max.bytes"),
        "sasl.mechanisms" => Fate::Renamed("sasl.mechanism"),
        "max.in.flight" => Fate::Renamed("max.in.flight.requests.per.connection"),
        "request.required.acks" => Fate::Renamed("acks"),
        "compression.codec" => Fate::Renamed("compression.type"),
        "queue.buffering.max.ms" => Fate::Renamed("linger.ms"),
        "message.send.max.retries" => Fate::Renamed("retries"),
        "message.timeout.ms" => Fate::Renamed("delivery.timeout.ms"),
        "receive.buffer.bytes" => Fate::Renamed("socket.receive.buffer.bytes"),
        "send.buffer.bytes" => Fate::Renamed("socket.send.buffer.bytes"),
        "max.request.size" => Fate::Renamed("message.max.bytes"),
        "buffer.memory" => Fate::Kilobytes("queue.buffering.max.kbytes"),
        "max.poll.records"
        | "default.api.timeout.ms"
        | "exclude.internal.topics"
        | "partition.discovery.interval.ms"
        | "register.consumer"
        | "register.consumer.metrics"
        | "client.id.prefix"
        | "auto.include.jmx.reporter"
        | "metrics.num.samples"
        | "metrics.recording.level"
        | "metrics.sample.window.ms"
        | "flink.disable-metrics"
        | "socket.connection.setup.timeout.max.ms"
        | "metadata.recovery.strategy"
        | "metadata.max.idle.ms"
        | "partitioner.ignore.keys"
        | "partitioner.adaptive.partitioning.enable"
        | "partitioner.availability.timeout.ms"
        | "transaction.two.phase.commit.enable"
        | "throw.on.fetch.stable.offset.unsupported"
        | "ssl.protocol"
        | "ssl.enabled.protocols"
        | "ssl.keymanager.algorithm"
        | "ssl.trustmanager.algorithm"
        | "ssl.secure.random.implementation"
        | "sasl.login.refresh.window.factor"
        | "sasl.login.refresh.window.jitter"
        | "sasl.login.refresh.min.period.seconds"
        | "sasl.login.refresh.buffer.seconds"
        | "sasl.login.connect.timeout.ms"
        | "sasl.login.read.timeout.ms"
        | "sasl.kerberos.ticket.renew.window.factor"
        | "sasl.kerberos.ticket.renew.jitter" => Fate::Meaningless,
        "key.deserializer" | "key.serializer" => {
            Fate::NoEffect("leave it out, as Flink overrides it too: 'key.format' says what keys are")
        }
        "value.deserializer" | "value.serializer" => Fate::NoEffect(
            "leave it out, as Flink overrides it too: 'value.format' says what values are, such as 'avro-confluent'",
        ),
        "transactional.id" => Fate::NoEffect(
            "leave it out: the id is made of 'sink.transactional-id-prefix' and the pipeline's name",
        ),
        "partition.assignment.strategy" => {
            Fate::NoEffect("leave it out: the job assigns partitions itself, and joins no group")
        }
        "enable.auto.commit" | "auto.commit.enable" => Fate::NoEffect(
            "leave it out: a group's offsets are committed with checkpoints (SET 'execution.checkpointing.dir'), and \
             with nothing else",
        ),
        "auto.offset.reset"
        | "auto.commit.interval.ms"
        | "metadata.broker.list"
        | "enable.auto.offset.store"
        | "enable.partition.eof"
        | "group.protocol" => Fate::Overridden,
        "max.block.ms"
        | "sasl.jaas.config"
        | "sasl.login.callback.handler.class"
        | "sasl.oauthbearer.token.endpoint.url"
        | "sasl.oauthbearer.method"
        | "ssl.truststore.type"
        | "ssl.truststore.location"
        | "ssl.truststore.password"
        | "ssl.truststore.certificates"
        | "ssl.keystore.type"
        | "ssl.keystore.location"
        | "ssl.keystore.password"
        | "ssl.keystore.certificate.chain"
        | "ssl.keystore.key"
        | "ssl.endpoint.identification.algorithm" => Fate::Translated,
        "interceptor.classes" | "metric.reporters" => {
            Fate::Refused("leave it out: there is no Java to run the class; `flott` has metrics of its own")
        }
        "partitioner.class" => {
            Fate::Refused("leave it out: 'sink.partitioner' says how rows are partitioned")
        }
        "sasl.client.callback.handler.class"
        | "sasl.login.class"
        | "security.providers"
        | "ssl.engine.factory.class"
        | "ssl.provider" => Fate::Refused("leave it out: there is no Java to run the class"),
        "sasl.oauthbearer.jwks.endpoint.url" => Fate::Refused("leave it out: it is a broker's property"),
        _ => Fate::Passed,
    }
}

/// Names to mean, for whoever misspells one.
pub(crate) const KNOWN: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "batch.size",
    "bootstrap.servers",
    "buffer.memory",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.idempotence",
    "fetch.max.bytes",
    "fetch.max.wait.ms",
    "fetch.min.bytes",
    "group.id",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "max.poll.records",
    "max.request.size",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "sasl.jaas.config",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "send.buffer.bytes",
    "session.timeout.ms",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
    "statistics.interval.ms",
    "transaction.timeout.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_the_name_that_defaults_have() {
        assert_eq!(fate("max.partition.fetch.bytes"), Fate::Renamed("fetch.message.max.bytes"));
        assert_eq!(fate("fetch.message.max.bytes"), Fate::Passed);
        assert_eq!(fate("metadata.broker.list"), Fate::Overridden, "'bootstrap.servers' it is");
    }
}
