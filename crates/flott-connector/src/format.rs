//! Record formats: bytes ↔ batches.
//!
//! A format knows nothing of files or topics. Connectors that carry bytes ask it where records
//! end ([`Format::framing`]), for a [`Decoder`] and for an [`Encoder`].

use arrow::{
    array::{ArrayRef, Int8Array},
    record_batch::RecordBatch,
};
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Diagnostic, Options, Result, Schema};

use crate::{Decoder, OptionDef, ScanRequest, Slices, TableDescription};

/// How records are told apart in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A record ends with a line feed, always.
    Lines,
    /// A record ends with this text (`raw` with `raw.…line-delimiter`-like settings).
    Delimiter(u8),
    /// As lines, but line feeds inside quotes don't count.
    QuotedLines {
        /// The quote character.
        quote: u8,
        /// The field delimiter: a quote counts only at the start of a field.
        delimiter: u8,
        /// The character that makes the next one ordinary, if any.
        escape: Option<u8>,
        /// Lines starting with `#` are comments.
        comments: bool,
    },
    /// A columnar file, read by row group.
    RowGroups,
    /// A file of blocks behind a header that says how to read them (Avro's object container files).
    Blocks,
}

/// What a format needs to build a decoder or an encoder.
#[derive(Debug, Clone)]
pub struct FormatRequest<'a> {
    /// The table; options carry the format's prefix (`json.…`).
    pub table: &'a TableDescription,
    /// Columns that the format itself reads or writes, in order (no metadata, no partition columns).
    pub schema: Schema,
}

/// One format.
pub trait Format: Send + Sync {
    /// Its name: `json`, `csv`, …
    fn name(&self) -> &'static str;
    /// One sentence.
    fn doc(&self) -> &'static str;
    /// Its options, with prefix.
    fn options(&self) -> &'static [OptionDef];
    /// The usual file extension, without dot.
    fn extension(&self) -> &'static str {
        self.name()
    }
    /// Looks at schema and options only. Every problem is reported.
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>);
    /// What its records can say: only that rows are new, or changes too.
    ///
    /// # Errors
    /// Options that make no sense.
    fn changelog(&self, options: &Options) -> Result<crate::Changelog> {
        let _ = options;
        Ok(crate::Changelog::Append)
    }
    /// What its records tell beside their rows, for metadata columns (`METADATA FROM 'value.<key>'` where a
    /// connector offers it). A connector that does hands such columns over among the others it wants
    /// (`ScanRequest::schema` and `projection`), in a table where they are of the kind
    /// [`crate::ColumnKind::Metadata`], with the key as it stands here and of exactly this type; casting to the
    /// type that the user declared is the connector's.
    fn metadata(&self) -> Vec<FormatMetadata> {
        Vec::new()
    }
    /// Whether its records can be messages of a log: then its decoders and encoders have
    /// [`Decoder::decode_messages`] and [`Encoder::encode_messages`].
    fn has_messages(&self) -> bool {
        false
    }
    /// Where records end, in files.
    ///
    /// # Errors
    /// Options that make no sense. `UnsupportedUse`: its records can't be told apart in a file.
    fn framing(&self, options: &Options) -> Result<Framing>;
    /// Lines at the start of each file that aren't records (`csv.ignore-first-line`).
    ///
    /// # Errors
    /// Options that make no sense.
    fn header_lines(&self, options: &Options) -> Result<usize> {
        let _ = options;
        Ok(0)
    }
    /// A decoder for chunks of whole records. `scan.projection` and `scan.schema` may name metadata
    /// and partition columns too: those are filled through `extra`.
    ///
    /// # Errors
    /// Options that make no sense.
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>>;
    /// An encoder for one output file or record stream.
    ///
    /// # Errors
    /// Options that make no sense.
    fn encoder(&self, request: &FormatRequest<'_>, context: &EvalContext) -> Result<Box<dyn Encoder>>;
}

/// Something that a format's records tell beside their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatMetadata {
    /// Its key, without a prefix.
    pub key: &'static str,
    /// Its type.
    pub data_type: DataType,
    /// One sentence.
    pub doc: &'static str,
}

/// A column that the connector fills: constant within a chunk.
pub struct ExtraColumn {
    /// Position in `ScanRequest::schema`.
    pub position: usize,
    /// The value for a chunk, as an array of this many rows.
    pub fill: Fill,
}

/// The value of a connector's column for a chunk, as an array of so many rows.
pub type Fill = Box<dyn Fn(&crate::Chunk, usize) -> Result<ArrayRef> + Send + Sync>;

/// Turns batches into bytes. One per output file.
pub trait Encoder: Send {
    /// Appends the rows.
    ///
    /// # Errors
    /// `OutputFailed`: a value can't be written in this format.
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;
    /// Appends the changes: row i of the batch with kind i (see `flott_types::RowKind`). Only formats
    /// whose [`Format::changelog`] says so are asked.
    ///
    /// # Errors
    /// `OutputFailed`: a value can't be written in this format.
    fn encode_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array, out: &mut Vec<u8>) -> Result<()> {
        let _ = (batch, kinds, out);
        Err(Diagnostic::error(Code::Internal, "changes came to a format that writes new rows only"))
    }
    /// Appends one message for each row (null where the format says so), for logs. `kinds` as in
    /// [`Encoder::encode_changes`]; none: all rows are new.
    ///
    /// # Errors
    /// `OutputFailed`: a value can't be written in this format. `Internal`: the format has no messages.
    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        let _ = (batch, kinds, out);
        Err(Diagnostic::error(Code::Internal, "messages were asked of an encoder of files"))
    }
    /// Appends what ends the file (a Parquet footer). The encoder is not used afterwards.
    ///
    /// # Errors
    /// `OutputFailed`
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Ok(())
    }
    /// Bytes held back inside the encoder (an unfinished row group), for rolling by size.
    fn buffered(&self) -> usize {
        0
    }
    /// Memory that grows with what was encoded, for many files open at once.
    fn memory(&self) -> usize {
        self.buffered()
    }
    /// Appends what is held back, if the file may go on afterwards: an early end of a row group.
    ///
    /// # Errors
    /// `OutputFailed`
    fn flush_group(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Ok(())
    }
}
