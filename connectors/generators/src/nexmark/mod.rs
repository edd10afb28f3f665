//! `nexmark`: the events of an online auction, as one wide table.
//!
//! ```text
//!   event_type INT        0: person registers, 1: auction opens, 2: bid is made
//!   person ROW<…>         set for events of type 0, else NULL
//!   auction ROW<…>        … 1
//!   bid ROW<…>            … 2
//! ```
//!
//! Kinds of events, keys in flight, hot keys and sizes follow the public description of the
//! Nexmark benchmark and its Flink connector; the random numbers are Flott's own.

mod events;
mod settings;
mod table;

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray},
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType as ArrowType, SchemaRef},
};
use flott_connector::{
    Chunk, Connector, Decoded, Decoder, OptionDef, Registry, ScanRequest, Sink, SinkRequest, Source,
    SourceReader, TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Result};
use serde_json::Value;

use self::{
    events::{Generate, Kind},
    settings::Settings,
    table::{Column, columns_of},
};
use crate::{
    only_reads,
    pace::{Pacer, batch, broken, pieces},
    refuse_metadata,
};

/// The connector.
pub(crate) struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }
    fn doc(&self) -> &'static str {
        "Makes the events of the Nexmark benchmark: people, auctions and bids in one wide table."
    }
    fn options(&self) -> &'static [OptionDef] {
        settings::OPTIONS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        false
    }
    fn is_bounded(&self, table: &TableDescription) -> bool {
        Settings::read(&table.options, &mut Vec::new()).events.is_some()
    }
    fn validate(&self, table: &TableDescription, _: &Registry, errors: &mut Vec<Box<Diagnostic>>) {
        refuse_metadata(self.name(), table, errors);
        Settings::read(&table.options, errors);
        table::validate(table, errors);
    }
    fn source(&self, table: &TableDescription, scan: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        let mut errors = Vec::new();
        let settings = Settings::read(&table.options, &mut errors);
        let columns = columns_of(&scan.schema, &mut errors);
        if let Some(error) = errors.into_iter().next() {
            return Err(error.at(table.span));
        }
        Ok(Arc::new(NexmarkSource {
            settings: Arc::new(settings),
            columns: columns.into(),
            schema: scan.schema.arrow_schema(),
            batch_rows: scan.batch_rows,
        }))
    }
    fn sink(&self, table: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Err(only_reads(self.name(), table))
    }
}

struct NexmarkSource {
    settings: Arc<Settings>,
    columns: Arc<[Column]>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Source for NexmarkSource {
    fn is_bounded(&self) -> bool {
        self.settings.events.is_some()
    }
    fn replays(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        let rate = self.settings.is_rate_limited.then_some(self.settings.rate);
        Ok(Box::new(Pacer::new("nexmark", rate, self.settings.events, resume)?))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(NexmarkDecoder {
            settings: self.settings.clone(),
            columns: self.columns.clone(),
            schema: self.schema.clone(),
            batch_rows: self.batch_rows,
            kinds: Vec::new(),
        }))
    }
}

struct NexmarkDecoder {
    settings: Arc<Settings>,
    columns: Arc<[Column]>,
    schema: SchemaRef,
    batch_rows: usize,
    /// The kinds of the events of the batch.
    kinds: Vec<Kind>,
}

impl Decoder for NexmarkDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        _: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        for (rows, first_record) in pieces(chunk, self.batch_rows)? {
            self.kinds.clear();
            self.kinds.extend(rows.clone().map(|n| self.settings.kind(n)));
            let arrays: Result<Vec<ArrayRef>> =
                self.columns.iter().map(|column| self.column(column, rows.clone())).collect();
            let batch = batch(&self.schema, arrays?, self.kinds.len())?;
            emit(Decoded::all(batch, first_record))?;
        }
        Ok(())
    }
}

impl NexmarkDecoder {
    fn column(&self, column: &Column, rows: Range<u64>) -> Result<ArrayRef> {
        let Column::Event { kind, fields, arrow_type } = column else {
            return Ok(Arc::new(Int32Array::from_iter_values(self.kinds.iter().map(|kind| *kind as i32))));
        };
        let ArrowType::Struct(types) = arrow_type else {
            return Err(Diagnostic::error(Code::Internal, "an event's column must be a struct"));
        };
        let nulls: NullBuffer = self.kinds.iter().map(|it| it == kind).collect();
        let arrays: Result<Vec<ArrayRef>> =
            fields.iter().map(|field| self.field(*field, *kind, rows.clone(), &nulls)).collect();
        let event = StructArray::try_new_with_length(types.clone(), arrays?, Some(nulls), self.kinds.len());
        Ok(Arc::new(event.map_err(broken)?))
    }

    /// A field's values; NULL where the event is of another kind.
    fn field(&self, field: Generate, kind: Kind, rows: Range<u64>, nulls: &NullBuffer) -> Result<ArrayRef> {
        let events = rows.zip(&self.kinds).map(|(n, it)| (*it == kind).then_some(n));
        Ok(match field {
            Generate::Number(make) => {
                let values = events.map(|n| n.map_or(0, |n| make(&self.settings, n))).collect();
                Arc::new(Int64Array::new(values, Some(nulls.clone())))
            }
            Generate::Time(make) => {
                let values = events.map(|n| n.map_or(0, |n| make(&self.settings, n))).collect();
                Arc::new(TimestampMillisecondArray::new(values, Some(nulls.clone())))
            }
            Generate::Text(make) => {
                let mut bytes = Vec::with_capacity(self.kinds.len() * 64);
                let mut offsets = Vec::with_capacity(self.kinds.len() + 1);
                offsets.push(0);
                for event in events {
                    if let Some(n) = event {
                        make(&self.settings, n, &mut bytes);
                    }
                    offsets.push(i32::try_from(bytes.len()).map_err(|_| {
                        Diagnostic::error(Code::Internal, "a batch of nexmark texts is larger than 2 GB")
                    })?);
                }
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let texts = StringArray::try_new(offsets, Buffer::from_vec(bytes), Some(nulls.clone()));
                Arc::new(texts.map_err(broken)?)
            }
        })
    }
}

#[cfg(test)]
mod tests;
