//! Finds where fields and records end.
//!
//! ```text
//!   bytes   1,abc,7\n"a,b",x,2\n…
//!   ends     ^   ^ ^      ^ ^ ^          one per field: where it ends (exclusive)
//!   rows    [0..7)  [8..17)              one per record: without its line break
//! ```
//!
//! The quick path takes 64 bytes a step: compare, gather one bit per byte, walk the set bits. It
//! trusts that every line has the same number of fields and verifies that by the line breaks
//! alone. What is between quotes ends nothing (`quotes.rs`). A record with quotes where none belong, an
//! escape or another number of fields is scanned again by the slow path, which knows all rules.
//!
//! Fields run from the end of their predecessor plus one (or the record's start) to their end,
//! quotes included. A field whose start lies behind its end is missing.

use std::ops::Range;

use super::quotes::Quotes;

/// The characters with a meaning.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields.
    pub quote: Option<u8>,
    /// Makes the next character ordinary.
    pub escape: Option<u8>,
    /// Lines starting with `#` are comments.
    pub comments: bool,
}

/// Why a record can't be told apart into fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// So many fields.
    TooFew(usize),
    /// So many fields.
    TooMany(usize),
    /// Text after a closing quote.
    AfterQuote,
    /// A quote that is never closed.
    Unclosed,
}

/// What a scan found. Reused from block to block.
#[derive(Debug)]
pub struct Scan {
    dialect: Dialect,
    /// Fields of a record.
    columns: usize,
    /// Records with too few fields are padded with missing ones.
    pad: bool,
    /// Where records lie, without line breaks.
    pub rows: Vec<Range<u32>>,
    /// `columns` ends per record.
    pub ends: Vec<u32>,
    /// Records that are none.
    pub bad: Vec<(Range<u32>, Trouble)>,
    /// Some field of the block may be quoted or hold escapes.
    pub special: bool,
    /// Where in `ends` line breaks stand; only within `quick`.
    breaks: Vec<u32>,
    /// How many records to scan slowly before the quick path is tried again.
    patience: usize,
    /// What `patience` starts at: doubled whenever the quick path took nothing.
    retry: usize,
}

/// Bytes looked at in one step.
const STEP: usize = 64;
/// Ends that keep their memory from block to block.
const KEPT_MAX: usize = 1 << 18;
/// After this many slow records in a row the quick path gets its next try.
const RETRY_MAX: usize = 512;

impl Scan {
    /// Records of `columns` fields.
    pub fn new(dialect: Dialect, columns: usize, pad: bool) -> Self {
        Self {
            dialect,
            columns: columns.max(1),
            pad,
            rows: Vec::new(),
            ends: Vec::new(),
            bad: Vec::new(),
            special: false,
            breaks: Vec::new(),
            patience: 0,
            retry: 1,
        }
    }

    /// Fields of a record.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The characters with a meaning.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Leaves every record to the slow path: what the quick path is compared with.
    #[cfg(test)]
    pub fn never_quick(&mut self) {
        self.patience = usize::MAX;
    }

    /// The field's place in record `row`; empty or reversed if it is missing.
    pub fn span(&self, row: usize, column: usize) -> Range<usize> {
        let at = row * self.columns + column;
        let end = self.ends.get(at).copied().unwrap_or(0);
        let start = match (column, at.checked_sub(1)) {
            (0, _) | (_, None) => self.rows.get(row).map_or(0, |row| row.start),
            (_, Some(before)) => self.ends.get(before).map_or(0, |end| end + 1),
        };
        start as usize..end as usize
    }

