//! Records of changes into rows.
//!
//! ```text
//!   {"before":{…},"after":{…},"source":{…},"op":"u"}
//!            │         │                        └─ known last …
//!            ▼         ▼
//!          row n    row n+1                       … and mostly what was read fits it
//! ```
//!
//! A side of the change is read into the rows as soon as it comes: what the record does stands behind its
//! sides nearly always, and nearly always the sides that are there are those that it takes. Where they
//! aren't, or where the keys come in another order, or where a side is bad, the record is read again from the
//! places of its sides, which is slow but right.
//!
//! Of a row that says only what differed (`old`), first the row after the change is read, then what
//! differed over it, then the row after the change once more.

use arrow::{array::ArrayRef, datatypes::SchemaRef};
use flott_connector::{ExtraColumn, FormatRequest, ScanRequest};
use flott_expr::functions::WholePattern;
use flott_types::{Code, Diagnostic, Options, Result, RowKind};

use super::{
    metadata::Metadata,
    schema_include,
    shape::{Change, Shape, Sides},
};
use crate::json::{
    column::{Column, Reading},
    decoder::{Finished, Records},
    failure::{Fail, Failure},
    object::{Keys, Next, ObjectReader},
    scan::{skip_blanks, skip_value},
    text::{Form, append_view, view_at},
};

/// The keys that every shape has, by number.
const BEFORE: u32 = 0;
const AFTER: u32 = 1;
const OP: u32 = 2;

/// Which databases or tables are read.
struct Include {
    /// The number of the key that names it.
    key: usize,
    name: &'static str,
    pattern: WholePattern,
}

/// What `….database.include` or `….table.include` asks for.
pub(super) fn included(options: &Options, shape: &Shape, what: &'static str) -> Result<Option<WholePattern>> {
    let key = format!("{}.{what}.include", shape.format);
    let Some(pattern) = options.get(&key) else { return Ok(None) };
    WholePattern::new(pattern).map(Some).map_err(|why| {
        Diagnostic::error(Code::InvalidOption, format!("option '{key}': '{pattern}' {why}"))
            .at(options.span(&key))
    })
}

/// Which sides have been read into the rows so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Nothing,
    Before,
    After,
    Both,
    /// Not as it should have been: read again.
    Wrongly,
}

/// Reads records of a shape.
pub(super) struct ChangeRecords {
    shape: &'static Shape,
    /// Records are wrapped with their schema.
    wrapping: Option<Keys>,
    /// The keys of a record, and where their values stand (none: missing or null).
    keys: Keys,
    places: Vec<Option<usize>>,
    include: Vec<Include>,
    rows: ObjectReader,
    /// For each column of `rows`, its position in the batch.
    positions: Vec<usize>,
    kinds: Vec<i8>,
    metadata: Option<Metadata>,
    /// Where the rows after the change begin.
    starts: Vec<usize>,
    scratch: Vec<u8>,
}

