//! Key, value and metadata of a message become one row.
//!
//! ```text
//!   record    value rows      key rows                      a record whose key is null has no row, as in
//!     0       ▤               ▤            ─► ▤▤ + metadata    Flink; one whose key or value can't be read
//!     1       ▤▤ (a change)   ▤            ─► ▤▤ ▤▤            is rejected with the value's bytes
//!     2       (null)          ▤            ─► -D with the key's columns, for upserts; else nothing
//!     3       ▤               can't be read ─► rejected
//! ```
//!
//! Invariants
//! - `read` counts every row, skip and reject once: a record with several rows and a bad key counts as one.
//! - Rows stay in the order of their records.
//! - A dead letter that holds all of its message is decoded as the message was: `letters` makes messages of
//!   it again. Of an older one only value and place are known.

mod letters;
pub(crate) mod metadata;
pub(crate) mod plan;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int8Array, UInt32Array, new_null_array},
    compute::{concat_batches, is_not_null, kernels::zip::zip, take},
    datatypes::SchemaRef,
    error::ArrowError,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{Chunk, Decoded, Decoder, Payload, RecordPart, Reject, Slices};
use flott_expr::EvalContext;
use flott_formats::filter;
use flott_types::{Code, Diagnostic, Result, RowKind};

use self::metadata::Place;
pub(crate) use self::plan::{From, Plan};

/// Decodes messages of a table.
pub(crate) struct KafkaDecoder {
    plan: Plan,
    schema: SchemaRef,
    value: Box<dyn Decoder>,
    key: Option<Box<dyn Decoder>>,
}

impl KafkaDecoder {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let decoder = |it: &plan::PartPlan| it.part.format.decoder(&it.part.request(), &it.scan, Vec::new());
        Ok(Self {
            value: decoder(&plan.value)?,
            key: plan.key.as_ref().map(decoder).transpose()?,
            schema: plan.schema.arrow_schema(),
            plan: plan.clone(),
        })
    }
}

type Emit<'a> = dyn FnMut(Decoded) -> Result<()> + 'a;

impl Decoder for KafkaDecoder {
    fn decode(&mut self, chunk: &Chunk, context: &EvalContext, emit: &mut Emit<'_>) -> Result<()> {
        let Self { plan, schema, value, key } = self;
        match &chunk.payload {
            Payload::Messages(messages) => {
                if plan.is_value_alone() {
                    let filter = plan.filter.as_ref();
                    return value.decode_messages(
                        &messages.values,
                        chunk,
                        context,
                        &mut |decoded| match filter {
                            Some(program) => emit(filter::apply(program, decoded, context)?),
                            None => emit(decoded),
                        },
                    );
                }
                let keys = match key {
                    Some(key) => Some(Keys::decode(key, &messages.keys, chunk, context)?),
                    None => None,
                };
                let row = Rows { plan, schema, keys, place: Place::of(chunk), context };
                if plan.upsert {
                    return row.upserts(value, &messages.values, chunk, emit);
                }
                value.decode_messages(&messages.values, chunk, context, &mut |decoded| {
                    emit(row.finish(row.compose(decoded)?)?)
                })
            }
            Payload::Records(records) => self.letters(chunk, records, context, emit),
            _ => Err(internal("a chunk that isn't Kafka's came to its decoder")),
        }
    }
}

fn internal(what: impl ToString) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, what.to_string())
}

fn arrow(error: ArrowError) -> Box<Diagnostic> {
    internal(error)
}

fn kinds(kind: RowKind, rows: usize) -> Int8Array {
    Int8Array::from_value(kind.number(), rows)
}

/// The keys of a chunk.
struct Keys {
    batch: RecordBatch,
    /// For each record the row of its key; none: every record has the row of its number.
    row_of: Option<Vec<Option<u32>>>,
    /// Keys that can't be read, in the order of their records.
    rejected: Vec<Reject>,
}