    /// The places of one column's fields.
    pub fn spans(&self, column: usize) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        let records = self.rows.iter().zip(self.ends.chunks_exact(self.columns));
        records.map(move |(row, ends)| {
            let start = match column.checked_sub(1) {
                None => row.start,
                Some(before) => ends[before] + 1,
            };
            start as usize..ends[column] as usize
        })
    }

    /// Scans at most `limit` records from `from` on; answers where the next block starts.
    pub fn block(&mut self, bytes: &[u8], from: usize, limit: usize) -> usize {
        self.rows.clear();
        self.ends.clear();
        self.ends.shrink_to(KEPT_MAX);
        self.bad.clear();
        self.special = false;
        let mut at = from;
        while self.rows.len() + self.bad.len() < limit && at < bytes.len() {
            if self.patience == 0 {
                let next = self.quick(bytes, at, limit - self.rows.len() - self.bad.len());
                self.retry = if next > at { 1 } else { (self.retry * 2).min(RETRY_MAX) };
                self.patience = self.retry;
                at = next;
            } else {
                self.patience -= 1;
                at = self.slow(bytes, at);
            }
        }
        at
    }

    /// Takes plain records of the right number of fields; stops before the first other one.
    fn quick(&mut self, bytes: &[u8], from: usize, limit: usize) -> usize {
        let base = self.ends.len();
        self.collect(bytes, from, limit, base);
        self.accept(bytes, from, limit, base)
    }

    /// Gathers where delimiters and line breaks stand until there are enough of them or
    /// something special comes.
    fn collect(&mut self, bytes: &[u8], from: usize, limit: usize, base: usize) {
        self.breaks.clear();
        let masks = Masks::new(&self.dialect);
        let mut quotes = Quotes::at_record_start();
        let (mut steps, mut at) = (bytes[from..].as_chunks::<STEP>().0.iter(), from);
        let mut found = [0u32; STEP];
        for step in steps.by_ref() {
            let (mut fields, mut lines, mut stop) = masks.of(step);
            let marks = masks.quotes(step);
            if quotes.matter(marks) {
                self.special = true;
                let (outside, wrong) = quotes.resolve(marks, fields, || equal(step, b'\r'));
                fields &= outside;
                lines &= outside;
                stop |= wrong;
            } else {
                quotes.pass(fields);
            }
            if stop != 0 {
                let before = (stop & stop.wrapping_neg()) - 1;
                fields &= before;
                lines &= before;
            }
            let count = fields.count_ones() as usize;
            let first = self.ends.len();
            while lines != 0 {
                let below = (lines & lines.wrapping_neg()) - 1;
                self.breaks.push((first + (fields & below).count_ones() as usize) as u32);
                lines &= lines - 1;
            }
            for place in &mut found[..count] {
                *place = at as u32 + fields.trailing_zeros();
                fields &= fields.wrapping_sub(1);
            }
            self.ends.extend_from_slice(&found[..count]);
            at += STEP;
            let line_start = self.breaks.last().map_or(base, |last| *last as usize + 1);
            let too_long = self.ends.len() - line_start > self.columns;
            if stop != 0 || self.breaks.len() >= limit || too_long {
                break;
            }
        }
    }

    /// Keeps the records whose line break stands where it must.
    fn accept(&mut self, bytes: &[u8], from: usize, limit: usize, base: usize) -> usize {
        let mut start = from;
        let mut taken = base;
        for line in self.breaks.iter().take(limit) {
            let last = taken + self.columns - 1;
            if *line as usize != last {
                break;
            }
            let Some(end) = self.ends.get_mut(last) else { break };
            let next = *end as usize + 1;
            if *end as usize > start && bytes.get(*end as usize - 1) == Some(&b'\r') {
                *end -= 1;
            }
            self.rows.push(start as u32..*end);
            start = next;
            taken = last + 1;
        }
        self.ends.truncate(taken);
        start
    }

    /// Takes one record (or comment) by all the rules.
    fn slow(&mut self, bytes: &[u8], from: usize) -> usize {
        if self.dialect.comments && bytes.get(from) == Some(&b'#') {
            return memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |at| from + at + 1);
        }
        let base = self.ends.len();
        let mut trouble = None;
        let (mut at, mut count) = (from, 0);
        let (end, next) = loop {
            let end = self.field_end(bytes, at, &mut trouble);
            count += 1;
            let last = bytes.get(end) != Some(&self.dialect.delimiter);
            let stripped = end - usize::from(last && end > at && bytes.get(end - 1) == Some(&b'\r'));
            // One more than there should be tells enough; a line may hold millions.
            if count <= self.columns + 1 {
                self.ends.push(stripped as u32);
            }
            if last {
                break (stripped, end + 1);
            }
            at = end + 1;
        };
        self.settle(from..end, base, count, trouble);
        next.min(bytes.len())
    }

    /// Keeps or refuses the record whose `count` fields begin at `base`.
    fn settle(&mut self, place: Range<usize>, base: usize, count: usize, mut trouble: Option<Trouble>) {
        let row = place.start as u32..place.end as u32;
        let mut count = count;
        // A delimiter at the line's end opens no further field.
        let before_last = self.ends.len().checked_sub(2).and_then(|at| self.ends.get(at));
        if count == self.columns + 1 && before_last.is_some_and(|end| end + 1 == row.end) {
            self.ends.pop();
            count -= 1;
        }
        if count > self.columns {
            trouble = trouble.or(Some(Trouble::TooMany(count)));
        } else if count < self.columns && self.pad {
            self.ends.resize(base + self.columns, row.end);
        } else if count < self.columns {
            trouble = trouble.or(Some(Trouble::TooFew(count)));
        }
        match trouble {
            None => self.rows.push(row),
            Some(trouble) => {
                self.ends.truncate(base);
                self.bad.push((row, trouble));
            }
        }
    }

    /// Where the field that starts at `at` ends: at a delimiter, a line feed or the end.
    fn field_end(&mut self, bytes: &[u8], at: usize, trouble: &mut Option<Trouble>) -> usize {
        let Dialect { delimiter, quote, escape, .. } = self.dialect;
        if quote.is_some() && bytes.get(at).copied() == quote {
            self.special = true;
            let Some(closed) = self.closing_quote(bytes, at + 1) else {
                *trouble = Some(Trouble::Unclosed);
                return bytes.len();
            };
            let end = find(bytes, closed + 1, |rest| memchr::memchr2(delimiter, b'\n', rest));
            if bytes[closed + 1..end].iter().any(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
                *trouble = Some(Trouble::AfterQuote);
            }
            return end;
        }
        let Some(escape) = escape else {
            return find(bytes, at, |rest| memchr::memchr2(delimiter, b'\n', rest));
        };
        let mut at = at;
        loop {
            let end = find(bytes, at, |rest| memchr::memchr3(delimiter, b'\n', escape, rest));
            if bytes.get(end) != Some(&escape) {
                return end;
            }
            self.special = true;
            at = (end + 2).min(bytes.len());
        }
    }

    fn closing_quote(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let quote = self.dialect.quote?;
        let escape = self.dialect.escape.unwrap_or(quote);
        let mut at = at;
        loop {
            let hit = at + memchr::memchr2(quote, escape, bytes.get(at..)?)?;
            let doubled = bytes.get(hit + 1) == Some(&quote);
            if bytes[hit] == quote && !doubled {
                return Some(hit);
            }
            at = hit + 2;
        }
    }
}

