//! Metadata columns: where a message is and what stands beside its key and value.
//!
//! ```text
//!   messages ─► the key's natural type, a row for each record number ─► CAST to the column's type
//! ```

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapArray, StringArray, StringBuilder,
        StructArray, TimestampMillisecondArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{Chunk, Header, Messages, Origin, Payload, TimestampType};
use flott_expr::{CastMode, EvalContext, Expr, Program};
use flott_types::{Code, DataType, Diagnostic, Result, TypeKind};

/// Key, SQL type, one sentence.
pub(crate) const KEYS: &[(&str, &str, &str)] = &[
    ("topic", "STRING NOT NULL", "The topic."),
    ("partition", "INT NOT NULL", "The partition's number."),
    (
        "headers",
        "MAP<STRING, BYTES> NOT NULL",
        "The headers; of several of one name the last. Can be written.",
    ),
    ("leader-epoch", "INT", "The epoch of the partition's leader, if the broker tells it."),
    ("offset", "BIGINT NOT NULL", "The offset in the partition."),
    ("timestamp", "TIMESTAMP_LTZ(3) NOT NULL", "The timestamp. Can be written."),
    (
        "timestamp-type",
        "STRING NOT NULL",
        "Whose clock the timestamp is of: 'NoTimestampType', 'CreateTime' or 'LogAppendTime'.",
    ),
];

/// Which metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Topic,
    Partition,
    Headers,
    LeaderEpoch,
    Offset,
    Timestamp,
    TimestampType,
}

impl Key {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "topic" => Key::Topic,
            "partition" => Key::Partition,
            "headers" => Key::Headers,
            "leader-epoch" => Key::LeaderEpoch,
            "offset" => Key::Offset,
            "timestamp" => Key::Timestamp,
            "timestamp-type" => Key::TimestampType,
            _ => return None,
        })
    }

    /// Its natural type.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Key::Topic | Key::TimestampType => DataType::string().not_null(),
            Key::Partition => DataType::int().not_null(),
            Key::LeaderEpoch => DataType::int(),
            Key::Offset => DataType::bigint().not_null(),
            Key::Timestamp => DataType::new(TypeKind::TimestampLtz(3)).not_null(),
            Key::Headers => {
                DataType::map(DataType::string().not_null(), DataType::bytes().not_null()).not_null()
            }
        }
    }
}

/// Makes a column of its natural type one of the type that the table declares.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    program: Program,
    natural: Arc<ArrowSchema>,
}

impl Cast {
    pub(crate) fn new(natural: DataType, target: &DataType) -> Self {
        let schema = Arc::new(ArrowSchema::new(vec![natural.arrow_field("")]));
        let column = Expr::column(0, "", natural);
        let program = Program::new(vec![flott_expr::coerce::cast_expr(column, target, CastMode::Strict)]);
        Self { program, natural: schema }
    }

    /// `what` names the column for users.
    pub(crate) fn apply(
        &self,
        natural: ArrayRef,
        context: &EvalContext,
        what: impl FnOnce() -> String,
    ) -> Result<ArrayRef> {
        let internal = |why: String| Diagnostic::error(Code::Internal, why);
        let options = RecordBatchOptions::new().with_row_count(Some(natural.len()));
        let batch = RecordBatch::try_new_with_options(self.natural.clone(), vec![natural], &options)
            .map_err(|error| internal(error.to_string()))?;
        let cast = self.program.evaluate(&batch, context).map_err(|error| {
            let message =
                format!("metadata '{}' can't be read as the column's type: {}", what(), error.message);
            Diagnostic::error(Code::InputUnreadable, message).that_lasts()
        })?;
        cast.into_iter().next().ok_or_else(|| internal("a cast without a result".into()))
    }
}

/// A metadata column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub key: Key,
    /// To the column's type.
    cast: Cast,
}

impl Column {
    pub(crate) fn new(key: Key, target: &DataType) -> Self {
        Self { key, cast: Cast::new(key.data_type(), target) }
    }

    /// The column for these records of the chunk.
    pub(crate) fn fill(&self, place: &Place<'_>, records: &[u32], context: &EvalContext) -> Result<ArrayRef> {
        let natural = place
            .natural(self.key, records)
            .map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
        self.cast.apply(natural, context, || format!("{:?}", self.key))
    }
}

/// Where the records of a chunk are.
pub(crate) enum Place<'a> {
    Messages {
        topic: &'a str,
        partition: i32,
        messages: &'a Messages,
    },
    /// Of dead letters without their message's parts only the origin is known.
    Origins(Vec<&'a Origin>),
}

impl<'a> Place<'a> {
    pub(crate) fn of(chunk: &'a Chunk) -> Self {
        match &chunk.payload {
            Payload::Messages(messages) => {
                let (topic, partition) = partition_of(&chunk.split.name);
                Place::Messages { topic, partition, messages }
            }
            _ => Place::Origins(Vec::new()),
        }
    }

