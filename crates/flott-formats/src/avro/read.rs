//! Follows a plan along the bytes of a record.
//!
//! Invariants
//! - A read either appends exactly one element to its column or fails; after a failure the caller truncates.
//! - It always ends: every item takes a byte or counts against a budget, the record's own or its block's.

use super::{
    failure::{Fail, Failure},
    resolve::{Absent, Node, Ratio, Record, Rescale, Step},
    schema::{Schema, branch_of, deeper, spend},
    wire::Input,
};
use crate::builder::{Column, Unfit};

/// Items without a byte that a record may have, beside as many as it has bytes.
const EMPTY_ITEMS: usize = 1024;

/// What the reading of a record keeps in hand.
pub(super) struct Reading<'a> {
    schema: &'a Schema,
    budget: usize,
    depth: usize,
}

/// Reads a record that begins where `input` stands.
///
/// # Errors
/// Where the data can't be right; columns may have got more than others then.
#[inline]
pub(super) fn read_row(
    plan: &Node,
    schema: &Schema,
    columns: &mut [Column],
    input: &mut Input<'_>,
) -> Result<(), Fail> {
    read_row_within(plan, schema, columns, input, &mut (EMPTY_ITEMS + input.left()))
}

/// Reads a record of several, which may have so many items without a byte together.
///
/// # Errors
/// As those of [`read_row`].
#[inline]
pub(super) fn read_row_within(
    plan: &Node,
    schema: &Schema,
    columns: &mut [Column],
    input: &mut Input<'_>,
    budget: &mut usize,
) -> Result<(), Fail> {
    let mut reading = Reading { schema, budget: *budget, depth: 0 };
    let read = match plan {
        Node::Record(record) => reading.record(record, columns, input),
        other => reading.branch(other, columns, input),
    };
    *budget = reading.budget;
    read
}

