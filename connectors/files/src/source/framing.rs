//! Where records end, found without looking at every byte.
//!
//! A [`Boundaries`] watches one growing buffer whose first byte begins a record:
//!
//! ```text
//!   record ⏎ record ⏎ "quoted ⏎ text" ⏎ reco          advance() after every read
//!                                        ▲  ▲
//!                              last_end ─┘  └─ scanned; only new bytes are looked at
//! ```
//!
//! Invariants
//! - `last_end` is a position between two records, whatever sizes the bytes came in.
//! - No byte is visited twice, except the record that a chunk's end cuts through: it is looked
//!   at again in the next buffer.
//! - With quotes, only quote and escape characters are stepped on; a quote opens only at the
//!   start of a field, a doubled one inside does not close, and neither counts in a comment.

use flott_connector::Framing;
use memchr::{memchr, memchr2, memrchr};

/// Finds record ends in a buffer that grows at its end.
#[derive(Debug, Clone)]
pub(crate) struct Boundaries {
    framing: Framing,
    /// Everything before was looked at.
    scanned: usize,
    /// One past the last record end found; 0: none.
    last_end: usize,
    /// Where the quotes that are open now were opened.
    quote_at: Option<usize>,
}

impl Boundaries {
    /// For an empty buffer.
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, scanned: 0, last_end: 0, quote_at: None }
    }

    /// One past the last record end found so far; 0 if there was none.
    pub(crate) fn last_end(&self) -> usize {
        self.last_end
    }

    /// Where quotes were opened that haven't closed yet.
    pub(crate) fn open_quote(&self) -> Option<usize> {
        self.quote_at
    }

    /// Looks at the bytes that came since the last call.
    pub(crate) fn advance(&mut self, buffer: &[u8]) {
        self.scan(buffer, Want::Last);
    }

    fn scan(&mut self, buffer: &[u8], want: Want) {
        match self.framing {
            Framing::Lines => self.scan_delimiter(b'\n', buffer, want),
            Framing::Delimiter(delimiter) => self.scan_delimiter(delimiter, buffer, want),
            Framing::QuotedLines { quote, delimiter, escape, comments } => {
                Quotes { quote, delimiter, escape, comments }.scan(self, buffer, want);
            }
            Framing::RowGroups => self.scanned = buffer.len(),
        }
    }

    fn scan_delimiter(&mut self, delimiter: u8, buffer: &[u8], want: Want) {
        let fresh = buffer.get(self.scanned..).unwrap_or_default();
        let hit = match want {
            Want::First => memchr(delimiter, fresh),
            Want::Last => memrchr(delimiter, fresh),
        };
        if let Some(at) = hit {
            self.last_end = self.scanned + at + 1;
        }
        self.scanned = buffer.len();
    }
}

/// One past the end of the first record in a buffer that begins with a record.
pub(crate) fn first_end(framing: Framing, buffer: &[u8]) -> Option<usize> {
    let mut boundaries = Boundaries::new(framing);
    boundaries.scan(buffer, Want::First);
    Some(boundaries.last_end).filter(|end| *end > 0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    First,
    Last,
}

/// [`Framing::QuotedLines`], taken apart.
#[derive(Clone, Copy)]
struct Quotes {
    quote: u8,
    delimiter: u8,
    escape: Option<u8>,
    comments: bool,
}

impl Quotes {
    fn scan(self, at: &mut Boundaries, buffer: &[u8], want: Want) {
        loop {
            let more = match at.quote_at {
                None => self.scan_outside(at, buffer, want),
                Some(_) => self.scan_inside(at, buffer),
            };
            if !more || (want == Want::First && at.last_end > 0) {
                return;
            }
        }
    }

    /// From `scanned` to the next quote. False: the buffer is used up.
    fn scan_outside(self, at: &mut Boundaries, buffer: &[u8], want: Want) -> bool {
        let from = at.scanned;
        let quote = memchr(self.quote, buffer.get(from..).unwrap_or_default()).map(|hit| from + hit);
        let to = quote.unwrap_or(buffer.len());
        if let Some(line_feed) = self.line_feed(buffer, from, to, at.last_end, want) {
            at.last_end = line_feed + 1;
        }
        let Some(quote) = quote else {
            at.scanned = buffer.len();
            return false;
        };
        if self.opens(buffer, quote, at.last_end) {
            at.quote_at = Some(quote);
        }
        at.scanned = quote + 1;
        true
    }

    /// From inside quotes to what closes them. False: more bytes are needed.
    fn scan_inside(self, at: &mut Boundaries, buffer: &[u8]) -> bool {
        let rest = buffer.get(at.scanned..).unwrap_or_default();
        let hit = match self.escape {
            Some(escape) => memchr2(self.quote, escape, rest),
            None => memchr(self.quote, rest),
        };
        let Some(hit) = hit.map(|hit| at.scanned + hit) else {
            at.scanned = buffer.len();
            return false;
        };
        let Some(next) = buffer.get(hit + 1) else {
            // What this one means depends on the byte after it: come back here.
            at.scanned = hit;
            return false;
        };
        let is_quote = buffer.get(hit) == Some(&self.quote);
        if is_quote && *next != self.quote {
            at.quote_at = None;
            at.scanned = hit + 1;
        } else {
            at.scanned = hit + 2;
        }
        true
    }

    /// The last (or first) line feed in `from..to`, outside quotes, that ends a record.
    fn line_feed(self, buffer: &[u8], from: usize, to: usize, line: usize, want: Want) -> Option<usize> {
        let (mut from, mut to) = (from, to);
        loop {
            let region = buffer.get(from..to)?;
            let hit = from
                + match want {
                    Want::First => memchr(b'\n', region)?,
                    // Between two quoted fields lies one delimiter: not worth a call.
                    Want::Last if region.len() < 4 => region.iter().rposition(|byte| *byte == b'\n')?,
                    Want::Last => memrchr(b'\n', region)?,
                };
            if !self.is_escaped(buffer, hit) || self.is_comment(buffer, line, hit) {
                return Some(hit);
            }
            match want {
                Want::First => from = hit + 1,
                Want::Last => to = hit,
            }
        }
    }

    /// Whether a quote here, outside quotes, begins a quoted field.
    fn opens(self, buffer: &[u8], quote: usize, line: usize) -> bool {
        let at_field_start = match quote.checked_sub(1) {
            None => true,
            Some(_) if quote == line => true,
            Some(before) => buffer.get(before) == Some(&self.delimiter) && !self.is_escaped(buffer, before),
        };
        at_field_start && !self.is_comment(buffer, line, quote)
    }

    /// Whether the byte here follows an escape character that isn't escaped itself.
    fn is_escaped(self, buffer: &[u8], at: usize) -> bool {
        let Some(escape) = self.escape else { return false };
        let before = buffer.get(..at).unwrap_or_default();
        let run = before.iter().rev().take_while(|byte| **byte == escape).count();
        run % 2 == 1
    }

    /// Whether the line that holds `at` is a comment; `line` is where a record began before it.
    fn is_comment(self, buffer: &[u8], line: usize, at: usize) -> bool {
        if !self.comments {
            return false;
        }
        let since = buffer.get(line..at).unwrap_or_default();
        let start = memrchr(b'\n', since).map_or(line, |feed| line + feed + 1);
        buffer.get(start) == Some(&b'#')
    }
}
