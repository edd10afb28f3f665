//! Objects into columns, guessing the next key.
//!
//! ```text
//!   {"auction":1000,"bidder":1001,"price":77}
//!   └────┬────┘    └────┬────┘   └───┬───┘
//!    pattern 0      pattern 1    pattern 2      what stood between the values last time
//! ```
//!
//! Records of one source nearly always have the same keys in the same order with the same
//! blanks. So the bytes between two values, from behind the one to the start of the next, are
//! remembered by their number in the record, together with the column they lead to: one
//! comparison of 16 bytes answers comma, key, colon and look-up at once. A wrong guess goes the
//! careful way and teaches the new pattern.
//!
//! Invariants
//! - A record is read the same whether guesses hit or miss.
//! - Equal keys: the last one counts. Keys that no column wants are skipped, but checked.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
};

use arrow::array::ArrayRef;
use flott_types::Result;

use super::{
    column::{Column, Reading},
    failure::{Fail, Failure},
    scan::{skip_blanks, skip_value, string_end},
    text::{Form, View, append_view},
};

/// Longer patterns aren't remembered.
const PATTERN_MAX: usize = 64;
/// Keys behind this many in a record aren't guessed.
const PATTERNS_MAX: usize = 1024;
/// More columns than this are looked up by hash instead of one after the other.
const LINEAR_MAX: usize = 12;
/// The key leads to no column.
const UNWANTED: u32 = u32::MAX;

/// What stood between two values, and which column the next value belongs to.
#[derive(Debug, Clone)]
struct Pattern {
    /// The first 16 bytes, and which of them count.
    head: u128,
    mask: u128,
    len: u32,
    column: u32,
    bytes: [u8; PATTERN_MAX],
}

impl Pattern {
    fn new(between: &[u8], column: u32) -> Option<Self> {
        let mut bytes = [0; PATTERN_MAX];
        bytes.get_mut(..between.len())?.copy_from_slice(between);
        let mask = match between.len() {
            0 => return None,
            len @ 1..16 => (1u128 << (8 * len)) - 1,
            _ => u128::MAX,
        };
        let head = u128::from_le_bytes(*bytes.first_chunk()?);
        Some(Self { head, mask, len: between.len() as u32, column, bytes })
    }

    /// Whether it stands here and the value right behind it: there may be more blanks than last time.
    #[inline(always)]
    fn leads_to_value(&self, bytes: &[u8], at: usize) -> bool {
        self.stands_at(bytes, at) && bytes.get(at + self.len as usize).is_none_or(|byte| *byte > b' ')
    }

    #[inline(always)]
    fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        let Some(rest) = bytes.get(at..) else { return false };
        let len = self.len as usize;
        let Some(head) = rest.first_chunk::<16>() else {
            return rest.starts_with(&self.bytes[..len]);
        };
        if (u128::from_le_bytes(*head) ^ self.head) & self.mask != 0 {
            return false;
        }
        len <= 16 || rest.get(16..len) == self.bytes.get(16..len)
    }
}

/// The keys of an object that somebody wants.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<String>,
    by_name: HashMap<String, u32, BuildHasherDefault<DefaultHasher>>,
    patterns: Vec<Pattern>,
    scratch: Vec<u8>,
}

/// Reads objects into columns: a record, or the value of a ROW column.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    keys: Keys,
    columns: Vec<Column>,
}

impl ObjectReader {
    /// A reader of these columns.
    pub fn new(columns: Vec<(String, Column)>) -> Self {
        let (names, columns) = columns.into_iter().unzip();
        Self { keys: Keys::new(names), columns }
    }

    /// The columns.
    pub fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Drops all rows behind the first `rows`.
    #[cold]
    pub fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Appends a row of NULLs.
    pub fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
    }

    /// The arrays; all columns start anew.
    ///
    /// # Errors
    /// Only a bug of ours.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.columns.iter_mut().map(Column::finish).collect()
    }

    /// Reads the object at `at` as row number `row`; answers with the position behind it.
    /// After a failure the caller truncates to `row`.
    #[inline]
    pub fn read(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        let mut filled = 0;
        let mut number = 0;
        let end = loop {
            let (column, value) = match self.keys.next(bytes, at, number)? {
                Next::Value(column, value) => (column, value),
                Next::End(end) => break end,
            };
            number += 1;
            let Some(target) = self.columns.get_mut(column as usize) else {
                at = skip_value(bytes, value)?;
                continue;
            };
            if target.len() > row {
                target.truncate(row);
            } else {
                filled += 1;
            }
            at = match target.append(bytes, value, reading) {
                Ok(end) => end,
                Err(fail) => return Err(self.inside(fail, column)),
            };
        };
        if filled < self.columns.len() {
            self.fill_missing(row, end, reading)?;
        }
        Ok(end)
    }

    #[cold]
    fn inside(&self, fail: Fail, column: u32) -> Fail {
        match self.keys.names.get(column as usize) {
            Some(name) => fail.inside(name),
            None => fail,
        }
    }

    #[inline(never)]
    fn fill_missing(&mut self, row: usize, end: usize, reading: &Reading) -> Result<(), Fail> {
        for (column, name) in self.columns.iter_mut().zip(&self.keys.names) {
            if column.len() <= row {
                if reading.fail_on_missing {
                    return Err(Failure::missing(end, name));
                }
                column.push_null();
            }
        }
        Ok(())
    }
}

