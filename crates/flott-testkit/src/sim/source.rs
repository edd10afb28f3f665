//! A table of the simulation's own: rows in several splits whose event times run apart and out of order,
//! read in a fixed order, so that every run sees the same rows wherever it begins.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, TimestampMillisecondArray},
    compute::cast,
    datatypes::{DataType as ArrowType, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use flott_connector::{
    Chunk, Connector, Decoded, Decoder, OptionDef, OptionKind, Payload, ReadContext, Registry, ScanRequest,
    Sink, SinkRequest, Source, SourceReader, SplitInfo, SplitTime, TableDescription,
};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Result};
use serde_json::{Value, json};

use super::world::with;
use crate::kills::Random;

const OPTIONS: &[OptionDef] = &[OptionDef::required("table", OptionKind::Integer, "Which table it is.")];

/// The rows of a table: columns `id`, `k`, `g`, `v`, `ts`.
#[derive(Debug)]
pub(super) struct Table {
    columns: [Vec<i64>; 5],
    chunks: Vec<Cut>,
    splits: usize,
}

/// A chunk that will be read: rows of one split.
#[derive(Debug, Clone)]
struct Cut {
    split: u32,
    rows: std::ops::Range<u64>,
    finished: bool,
    unopened: bool,
}

/// 2026-01-01 00:00:00 UTC.
const BEGIN_MILLIS: i64 = 1_767_225_600_000;

impl Table {
    /// The table with this number of a data set.
    pub(super) fn generate(data: u64, number: u64) -> Self {
        let mut random = Random::new(data.wrapping_mul(31).wrapping_add(number));
        let splits = 2 + random.below(2) as usize;
        let mut left: Vec<Vec<i64>> = (0..splits).map(|split| times(&mut random, split)).collect();
        let total: usize = left.iter().map(Vec::len).sum();
        left.iter_mut().for_each(|times| times.reverse());
        let mut values: Vec<i64> = (0..total as i64).map(|value| value * 7 - 300).collect();
        for at in (1..values.len()).rev() {
            values.swap(at, random.below(at as u64 + 1) as usize);
        }
        let (keys, groups) = (5 + random.below(8), 2 + random.below(3));
        let mut table = Self { columns: Default::default(), chunks: Vec::new(), splits };
        let (mut turn, mut opened) = (0, 0);
        while left.iter().any(|times| !times.is_empty()) {
            let split = turn % splits;
            turn += 1;
            if left[split].is_empty() {
                continue;
            }
            opened = opened.max(split + 1);
            let count = (1 + random.below(9) as usize).min(left[split].len());
            let from = table.columns[0].len();
            for _ in 0..count {
                let row = table.columns[0].len();
                let time = left[split].pop().unwrap_or(0);
                let key = random.below(keys) as i64;
                let values = [row as i64, key, key % groups as i64, values[row], time];
                table.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
            table.chunks.push(Cut {
                split: split as u32,
                rows: from as u64..(from + count) as u64,
                finished: left[split].is_empty(),
                unopened: opened < splits,
            });
        }
        table
    }

    pub(super) fn rows(&self) -> u64 {
        self.columns[0].len() as u64
    }

    pub(super) fn splits(&self) -> usize {
        self.splits
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

/// Event times of a split: its own pace, no two alike in the table, out of order by less than a second.
fn times(random: &mut Random, split: usize) -> Vec<i64> {
    let count = 40 + random.below(50);
    let pace = 40 + random.below(160) as i64;
    let mut times: Vec<i64> =
        (0..count as i64).map(|row| BEGIN_MILLIS + (row * pace) / 8 * 8 + split as i64).collect();
    for block in times.chunks_mut(4) {
        for at in (1..block.len()).rev() {
            block.swap(at, random.below(at as u64 + 1) as usize);
        }
    }
    times
}

/// The connector: the tables of one data set.
pub(super) struct SimConnector {
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) process: usize,
}

impl SimConnector {
    fn table(&self, table: &TableDescription) -> Result<(usize, Arc<Table>)> {
        let number: usize = table.options.get("table").and_then(|it| it.parse().ok()).unwrap_or(usize::MAX);
        let found = self.tables.get(number).cloned();
        let found = found.ok_or_else(|| Diagnostic::error(Code::InvalidOption, "no such table"))?;
        Ok((number, found))
    }
}

impl Connector for SimConnector {
    fn name(&self) -> &'static str {
        "simulated"
    }
    fn doc(&self) -> &'static str {
        "Rows of the simulation."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn reads(&self) -> bool {
        true
    }
    fn writes(&self) -> bool {
        false
    }
    fn validate(&self, _: &TableDescription, _: &Registry, _: &mut Vec<Box<Diagnostic>>) {}
    fn source(&self, table: &TableDescription, scan: ScanRequest, _: &Registry) -> Result<Arc<dyn Source>> {
        let (number, table) = self.table(table)?;
        let schema = scan.schema.arrow_schema();
        let column = |at: usize, kind: &ArrowType| -> Result<ArrayRef> {
            let values = table.columns.get(at).cloned().unwrap_or_default();
            let array: ArrayRef = if matches!(kind, ArrowType::Timestamp(..)) {
                let millis = TimestampMillisecondArray::from(values);
                cast(&millis, &ArrowType::Timestamp(TimeUnit::Millisecond, None)).map_err(internal)?
            } else {
                Arc::new(Int64Array::from(values))
            };
            cast(&array, kind).map_err(internal)
        };
        let columns: Result<Vec<ArrayRef>> = scan
            .projection
            .iter()
            .zip(schema.fields())
            .map(|(&at, field)| column(at, field.data_type()))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(table.rows() as usize));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns?, &options).map_err(internal)?;
        Ok(Arc::new(SimSource { table, rows, schema, place: (self.process, number) }))
    }
    fn sink(&self, table: &TableDescription, _: &SinkRequest, _: &Registry) -> Result<Arc<dyn Sink>> {
        Err(Diagnostic::error(Code::UnsupportedUse, "a simulated table is only read").at(table.span))
    }
}

