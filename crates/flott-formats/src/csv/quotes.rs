//! Which bytes are between quotes, 64 at a time.
//!
//! ```text
//!   bytes     1,"a,""b",2⏎      one bit per byte, the first byte's leftmost here
//!   quotes    ..^..^^.^...
//!   inside    ..###.####.. ◄─── exclusive or of all quotes up to here, less the closing ones' bytes
//!   outside   ##...#....##      a doubled quote closes and opens again at once
//! ```
//!
//! After Langdale and Lemire, "Parsing gigabytes of JSON per second" (VLDB Journal, 2019), whose quotes
//! may stand anywhere. Here one opens at a field's start only and a field ends behind the one that closes,
//! so every place that breaks this is told, as is every one that may be right by rarer rules (blanks behind
//! a closing quote).

/// What earlier steps leave to the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotes {
    /// All bits if the last byte was between quotes, else none.
    inside: u64,
    /// The last byte was a closing quote.
    closed: u64,
    /// The last two bytes were a closing quote and a carriage return.
    returned: u64,
    /// A quote may open: the last byte ended a field or was a closing quote.
    may_open: u64,
}

impl Quotes {
    /// Nothing came before.
    pub(super) fn at_record_start() -> Self {
        Self { inside: 0, closed: 0, returned: 0, may_open: 1 }
    }

    /// Whether a step with these quotes needs a closer look.
    #[inline]
    pub(super) fn matter(&self, quotes: u64) -> bool {
        quotes | self.inside | self.closed | self.returned != 0
    }

    /// Takes note of a step that needs none.
    #[inline]
    pub(super) fn pass(&mut self, fields: u64) {
        self.may_open = fields >> 63;
    }

    /// The bytes outside of quotes, and those at which a quote is known to stand, or to have stood, where the
    /// slow path has to look. `fields` are the bytes that end a field unless they are between quotes.
    pub(super) fn resolve(
        &mut self,
        quotes: u64,
        fields: u64,
        carriage_returns: impl FnOnce() -> u64,
    ) -> (u64, u64) {
        let inside = up_to_here(quotes) ^ self.inside;
        let (opening, closing) = (quotes & inside, quotes & !inside);
        let fields = fields & !inside;
        let returns = carriage_returns() & !inside;

        let may_open = ((fields | closing) << 1) | self.may_open;
        let behind = (closing << 1) | self.closed;
        let returned = behind & returns;
        let behind_return = (returned << 1) | self.returned;
        let wrong =
            (opening & !may_open) | (behind & !(fields | quotes | returns)) | (behind_return & !fields);

        self.inside = if inside >> 63 == 1 { u64::MAX } else { 0 };
        self.closed = closing >> 63;
        self.returned = returned >> 63;
        self.may_open = (fields | closing) >> 63;
        (!inside, wrong)
    }
}

/// For each bit, whether the number of bits set up to and including it is odd.
fn up_to_here(mut bits: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << distance;
    }
    bits
}

/// Whether all quotes of a record are closed within it, by the rules of `Scan`'s slow path without an
/// escape character.
pub(super) fn all_closed(record: &[u8], delimiter: u8, quote: u8) -> bool {
    let mut open = false;
    let mut doubled = None;
    for at in memchr::memchr_iter(quote, record) {
        if doubled.take() == Some(at) {
            continue;
        }
        if !open {
            open = at.checked_sub(1).is_none_or(|before| record.get(before) == Some(&delimiter));
        } else if record.get(at + 1) == Some(&quote) {
            doubled = Some(at + 1);
        } else {
            open = false;
        }
    }
    !open
}