impl Keys {
    fn decode(
        decoder: &mut Box<dyn Decoder>,
        keys: &Slices,
        chunk: &Chunk,
        context: &EvalContext,
    ) -> Result<Self> {
        let (mut batches, mut rejected, mut records) = (Vec::new(), Vec::new(), Vec::new());
        decoder.decode_messages(keys, chunk, context, &mut |decoded| {
            records.extend(records_of(&decoded));
            rejected.extend(decoded.rejected);
            batches.push(decoded.batch);
            Ok(())
        })?;
        let batch = match batches.as_slice() {
            [] => RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())),
            [one] => one.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &batches).map_err(self::arrow)?,
        };
        let is_whole =
            records.len() == keys.len() && (0_u32..).zip(&records).all(|(at, record)| at == *record);
        let row_of = (!is_whole).then(|| {
            let mut row_of = vec![None; keys.len()];
            for (row, record) in (0_u32..).zip(&records) {
                if let Some(place) = row_of.get_mut(*record as usize) {
                    *place = Some(row);
                }
            }
            row_of
        });
        Ok(Self { batch, row_of, rejected })
    }

    /// Of dead letters without their keys.
    fn missing(records: usize) -> Self {
        let reject = |at: usize| {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let message = "the dead letter was written without its key, and the row needs it".into();
            Reject { record: at..at, code: Code::DecodeFailed, message, part: RecordPart::Key }
        };
        let batch = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        Self { batch, row_of: Some(vec![None; records]), rejected: (0..records).map(reject).collect() }
    }

    fn row(&self, record: u32) -> Option<u32> {
        match &self.row_of {
            None => Some(record),
            Some(row_of) => row_of.get(record as usize).copied().flatten(),
        }
    }

    fn reject(&self, record: u32) -> Option<Reject> {
        let at = self.rejected.binary_search_by_key(&record, |it| it.record.start).ok()?;
        let reject = self.rejected.get(at)?;
        Some(Reject { message: of_key(&reject.message), part: RecordPart::Key, ..reject.clone() })
    }
}

/// How the JSON formats begin to say so.
const NO_OBJECT: &str = "expected an object";

/// What is wrong with a key, said by a decoder that takes it for a record.
fn of_key(message: &str) -> String {
    let about = " of the record";
    let mut out = String::from("key: ");
    match message.split_once(about) {
        Some((place, what))
            if place.trim_end_matches(|it: char| it.is_ascii_digit()).ends_with("at byte ") =>
        {
            out += &format!("{place} of the key{what}");
        }
        _ => out += message,
    }
    // Of the key as a whole, not of a field.
    if message.starts_with(NO_OBJECT) || message.ends_with(&format!(" byte 0{about}: {NO_OBJECT}")) {
        out += " (a key that is a plain value is of format 'raw')";
    }
    out
}

/// The record of each row.
fn records_of(decoded: &Decoded) -> Vec<u32> {
    if decoded.rows.is_empty() {
        let rows = u32::try_from(decoded.batch.num_rows()).unwrap_or(u32::MAX);
        return (decoded.first_record..decoded.first_record.saturating_add(rows)).collect();
    }
    decoded.rows.iter().map(|it| it.start).collect()
}

/// Puts rows together.
struct Rows<'a> {
    plan: &'a Plan,
    schema: &'a SchemaRef,
    keys: Option<Keys>,
    place: Place<'a>,
    context: &'a EvalContext,
}