impl Keys {
    /// The wanted ones; each is known by its number.
    pub fn new(names: Vec<String>) -> Self {
        let by_name = match names.len() {
            0..=LINEAR_MAX => HashMap::default(),
            _ => names.iter().enumerate().map(|(at, name)| (name.clone(), at as u32)).collect(),
        };
        Self { names, by_name, patterns: Vec::new(), scratch: Vec::new() }
    }

    /// What comes at `at`, behind value number `number - 1` (0: the object itself stands there).
    #[inline(always)]
    pub fn next(&mut self, bytes: &[u8], at: usize, number: usize) -> Result<Next, Fail> {
        match self.patterns.get(number) {
            Some(pattern) if pattern.leads_to_value(bytes, at) => {
                Ok(Next::Value(pattern.column, at + pattern.len as usize))
            }
            _ => self.next_key(bytes, at, number),
        }
    }

    /// What comes at `at`, behind value number `number - 1`: another key, or the object's end.
    #[inline(always)]
    fn next_key(&mut self, bytes: &[u8], at: usize, number: usize) -> Result<Next, Fail> {
        if number > 0 && bytes.get(at) == Some(&b'}') {
            return Ok(Next::End(at + 1));
        }
        self.next_key_carefully(bytes, at, number)
    }

    #[inline(never)]
    fn next_key_carefully(&mut self, bytes: &[u8], start: usize, number: usize) -> Result<Next, Fail> {
        let mut at = skip_blanks(bytes, start);
        match (bytes.get(at), number) {
            (Some(b'{'), 0) => {
                at = skip_blanks(bytes, at + 1);
                if bytes.get(at) == Some(&b'}') {
                    return Ok(Next::End(at + 1));
                }
            }
            (_, 0) => return Err(no_object(bytes, at)),
            (Some(b'}'), _) => return Ok(Next::End(at + 1)),
            (Some(b','), _) => at = skip_blanks(bytes, at + 1),
            _ => return Err(Failure::malformed(at, "expected ',' or '}'")),
        }
        let (key, value) = key_at(bytes, at)?;
        self.scratch.clear();
        append_view(bytes, key, &mut self.scratch);
        let column = self.column_of(number);
        if let Some(pattern) = bytes.get(start..value).and_then(|between| Pattern::new(between, column)) {
            if let Some(old) = self.patterns.get_mut(number) {
                *old = pattern;
            } else if number == self.patterns.len() && number < PATTERNS_MAX {
                self.patterns.push(pattern);
            }
        }
        Ok(Next::Value(column, value))
    }

    /// The column of the key in `scratch`, which is probably the `number`-th.
    fn column_of(&self, number: usize) -> u32 {
        let key = self.scratch.as_slice();
        if self.names.get(number).is_some_and(|name| name.as_bytes() == key) {
            return number as u32;
        }
        if self.by_name.is_empty() {
            let found = self.names.iter().position(|name| name.as_bytes() == key);
            return found.map_or(UNWANTED, |at| at as u32);
        }
        std::str::from_utf8(key).ok().and_then(|key| self.by_name.get(key)).copied().unwrap_or(UNWANTED)
    }
}

/// What comes next in an object.
pub(crate) enum Next {
    /// A value for this column at this position.
    Value(u32, usize),
    /// The end: the position behind the closing brace.
    End(usize),
}

/// The key at `at`, and the position of its value.
pub(crate) fn key_at(bytes: &[u8], at: usize) -> Result<(View, usize), Fail> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Failure::malformed(at, "expected a key in double quotes"));
    }
    let found = string_end(bytes, at + 1)?;
    let colon = skip_blanks(bytes, found.quote + 1);
    if bytes.get(colon) != Some(&b':') {
        return Err(Failure::malformed(colon, "expected ':' behind a key"));
    }
    let form = if found.escaped { Form::Escaped } else { Form::Plain };
    Ok((View { at: at + 1, end: found.quote, form }, skip_blanks(bytes, colon + 1)))
}

/// Why no object can be read at `at`: something else stands there, if it is JSON at all.
#[cold]
fn no_object(bytes: &[u8], at: usize) -> Fail {
    let found = match bytes.get(at) {
        Some(b'"') => "a text",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        // It may be long, and is looked at whenever records are arrays.
        Some(b'[') => return Failure::not_an_object(at, "an array"),
        _ => return Failure::malformed(at, "expected an object"),
    };
    let behind = skip_value(bytes, at).map(|end| bytes.get(skip_blanks(bytes, end)));
    match behind {
        Ok(None | Some(b'\n' | b',' | b']' | b'}')) => Failure::not_an_object(at, found),
        _ => Failure::malformed(at, "expected an object"),
    }
}
