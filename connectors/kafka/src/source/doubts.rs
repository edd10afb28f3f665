//! What weakens the promise of a pipeline that reads Kafka.

use flott_connector::{Doubt, TableDescription, Weight};

use crate::options::LOST_OFFSETS;

/// By the table's options.
pub(crate) fn of(table: &TableDescription) -> Vec<Doubt> {
    let is = |key: &str, value: &str| table.options.get(key).is_some_and(|it| it.eq_ignore_ascii_case(value));
    let name = &table.name;
    let mut doubts = Vec::new();
    if is("properties.isolation.level", "read_uncommitted") {
        doubts.push(Doubt {
            what: format!("'{name}' reads messages of transactions that may be aborted and written again"),
            way_out: "leave 'properties.isolation.level' out".into(),
            weight: Weight::Doubles,
        });
    }
    if is(LOST_OFFSETS, "continue") {
        doubts.push(Doubt {
            what: format!("'{name}' goes on where messages that were still to be read are gone"),
            way_out: format!("leave '{LOST_OFFSETS}' out: the run ends then, and says how many are lost"),
            weight: Weight::Loses,
        });
        doubts.push(Doubt {
            what: format!("'{name}' reads a topic made anew from its beginning: messages may come again"),
            way_out: format!("leave '{LOST_OFFSETS}' out: the run ends then"),
            weight: Weight::Doubles,
        });
    }
    doubts
}
