//! Where records end in a stream of bytes that arrives in pieces.
//!
//! ```text
//!   piece 1: a,b⏎c,"d    piece 2: ⏎e",f⏎g        Cutter::last_end(piece 1) = after `a,b⏎`
//!                                                Cutter::last_end(piece 2) = after `f⏎`
//! ```
//!
//! Invariants
//! - Each byte is looked at once: what stands open at the end of a piece (a quote, an escape) is
//!   remembered for the next one.
//! - Everything up to `last_end` is whole records, so it can be decoded apart from what follows.

use flott_connector::Framing;
use flott_types::{Code, Diagnostic, Result};
use memchr::{memchr, memchr2, memrchr};

/// Finds the ends of records, piece by piece.
#[derive(Debug, Clone)]
pub struct Cutter {
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Byte(u8),
    Quoted(QuotedLines),
}

impl Cutter {
    /// A cutter that stands at the start of a stream.
    ///
    /// # Errors
    /// `Internal` for columnar files: they have no records in bytes.
    pub fn new(framing: Framing) -> Result<Self> {
        let rule = match framing {
            Framing::Lines => Rule::Byte(b'\n'),
            Framing::Delimiter(byte) => Rule::Byte(byte),
            Framing::QuotedLines { quote, delimiter, escape, comments } => {
                Rule::Quoted(QuotedLines { quote, delimiter, escape, comments, place: Place::LineStart })
            }
            Framing::RowGroups | Framing::Blocks => {
                return Err(Diagnostic::error(Code::Internal, "a columnar file cannot be cut into records"));
            }
        };
        Ok(Self { rule })
    }

    /// Goes on with the next bytes of the stream: one past the last record end in them, if there
    /// is one.
    pub fn last_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match &mut self.rule {
            Rule::Byte(end) => memrchr(*end, bytes).map(|at| at + 1),
            Rule::Quoted(lines) => lines.scan(bytes, false),
        }
    }

    /// As [`Cutter::last_end`], but stops right behind the first record end: what follows it has
    /// not been looked at.
    pub fn first_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match &mut self.rule {
            Rule::Byte(end) => memchr(*end, bytes).map(|at| at + 1),
            Rule::Quoted(lines) => lines.scan(bytes, true),
        }
    }
}

/// Lines whose quoted fields may hold line feeds.
#[derive(Debug, Clone)]
struct QuotedLines {
    quote: u8,
    delimiter: u8,
    escape: Option<u8>,
    comments: bool,
    place: Place,
}

/// What the next byte stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    FieldStart,
    /// Inside a field without quotes, or behind its closing quote.
    Plain,
    /// Behind an escape outside quotes.
    PlainEscaped,
    Quoted,
    /// Behind an escape inside quotes.
    QuotedEscaped,
    /// Right behind a quote inside quotes: another one makes the two a literal quote.
    QuoteInQuoted,
    Comment,
}

