//! Dead letters, decoded again.
//!
//! ```text
//!   records of a chunk   orders[0] orders[0] orders[1] (without parts) …
//!                        └─ messages ──────┘└ messages┘└ values alone ┘      a run each; numbers count on
//! ```

use std::sync::Arc;

use flott_connector::{Chunk, Decoded, Messages, Origin, Payload, Slices, SplitInfo, SplitTime};
use flott_expr::EvalContext;
use flott_types::{Result, RowKind};

use super::{Emit, From, KafkaDecoder, Keys, Rows, internal, kinds, metadata::Place};

/// A record and where it came from.
type Letter = (Vec<u8>, Origin);

/// Letters of one chunk that are decoded together.
struct Run<'a> {
    chunk: &'a Chunk,
    letters: &'a [Letter],
    context: &'a EvalContext,
}

impl KafkaDecoder {
    /// Decodes dead letters: as the messages that they were, as far as that is known.
    pub(super) fn letters(
        &mut self,
        chunk: &Chunk,
        letters: &[Letter],
        context: &EvalContext,
        emit: &mut Emit<'_>,
    ) -> Result<()> {
        let mut first = 0_u32;
        for letters in letters.chunk_by(|(_, a), (_, b)| belong_together(a, b)) {
            let mut shifted = |decoded: Decoded| emit(behind(decoded, first));
            self.run(&Run { chunk, letters, context }, &mut shifted)?;
            first = first.saturating_add(u32::try_from(letters.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn run(&mut self, run: &Run<'_>, emit: &mut Emit<'_>) -> Result<()> {
        match messages(run)? {
            Some(messages) => flott_connector::Decoder::decode(self, &messages, run.context, emit),
            None => self.values_alone(run, emit),
        }
    }

    /// Letters that were written without what came with the value.
    fn values_alone(&mut self, run: &Run<'_>, emit: &mut Emit<'_>) -> Result<()> {
        let Run { chunk, letters, context } = *run;
        let Self { plan, schema, value, .. } = self;
        let mut values = Slices::default();
        if !letters.iter().all(|(bytes, _)| values.push(Some(bytes))) {
            return Err(too_large());
        }
        let needs_key = plan.columns.iter().any(|it| matches!(it, From::Key(_) | From::Both { .. }));
        let keys = needs_key.then(|| Keys::missing(letters.len()));
        let place = Place::Origins(letters.iter().map(|(_, origin)| origin).collect());
        let row = Rows { plan, schema, keys, place, context };
        value.decode_messages(&values, chunk, context, &mut |decoded| {
            let mut decoded = row.compose(decoded)?;
            if plan.upsert {
                decoded.kinds = Some(kinds(RowKind::UpdateAfter, decoded.batch.num_rows()));
            }
            emit(row.finish(decoded)?)
        })
    }
}

fn too_large() -> Box<flott_types::Diagnostic> {
    internal("dead letters of more than 4 GiB in one piece")
}

fn belong_together(a: &Origin, b: &Origin) -> bool {
    match (&a.message, &b.message) {
        (Some(_), Some(_)) => a.split == b.split,
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The messages that letters of one partition were; none: that isn't known.
fn messages(Run { chunk, letters, .. }: &Run<'_>) -> Result<Option<Chunk>> {
    let Some((_, first)) = letters.first().filter(|(_, origin)| origin.message.is_some()) else {
        return Ok(None);
    };
    let mut messages = Messages::default();
    for (value, origin) in *letters {
        let Some(parts) = &origin.message else { return Ok(None) };
        if !messages.push(value, origin.offset, parts) {
            return Err(too_large());
        }
    }
    let split = SplitInfo { name: first.split.clone(), ..SplitInfo::default() };
    Ok(Some(Chunk {
        split: Arc::new(split),
        sequence: chunk.sequence,
        offset: first.offset,
        payload: Payload::Messages(Box::new(messages)),
        bytes_in: 0,
        time: SplitTime::default(),
    }))
}

/// The same records, counted from `first` on.
fn behind(mut decoded: Decoded, first: u32) -> Decoded {
    let places = decoded.rows.iter_mut().chain(decoded.rejected.iter_mut().map(|it| &mut it.record));
    places.for_each(|it| *it = it.start.saturating_add(first)..it.end.saturating_add(first));
    decoded.first_record = decoded.first_record.saturating_add(first);
    decoded
}
