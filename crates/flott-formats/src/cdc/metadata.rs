//! What stands in a record beside its rows, as columns.
//!
//! ```text
//!   {"before":…,"after":…,"source":{"ts_ms":1,"db":"shop",…},"op":"u","ts_ms":2}
//!                            └─ source.timestamp, source.database, …      └─ ingestion-timestamp
//! ```
//!
//! Every row of a record has the same, so each is read once for each row, straight from its place.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray},
    datatypes::{ArrowPrimitiveType, Int64Type, TimestampMicrosecondType, TimestampMillisecondType},
};
use flott_connector::{ColumnKind, FormatMetadata, FormatRequest, ScanRequest};
use flott_types::{Code, DataType, Diagnostic, Result, TypeKind};

use super::{records::number_of, shape::Shape};
use crate::json::{
    column::{Column, Reading, internal},
    failure::Fail,
    object::ObjectReader,
};

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// This key of the record.
    Top(&'static str),
    /// This key of the record's `source`.
    Source(&'static str),
    /// The schema that the record is wrapped with.
    Schema,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Text,
    Texts,
    /// An object of texts.
    TextMap,
    /// An object of numbers.
    NumberMap,
    Millis,
    Seconds,
    /// A date and a time, with a blank or a `T` between them.
    DateTime,
}

/// Key, place, content, one sentence.
type Entry = (&'static str, Path, Content, &'static str);

const DEBEZIUM: &[Entry] = &[
    ("schema", Path::Schema, Content::Text, "The schema that the record is wrapped with, as JSON."),
    ("ingestion-timestamp", Path::Top("ts_ms"), Content::Millis, "When Debezium processed the change."),
    ("source.timestamp", Path::Source("ts_ms"), Content::Millis, "When the change was made in the database."),
    ("source.database", Path::Source("db"), Content::Text, "The database, if the source has databases."),
    ("source.schema", Path::Source("schema"), Content::Text, "The schema, if the source has schemas."),
    ("source.table", Path::Source("table"), Content::Text, "The table or collection."),
    ("source.properties", Path::Top("source"), Content::TextMap, "All that the record says of its source."),
];
const CANAL: &[Entry] = &[
    ("database", Path::Top("database"), Content::Text, "The database."),
    ("table", Path::Top("table"), Content::Text, "The table."),
    ("sql-type", Path::Top("sqlType"), Content::NumberMap, "The SQL types of the columns."),
    ("pk-names", Path::Top("pkNames"), Content::Texts, "The names of the primary key's columns."),
    ("ingestion-timestamp", Path::Top("ts"), Content::Millis, "When Canal processed the change."),
    ("event-timestamp", Path::Top("es"), Content::Millis, "When the change was made in the database."),
];
const MAXWELL: &[Entry] = &[
    ("database", Path::Top("database"), Content::Text, "The database."),
    ("table", Path::Top("table"), Content::Text, "The table."),
    ("primary-key-columns", Path::Top("primary_key_columns"), Content::Texts, "The primary key's columns."),
    ("ingestion-timestamp", Path::Top("ts"), Content::Seconds, "When Maxwell processed the change."),
];
const OGG: &[Entry] = &[
    ("table", Path::Top("table"), Content::Text, "The table, with its schema."),
    ("primary-keys", Path::Top("primary_keys"), Content::Texts, "The names of the primary key's columns."),
    (
        "ingestion-timestamp",
        Path::Top("current_ts"),
        Content::DateTime,
        "When GoldenGate processed the change.",
    ),
    ("event-timestamp", Path::Top("op_ts"), Content::DateTime, "When the change was made in the database."),
    // As they are called in records, and in Flink's documentation.
    ("current_ts", Path::Top("current_ts"), Content::DateTime, "The same as `ingestion-timestamp`."),
    ("op_ts", Path::Top("op_ts"), Content::DateTime, "The same as `event-timestamp`."),
];

fn entries(shape: &Shape) -> &'static [Entry] {
    match shape.format {
        "debezium-json" => DEBEZIUM,
        "canal-json" => CANAL,
        "maxwell-json" => MAXWELL,
        _ => OGG,
    }
}

