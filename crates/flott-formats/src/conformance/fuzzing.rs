//! Bytes from a fuzzer, taken as messages of a format; what `fuzz/`, an example and a test have in common.
//!
//! ```text
//!   which table │ message F5 FA message F5 FA …        a message of the one byte F5 is null
//! ```
//!
//! No byte above F4 is in UTF-8: text is not cut apart, and what a message holds can be changed without
//! changing where it ends.

use flott_connector::Slices;
use flott_types::Result;

use super::{Case, ensure};

/// Between two messages.
const BETWEEN: [u8; 2] = [0xF5, 0xFA];
/// A message that is null.
const NULL: [u8; 1] = [0xF5];
/// Further messages are left out: each is looked at several times.
const MESSAGES_MAX: usize = 8;
/// Schemas in a registry for tests have smaller ids.
const IDS: u8 = 8;

/// What is fuzzed under one name.
pub struct Target {
    /// The format's name.
    pub name: &'static str,
    /// Tables to read the messages as; the first byte says which one.
    pub cases: Vec<Case>,
    /// What the bytes are.
    pub input: Input,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Messages.
    Messages,
    /// Messages that begin with the id of a schema. Ids are brought near those that the registry has: asking
    /// for others is no test of a format.
    MessagesWithIds,
    /// A file.
    File,
}

impl Target {
    /// Looks at one input.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn check(&self, input: &[u8]) -> Result<()> {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let pick = usize::from(*first);
        let Some(case) = self.cases.get(pick % self.cases.len().max(1)) else { return Ok(()) };
        match self.input {
            Input::File => case.holds_of_file(input),
            Input::Messages => case.holds_briefly(&messages(rest, false)?, varied(rest)),
            Input::MessagesWithIds => case.holds_briefly(&messages(rest, true)?, varied(rest)),
        }
    }

    /// The input that stands for these messages of the case with this number.
    pub fn input_of(&self, case: u8, messages: &Slices) -> Vec<u8> {
        let mut out = vec![case];
        for (at, message) in messages.iter().enumerate() {
            if at > 0 {
                out.extend(BETWEEN);
            }
            out.extend(message.unwrap_or(&NULL));
        }
        out
    }
}

/// A number that depends on all bytes: what is picked by it changes from input to input.
fn varied(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)))
}

fn messages(mut rest: &[u8], have_ids: bool) -> Result<Slices> {
    let mut out = Slices::default();
    for _ in 0..MESSAGES_MAX {
        let end = rest.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN);
        let (message, behind) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
        let mut message = message.to_vec();
        if have_ids && let Some([0, id @ ..]) = message.first_chunk_mut::<5>() {
            *id = [0, 0, 0, id.last().map_or(0, |last| last % IDS)];
        }
        let fits = out.push((message != NULL).then_some(message.as_slice()));
        ensure(fits, || "too much".into())?;
        match end.and_then(|_| behind.get(BETWEEN.len()..)) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_there_and_back() {
        let mut written = Slices::default();
        for message in [Some(&b"a"[..]), None, Some(b""), Some(b"\0\x01\x02\x03\x0C\xF5")] {
            assert!(written.push(message));
        }
        let target = Target { name: "json", cases: Vec::new(), input: Input::Messages };
        let input = target.input_of(3, &written);
        assert_eq!(input[0], 3);
        let read = messages(&input[1..], false).unwrap();
        assert!(read.iter().eq(written.iter()));
        let read = messages(&input[1..], true).unwrap();
        assert_eq!(read.get(3), Some(&b"\0\0\0\0\x04\xF5"[..]));
    }
}
