//! Fields without their quotes and escapes.
//!
//! ```text
//!   a column's fields    1,"abc",x      "a""b",2
//!   in place                ^^^           — a doubled quote has to be taken out: the whole
//!   copied                  abc           a"b   block of the column is copied
//! ```
//!
//! Most quoted fields hold neither quotes nor escapes. Where that is so for a block of a column, its fields
//! are only narrowed, and their bytes copied once: into the Arrow buffer.

use std::ops::Range;

use super::settings::Settings;

/// Copied text that keeps its memory from block to block.
const KEPT_MAX: usize = 1 << 20;

/// A block of one column's fields; reused.
#[derive(Debug, Default)]
pub(super) struct Bared {
    copied: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl Bared {
    /// The fields that lie at `fields` in `source`: where their bare text is, and at which places.
    pub(super) fn of<'a>(
        &'a mut self,
        source: &'a [u8],
        fields: impl Iterator<Item = Range<usize>> + Clone,
        settings: &Settings,
    ) -> (&'a [u8], &'a [Range<usize>]) {
        self.spans.clear();
        self.copied.clear();
        self.copied.shrink_to(KEPT_MAX);
        for field in fields.clone() {
            let Some(bare) = in_place(source, field, settings) else {
                self.spans.clear();
                self.spans.extend(fields.map(|field| unquote(source, field, settings, &mut self.copied)));
                return (&self.copied, &self.spans);
            };
            self.spans.push(bare);
        }
        (source, &self.spans)
    }
}

/// Where the field's bare text lies within it, if it does.
fn in_place(source: &[u8], span: Range<usize>, settings: &Settings) -> Option<Range<usize>> {
    let Some(field) = source.get(span.clone()) else {
        // Missing fields stay recognisable: their place is reversed.
        return Some(span);
    };
    if settings.escape.is_some_and(|escape| memchr::memchr(escape, field).is_some()) {
        return None;
    }
    let Some(quote) = settings.quote.filter(|quote| field.first() == Some(quote)) else {
        return Some(span);
    };
    let text = span.start + 1;
    let closing = text + memchr::memchr(quote, field.get(1..)?)?;
    let doubled = closing + 1 < span.end && source.get(closing + 1) == Some(&quote);
    (!doubled).then_some(text..closing)
}

/// Appends a field's text without quotes and escapes; answers where it lies in `out`.
fn unquote(source: &[u8], span: Range<usize>, settings: &Settings, out: &mut Vec<u8>) -> Range<usize> {
    let start = out.len();
    let Some(field) = source.get(span) else {
        // Missing fields stay recognisable: their place is reversed.
        return start + 1..start;
    };
    let quoted = settings.quote.is_some() && field.first().copied() == settings.quote;
    let mut bytes = field.iter().copied().skip(usize::from(quoted));
    while let Some(byte) = bytes.next() {
        if quoted && Some(byte) == settings.quote {
            match bytes.next() {
                Some(next) if Some(next) == settings.quote => out.push(next),
                // The closing quote; only blanks may follow.
                _ => break,
            }
        } else if Some(byte) == settings.escape {
            out.extend(bytes.next().map(|next| match next {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                other => other,
            }));
        } else {
            out.push(byte);
        }
    }
    start..out.len()
}
