//! What weakens the promise of a table that is written.

use std::time::Duration;

use flott_connector::{Doubt, TableDescription, Weight};
use flott_types::Options;

use super::{
    decider::transaction_timeout,
    settings::{self, Delivery, GUARANTEE, SinkSettings, Topics},
};
use crate::client::admin::{Admin, Safety};

/// 'execution.checkpointing.interval', unless it is set.
const INTERVAL: Duration = Duration::from_secs(10);

/// By the table's options and the job's.
pub(crate) fn of(table: &TableDescription, job_options: &Options) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let delivery = settings::delivery(table).unwrap_or(Delivery::AtLeastOnce);
    if delivery == Delivery::None {
        doubts.push(Doubt {
            what: format!("'{GUARANTEE}' = 'none' doesn't wait until rows are delivered"),
            way_out: format!("'{GUARANTEE}' = 'at-least-once'"),
            weight: Weight::Loses,
        });
    }
    if delivery == Delivery::AtLeastOnce {
        doubts.push(Doubt {
            what: "rows are visible as they come, and a run that goes on from a checkpoint writes some again"
                .into(),
            way_out: format!("'{GUARANTEE}' = 'exactly-once' and a 'sink.transactional-id-prefix'"),
            weight: Weight::Doubles,
        });
    }
    let acks = table.options.get("properties.acks").map(str::trim);
    if let Some(acks @ ("0" | "1")) = acks {
        doubts.push(Doubt {
            what: format!(
                "'properties.acks' = '{acks}' takes rows for written that a lost broker takes along"
            ),
            way_out: "'properties.acks' = 'all'".into(),
            weight: Weight::Loses,
        });
    }
    if delivery == Delivery::ExactlyOnce
        && let Ok(settings) = SinkSettings::new(table)
        && let Ok(interval) = job_options.duration("execution.checkpointing.interval")
    {
        let (timeout, interval) = (transaction_timeout(&settings.client), interval.unwrap_or(INTERVAL));
        if job_options.get("execution.checkpointing.dir").is_none_or(str::is_empty) {
            doubts.push(Doubt {
                what: format!(
                    "without checkpoints the whole run is one transaction, which the cluster aborts after {} s",
                    timeout.as_secs()
                ),
                way_out: "SET 'execution.checkpointing.dir', or a larger 'properties.transaction.timeout.ms'".into(),
                weight: Weight::Note,
            });
        } else if interval * 2 > timeout {
            doubts.push(Doubt {
                what: format!(
                    "a transaction lasts from one checkpoint to the next, {} s and more, and the cluster aborts it \
                     after {} s",
                    interval.as_secs(),
                    timeout.as_secs()
                ),
                way_out: "a larger 'properties.transaction.timeout.ms'".into(),
                weight: Weight::Note,
            });
        }
    }
    doubts
}

/// By what the cluster says of itself.
pub(crate) fn outside(table: &TableDescription) -> Vec<Doubt> {
    let Ok(settings) = SinkSettings::new(table) else { return Vec::new() };
    let Some(admin) = Admin::new(&settings.client) else { return Vec::new() };
    let topics: &[String] = match &settings.topics {
        Topics::One(name) => std::slice::from_ref(name),
        Topics::Listed(names) => names,
        Topics::Matching(_) => &[],
    };
    let of_topic = |topic: &String| match admin.safety(topic) {
        Some(safety) => unsafe_topic(topic, safety),
        None => admin.lacks(topic).then(|| missing_topic(topic)),
    };
    let mut doubts: Vec<Doubt> = topics.iter().filter_map(of_topic).collect();
    if settings.delivery == Delivery::ExactlyOnce
        && let Some(most) =
            admin.transaction_max().filter(|most| *most < transaction_timeout(&settings.client))
    {
        doubts.push(Doubt {
            what: format!("the cluster lets no transaction last longer than {} s", most.as_secs()),
            way_out:
                "a smaller 'properties.transaction.timeout.ms', or a larger 'transaction.max.timeout.ms'"
                    .into(),
            weight: Weight::Note,
        });
    }
    doubts
}

fn missing_topic(topic: &str) -> Doubt {
    Doubt {
        what: format!(
            "there is no topic '{topic}': the run ends at its start, or, if the brokers make topics by themselves, begins \
             one with their settings"
        ),
        way_out: format!("kafka-topics.sh --create --topic {topic} --partitions …"),
        weight: Weight::Note,
    }
}

fn unsafe_topic(topic: &str, safety: Safety) -> Option<Doubt> {
    let note = |what: String, way_out: &str| Doubt { what, way_out: way_out.into(), weight: Weight::Note };
    match safety {
        Safety { replicas: 1, .. } => Some(note(
            format!("topic '{topic}' has one replica: its rows are lost with that broker's disk"),
            "three replicas and 'min.insync.replicas' = 2",
        )),
        Safety { min_in_sync: Some(1), replicas } => Some(note(
            format!(
                "topic '{topic}' has {replicas} replicas but 'min.insync.replicas' = 1: rows count as written when \
                 one broker has them"
            ),
            "'min.insync.replicas' = 2",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_safe_with_two_replicas_in_sync() {
        let doubt = |replicas, min_in_sync| unsafe_topic("t", Safety { replicas, min_in_sync });
        assert!(doubt(3, Some(2)).is_none());
        assert!(doubt(3, None).is_none());
        assert!(doubt(3, Some(1)).is_some_and(|it| it.what.contains("min.insync.replicas")));
        assert!(doubt(1, Some(1)).is_some_and(|it| it.what.contains("one replica")));
    }
}