impl QuotedLines {
    /// One past the last (or the first) record end.
    fn scan(&mut self, bytes: &[u8], stop_at_first: bool) -> Option<usize> {
        let mut last = None;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.place {
                Place::Quoted => self.inside(rest),
                _ if self.escape.is_none() && !stop_at_first => {
                    let skipped = memchr(self.quote, rest).unwrap_or(rest.len());
                    let (plain, _) = rest.split_at(skipped);
                    if let Some(feed) = memrchr(b'\n', plain) {
                        last = Some(at + feed + 1);
                    }
                    self.place = self.place_behind(plain);
                    skipped + self.step_if_any(rest.get(skipped))
                }
                _ => {
                    if self.step_if_any(rest.first()) == 1 && self.place == Place::LineStart {
                        last = Some(at + 1);
                        if stop_at_first {
                            return last;
                        }
                    }
                    1
                }
            };
        }
        last
    }

    /// Goes to the end of a quoted part; bytes passed.
    fn inside(&mut self, rest: &[u8]) -> usize {
        let hit = match self.escape {
            Some(escape) => memchr2(self.quote, escape, rest),
            None => memchr(self.quote, rest),
        };
        match hit {
            None => rest.len(),
            Some(at) => at + self.step_if_any(rest.get(at)),
        }
    }

    /// The place behind a stretch without quotes and escapes that starts outside quotes.
    fn place_behind(&self, plain: &[u8]) -> Place {
        let (start, line) = match memrchr(b'\n', plain) {
            Some(feed) => (Place::LineStart, plain.get(feed + 1..).unwrap_or_default()),
            None => (self.place, plain),
        };
        match (line.first(), line.last()) {
            (Some(b'#'), _) if self.comments && start == Place::LineStart => Place::Comment,
            (Some(_), _) if start == Place::Comment => Place::Comment,
            (_, Some(last)) if *last == self.delimiter => Place::FieldStart,
            (_, Some(_)) => Place::Plain,
            _ => start,
        }
    }

    /// Takes one byte, if there is one; how many it took.
    fn step_if_any(&mut self, byte: Option<&u8>) -> usize {
        let Some(&byte) = byte else { return 0 };
        self.place = self.step(byte);
        1
    }

    fn step(&self, byte: u8) -> Place {
        use Place::{
            Comment, FieldStart, LineStart, Plain, PlainEscaped, QuoteInQuoted, Quoted, QuotedEscaped,
        };
        match self.place {
            QuotedEscaped => Quoted,
            Quoted if Some(byte) == self.escape => QuotedEscaped,
            Quoted if byte == self.quote => QuoteInQuoted,
            Quoted => Quoted,
            QuoteInQuoted if byte == self.quote => Quoted,
            PlainEscaped => Plain,
            _ if byte == b'\n' => LineStart,
            Comment => Comment,
            LineStart if self.comments && byte == b'#' => Comment,
            LineStart | FieldStart if byte == self.quote => Quoted,
            _ if Some(byte) == self.escape => PlainEscaped,
            _ if byte == self.delimiter => FieldStart,
            _ => Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(escape: Option<u8>, comments: bool) -> Cutter {
        Cutter::new(Framing::QuotedLines { quote: b'"', delimiter: b',', escape, comments }).unwrap()
    }

    /// The places of all record ends, whatever the pieces: every way of cutting in two, and whole.
    fn ends(cutter: &Cutter, text: &str) -> Vec<usize> {
        let bytes = text.as_bytes();
        let mut all = Vec::new();
        let (mut one, mut at) = (cutter.clone(), 0);
        while let Some(end) = one.first_end(&bytes[at..]) {
            at += end;
            all.push(at);
        }
        for split in 0..=bytes.len() {
            let mut two = cutter.clone();
            let first = two.last_end(&bytes[..split]);
            let second = two.last_end(&bytes[split..]).map(|end| end + split);
            assert_eq!(first, all.iter().copied().rfind(|end| *end <= split), "{text:?} at {split}");
            assert_eq!(second.or(first), all.last().copied(), "{text:?} at {split}");
        }
        all
    }

    #[test]
    fn line_feeds_inside_quotes_do_not_end_a_record() {
        let csv = csv(None, false);
        assert_eq!(ends(&csv, "a,b\nc,\"d\ne\",f\ng"), [4, 14]);
        assert_eq!(ends(&csv, "\"a \"\"b\n\"\" c\"\n\"\"\n"), [13, 16]);
        // A quote in the middle of a field is an ordinary character.
        assert_eq!(ends(&csv, "5\" disk\nx\n"), [8, 10]);
        assert_eq!(ends(&csv, "\"a\"x\"\n"), [6]);
        assert_eq!(ends(&csv, ""), [] as [usize; 0]);
    }

    #[test]
    fn escapes_and_comments() {
        assert_eq!(ends(&csv(Some(b'\\'), false), "\"a\\\"\n\",b\nc\\\nd\n"), [9, 14]);
        assert_eq!(ends(&csv(None, true), "# it's \"open\n\"a\nb\"\n"), [13, 19]);
        assert_eq!(ends(&csv(None, false), "#,\"open\n\"\n"), [10]);
    }

    #[test]
    fn lines_and_other_delimiters() {
        assert_eq!(ends(&Cutter::new(Framing::Lines).unwrap(), "a\n\"b\n"), [2, 5]);
        assert_eq!(ends(&Cutter::new(Framing::Delimiter(0)).unwrap(), "a\0b\nc"), [2]);
        assert!(Cutter::new(Framing::RowGroups).is_err());
    }
}