impl Content {
    /// The type of the column.
    fn data_type(self) -> DataType {
        match self {
            Content::Text => DataType::string(),
            Content::Texts => DataType::array(DataType::string()),
            Content::TextMap => DataType::map(DataType::string(), DataType::string()),
            Content::NumberMap => DataType::map(DataType::string(), DataType::int()),
            Content::Millis | Content::Seconds => DataType::new(TypeKind::TimestampLtz(3)),
            Content::DateTime => DataType::new(TypeKind::TimestampLtz(6)),
        }
    }
    /// The type as which it is read.
    fn read_as(self) -> DataType {
        match self {
            Content::Millis | Content::Seconds => DataType::bigint(),
            Content::DateTime => DataType::new(TypeKind::Timestamp(6)),
            _ => self.data_type(),
        }
    }
}

/// All that records of a shape tell.
pub(super) fn all(shape: &Shape) -> Vec<FormatMetadata> {
    let entry = |(key, _, content, doc): &Entry| FormatMetadata { key, data_type: content.data_type(), doc };
    entries(shape).iter().map(entry).collect()
}

/// Metadata that is wanted.
struct Wanted {
    /// Its positions in the batch.
    positions: Vec<usize>,
    path: Path,
    content: Content,
    from: From,
}

/// Where its values come from.
enum From {
    /// The value of a key of the record, by number; none: the schema that the record is wrapped with.
    Value(Option<usize>, Box<Column>),
    /// The column of this number of the record's source.
    Source(usize),
}

/// The columns of metadata that a scan wants.
pub(super) struct Metadata {
    wanted: Vec<Wanted>,
    /// The number of the key of the record's source, and what is wanted of it.
    source: Option<(usize, ObjectReader)>,
}

impl Metadata {
    /// None: it wants none. Keys that they need are added to the record's.
    pub fn new(
        shape: &Shape,
        wrapped: bool,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        keys: &mut Vec<String>,
    ) -> Result<Option<Self>> {
        let (mut wanted, mut source) = (Vec::<Wanted>::new(), Vec::new());
        for (position, column) in scan.projection.iter().enumerate() {
            let column = request.table.columns.get(*column);
            let Some((key, span)) = column.and_then(|column| match &column.kind {
                ColumnKind::Metadata { key, .. } => Some((key, column.span)),
                ColumnKind::Physical => None,
            }) else {
                continue;
            };
            // Others are the connector's own.
            let Some((_, path, content, _)) = entries(shape).iter().find(|(known, ..)| known == key) else {
                continue;
            };
            if scan.schema.fields.get(position).is_none_or(|it| !it.data_type.same_kind(&content.data_type()))
            {
                let message = format!("metadata '{key}' is a {}", content.data_type());
                return Err(Diagnostic::error(Code::Internal, message).at(span));
            }
            if let Some(known) = wanted.iter_mut().find(|it| (it.path, it.content) == (*path, *content)) {
                known.positions.push(position);
                continue;
            }
            let column = Column::new(&content.read_as(), false)?;
            let from = match path {
                Path::Top(name) => From::Value(Some(number_of(keys, name)), Box::new(column)),
                Path::Schema if wrapped => From::Value(None, Box::new(column)),
                Path::Schema => From::Value(Some(number_of(keys, "schema")), Box::new(column)),
                Path::Source(name) => {
                    source.push((name.to_string(), column));
                    From::Source(source.len() - 1)
                }
            };
            wanted.push(Wanted { positions: vec![position], path: *path, content: *content, from });
        }
        let source = (!source.is_empty()).then(|| (number_of(keys, "source"), ObjectReader::new(source)));
        Ok((!wanted.is_empty()).then_some(Self { wanted, source }))
    }

    /// Whether a column of the batch is one of these.
    pub fn fills(&self, position: usize) -> bool {
        self.wanted.iter().any(|it| it.positions.contains(&position))
    }

    pub fn truncate(&mut self, rows: usize) {
        for wanted in &mut self.wanted {
            if let From::Value(_, column) = &mut wanted.from {
                column.truncate(rows);
            }
        }
        if let Some((_, source)) = &mut self.source {
            source.truncate(rows);
        }
    }