impl ChangeRecords {
    pub fn new(
        shape: &'static Shape,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: &[ExtraColumn],
    ) -> Result<Self> {
        let options = &request.table.options;
        let mut keys: Vec<String> = [shape.before, shape.after, shape.op].map(str::to_string).to_vec();
        let wrapped = schema_include(options, shape)?;
        let metadata = Metadata::new(shape, wrapped, request, scan, &mut keys)?;
        let mut include = Vec::new();
        for name in ["database", "table"] {
            if let Some(pattern) = included(options, shape, name)? {
                include.push(Include { key: number_of(&mut keys, name), name, pattern });
            }
        }
        let (mut columns, mut positions) = (Vec::new(), Vec::new());
        for (position, field) in scan.schema.fields.iter().enumerate() {
            let other = extra.iter().any(|it| it.position == position)
                || metadata.as_ref().is_some_and(|it| it.fills(position));
            if !other {
                columns.push((field.name.clone(), Column::new(&field.data_type, false)?));
                positions.push(position);
            }
        }
        let wrapping = wrapped.then(|| Keys::new(vec!["payload".into(), "schema".into()]));
        Ok(Self {
            shape,
            wrapping,
            places: vec![None; keys.len()],
            keys: Keys::new(keys),
            include,
            rows: ObjectReader::new(columns),
            positions,
            kinds: Vec::new(),
            metadata,
            starts: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// A record wrapped with its schema.
    fn wrapped(
        &mut self,
        bytes: &[u8],
        start: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        let (mut at, mut number, mut payload, mut schema) = (start, 0, None, None);
        let end = loop {
            let keys = self.wrapping.as_mut().ok_or_else(|| no_object(start, "the record"))?;
            let (key, value) = match keys.next(bytes, at, number)? {
                Next::Value(key, value) => (key, value),
                Next::End(end) => break end,
            };
            number += 1;
            at = skip_value(bytes, value)?;
            match key {
                0 => payload = Some(value),
                1 => schema = Some(value),
                _ => {}
            }
        };
        let payload = payload.filter(|at| bytes.get(*at) == Some(&b'{'));
        let payload = payload.ok_or_else(|| no_object(start, "field 'payload'"))?;
        let (_, rows) = self.record(bytes, payload, row, reading).map_err(|it| it.inside("payload"))?;
        if let Some(metadata) = &mut self.metadata {
            metadata.schema(bytes, schema, row, rows, reading)?;
        }
        Ok((end, rows))
    }

    /// A record.
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        let nulled = reading.nulled;
        self.places.fill(None);
        let (mut at, mut number, mut read) = (start, 0, Read::Nothing);
        let end = loop {
            let (key, value) = match self.keys.next(bytes, at, number)? {
                Next::Value(key, value) => (key, value),
                Next::End(end) => break end,
            };
            number += 1;
            at = match key {
                BEFORE | AFTER => self.side(bytes, key, value, row, &mut read, reading)?,
                _ => skip_value(bytes, value)?,
            };
            if let Some(place) = self.places.get_mut(key as usize) {
                *place = (bytes.get(value) != Some(&b'n')).then_some(value);
            }
        };
        if !self.is_included(bytes)? {
            self.forget(row, nulled, reading);
            return Ok((end, 0));
        }
        let change = self.change(bytes, end)?;
        let fits = match (change, self.shape.sides) {
            (Change::Insert, _) => read == Read::After,
            (Change::Update, _) => read == Read::Both,
            (Change::Delete, Sides::Whole) => read == Read::Before,
            (Change::Delete, _) => read == Read::After,
            (Change::Nothing, _) => false,
        };
        if !fits {
            self.forget(row, nulled, reading);
            self.again(bytes, end, change, row, reading)?;
        }
        let rows = self.tell_kinds(change);
        if let Some(metadata) = &mut self.metadata {
            metadata.read(bytes, &self.places, row, rows, reading)?;
        }
        Ok((end, rows))
    }

    /// Drops what was read of a record.
    fn forget(&mut self, row: usize, nulled: u64, reading: &mut Reading) {
        self.rows.truncate(row);
        self.starts.clear();
        reading.nulled = nulled;
    }

    /// Notes what the rows of a record do; answers with how many there are.
    #[inline]
    fn tell_kinds(&mut self, change: Change) -> usize {
        let changes = if self.shape.sides == Sides::DifferingArrays { self.starts.len() } else { 1 };
        let (insert, delete) = (RowKind::Insert.number(), RowKind::Delete.number());
        let update = [RowKind::UpdateBefore.number(), RowKind::UpdateAfter.number()];
        match change {
            Change::Insert => self.kinds.extend(std::iter::repeat_n(insert, changes)),
            Change::Delete => self.kinds.extend(std::iter::repeat_n(delete, changes)),
            Change::Update => (0..changes).for_each(|_| self.kinds.extend(update)),
            Change::Nothing => return 0,
        }
        if change == Change::Update { 2 * changes } else { changes }
    }

    /// Reads the side whose value stands at `at`, if it can be read right now; answers with the position
    /// behind it.
    #[inline]
    fn side(
        &mut self,
        bytes: &[u8],
        key: u32,
        at: usize,
        row: usize,
        read: &mut Read,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        let known = self.places.get(key as usize).copied().flatten().is_some();
        if known || bytes.get(at) == Some(&b'n') {
            if known {
                *read = Read::Wrongly;
            }
            return skip_value(bytes, at);
        }
        let (outcome, done) = match (self.shape.sides, key, *read) {
            (Sides::Whole, BEFORE, Read::Nothing) => {
                (self.object(bytes, key, at, row, reading), Read::Before)
            }
            (Sides::Whole, AFTER, Read::Nothing) => (self.object(bytes, key, at, row, reading), Read::After),
            (Sides::Whole, AFTER, Read::Before) => {
                (self.object(bytes, key, at, row + 1, reading), Read::Both)
            }
            (Sides::Differing | Sides::DifferingArrays, AFTER, Read::Nothing) => {
                (self.all_after(bytes, at, row, reading), Read::After)
            }
            (Sides::Differing | Sides::DifferingArrays, BEFORE, Read::After) => {
                (self.all_before(bytes, at, row, reading), Read::Both)
            }
            _ => {
                *read = Read::Wrongly;
                return skip_value(bytes, at);
            }
        };
        match outcome {
            Ok(end) => {
                *read = done;
                Ok(end)
            }
            Err(_) => {
                // What is wrong with it is found again if the record takes this side.
                self.rows.truncate(row);
                *read = Read::Wrongly;
                skip_value(bytes, at)
            }
        }
    }

    /// The object at `at` as row number `row`.
    #[inline]
    fn object(
        &mut self,
        bytes: &[u8],
        key: u32,
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        let name = if key == BEFORE { self.shape.before } else { self.shape.after };
        if bytes.get(at) != Some(&b'{') {
            return Err(no_object(at, &format!("field '{name}'")));
        }
        self.rows.read(bytes, at, row, reading).map_err(|fail| fail.inside(name))
    }

    /// The rows after the change that stand at `at`, from row number `row` on.
    fn all_after(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        self.starts.clear();
        if self.shape.sides == Sides::Differing {
            self.starts.push(at);
            return self.object(bytes, AFTER, at, row, reading);
        }
        let mut elements = Elements::new(bytes, at, self.shape.after)?;
        while let Some(element) = elements.next(bytes)? {
            let end = self.object(bytes, AFTER, element, row + self.starts.len(), reading)?;
            self.starts.push(element);
            elements.at = end;
        }
        Ok(elements.at)
    }

    /// What differed stands at `at`: makes pairs of rows of the rows after the change.
    fn all_before(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        // The first row after the change stands where the first row before it belongs.
        self.rows.truncate(row + 1);
        if self.shape.sides == Sides::Differing {
            return self.pair(bytes, 0, at, row, reading);
        }
        let mut elements = Elements::new(bytes, at, self.shape.before)?;
        let mut number = 0;
        while let Some(element) = elements.next(bytes)? {
            elements.at = match number < self.starts.len() {
                true => self.pair(bytes, number, element, row + 2 * number, reading)?,
                false => skip_value(bytes, element)?,
            };
            number += 1;
        }
        if number < self.starts.len() {
            let what = format!("field '{}': fewer rows than in '{}'", self.shape.before, self.shape.after);
            return Err(Failure::other(at, what));
        }
        Ok(elements.at)
    }

    /// Pair number `number`, from row number `row` on; what differed stands at `at`.
    fn pair(
        &mut self,
        bytes: &[u8],
        number: usize,
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<usize, Fail> {
        let after = self.starts.get(number).copied().unwrap_or(at);
        if number > 0 {
            self.object(bytes, AFTER, after, row, reading)?;
        }
        // Over it: values of equal keys take the place of those read before.
        let end = self.object(bytes, BEFORE, at, row, reading)?;
        self.object(bytes, AFTER, after, row + 1, reading)?;
        Ok(end)
    }

    /// Reads the sides that the change takes, whatever there is.
    #[cold]
    fn again(
        &mut self,
        bytes: &[u8],
        end: usize,
        change: Change,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(), Fail> {
        let place = |key: u32| self.places.get(key as usize).copied().flatten();
        let (before, after) = (place(BEFORE), place(AFTER));
        let Shape { program, .. } = self.shape;
        let before_missing = |doing: &str| {
            let advice = match self.shape.sides {
                Sides::Whole => {
                    format!(" ({program} on PostgreSQL knows it only of tables with REPLICA IDENTITY FULL)")
                }
                _ => String::new(),
            };
            Failure::other(
                end,
                format!("field '{}' is null or missing, of {doing}{advice}", self.shape.before),
            )
        };
        let after_missing =
            || Failure::other(end, format!("field '{}' is null or missing", self.shape.after));
        match (change, self.shape.sides) {
            (Change::Insert, Sides::Whole) => {
                let after = after.ok_or_else(after_missing)?;
                self.object(bytes, AFTER, after, row, reading)?;
            }
            (Change::Update, Sides::Whole) => {
                let before = before.ok_or_else(|| before_missing("an update"))?;
                let after = after.ok_or_else(after_missing)?;
                self.object(bytes, BEFORE, before, row, reading)?;
                self.object(bytes, AFTER, after, row + 1, reading)?;
            }
            (Change::Delete, Sides::Whole) => {
                let before = before.ok_or_else(|| before_missing("a deletion"))?;
                self.object(bytes, BEFORE, before, row, reading)?;
            }
            (Change::Insert | Change::Delete, _) => {
                let after = after.ok_or_else(after_missing)?;
                self.all_after(bytes, after, row, reading)?;
            }
            (Change::Update, _) => {
                let after = after.ok_or_else(after_missing)?;
                let before = before.ok_or_else(|| before_missing("an update"))?;
                self.all_after(bytes, after, row, reading)?;
                self.all_before(bytes, before, row, reading)?;
            }
            (Change::Nothing, _) => {}
        }
        Ok(())
    }

    /// The text of the value of key number `key`, any value but null.
    fn text<'a>(&'a mut self, bytes: &'a [u8], key: usize) -> Result<Option<&'a [u8]>, Fail> {
        let Some(at) = self.places.get(key).copied().flatten() else { return Ok(None) };
        let (view, _) = view_at(bytes, at)?;
        if view.form == Form::Plain {
            return Ok(bytes.get(view.at..view.end));
        }
        self.scratch.clear();
        append_view(bytes, view, &mut self.scratch);
        Ok(Some(&self.scratch))
    }

    /// What the record does.
    #[inline]
    fn change(&mut self, bytes: &[u8], end: usize) -> Result<Change, Fail> {
        let shape = self.shape;
        match self.text(bytes, OP as usize)? {
            Some(code) => match shape.ops.iter().find(|(known, _)| known.as_bytes() == code) {
                Some((_, change)) => Ok(*change),
                None => Err(unknown_op(shape, code, end)),
            },
            None => Err(Failure::other(end, format!("field '{}' is null or missing", shape.op))),
        }
    }

    /// Whether the record's database and table are wanted.
    #[inline]
    fn is_included(&mut self, bytes: &[u8]) -> Result<bool, Fail> {
        if self.include.is_empty() {
            return Ok(true);
        }
        for number in 0..self.include.len() {
            let Some((key, name)) = self.include.get(number).map(|it| (it.key, it.name)) else { break };
            let at = self.places.get(key).copied().flatten().unwrap_or_default();
            let Some(text) = self.text(bytes, key)?.map(|text| String::from_utf8_lossy(text).into_owned())
            else {
                return Err(Failure::other(at, format!("field '{name}' is null or missing")));
            };
            let matches = match self.include.get(number) {
                Some(include) => include.pattern.matches(&text),
                None => Ok(true),
            };
            if !matches.map_err(|error| Failure::other(at, error.message))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The number of a key, a new one if it isn't among them.
pub(super) fn number_of(keys: &mut Vec<String>, name: &str) -> usize {
    keys.iter().position(|key| key == name).unwrap_or_else(|| {
        keys.push(name.to_string());
        keys.len() - 1
    })
}

#[cold]
fn no_object(at: usize, what: &str) -> Fail {
    Failure::other(at, format!("{what} is not an object"))
}

#[cold]
fn unknown_op(shape: &Shape, code: &[u8], at: usize) -> Fail {
    let shown: String = String::from_utf8_lossy(code).chars().take(40).collect();
    let known: Vec<&str> = shape.ops.iter().map(|(known, _)| *known).collect();
    Failure::other(at, format!("field '{}': '{shown}' is none of {}", shape.op, known.join(", ")))
}

/// The elements of an array, one after the other.
struct Elements {
    /// Behind the element before; behind the array, in the end.
    at: usize,
    first: bool,
}

impl Elements {
    fn new(bytes: &[u8], at: usize, name: &str) -> Result<Self, Fail> {
        match bytes.get(at) {
            Some(b'[') => Ok(Self { at: at + 1, first: true }),
            _ => Err(Failure::other(at, format!("field '{name}' is not an array"))),
        }
    }

    /// Where the next one stands; the caller sets `at` behind it.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fail> {
        let at = skip_blanks(bytes, self.at);
        let first = std::mem::replace(&mut self.first, false);
        match bytes.get(at) {
            Some(b']') => {
                self.at = at + 1;
                Ok(None)
            }
            Some(b',') if !first => Ok(Some(skip_blanks(bytes, at + 1))),
            Some(_) if first => Ok(Some(at)),
            _ => Err(Failure::malformed(at, "expected ',' or ']'")),
        }
    }
}

impl Records for ChangeRecords {
    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        match self.wrapping {
            Some(_) => self.wrapped(bytes, at, row, reading),
            None => self.record(bytes, at, row, reading),
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.kinds.truncate(rows);
        if let Some(metadata) = &mut self.metadata {
            metadata.truncate(rows);
        }
    }

    fn finish(&mut self, _: &SchemaRef, into: &mut [Option<ArrayRef>]) -> Result<Finished> {
        for (column, &position) in self.rows.columns_mut().iter_mut().zip(&self.positions) {
            if let Some(place) = into.get_mut(position) {
                *place = Some(column.finish()?);
            }
        }
        if let Some(metadata) = &mut self.metadata {
            metadata.finish(into)?;
        }
        let kinds = std::mem::take(&mut self.kinds);
        Ok(Finished { kinds: Some(kinds.into()), ..Finished::default() })
    }
}