fn internal(error: arrow::error::ArrowError) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, error.to_string())
}

struct SimSource {
    table: Arc<Table>,
    rows: RecordBatch,
    schema: SchemaRef,
    place: (usize, usize),
}

impl Source for SimSource {
    fn is_bounded(&self) -> bool {
        true
    }
    fn replays(&self) -> bool {
        true
    }
    fn reader(&self, resume: Option<&Value>) -> Result<Box<dyn SourceReader>> {
        let next = resume.and_then(|it| it.get("chunk")).and_then(Value::as_u64).unwrap_or(0) as usize;
        let splits = (0..self.table.splits)
            .map(|split| Arc::new(SplitInfo { name: format!("split {split}"), ..SplitInfo::default() }))
            .collect();
        let reader = SimReader { table: self.table.clone(), splits, next, sequence: 0, place: self.place };
        reader.tell();
        Ok(Box::new(reader))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(SimDecoder { rows: self.rows.clone(), schema: self.schema.clone() }))
    }
}

struct SimReader {
    table: Arc<Table>,
    splits: Vec<Arc<SplitInfo>>,
    next: usize,
    sequence: u64,
    place: (usize, usize),
}

impl SimReader {
    /// The scheduler holds readers back that are far ahead of the checkpoints.
    fn tell(&self) {
        with(|world| world.has_read(self.place, self.next, self.table.chunks()));
    }
}

impl SourceReader for SimReader {
    fn next_chunk(&mut self, context: &ReadContext) -> Result<Option<Chunk>> {
        let Some(cut) = self.table.chunks.get(self.next).filter(|_| !context.stop.is_stopped()) else {
            return Ok(None);
        };
        let time = SplitTime {
            split_number: cut.split,
            finished: cut.finished,
            unopened: cut.unopened,
            ..SplitTime::default()
        };
        let chunk = Chunk {
            split: self.splits.get(cut.split as usize).cloned().unwrap_or_default(),
            sequence: self.sequence,
            offset: cut.rows.start,
            payload: Payload::Rows(cut.rows.clone()),
            bytes_in: 10 * (cut.rows.end - cut.rows.start),
            time,
        };
        (self.next, self.sequence) = (self.next + 1, self.sequence + 1);
        self.tell();
        Ok(Some(chunk))
    }

    fn position(&self) -> Value {
        json!({"chunk": self.next})
    }
}

struct SimDecoder {
    rows: RecordBatch,
    schema: SchemaRef,
}

impl Decoder for SimDecoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        _: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let Payload::Rows(rows) = &chunk.payload else { return Ok(()) };
        let (from, count) = (rows.start as usize, (rows.end - rows.start) as usize);
        debug_assert_eq!(self.rows.schema(), self.schema);
        emit(Decoded::all(self.rows.slice(from, count), 0))
    }
}
