//! STRING columns: text copied into the batch, or noted and copied later.
//!
//! ```text
//!   eager     "x\ny"  ──► value buffer                    (the filter reads it, or there is no filter)
//!   deferred  "x\ny"  ──► View { at, len, Escaped } ──► value buffer, for rows that the filter kept
//! ```

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, NullBufferBuilder, StringArray},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
};

use super::{
    failure::{Fail, Failure},
    render::compact,
    scan::{number_end, skip_nested, skip_word, string_end, unescape},
};

/// How a value's text comes from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// NULL.
    Null,
    /// The bytes are the text.
    Plain,
    /// The inside of a string with escapes.
    Escaped,
    /// An object or array: its JSON text without blanks.
    Nested,
}

/// A value's place in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub at: usize,
    pub end: usize,
    pub form: Form,
}

/// Finds the value at `at`: its view and the position behind it. Any JSON value has a text.
#[inline(always)]
pub(crate) fn view_at(bytes: &[u8], at: usize) -> Result<(View, usize), Fail> {
    if bytes.get(at) == Some(&b'"') {
        let found = string_end(bytes, at + 1)?;
        let form = if found.escaped { Form::Escaped } else { Form::Plain };
        return Ok((View { at: at + 1, end: found.quote, form }, found.quote + 1));
    }
    other_view_at(bytes, at)
}

#[inline(never)]
fn other_view_at(bytes: &[u8], at: usize) -> Result<(View, usize), Fail> {
    let (end, form) = match bytes.get(at) {
        Some(b'{' | b'[') => (skip_nested(bytes, at)?, Form::Nested),
        Some(b'n') => (skip_word(bytes, at)?, Form::Null),
        Some(b't' | b'f') => (skip_word(bytes, at)?, Form::Plain),
        _ => (number_end(bytes, at).map_err(|fail| word_or(bytes, at, fail))?.end, Form::Plain),
    };
    Ok((View { at, end, form }, end))
}

/// What stands at `at` is neither a number nor a word: say so.
fn word_or(bytes: &[u8], at: usize, fail: Fail) -> Fail {
    match bytes.get(at) {
        Some(b'-' | b'0'..=b'9') => fail,
        _ => Failure::malformed(at, "a JSON value is missing or misspelt"),
    }
}

/// Texts up to this length are copied with a fixed length, which is cheaper than a call.
const SHORT_TEXT: usize = 32;

/// Appends `raw`, which stands at `at` in `bytes`.
#[inline(always)]
fn append_plain(bytes: &[u8], at: usize, raw: &[u8], out: &mut Vec<u8>) {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<SHORT_TEXT>()) {
        Some(more) if raw.len() <= SHORT_TEXT => {
            let end = out.len() + raw.len();
            out.extend_from_slice(more);
            out.truncate(end);
        }
        _ => out.extend_from_slice(raw),
    }
}

/// Appends the text of a view.
#[inline(always)]
pub(crate) fn append_view(bytes: &[u8], view: View, out: &mut Vec<u8>) {
    let raw = bytes.get(view.at..view.end).unwrap_or_default();
    match view.form {
        Form::Plain => append_plain(bytes, view.at, raw, out),
        Form::Escaped => unescape(raw, out),
        Form::Nested => compact(raw, out),
        Form::Null => {}
    }
}

/// A column of text being built.
#[derive(Debug)]
pub(crate) struct TextColumn {
    offsets: Vec<i32>,
    data: Vec<u8>,
    nulls: NullBufferBuilder,
    /// Kept instead of `offsets` and `data` when the column is deferred.
    views: Option<Vec<View>>,
}

impl TextColumn {
    pub fn new(deferred: bool) -> Self {
        Self {
            offsets: vec![0],
            data: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            views: deferred.then(Vec::new),
        }
    }
    pub fn len(&self) -> usize {
        match &self.views {
            Some(views) => views.len(),
            None => self.offsets.len() - 1,
        }
    }
    pub fn is_deferred(&self) -> bool {
        self.views.is_some()
    }
    pub fn truncate(&mut self, len: usize) {
        if let Some(views) = &mut self.views {
            views.truncate(len);
            return;
        }
        self.offsets.truncate(len + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.data.truncate(usize::try_from(end).unwrap_or(0));
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
    }
    pub fn push_null(&mut self) {
        if let Some(views) = &mut self.views {
            views.push(View { at: 0, end: 0, form: Form::Null });
            return;
        }
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }
    /// Appends the value at `at`; answers with the position behind it.
    #[inline(always)]
    pub fn append(&mut self, bytes: &[u8], at: usize) -> Result<usize, Fail> {
        let (view, end) = view_at(bytes, at)?;
        if let Some(views) = &mut self.views {
            views.push(view);
            return Ok(end);
        }
        self.push_view(bytes, view)?;
        Ok(end)
    }
    #[inline(always)]
    fn push_view(&mut self, bytes: &[u8], view: View) -> Result<(), Fail> {
        if view.form == Form::Null {
            self.push_null();
            return Ok(());
        }
        append_view(bytes, view, &mut self.data);
        let Ok(offset) = i32::try_from(self.data.len()) else {
            let end = self.offsets.last().copied().unwrap_or(0);
            self.data.truncate(usize::try_from(end).unwrap_or(0));
            return Err(Failure::too_large(view.at));
        };
        self.offsets.push(offset);
        self.nulls.append_non_null();
        Ok(())
    }
    /// Appends text that is at hand.
    pub fn push_text(&mut self, text: &[u8], at: usize) -> Result<(), Fail> {
        self.push_view(text, View { at: 0, end: text.len(), form: Form::Plain }).map_err(|mut fail| {
            fail.at = at;
            fail
        })
    }
    /// The views collected so far; the column starts anew.
    pub fn take_views(&mut self) -> Vec<View> {
        self.views.as_mut().map(std::mem::take).unwrap_or_default()
    }
    /// The array; the column starts anew with room for as much.
    ///
    /// `bytes` that came in were valid UTF-8: the decoder checks each chunk before it parses.
    pub fn finish(&mut self) -> ArrayRef {
        let rows = self.offsets.len();
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows + rows / 8));
        self.offsets.push(0);
        let data = std::mem::take(&mut self.data);
        self.data.reserve(data.len() + data.len() / 8);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        // SAFETY: offsets count up from 0 to the buffer's length. Each value is a piece of valid
        // UTF-8 cut at ASCII characters, or what `unescape` and `compact` made of one.
        Arc::new(unsafe { StringArray::new_unchecked(offsets, Buffer::from_vec(data), self.nulls.finish()) })
    }
}

/// An array of the views at these places.
pub(crate) fn materialise(
    bytes: &[u8],
    views: &[View],
    rows: impl Iterator<Item = usize>,
) -> Result<ArrayRef, Fail> {
    let mut column = TextColumn::new(false);
    for row in rows {
        match views.get(row) {
            Some(view) => column.push_view(bytes, *view)?,
            None => column.push_null(),
        }
    }
    Ok(column.finish())
}
