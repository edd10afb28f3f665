//! CSV records that come one by one, as messages of a log.
//!
//! ```text
//!   │1,a│"2",b│"3,c│ null │4,d│
//!    └──┬──┘    │      │    └── what can be a line among others is joined and scanned together:
//!       │       │   skipped       1,a⏎"2",b⏎ …
//!       │       └─ scanned alone: its quote ends with it
//!       └─ number of a line's message: the first one that ends behind the line's start
//! ```
//!
//! A message is one record: a line break may end it, text behind that is refused, and so is a message
//! without anything in it, or with comments alone.

use flott_connector::{RecordPart, Reject, Slices};
use flott_types::{Code, Result};

use super::{
    column::Input,
    decoder::{Call, CsvDecoder},
    quotes,
    scan::Dialect,
};

/// Lines are scanned once so many bytes are together: they should still be in the cache.
const JOINED_BYTES: usize = 64 << 10;

/// Messages joined to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// For each line: where it ends, its line feed included, and its message's number.
    ends: Vec<(u32, u32)>,
}

impl Lines {
    /// Appends a message as a line.
    fn push(&mut self, message: &[u8], number: u32) {
        self.bytes.extend_from_slice(message);
        self.bytes.push(b'\n');
        self.ends.push((u32::try_from(self.bytes.len()).unwrap_or(u32::MAX), number));
    }

    /// The number of the message whose line starts here.
    fn number_at(&self, start: u32) -> u32 {
        let line = self.ends.partition_point(|(end, _)| *end <= start);
        self.ends.get(line).map_or(0, |(_, number)| *number)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Whether a message means the same as a line among others: it ends nowhere before its end, nor leaves a
/// quote or an escape open for what comes behind it.
fn is_line(message: &[u8], dialect: Dialect) -> bool {
    let comment = dialect.comments && message.first() == Some(&b'#');
    if message.is_empty() || comment {
        return false;
    }
    let Some(quote) = dialect.quote else {
        return memchr::memchr2(b'\n', dialect.escape.unwrap_or(b'\n'), message).is_none();
    };
    match memchr::memchr3(b'\n', quote, dialect.escape.unwrap_or(quote), message) {
        None => true,
        Some(at) => {
            let rest = message.get(at..).unwrap_or_default();
            dialect.escape.is_none()
                && memchr::memchr(b'\n', rest).is_none()
                && quotes::all_closed(message, dialect.delimiter, quote)
        }
    }
}

impl CsvDecoder {
    /// Decodes messages.
    pub(super) fn feed_messages(&mut self, messages: &Slices, call: &mut Call<'_>) -> Result<()> {
        let dialect = self.scan.dialect();
        for (number, message) in (0u32..).zip(messages.iter()) {
            let Some(message) = message else {
                self.pending.skipped += 1;
                continue;
            };
            if is_line(message, dialect) && message.len() < JOINED_BYTES {
                self.lines.push(message, number);
                if self.lines.bytes.len() >= JOINED_BYTES {
                    self.feed_lines(call)?;
                }
                continue;
            }
            self.feed_lines(call)?;
            self.feed_alone(message, number);
            if self.pending.rows.len() >= self.batch_rows {
                self.flush(call)?;
            }
        }
        self.feed_lines(call)?;
        self.flush(call)
    }

    /// Takes in the lines joined so far.
    fn feed_lines(&mut self, call: &mut Call<'_>) -> Result<()> {
        if self.lines.ends.is_empty() {
            return Ok(());
        }
        let mut lines = std::mem::take(&mut self.lines);
        let bytes = lines.bytes.as_slice();
        let utf8 = !self.holds_text || simdutf8::basic::from_utf8(bytes).is_ok();
        let mut at = 0;
        while at < bytes.len() {
            let limit = self.block_rows.min(self.batch_rows.saturating_sub(self.pending.rows.len()).max(1));
            at = self.scan.block(bytes, at, limit);
            self.fill_columns(Input { source: bytes, utf8 });
            self.note_records_at(|row| {
                let number = lines.number_at(row.start);
                number..number
            });
            if self.pending.rows.len() >= self.batch_rows {
                self.flush(call)?;
            }
        }
        lines.clear();
        self.lines = lines;
        Ok(())
    }

    /// Takes in one message by all the rules.
    fn feed_alone(&mut self, message: &[u8], number: u32) {
        if i32::try_from(message.len()).is_err() {
            return self.refuse(number, Code::RecordTooLarge, "a csv record is larger than 2 GiB");
        }
        let behind = self.scan.block(message, 0, 1);
        let rest = message.get(behind..).unwrap_or_default();
        if rest.iter().any(|byte| !matches!(byte, b'\n' | b'\r')) {
            self.refuse(number, Code::DecodeFailed, "the message holds more than one record");
        } else if self.scan.rows.is_empty() && self.scan.bad.is_empty() {
            self.refuse(number, Code::DecodeFailed, "the message holds no record");
        } else {
            let utf8 = !self.holds_text || simdutf8::basic::from_utf8(message).is_ok();
            self.fill_columns(Input { source: message, utf8 });
            self.note_records(Some(number));
        }
    }

    fn refuse(&mut self, number: u32, code: Code, what: &str) {
        if self.settings.ignore_errors {
            self.pending.skipped += 1;
        } else {
            self.pending.rejected.push(Reject {
                record: number..number,
                code,
                message: what.to_string(),
                part: RecordPart::Value,
            });
        }
    }
}
