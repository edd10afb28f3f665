//! Envelopes as Debezium makes them: a row before and after a change.
//!
//! ```text
//!   op     before  after
//!   c, r     –       a       +I a          written: +I, +U as c; -U, -D as d
//!   u        a       b       -U a, +U b
//!   d        a       –       -D a
//! ```

use arrow::{
    array::{Array, ArrayRef, AsArray, Int8Array, StructArray},
    compute::interleave,
};
use flott_types::{DataType, Result, RowField, RowKind, TypeKind};

use crate::builder::internal;

/// The columns of an envelope around these.
pub(super) fn columns(inner: impl Iterator<Item = (String, DataType)>) -> Vec<(String, DataType)> {
    let fields = inner.map(|(name, data_type)| RowField { name, data_type }).collect();
    let row = DataType::new(TypeKind::Row(fields));
    vec![
        ("before".to_string(), row.clone()),
        ("after".to_string(), row),
        ("op".to_string(), DataType::string()),
    ]
}

/// Changes taken out of their envelopes.
pub(super) struct Opened {
    pub columns: Vec<ArrayRef>,
    pub kinds: Int8Array,
    /// For each change, the number of its envelope.
    pub records: Vec<usize>,
    /// Envelopes that hold no change, and why.
    pub bad: Vec<(usize, String)>,
}

const BEFORE: usize = 0;
const AFTER: usize = 1;

/// Opens envelopes: arrays of the columns of [`columns`].
///
/// # Errors
/// Only a bug of ours.
pub(super) fn open(envelopes: &[ArrayRef]) -> Result<Opened> {
    let [before, after, op] = envelopes else { return Err(internal("an envelope has three columns")) };
    let row = |it: &ArrayRef| it.as_struct_opt().cloned().ok_or_else(|| internal("a row is a struct"));
    let rows = [row(before)?, row(after)?];
    let op = op.as_string_opt::<i32>().ok_or_else(|| internal("the op of an envelope is text"))?;
    let room = op.len() + op.len() / 2;
    let (mut kinds, mut records, mut bad) = (Vec::with_capacity(room), Vec::with_capacity(room), Vec::new());
    let mut picks = Vec::with_capacity(room);
    for record in 0..op.len() {
        let changes = match changes(op.is_valid(record).then(|| op.value(record)), &rows, record) {
            Ok(changes) => changes,
            Err(why) => {
                bad.push((record, why));
                continue;
            }
        };
        for (kind, side) in changes {
            kinds.push(kind.number());
            records.push(record);
            picks.push((*side, record));
        }
    }
    let [before, after] = &rows;
    let sides = before.columns().iter().zip(after.columns());
    let columns = sides.map(|(before, after)| interleave(&[before.as_ref(), after.as_ref()], &picks));
    let columns = columns.collect::<Result<_, _>>().map_err(internal)?;
    Ok(Opened { columns, kinds: kinds.into(), records, bad })
}

type Changes = &'static [(RowKind, usize)];

fn changes(op: Option<&str>, rows: &[StructArray; 2], record: usize) -> Result<Changes, String> {
    let changes: Changes = match op {
        Some("c" | "r") => &[(RowKind::Insert, AFTER)],
        Some("u") => &[(RowKind::UpdateBefore, BEFORE), (RowKind::UpdateAfter, AFTER)],
        Some("d") => &[(RowKind::Delete, BEFORE)],
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            return Err(format!("field 'op': '{shown}' is none of c, r, u, d"));
        }
        None => return Err("field 'op' is missing".into()),
    };
    for (_, side) in changes {
        if rows.get(*side).is_some_and(|rows| rows.is_null(record)) {
            return Err(if *side == BEFORE {
                "field 'before' is null; with PostgreSQL the table needs REPLICA IDENTITY FULL".into()
            } else {
                "field 'after' is null".into()
            });
        }
    }
    Ok(changes)
}