    /// Reads what there is for `rows` rows from number `row` on. Where values stand, by the keys' numbers, say
    /// `places`.
    pub fn read(
        &mut self,
        bytes: &[u8],
        places: &[Option<usize>],
        row: usize,
        rows: usize,
        reading: &mut Reading,
    ) -> Result<(), Fail> {
        let place = |key: usize| places.get(key).copied().flatten();
        for wanted in &mut self.wanted {
            if let From::Value(Some(key), column) = &mut wanted.from {
                append(column, wanted.content, bytes, place(*key), row, rows, reading)?;
            }
        }
        let Some((key, source)) = &mut self.source else { return Ok(()) };
        source.truncate(row);
        for number in 0..rows {
            match place(*key).filter(|at| bytes.get(*at) == Some(&b'{')) {
                Some(at) => {
                    _ = source.read(bytes, at, row + number, reading).map_err(|it| it.inside("source"))?
                }
                None => source.push_nulls(),
            }
        }
        Ok(())
    }

    /// Reads the schema that a record is wrapped with.
    pub fn schema(
        &mut self,
        bytes: &[u8],
        at: Option<usize>,
        row: usize,
        rows: usize,
        reading: &mut Reading,
    ) -> Result<(), Fail> {
        for wanted in &mut self.wanted {
            if let From::Value(None, column) = &mut wanted.from {
                append(column, wanted.content, bytes, at, row, rows, reading)?;
            }
        }
        Ok(())
    }

    /// The columns, to their positions in the batch.
    pub fn finish(&mut self, into: &mut [Option<ArrayRef>]) -> Result<()> {
        let source = match &mut self.source {
            Some((_, source)) => source.finish()?,
            None => Vec::new(),
        };
        for wanted in &mut self.wanted {
            let array = match &mut wanted.from {
                From::Value(_, column) => column.finish()?,
                From::Source(number) => {
                    let column = source.get(*number).cloned();
                    column.ok_or_else(|| internal("a column of the source is missing"))?
                }
            };
            let array = match wanted.content {
                Content::Millis => instants::<Int64Type, TimestampMillisecondType>(&array, 1)?,
                Content::Seconds => instants::<Int64Type, TimestampMillisecondType>(&array, 1000)?,
                Content::DateTime => {
                    instants::<TimestampMicrosecondType, TimestampMicrosecondType>(&array, 1)?
                }
                _ => array,
            };
            for position in &wanted.positions {
                if let Some(place) = into.get_mut(*position) {
                    *place = Some(array.clone());
                }
            }
        }
        Ok(())
    }
}

/// Appends the value at `at` (none: NULL) for `rows` rows from number `row` on.
fn append(
    column: &mut Column,
    content: Content,
    bytes: &[u8],
    at: Option<usize>,
    row: usize,
    rows: usize,
    reading: &mut Reading,
) -> Result<(), Fail> {
    column.truncate(row);
    let separator = reading.separator;
    // What stands behind the quotation mark and a date of ten signs.
    let between = at.and_then(|at| bytes.get(at.checked_add(11)?)).copied();
    if let (Content::DateTime, Some(between @ (b' ' | b'T'))) = (content, between) {
        reading.separator = between;
    }
    let mut outcome = Ok(0);
    for _ in 0..rows {
        match at {
            Some(at) if outcome.is_ok() => outcome = column.append(bytes, at, reading),
            _ => column.push_null(),
        }
    }
    reading.separator = separator;
    outcome.map(|_| ())
}

/// Counts of units as instants of another type.
fn instants<Read, To>(array: &ArrayRef, units: i64) -> Result<ArrayRef>
where
    Read: ArrowPrimitiveType<Native = i64>,
    To: ArrowPrimitiveType<Native = i64> + arrow::datatypes::ArrowTimestampType,
{
    let counts = array.as_primitive_opt::<Read>().ok_or_else(|| internal("metadata of another type"))?;
    let counts: Int64Array = counts.unary_opt(|count| i64::checked_mul(count, units));
    let instants = PrimitiveArray::<To>::new(counts.values().clone(), counts.nulls().cloned());
    Ok(Arc::new(instants.with_timezone("UTC")))
}