impl Reading<'_> {
    /// A union at the top, of which one branch should be a record.
    fn branch(&mut self, node: &Node, columns: &mut [Column], input: &mut Input<'_>) -> Result<(), Fail> {
        let start = input.at();
        let chosen = match node {
            Node::Nullable { null, inner } => (input.byte()? != *null).then_some(inner.as_ref()),
            Node::Union(branches) => Some(branch_of(branches, input)?),
            _ => None,
        };
        match chosen {
            Some(Node::Record(record)) => self.record(record, columns, input),
            Some(Node::Unfit(why)) => Err(Failure::new(start, why.as_ref())),
            _ => Err(Failure::new(start, "null instead of a record")),
        }
    }

    #[inline]
    fn record(&mut self, record: &Record, columns: &mut [Column], input: &mut Input<'_>) -> Result<(), Fail> {
        for step in &record.steps {
            match step {
                Step::Read { column, node, name } => {
                    let Some(column) = columns.get_mut(*column) else { continue };
                    if let Err(fail) = self.value(node, column, input) {
                        return Err(fail.inside(name));
                    }
                }
                Step::Skip { schema, name } => {
                    if let Err(fail) = self.schema.skip(*schema, input, self.depth) {
                        return Err(fail.inside(name));
                    }
                }
            }
        }
        for (column, absent) in &record.absent {
            let Some(column) = columns.get_mut(*column) else { continue };
            match absent {
                Absent::Null => column.push_null(),
                Absent::Value { schema, bytes, node } => {
                    let mut reading = Reading { schema, budget: EMPTY_ITEMS, depth: 0 };
                    reading.value(node, column, &mut Input::new(bytes, 0))?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn value(&mut self, node: &Node, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fail> {
        match node {
            Node::Nullable { null, inner } => {
                let branch = input.byte()?;
                if branch == *null {
                    column.push_null();
                    return Ok(());
                }
                if branch != 2 - *null {
                    return Err(Failure::new(input.at() - 1, "a branch that the union doesn't have"));
                }
                self.plain(inner, column, input)
            }
            other => self.plain(other, column, input),
        }
    }

    #[inline(always)]
    fn plain(&mut self, node: &Node, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fail> {
        match (node, column) {
            (Node::Long, Column::I64(column)) => column.push(input.long()?),
            (Node::Bytes, Column::Strings(column)) => {
                let start = input.at();
                let bytes = input.bytes()?;
                let rest = input.all().get(input.at() - bytes.len()..).unwrap_or_default();
                if let Err(unfit) = column.push(bytes, rest) {
                    return Err(unfit_at(start, unfit));
                }
            }
            (Node::Int, Column::I32(column)) => column.push(input.int()?),
            (node, column) => return self.other(node, column, input),
        }
        Ok(())
    }

    #[inline(never)]
    fn other(&mut self, node: &Node, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fail> {
        let start = input.at();
        match (node, column) {
            (Node::Null, column) => column.push_null(),
            (Node::Boolean, Column::Boolean(column)) => match input.byte()? {
                0 => column.push(false),
                1 => column.push(true),
                byte => return Err(Failure::new(start, format!("{byte} is no boolean"))),
            },
            (Node::Int | Node::Long, column) => return number(node, column, input),
            (Node::Float, Column::F32(column)) => column.push(f32::from_le_bytes(input.array()?)),
            (Node::Float, Column::F64(column)) => column.push(f32::from_le_bytes(input.array()?).into()),
            (Node::Double, Column::F64(column)) => column.push(f64::from_le_bytes(input.array()?)),
            (Node::Rescaled(ratio), Column::I64(column)) => column.push(rescaled(*ratio, input)?),
            (Node::Rescaled(ratio), Column::I32(column)) => {
                let value = rescaled(*ratio, input)?;
                let value = i32::try_from(value).map_err(|_| Failure::new(start, "a time beyond its day"))?;
                column.push(value);
            }
            (Node::Fixed(size), Column::Strings(column)) => {
                let bytes = input.take(*size)?;
                column.push(bytes, bytes).map_err(|unfit| unfit_at(start, unfit))?;
            }
            (Node::Enum(symbols), Column::Strings(column)) => {
                let number = input.int()?;
                let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number));
                let Some(symbol) = symbol else {
                    return Err(Failure::new(
                        start,
                        format!("symbol {number} of an enum of {}", symbols.len()),
                    ));
                };
                column.push(symbol.as_bytes(), symbol.as_bytes()).map_err(|unfit| unfit_at(start, unfit))?;
            }
            (Node::Decimal { size, scale, limit }, Column::I128(column)) => {
                let bytes = match size {
                    Some(size) => input.take(*size)?,
                    None => input.bytes()?,
                };
                let value = unscaled(bytes).and_then(|value| scaled(value, *scale));
                match value.filter(|value| value.unsigned_abs() < limit.unsigned_abs()) {
                    Some(value) => column.push(value),
                    None => return Err(Failure::new(start, "a decimal that doesn't fit the column")),
                }
            }
            (Node::Nullable { .. }, column) => return self.value(node, column, input),
            (Node::Union(branches), column) => {
                let branch = branch_of(branches, input)?;
                return self.plain(branch, column, input);
            }
            (Node::Unfit(why), _) => return Err(Failure::new(start, why.as_ref())),
            (node, column) => return self.nested(node, column, input),
        }
        Ok(())
    }

    fn nested(&mut self, node: &Node, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fail> {
        let start = input.at();
        let outer = self.depth;
        self.depth = deeper(outer, input)?;
        match (node, column) {
            (Node::Record(record), Column::Row(rows)) => {
                self.record(record, &mut rows.columns, input)?;
                rows.end();
            }
            (Node::Array { item, empty }, Column::List(lists)) => {
                loop {
                    let (count, bytes) = input.block()?;
                    if count == 0 {
                        break;
                    }
                    let first = input.at();
                    if *empty {
                        spend(&mut self.budget, count, input)?;
                    }
                    for _ in 0..count {
                        self.value(item, &mut lists.items, input)?;
                    }
                    input.ends_block(first, bytes)?;
                }
                lists.end().map_err(|unfit| unfit_at(start, unfit))?;
            }
            (Node::Map(value), Column::Map(maps)) => {
                loop {
                    let (count, bytes) = input.block()?;
                    if count == 0 {
                        break;
                    }
                    let first = input.at();
                    for _ in 0..count {
                        self.plain(&Node::Bytes, &mut maps.keys, input)?;
                        self.value(value, &mut maps.values, input)?;
                    }
                    input.ends_block(first, bytes)?;
                }
                maps.end().map_err(|unfit| unfit_at(start, unfit))?;
            }
            _ => return Err(Failure::new(start, "a value that isn't of its column's type")),
        }
        self.depth = outer;
        Ok(())
    }
}

#[cold]
fn unfit_at(at: usize, unfit: Unfit) -> Fail {
    Failure::new(
        at,
        match unfit {
            Unfit::NoText => "invalid UTF-8",
            Unfit::TooMuch => "too much for one batch",
        },
    )
}

/// A whole number into any column of numbers.
fn number(node: &Node, column: &mut Column, input: &mut Input<'_>) -> Result<(), Fail> {
    let start = input.at();
    let value = match node {
        Node::Int => input.int()?.into(),
        _ => input.long()?,
    };
    let too_large = |bits: u8| Failure::new(start, format!("{value} is more than {bits} bits hold"));
    match column {
        Column::I8(column) => column.push(i8::try_from(value).map_err(|_| too_large(8))?),
        Column::I16(column) => column.push(i16::try_from(value).map_err(|_| too_large(16))?),
        Column::I32(column) => column.push(i32::try_from(value).map_err(|_| too_large(32))?),
        Column::I64(column) => column.push(value),
        Column::F32(column) => column.push(value as f32),
        Column::F64(column) => column.push(value as f64),
        _ => return Err(Failure::new(start, "a number that isn't of its column's type")),
    }
    Ok(())
}

fn rescaled(ratio: Ratio, input: &mut Input<'_>) -> Result<i64, Fail> {
    let start = input.at();
    let value = input.long()?;
    match ratio {
        Ratio::DividedBy(by) => Ok(value.div_euclid(by)),
        Ratio::Times(by) => {
            value.checked_mul(by).ok_or_else(|| Failure::new(start, "a time beyond what the column holds"))
        }
    }
}

/// A number from its two's complement, the most significant byte first.
fn unscaled(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
    let extra = bytes.len().saturating_sub(16);
    let (more, bytes) = bytes.split_at_checked(extra)?;
    let mut all = [sign; 16];
    all.get_mut(16 - bytes.len()..)?.copy_from_slice(bytes);
    let value = i128::from_be_bytes(all);
    // Bytes beyond 16 may only repeat the sign.
    let fits = more.iter().all(|byte| *byte == sign) && (more.is_empty() || (value < 0) == (sign == 0xff));
    fits.then_some(value)
}

fn scaled(value: i128, scale: Rescale) -> Option<i128> {
    match scale {
        Rescale::Same => Some(value),
        Rescale::Times(by) => value.checked_mul(by),
        Rescale::DividedBy(by) => (value % by == 0).then(|| value / by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_from_bytes() {
        assert_eq!(unscaled(&[]), Some(0));
        assert_eq!(unscaled(&[0xff]), Some(-1));
        assert_eq!(unscaled(&[0, 0xff]), Some(255));
        assert_eq!(unscaled(&[0xff; 20]), Some(-1));
        let mut large = vec![0; 4];
        large.extend([0xff; 16]);
        assert_eq!(unscaled(&large), None);
        assert_eq!(scaled(120, Rescale::DividedBy(10)), Some(12));
        assert_eq!(scaled(125, Rescale::DividedBy(10)), None);
    }
}