fn find(bytes: &[u8], at: usize, search: impl Fn(&[u8]) -> Option<usize>) -> usize {
    bytes.get(at..).and_then(search).map_or(bytes.len(), |hit| at + hit)
}

/// Compares 64 bytes at once.
struct Masks {
    delimiter: u8,
    quote: Option<u8>,
    stops: [Option<u8>; 3],
}

impl Masks {
    fn new(dialect: &Dialect) -> Self {
        // An escape changes what the quote behind it means: only the slow path knows.
        let (quote, stop) = match dialect.escape {
            None => (dialect.quote, None),
            Some(_) => (None, dialect.quote),
        };
        let comment = dialect.comments.then_some(b'#');
        Self { delimiter: dialect.delimiter, quote, stops: [stop, dialect.escape, comment] }
    }

    /// One bit per byte: ends of fields (line feeds included), line feeds, stops.
    fn of(&self, step: &[u8; STEP]) -> (u64, u64, u64) {
        let lines = equal(step, b'\n');
        let fields = equal(step, self.delimiter) | lines;
        let stops = self.stops.iter().flatten().fold(0, |bits, stop| bits | equal(step, *stop));
        (fields, lines, stops)
    }

    /// One bit per quote.
    fn quotes(&self, step: &[u8; STEP]) -> u64 {
        self.quote.map_or(0, |quote| equal(step, quote))
    }
}

/// One bit per byte that equals `wanted`. SSE2 is part of every x86-64.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
fn equal(step: &[u8; STEP], wanted: u8) -> u64 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    let mut bits = 0;
    for (i, lane) in step.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: `lane` is 16 readable bytes, the load needs no alignment, and the
        // target has SSE2.
        let mask = unsafe {
            let lane = _mm_loadu_si128(lane.as_ptr().cast::<__m128i>());
            _mm_movemask_epi8(_mm_cmpeq_epi8(lane, _mm_set1_epi8(wanted as i8)))
        };
        bits |= u64::from(mask as u32) << (16 * i);
    }
    bits
}

/// One bit per byte that equals `wanted`.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
fn equal(step: &[u8; STEP], wanted: u8) -> u64 {
    let mut bits = 0;
    for (i, byte) in step.iter().enumerate() {
        bits |= u64::from(*byte == wanted) << i;
    }
    bits
}