impl Rows<'_> {
    /// What the value's decoder gave, with key and metadata.
    fn compose(&self, decoded: Decoded) -> Result<Decoded> {
        let records = records_of(&decoded);
        let Some(keys) = self.keys.as_ref().filter(|keys| keys.row_of.is_some()) else {
            let batch = self.batch(Some(&decoded.batch), &records, records.len())?;
            return Ok(Decoded { batch, ..decoded });
        };
        // Rows of records with a key stay.
        let (mut kept, mut rejected, mut skipped, mut again) = (Vec::new(), Vec::new(), 0_u64, 0_u64);
        let mut last = None;
        for (row, record) in (0_u32..).zip(&records) {
            if keys.row(*record).is_some() {
                kept.push(row);
            } else if last == Some(*record) {
                again += 1;
            } else if let Some(reject) = keys.reject(*record) {
                rejected.push(reject);
                last = Some(*record);
            } else {
                skipped += 1;
            }
        }
        let kept = UInt32Array::from(kept);
        let rows = kept.values().iter().filter_map(|row| records.get(*row as usize));
        let records: Vec<u32> = rows.copied().collect();
        let values = take_rows(&decoded.batch, &kept)?;
        let kinds = match &decoded.kinds {
            None => None,
            Some(kinds) => Some(Int8Array::from(take(kinds, &kept, None).map_err(arrow)?.to_data())),
        };
        rejected.splice(0..0, decoded.rejected);
        rejected.sort_by_key(|it| it.record.start);
        Ok(Decoded {
            batch: self.batch(Some(&values), &records, records.len())?,
            rows: records.iter().map(|it| *it..*it).collect(),
            kinds,
            read: decoded.read.saturating_sub(again),
            skipped: decoded.skipped + skipped,
            rejected,
            ..decoded
        })
    }

    /// The columns wanted for these records, all of which have a key. Without values theirs are null.
    fn batch(&self, values: Option<&RecordBatch>, records: &[u32], rows: usize) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.plan.columns.len());
        let mut key_rows = None;
        for (from, field) in self.plan.columns.iter().zip(self.schema.fields()) {
            columns.push(match (from, values) {
                (From::Value(at), Some(values)) => column(values, *at)?,
                (From::Beside(at, cast), Some(values)) => {
                    cast.apply(column(values, *at)?, self.context, || field.name().clone())?
                }
                (From::Value(_) | From::Beside(..), None) => new_null_array(field.data_type(), rows),
                (From::Metadata(metadata), _) => metadata.fill(&self.place, records, self.context)?,
                (From::Both { value, .. }, Some(values)) if column(values, *value)?.null_count() == 0 => {
                    column(values, *value)?
                }
                (From::Key(at) | From::Both { key: at, .. }, _) => {
                    let Some(keys) = &self.keys else { return Err(internal("a key's column without keys")) };
                    let of_key = if rows == 0 {
                        new_null_array(field.data_type(), 0)
                    } else {
                        let each = || records.iter().map(|record| keys.row(*record));
                        let key_rows = key_rows.get_or_insert_with(|| each().collect::<UInt32Array>());
                        take(&column(&keys.batch, *at)?, key_rows, None).map_err(arrow)?
                    };
                    match (from, values) {
                        (From::Both { value, .. }, Some(values)) => {
                            first_of(&column(values, *value)?, &of_key)?
                        }
                        _ => of_key,
                    }
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(arrow)
    }

    /// Applies what of the filter isn't applied yet.
    fn finish(&self, decoded: Decoded) -> Result<Decoded> {
        match &self.plan.filter {
            Some(program) => filter::apply(program, decoded, self.context),
            None => Ok(decoded),
        }
    }

    /// Values are the new rows of their keys, null is a deletion.
    fn upserts(
        &self,
        value: &mut Box<dyn Decoder>,
        values: &Slices,
        chunk: &Chunk,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let nulls: Vec<u32> = (0..count).filter(|at| values.is_null(*at as usize)).collect();
        if nulls.is_empty() {
            return value.decode_messages(values, chunk, self.context, &mut |decoded| {
                let mut decoded = self.compose(decoded)?;
                decoded.kinds = Some(kinds(RowKind::UpdateAfter, decoded.batch.num_rows()));
                emit(self.finish(decoded)?)
            });
        }
        let mut all = Vec::new();
        value.decode_messages(values, chunk, self.context, &mut |decoded| {
            all.push(self.compose(without_null(decoded, values)?)?);
            Ok(())
        })?;
        let merged = self.merge(all, &nulls)?;
        emit(self.finish(merged)?)
    }

    /// Rows and deletions in the order of their records.
    fn merge(&self, all: Vec<Decoded>, nulls: &[u32]) -> Result<Decoded> {
        let deleted = |record: &&u32| self.keys.as_ref().is_none_or(|keys| keys.row(**record).is_some());
        let deletions: Vec<u32> = nulls.iter().filter(deleted).copied().collect();
        let mut merged = Decoded::all(self.batch(None, &deletions, deletions.len())?, 0);
        merged.read = 0;
        let rejects = nulls.iter().filter_map(|record| self.keys.as_ref()?.reject(*record));
        merged.rejected.extend(rejects);
        let mut skipped = 0_u64;
        let mut batches = vec![merged.batch.clone()];
        let mut records = deletions.clone();
        for decoded in all {
            records.extend(records_of(&decoded));
            batches.push(decoded.batch);
            merged.read += decoded.read;
            merged.filtered += decoded.filtered;
            merged.nulled += decoded.nulled;
            skipped += decoded.skipped;
            merged.rejected.extend(decoded.rejected);
        }
        // Every null was counted as skipped.
        let now_counted = (deletions.len() + nulls.iter().filter(|it| self.rejects(**it)).count()) as u64;
        merged.skipped = skipped.saturating_sub(now_counted);
        merged.rejected.sort_by_key(|it| it.record.start);
        let mut order: Vec<u32> = (0..u32::try_from(records.len()).unwrap_or(u32::MAX)).collect();
        order.sort_by_key(|row| records.get(*row as usize).copied());
        let batch = concat_batches(self.schema, &batches).map_err(arrow)?;
        let of = |row: &u32| {
            if (*row as usize) < deletions.len() { RowKind::Delete } else { RowKind::UpdateAfter }
        };
        merged.kinds = Some(order.iter().map(|row| of(row).number()).collect::<Vec<i8>>().into());
        merged.rows = order.iter().filter_map(|row| records.get(*row as usize)).map(|it| *it..*it).collect();
        merged.batch = take_rows(&batch, &UInt32Array::from(order))?;
        Ok(merged)
    }

    fn rejects(&self, record: u32) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.reject(record).is_some())
    }
}

