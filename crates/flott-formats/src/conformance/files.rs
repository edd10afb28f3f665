//! What files of blocks must hold to, whole or damaged.
//!
//! ```text
//!   file ── header, blocks expanded ──► rows, or why it can't be read
//!     in batches of 3 rows          the same rows
//!     block by block                the same rows; unreadable if one block is
//!     some of the columns           the same values
//!     written and read again        the same rows
//! ```

use arrow::{array::ArrayRef, compute::concat, record_batch::RecordBatch};
use flott_connector::{Blocks, FormatRequest, Payload};
use flott_types::{Code, Result};

use super::{Case, How, Outcome, bug, chunk, ensure};
use crate::avro::container::Header;

/// Of a file whose blocks expand to more only the first ones are looked at.
const EXPANDED_BYTES: usize = 1 << 20;
/// Of a file with more rows no more is asked than that it can be read.
const ROWS_MAX: usize = 10_000;

impl Case {
    /// Whatever the file holds, reading it ends in rows or in an error that blames it.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn holds_of_file(&self, file: &[u8]) -> Result<()> {
        let Some((header, blocks)) = expanded(file) else { return Ok(()) };
        let Some(whole) = self.file_as(file, &header, &blocks, &self.all())? else {
            // The header alone, or one of the blocks, is to blame.
            let mut readable = self.file_as(file, &header, &[], &self.all())?.is_some();
            for block in &blocks {
                readable = readable
                    && self.file_as(file, &header, std::slice::from_ref(block), &self.all())?.is_some();
            }
            return ensure(!readable, || "blocks can be read one by one, but not together".into());
        };
        if whole.numbers.len() > ROWS_MAX {
            return Ok(());
        }
        self.in_parts(file, &header, &blocks, &whole)?;
        self.file_again(&whole)
    }

    /// What is read of blocks; none: they can't be read.
    fn file_as(
        &self,
        file: &[u8],
        header: &Header,
        blocks: &[Vec<u8>],
        how: &How,
    ) -> Result<Option<Outcome>> {
        let start = file.get(..header.bytes).unwrap_or_default();
        let payload = Payload::Blocks(Box::new(Blocks { header: start.into(), bytes: blocks.concat() }));
        let mut reading = self.reading(how)?;
        let mut parts = Vec::new();
        let read = reading.decoder.decode(&chunk(payload), &self.context, &mut |decoded| {
            parts.push(decoded);
            Ok(())
        });
        match read {
            Ok(()) => self.account(&parts, &reading.scan, None).map(Some),
            Err(error) if error.code == Code::InputUnreadable => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn in_parts(&self, file: &[u8], header: &Header, blocks: &[Vec<u8>], whole: &Outcome) -> Result<()> {
        let smaller = self.file_as(file, header, blocks, &How { batch_rows: 3, ..self.all() })?;
        ensure(smaller.as_ref() == Some(whole), || "batches of 3 rows give something else".into())?;
        let (mut rows, mut rejected) = (vec![Vec::new(); whole.columns.len()], 0);
        for block in blocks {
            let part = self.file_as(file, header, std::slice::from_ref(block), &self.all())?;
            let Some(part) = part else { return Err(bug("one of the blocks can't be read alone")) };
            rows.iter_mut().zip(part.columns).for_each(|(all, column)| all.push(column));
            rejected += part.rejected.len();
        }
        ensure(rejected == whole.rejected.len(), || format!("{rejected} rejected block by block"))?;
        if !blocks.is_empty() {
            same(&rows, &whole.columns, "block by block")?;
        }
        // Fewer columns: more files and records can be read, never fewer; of files without rejects, the same.
        for projection in self.projections() {
            let part =
                self.file_as(file, header, blocks, &How { projection: projection.clone(), ..self.all() })?;
            let Some(part) = part else {
                return Err(bug(format!("columns {projection:?} of it can't be read")));
            };
            let enough = part.numbers.len() >= whole.numbers.len();
            ensure(enough, || format!("columns {projection:?}: only {} rows", part.numbers.len()))?;
            if whole.rejected.is_empty() {
                ensure(part.numbers == whole.numbers, || format!("columns {projection:?}: other rows"))?;
                let expected: Vec<ArrayRef> =
                    projection.iter().filter_map(|at| whole.columns.get(*at).cloned()).collect();
                ensure(part.columns == expected, || format!("columns {projection:?} have other values"))?;
            }
        }
        Ok(())
    }

    /// The rows in a file of this format's own are the same.
    fn file_again(&self, whole: &Outcome) -> Result<()> {
        let file = self.write_file(&self.batch(whole)?)?;
        let Some((header, blocks)) = expanded(&file) else { return Err(bug("what was written is no file")) };
        let again = self.file_as(&file, &header, &blocks, &self.all())?;
        let Some(again) = again else { return Err(bug("what was written can't be read")) };
        ensure(again.rejected.is_empty(), || format!("its own records are rejected: {:?}", again.rejected))?;
        let again: Vec<Vec<ArrayRef>> = again.columns.into_iter().map(|column| vec![column]).collect();
        same(&again, &whole.columns, "written and read again")
    }

    /// The rows as a file.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn write_file(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let request = FormatRequest { table: &self.table, schema: self.schema() };
        let mut encoder = self.format.encoder(&request, &self.context)?;
        let mut file = Vec::new();
        encoder.encode(batch, &mut file)?;
        encoder.finish(&mut file)?;
        Ok(file)
    }
}

fn same(parts: &[Vec<ArrayRef>], whole: &[ArrayRef], how: &str) -> Result<()> {
    for (parts, whole) in parts.iter().zip(whole) {
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        let parts = concat(&parts).map_err(bug)?;
        ensure(&parts == whole, || format!("{how}\n  {parts:?}\n  was\n  {whole:?}"))?;
    }
    Ok(())
}

/// The header and each whole block as it is without compression; none: it isn't a file of this kind.
fn expanded(file: &[u8]) -> Option<(Header, Vec<Vec<u8>>)> {
    let header = Header::parse(file).ok()??;
    let (mut rest, mut blocks, mut bytes) = (file.get(header.bytes..)?, Vec::new(), 0);
    while bytes < EXPANDED_BYTES
        && let Ok(Some(end)) = Header::block_end(rest)
        && let Some((block, behind)) = rest.split_at_checked(end)
    {
        let mut plain = Vec::new();
        if header.expand(block, &mut plain).is_err() {
            break;
        }
        bytes += plain.len();
        blocks.push(plain);
        rest = behind;
    }
    Some((header, blocks))
}
