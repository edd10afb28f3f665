//! Blocks of files: each file brings its schema along.

use std::sync::Arc;

use flott_connector::{Blocks, Chunk, Decoded};
use flott_expr::EvalContext;
use flott_types::{Code, Diagnostic, Field, Result};

use super::{
    container::{Header, blocks},
    decoder::{Building, Prepared},
    read::read_row_within,
    schema::Schema,
    wire::Input,
};

/// Records without bytes that a block may have, beside as many as it has bytes.
const EMPTY_RECORDS: u64 = 1 << 20;
/// Items without bytes that all records of a block may have together; and as many as it has bytes, up to a
/// number that fits into memory whatever is made of them.
const EMPTY_ITEMS: usize = 1 << 16;
const EMPTY_ITEMS_MAX: usize = 1 << 20;

/// Of the file read last, its header and plan: chunks of a file come one after the other.
#[derive(Default)]
pub(super) struct Headers {
    last: Option<(Arc<[u8]>, Arc<Prepared>)>,
}

impl Headers {
    /// The plan for the records of these blocks.
    ///
    /// # Errors
    /// `InputUnreadable`: the file's schema doesn't fit the columns.
    pub fn get(&mut self, blocks: &Blocks, columns: &[Field], file: &str) -> Result<Arc<Prepared>> {
        if let Some((header, prepared)) = &self.last
            && (Arc::ptr_eq(header, &blocks.header) || *header == blocks.header)
        {
            return Ok(prepared.clone());
        }
        let header =
            Header::parse(&blocks.header).and_then(|it| it.ok_or_else(|| "its header is cut off".into()));
        let prepared = header
            .and_then(|it| Schema::parse(&it.schema).map_err(|why| format!("its schema: {why}")))
            .and_then(|schema| {
                Prepared::new(schema, columns, None).map_err(|why| format!("its schema: {why}"))
            })
            .map_err(|why| unreadable(file, &why))?;
        let prepared = Arc::new(prepared);
        self.last = Some((blocks.header.clone(), prepared.clone()));
        Ok(prepared)
    }
}

fn unreadable(file: &str, why: &str) -> Box<Diagnostic> {
    Diagnostic::error(Code::InputUnreadable, format!("cannot read '{file}' as avro: {why}"))
}

/// Decodes blocks; the last batch stays in `building`.
///
/// # Errors
/// `InputUnreadable`: a block isn't whole.
pub(super) fn decode(
    payload: &Blocks,
    prepared: &Prepared,
    building: &mut Building,
    chunk: &Chunk,
    context: &EvalContext,
    emit: &mut dyn FnMut(Decoded) -> Result<()>,
) -> Result<()> {
    let bound = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
    for block in blocks(&payload.bytes) {
        let block = block.map_err(|why| unreadable(&chunk.split.name, &why))?;
        let data = payload.bytes.get(..block.records.end);
        let data = data.ok_or_else(|| unreadable(&chunk.split.name, "a block is cut off"))?;
        // Records that take no bytes end nowhere: only their number says how many there are.
        if block.count > data.len() as u64 + EMPTY_RECORDS && prepared.schema.is_empty(prepared.schema.root) {
            return Err(unreadable(&chunk.split.name, &format!("a block of {} empty records", block.count)));
        }
        let mut at = block.records.start;
        let mut budget = EMPTY_ITEMS + block.records.len().min(EMPTY_ITEMS_MAX);
        for _ in 0..block.count {
            let mut input = Input::new(data, at);
            let (plan, columns, before) = (&prepared.plan, &mut building.columns, budget);
            match read_row_within(plan, &prepared.schema, columns, &mut input, &mut budget) {
                Ok(()) => {
                    building.add(bound(at)..bound(input.at()));
                    building.weigh(input.at() - at + before - budget);
                }
                Err(fail) => {
                    // Its bytes may still lead to the next one.
                    let mut end = Input::new(data, at);
                    let skipped = prepared.schema.skip(prepared.schema.root, &mut end, 0);
                    let message = fail.message(at);
                    if skipped.is_err() {
                        let message = format!("{message}; the records behind it in its block can't be found");
                        building.undo(bound(at)..bound(data.len()), message);
                        at = data.len();
                        break;
                    }
                    building.undo(bound(at)..bound(end.at()), message);
                    input = end;
                }
            }
            at = input.at();
            if building.is_full() {
                building.flush(chunk, context, emit)?;
            }
        }
        if at < data.len() {
            let offset = chunk.offset + at as u64;
            let why = format!("a block holds more than its records, from byte {offset} on");
            return Err(unreadable(&chunk.split.name, &why));
        }
    }
    Ok(())
}