    fn natural(&self, key: Key, records: &[u32]) -> Result<ArrayRef, arrow::error::ArrowError> {
        match self {
            Place::Messages { topic, partition, messages } => {
                of_messages(key, records, topic, *partition, messages)
            }
            Place::Origins(origins) => Ok(of_origins(key, records, origins)),
        }
    }
}

/// `orders[3]`
fn partition_of(split: &str) -> (&str, i32) {
    let parts = split.strip_suffix(']').and_then(|it| it.rsplit_once('['));
    parts.and_then(|(topic, number)| Some((topic, number.parse().ok()?))).unwrap_or((split, -1))
}

fn of_messages(
    key: Key,
    records: &[u32],
    topic: &str,
    partition: i32,
    messages: &Messages,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    let rows = records.len();
    fn pick<T: Copy>(list: &[T], records: &[u32]) -> impl Iterator<Item = Option<T>> {
        records.iter().map(|at| list.get(*at as usize).copied())
    }
    Ok(match key {
        Key::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, rows))),
        Key::Partition => Arc::new(Int32Array::from_iter_values(std::iter::repeat_n(partition, rows))),
        Key::Offset => Arc::new(Int64Array::from_iter(pick(&messages.offsets, records))),
        Key::Timestamp => Arc::new(
            TimestampMillisecondArray::from_iter(pick(&messages.timestamps, records)).with_timezone("UTC"),
        ),
        Key::TimestampType => {
            let kinds = pick(&messages.timestamp_types, records);
            Arc::new(StringArray::from_iter_values(kinds.map(|kind| type_name(kind.unwrap_or_default()))))
        }
        Key::LeaderEpoch => {
            let epochs = pick(&messages.leader_epochs, records);
            Arc::new(Int32Array::from_iter(epochs.map(|epoch| epoch.filter(|it| *it >= 0))))
        }
        Key::Headers => headers(records, &messages.headers)?,
    })
}

fn type_name(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::NoTimestampType => "NoTimestampType",
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn of_origins(key: Key, records: &[u32], origins: &[&Origin]) -> ArrayRef {
    let each = || records.iter().map(|at| origins.get(*at as usize));
    let partition = |origin: &&Origin| Some(partition_of(&origin.split).1).filter(|it| *it >= 0);
    match key {
        Key::Topic => {
            Arc::new(StringArray::from_iter(each().map(|it| it.map(|it| partition_of(&it.split).0))))
        }
        Key::Partition => Arc::new(Int32Array::from_iter(each().map(|it| it.and_then(partition)))),
        Key::Offset => {
            Arc::new(Int64Array::from_iter(each().map(|it| it.and_then(|it| i64::try_from(it.offset).ok()))))
        }
        _ => arrow::array::new_null_array(&key.data_type().arrow_type(), records.len()),
    }
}

/// A map for each record; of headers of one name the last counts, where the first of them stood.
fn headers(records: &[u32], headers: &[Vec<Header>]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let (mut names, mut values, mut ends) = (StringBuilder::new(), BinaryBuilder::new(), vec![0_i32]);
    let mut count = 0_i32;
    for record in records {
        let list = headers.get(*record as usize).map(Vec::as_slice).unwrap_or_default();
        for (at, (name, _)) in list.iter().enumerate() {
            if list.iter().take(at).any(|(earlier, _)| earlier == name) {
                continue;
            }
            let last = list.iter().rev().find(|(other, _)| other == name);
            names.append_value(name);
            values.append_option(last.and_then(|(_, value)| value.as_deref()));
            count += 1;
        }
        ends.push(count);
    }
    let ArrowType::Map(entries, _) = Key::Headers.data_type().arrow_type() else {
        return Err(arrow::error::ArrowError::SchemaError("headers are a map".into()));
    };
    let fields = match entries.data_type() {
        ArrowType::Struct(fields) => fields.clone(),
        _ => vec![ArrowField::new("key", ArrowType::Utf8, false)].into(),
    };
    let columns: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(values.finish())];
    let pairs = StructArray::try_new(fields, columns, None)?;
    let map = MapArray::try_new(entries, OffsetBuffer::new(ends.into()), pairs, None, false)?;
    debug_assert_eq!(map.len(), records.len());
    Ok(Arc::new(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splits_name_is_topic_and_partition() {
        assert_eq!(partition_of("a.b[12]"), ("a.b", 12));
        assert_eq!(partition_of("elsewhere"), ("elsewhere", -1));
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let header = |name: &str, value: &str| (name.to_string(), Some(value.as_bytes().to_vec()));
        let list = vec![vec![header("a", "1"), header("b", "2"), header("a", "3")], vec![]];
        let map = headers(&[0, 1], &list).unwrap();
        let map = map.as_any().downcast_ref::<MapArray>().unwrap();
        assert_eq!(map.value_length(0), 2);
        assert_eq!(map.value_length(1), 0);
        let values = map.values().as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap();
        assert_eq!(values.value(0), b"3");
    }
}
