//! Messages without line feeds.
//!
//! ```text
//!   {⏎  "a": 1,⏎  "b": "x⏎y"⏎}      ──►      {   "a": 1,   "b": "x\\ny" }
//! ```
//!
//! To the readers of this format a line feed is the end of a record, which is what keeps a damaged line
//! from swallowing its neighbours. A message may hold some: between its values they become blanks, within
//! strings (where JSON forbids them, but its writers not always) they become escapes. Most messages hold
//! none at all, which takes one look at all of them together.

use flott_connector::Slices;
use flott_types::{Code, Diagnostic, Result};
use memchr::{memchr, memchr3};

/// The same messages on one line each; none: they are.
pub(super) fn flatten(messages: &Slices) -> Result<Option<Slices>> {
    if memchr(b'\n', messages.bytes()).is_none() {
        return Ok(None);
    }
    let mut flat = Slices::in_buffer(Vec::with_capacity(messages.bytes().len() + 64));
    for message in messages.iter() {
        let fits = match message {
            None => flat.push(None),
            Some(message) => {
                flatten_one(message.trim_ascii_end(), flat.open());
                flat.end()
            }
        };
        if !fits {
            return Err(Diagnostic::error(Code::RecordTooLarge, "more than 4 GiB of messages at a time"));
        }
    }
    Ok(Some(flat))
}

fn flatten_one(message: &[u8], out: &mut Vec<u8>) {
    if memchr(b'\n', message).is_none() {
        return out.extend_from_slice(message);
    }
    let (mut rest, mut quoted) = (message, false);
    while let Some(at) = memchr3(b'\n', b'"', b'\\', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let used = match from {
            [b'\n', ..] => {
                out.extend_from_slice(if quoted { b"\\n" } else { b" " });
                1
            }
            [b'"', ..] => {
                quoted = !quoted;
                out.push(b'"');
                1
            }
            // An escape stays what it is, whatever is escaped; but no line feed may hide behind one.
            [backslash, b'\n', ..] => {
                out.extend_from_slice(&[*backslash, b' ']);
                2
            }
            [backslash, next, ..] => {
                out.extend_from_slice(&[*backslash, *next]);
                2
            }
            other => {
                out.extend_from_slice(other);
                other.len()
            }
        };
        rest = from.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(message: &str) -> String {
        let mut out = Vec::new();
        flatten_one(message.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_feeds_become_blanks_and_escapes() {
        assert_eq!(flat("{\n\"a\":\n1}"), "{ \"a\": 1}");
        assert_eq!(flat("{\"a\":\"x\ny\\\"\n\"}\n"), "{\"a\":\"x\\ny\\\"\\n\"} ");
        assert_eq!(flat("\\\n\\"), "\\ \\");
    }
}
