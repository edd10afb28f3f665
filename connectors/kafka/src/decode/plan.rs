//! Which decoder gives which column.
//!
//! ```text
//!   SELECT id, name, ts …       id    ◄─ key 0        what stands in both comes from the value
//!                               name  ◄─ value 0      (from the key where the value has none: a deletion)
//!                               ts    ◄─ metadata
//!   WHERE name = 'x'            reads the value alone: the value's format applies it
//! ```

use flott_connector::{ColumnKind, ScanRequest, TableDescription};
use flott_expr::{ExprKind, Program};
use flott_types::{Code, Diagnostic, Result, Schema};

use super::metadata::{self, Key};
use crate::{
    options::layout::{Layout, Part},
    source::split::{Headers, Wants},
};

/// Where a column comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// Column of what the value's decoder gives.
    Value(usize),
    /// Column of what the key's decoder gives.
    Key(usize),
    /// An upsert's, which stands in both: of the value, or where that is NULL or there is none, of the key.
    Both {
        value: usize,
        key: usize,
    },
    Metadata(metadata::Column),
    /// Column of what the value's decoder gives: metadata, to be cast.
    Beside(usize, metadata::Cast),
}

/// What of a part is decoded.
#[derive(Clone)]
pub(crate) struct PartPlan {
    pub part: Part,
    pub scan: ScanRequest,
}

/// How the rows of a table come together.
#[derive(Clone)]
pub(crate) struct Plan {
    pub value: PartPlan,
    pub key: Option<PartPlan>,
    /// For each column wanted.
    pub columns: Vec<From>,
    pub schema: Schema,
    /// What the value's decoder doesn't apply itself.
    pub filter: Option<Program>,
    pub upsert: bool,
}

impl Plan {
    /// # Errors
    /// `InvalidDefinition`
    pub(crate) fn new(
        table: &TableDescription,
        layout: Layout,
        request: ScanRequest,
        upsert: bool,
    ) -> Result<Self> {
        let (mut values, mut keys, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for at in &request.projection {
            let in_key = layout.key.as_ref().and_then(|key| key.columns.iter().position(|it| it == at));
            let in_value = layout.value.columns.iter().position(|it| it == at);
            let beside = in_value
                .and_then(|it| layout.value.table.columns.get(it))
                .filter(|it| it.kind != ColumnKind::Physical);
            if let (Some(at_value), Some(natural), Some(column)) = (in_value, beside, table.columns.get(*at))
            {
                let cast = metadata::Cast::new(natural.data_type.clone(), &column.data_type);
                columns.push(From::Beside(place(&mut values, at_value), cast));
                continue;
            }
            columns.push(match (in_value, in_key) {
                (Some(column), None) => From::Value(place(&mut values, column)),
                (Some(column), Some(_)) if !upsert => From::Value(place(&mut values, column)),
                (Some(value), Some(key)) => {
                    From::Both { value: place(&mut values, value), key: place(&mut keys, key) }
                }
                (None, Some(column)) => From::Key(place(&mut keys, column)),
                (None, None) => From::Metadata(metadata_column(table, *at)?),
            });
        }
        let pushed = request.filter.as_ref().filter(|_| !upsert).and_then(|filter| pushed(filter, &columns));
        let behind = request.filter.clone().filter(|_| pushed.is_none());
        let schema = request.schema.clone();
        let of_part = |part: Part, projection: Vec<usize>, filter: Option<Program>| PartPlan {
            scan: ScanRequest {
                schema: part.table.schema().project(&projection),
                projection,
                filter,
                ..request.clone()
            },
            part,
        };
        let mut value = of_part(layout.value, values, pushed);
        // A primary key's column is NOT NULL, but its value may leave it to the key.
        for it in &columns {
            if let From::Both { value: at, .. } = it
                && let Some(field) = value.scan.schema.fields.get_mut(*at)
            {
                field.data_type.nullable = true;
            }
        }
        Ok(Self {
            value,
            key: layout.key.map(|key| of_part(key, keys, None)),
            columns,
            schema,
            filter: behind,
            upsert,
        })
    }

    /// What of a message is to be kept; `all`, if it may become a dead letter.
    pub(crate) fn wants(&self, all: bool) -> Wants {
        let reads = |wanted: &[Key]| {
            let is_wanted = |it: &From| matches!(it, From::Metadata(column) if wanted.contains(&column.key));
            self.columns.iter().any(is_wanted)
        };
        let has = |wanted: &[Key]| all || reads(wanted);
        Wants {
            keys: self.key.is_some(),
            letters: all,
            timestamps: has(&[Key::Timestamp, Key::TimestampType]),
            headers: match has(&[Key::Headers]) {
                true if reads(&[Key::Headers]) => Headers::All,
                true => Headers::WhereSeen,
                false => Headers::None,
            },
            leader_epochs: has(&[Key::LeaderEpoch]),
        }
    }

    /// Whether the value's rows are the table's as they are.
    pub(crate) fn is_value_alone(&self) -> bool {
        let in_order = |(at, from): (usize, &From)| matches!(from, From::Value(column) if *column == at);
        self.key.is_none() && !self.upsert && self.columns.iter().enumerate().all(in_order)
    }
}

/// Where a column stands in the projection; appended if it isn't there.
fn place(projection: &mut Vec<usize>, column: usize) -> usize {
    projection.iter().position(|it| *it == column).unwrap_or_else(|| {
        projection.push(column);
        projection.len() - 1
    })
}

fn metadata_column(table: &TableDescription, at: usize) -> Result<metadata::Column> {
    let column = table.columns.get(at);
    let found = column.and_then(|column| match &column.kind {
        ColumnKind::Metadata { key, .. } => Some(metadata::Column::new(Key::of(key)?, &column.data_type)),
        ColumnKind::Physical => None,
    });
    found.ok_or_else(|| {
        let name = column.map_or("", |it| it.name.as_str());
        Diagnostic::error(Code::InvalidDefinition, format!("column '{name}' is in neither key nor value"))
            .at(column.map(|it| it.span).unwrap_or_default())
    })
}

/// The filter as the value's decoder sees it, if it reads nothing else.
fn pushed(filter: &Program, columns: &[From]) -> Option<Program> {
    let mut exprs = filter.exprs().to_vec();
    let mut all = true;
    for expr in &mut exprs {
        expr.walk_mut(&mut |node| {
            if let ExprKind::Column { index, .. } = &mut node.kind {
                match columns.get(*index) {
                    Some(From::Value(column)) => *index = *column,
                    _ => all = false,
                }
            }
        });
    }
    all.then(|| Program::new(exprs))
}
