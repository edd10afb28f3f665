//! What weakens the promise of a table that is written.

use flott_connector::{Doubt, TableDescription, Weight};

use super::settings::{self, Delivery, GUARANTEE};

/// By the table's options.
pub(crate) fn of(table: &TableDescription) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let delivery = settings::delivery(table).unwrap_or(Delivery::AtLeastOnce);
    if delivery == Delivery::None {
        doubts.push(Doubt {
            what: format!("'{GUARANTEE}' = 'none' doesn't wait until rows are delivered"),
            way_out: format!("'{GUARANTEE}' = 'at-least-once'"),
            weight: Weight::Loses,
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
    doubts
}