/// Some formats have a row for null, or reject it: here it is a deletion. It counts as skipped until it is one.
fn without_null(mut decoded: Decoded, values: &Slices) -> Result<Decoded> {
    let records = records_of(&decoded);
    let rejected = decoded.rejected.len();
    decoded.rejected.retain(|it| !values.is_null(it.record.start as usize));
    decoded.skipped += (rejected - decoded.rejected.len()) as u64;
    let rows = (0_u32..).zip(&records).filter(|(_, record)| !values.is_null(**record as usize));
    let kept: Vec<u32> = rows.map(|(row, _)| row).collect();
    if kept.len() == records.len() {
        return Ok(decoded);
    }
    let rows = kept.iter().filter_map(|row| records.get(*row as usize)).map(|it| *it..*it).collect();
    let skipped = decoded.skipped + (records.len() - kept.len()) as u64;
    let batch = take_rows(&decoded.batch, &UInt32Array::from(kept))?;
    Ok(Decoded { batch, rows, kinds: None, skipped, ..decoded })
}

/// The first, where it isn't NULL; else the second.
fn first_of(first: &ArrayRef, second: &ArrayRef) -> Result<ArrayRef> {
    zip(&is_not_null(first).map_err(arrow)?, first, second).map_err(arrow)
}

fn column(batch: &RecordBatch, at: usize) -> Result<ArrayRef> {
    batch.columns().get(at).cloned().ok_or_else(|| internal("a decoder left out a column"))
}

fn take_rows(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    let columns: Result<Vec<ArrayRef>, ArrowError> =
        batch.columns().iter().map(|column| take(column, rows, None)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns.map_err(arrow)?, &options).map_err(arrow)
}
