//! BITMAP: sets of numbers of 32 bits.
//!
//! A BITMAP lies in memory as the portable bytes of a Roaring bitmap, which is also what
//! `BITMAP_TO_BYTES` gives: numbers in groups of the same upper 16 bits.
//!
//! ```text
//!   cookie 12346, number of groups │ key, count-1 per group │ offset per group │ the groups
//!   a group: up to 4096 numbers of 16 bits, or 8 KiB of bits; runs are read, never written
//! ```
//! Numbers are unsigned: -1 is 4294967295. Source: the RoaringFormatSpec of the Roaring project.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, Int32Array, ListBuilder, PrimitiveBuilder},
    buffer::NullBuffer,
    datatypes::{Int32Type, Int64Type},
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, collection, kernel, signature};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::Collection;
const COOKIE_WITHOUT_RUNS: u32 = 12346;
const COOKIE_WITH_RUNS: u32 = 12347;
/// More numbers than that in a group are laid out as bits.
const ARRAY_LENGTH_MAX: usize = 4096;
/// Bytes of a group of bits.
const BITS_LENGTH: usize = 8192;
/// From how many groups on offsets are there even if there are runs.
const OFFSETS_FROM: usize = 4;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "BITMAP_BUILD",
        &["BITMAP_BUILD(array)"],
        |args| match args {
            [array] => {
                let element = collection::element_of(array)?;
                let fits = matches!(element.kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int);
                let array = DataType::array(DataType::int().with_nullable(element.nullable));
                fits.then(|| signature::signature(args, vec![array], TypeKind::Bitmap.into()))
            }
            _ => None,
        },
        build,
        "The set of the array's numbers; NULL elements are left out.",
        &[("BITMAP_TO_STRING(BITMAP_BUILD(ARRAY[3, 1, 3]))", "{1,3}")],
    ),
    of_two(
        "BITMAP_AND",
        &["BITMAP_AND(bitmap1, bitmap2)"],
        |call| combine(call, AND),
        "The numbers that are in both.",
        &[("BITMAP_TO_STRING(BITMAP_AND(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{2}")],
    ),
    of_two(
        "BITMAP_OR",
        &["BITMAP_OR(bitmap1, bitmap2)"],
        |call| combine(call, OR),
        "The numbers that are in one of both.",
        &[("BITMAP_TO_STRING(BITMAP_OR(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1,2,3}")],
    ),
    of_two(
        "BITMAP_XOR",
        &["BITMAP_XOR(bitmap1, bitmap2)"],
        |call| combine(call, XOR),
        "The numbers that are in exactly one of both.",
        &[("BITMAP_TO_STRING(BITMAP_XOR(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1,3}")],
    ),
    of_two(
        "BITMAP_ANDNOT",
        &["BITMAP_ANDNOT(bitmap1, bitmap2)"],
        |call| combine(call, ANDNOT),
        "The numbers of the first that are not in the second.",
        &[("BITMAP_TO_STRING(BITMAP_ANDNOT(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1}")],
    ),
    Function::define(
        KIND,
        "BITMAP_CARDINALITY",
        &["BITMAP_CARDINALITY(bitmap)"],
        |args| bitmaps(args, 1, DataType::bigint()),
        |call| {
            let (bytes, mut set) = (call.binaries(0)?, Vec::new());
            let counts = kernel::build_primitive::<Int64Type>(call.rows, bytes.nulls(), |row| {
                fill(&mut set, bytes.value(row))?;
                Ok(i64::try_from(set.len()).ok())
            })?;
            Ok(Arc::new(counts))
        },
        "How many numbers are in the set.",
        &[("BITMAP_CARDINALITY(BITMAP_BUILD(ARRAY[1, 2, 2]))", "2")],
    ),
    Function::define(
        KIND,
        "BITMAP_TO_ARRAY",
        &["BITMAP_TO_ARRAY(bitmap)"],
        |args| bitmaps(args, 1, DataType::array(DataType::int())),
        |call| {
            let (bytes, mut set) = (call.binaries(0)?, Vec::new());
            let mut out = ListBuilder::new(PrimitiveBuilder::<Int32Type>::with_capacity(call.rows * 4));
            for bytes in bytes {
                if let Some(bytes) = bytes {
                    fill(&mut set, bytes)?;
                    set.iter().for_each(|number| out.values().append_value(*number as i32));
                }
                out.append(bytes.is_some());
            }
            Ok(Arc::new(out.finish()))
        },
        "The numbers in order, as INTs.",
        &[("BITMAP_TO_ARRAY(BITMAP_BUILD(ARRAY[3, 1]))", "[1, 3]")],
    ),
    Function::define(
        KIND,
        "BITMAP_TO_STRING",
        &["BITMAP_TO_STRING(bitmap)"],
        |args| bitmaps(args, 1, DataType::string()),
        |call| {
            let (values, mut set) = (call.binaries(0)?, Vec::new());
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                let _ = read_into(&mut set, values.value(row));
                push_numbers(&set, |piece| out.push_str(piece));
                Ok(true)
            })
        },
        "The numbers in order, as text.",
        &[("BITMAP_TO_STRING(BITMAP_BUILD(ARRAY[2, 1]))", "{1,2}")],
    ),
    Function::define(
        KIND,
        "BITMAP_TO_BYTES",
        &["BITMAP_TO_BYTES(bitmap)"],
        |args| bitmaps(args, 1, DataType::bytes()),
        |call| call.args.first().cloned().ok_or_else(|| EvalError::internal("an argument is missing")),
        "The set in the portable format of Roaring bitmaps.",
        &[("TO_BASE64(BITMAP_TO_BYTES(BITMAP_BUILD(ARRAY[1])))", "OjAAAAEAAAAAAAAAEAAAAAEA")],
    ),
    Function::define(
        KIND,
        "BITMAP_FROM_BYTES",
        &["BITMAP_FROM_BYTES(bytes)"],
        |args| match args {
            [bytes] if bytes.data_type.is_binary() => {
                Some(signature::signature(args, vec![DataType::bytes()], TypeKind::Bitmap.into()))
            }
            _ => None,
        },
        |call| {
            let values = call.binaries(0)?;
            written(call.rows, values.nulls(), |row, set| fill(set, values.value(row)))
        },
        "The set in bytes of the portable format of Roaring bitmaps; others are an error.",
        &[("BITMAP_TO_STRING(BITMAP_FROM_BYTES(BITMAP_TO_BYTES(BITMAP_BUILD(ARRAY[1]))))", "{1}")],
    ),
];

const fn of_two(
    name: &'static str,
    signatures: &'static [&'static str],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function::define(
        KIND,
        name,
        signatures,
        |args| bitmaps(args, 2, TypeKind::Bitmap.into()),
        evaluate,
        doc,
        examples,
    )
}

fn bitmaps(args: &[Expr], count: usize, result: DataType) -> Option<Signature> {
    let fits = args.len() == count && args.iter().all(|it| it.data_type.kind == TypeKind::Bitmap);
    fits.then(|| signature::as_given(args, result))
}

/// The numbers of a set in order, each once.
type Set = Vec<u32>;

/// Puts the numbers in the bytes into the set.
fn fill(set: &mut Set, bytes: &[u8]) -> Result<(), EvalError> {
    read_into(set, bytes).ok_or_else(|| EvalError::new("these bytes are no bitmap"))
}

/// A set per row that isn't NULL; `compute` gets one that is to be emptied.
fn written(
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut compute: impl FnMut(usize, &mut Set) -> Result<(), EvalError>,
) -> Result<ArrayRef, EvalError> {
    let (mut set, mut bytes) = (Set::new(), Vec::with_capacity(64));
    let mut out = BinaryBuilder::with_capacity(rows, rows * 24);
    for row in 0..rows {
        if nulls.is_some_and(|it| it.is_null(row)) {
            out.append_null();
            continue;
        }
        compute(row, &mut set)?;
        bytes.clear();
        write_into(&mut bytes, &set);
        kernel::check_room(out.values_slice().len(), bytes.len())?;
        out.append_value(&bytes);
    }
    Ok(Arc::new(out.finish()))
}

/// Which of the numbers of two sets a combination has.
#[derive(Clone, Copy)]
struct Keeps {
    only_first: bool,
    both: bool,
    only_second: bool,
}

const AND: Keeps = Keeps { only_first: false, both: true, only_second: false };
const OR: Keeps = Keeps { only_first: true, both: true, only_second: true };
const XOR: Keeps = Keeps { only_first: true, both: false, only_second: true };
const ANDNOT: Keeps = Keeps { only_first: true, both: false, only_second: false };

fn combine(call: &Call<'_>, keeps: Keeps) -> Result<ArrayRef, EvalError> {
    let (first, second, nulls) = (call.binaries(0)?, call.binaries(1)?, call.nulls());
    // Malformed bytes are an error even beside NULL.
    let (mut a, mut b) = (Set::new(), Set::new());
    for array in [first, second].into_iter().filter(|_| nulls.is_some()) {
        for row in (0..call.rows).filter(|row| array.is_valid(*row)) {
            fill(&mut a, array.value(row))?;
        }
    }
    written(call.rows, nulls.as_ref(), |row, out| {
        fill(&mut a, first.value(row))?;
        fill(&mut b, second.value(row))?;
        out.clear();
        merge(&a, &b, keeps, out);
        Ok(())
    })
}

/// Goes along both in order.
fn merge(mut a: &[u32], mut b: &[u32], keeps: Keeps, out: &mut Set) {
    while let ([x, more_a @ ..], [y, more_b @ ..]) = (a, b) {
        match x.cmp(y) {
            Ordering::Less => {
                out.extend(keeps.only_first.then_some(*x));
                a = more_a;
            }
            Ordering::Greater => {
                out.extend(keeps.only_second.then_some(*y));
                b = more_b;
            }
            Ordering::Equal => {
                out.extend(keeps.both.then_some(*x));
                (a, b) = (more_a, more_b);
            }
        }
    }
    if keeps.only_first {
        out.extend_from_slice(a);
    }
    if keeps.only_second {
        out.extend_from_slice(b);
    }
}

fn build(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let lists = collection::lists(call, 0)?;
    let numbers: &Int32Array = lists.values().as_primitive();
    written(lists.len(), lists.nulls(), |row, set| {
        set.clear();
        let span = collection::span(lists.value_offsets(), row);
        set.extend(span.filter(|it| numbers.is_valid(*it)).map(|it| numbers.value(it) as u32));
        set.sort_unstable();
        set.dedup();
        Ok(())
    })
}

/// Appends `{1,2,3}`; bytes that are no bitmap give `{}`.
pub fn append_bitmap(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut set = Set::new();
    let _ = read_into(&mut set, bytes);
    push_numbers(&set, |piece| out.extend_from_slice(piece.as_bytes()));
}

fn push_numbers(set: &[u32], mut push: impl FnMut(&str)) {
    push("{");
    for (i, number) in set.iter().enumerate() {
        if i > 0 {
            push(",");
        }
        push(itoa::Buffer::new().format(*number));
    }
    push("}");
}

// --- the format -----------------------------------------------------------------------------------

/// The set as bytes.
pub fn write(set: &BTreeSet<u32>) -> Vec<u8> {
    let (numbers, mut out) = (set.iter().copied().collect::<Vec<u32>>(), Vec::new());
    write_into(&mut out, &numbers);
    out
}

fn group_of(number: u32) -> u16 {
    (number >> 16) as u16
}

/// Appends the numbers, which stand in order, as bytes to nothing.
fn write_into(out: &mut Vec<u8>, numbers: &[u32]) {
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last())
        && group_of(*first) == group_of(*last)
        && numbers.len() <= ARRAY_LENGTH_MAX
    {
        return write_group(out, group_of(*first), numbers);
    }
    let groups = || numbers.chunk_by(|a, b| group_of(*a) == group_of(*b));
    let count = groups().count();
    out.extend_from_slice(&COOKIE_WITHOUT_RUNS.to_le_bytes());
    out.extend_from_slice(&(count as u32).to_le_bytes());
    for group in groups() {
        let key = group.first().map_or(0, |it| group_of(*it));
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&((group.len() - 1) as u16).to_le_bytes());
    }
    let mut offset = out.len() + 4 * count;
    for group in groups() {
        out.extend_from_slice(&(offset as u32).to_le_bytes());
        offset += if group.len() > ARRAY_LENGTH_MAX { BITS_LENGTH } else { 2 * group.len() };
    }
    for group in groups() {
        if group.len() > ARRAY_LENGTH_MAX {
            let start = out.len();
            out.resize(start + BITS_LENGTH, 0);
            for low in group.iter().map(|it| *it as u16) {
                if let Some(byte) = out.get_mut(start + usize::from(low / 8)) {
                    *byte |= 1 << (low % 8);
                }
            }
        } else {
            group.iter().for_each(|it| out.extend_from_slice(&(*it as u16).to_le_bytes()));
        }
    }
}

/// Few numbers of one group.
fn write_group(out: &mut Vec<u8>, key: u16, numbers: &[u32]) {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&COOKIE_WITHOUT_RUNS.to_le_bytes());
    head[4] = 1;
    head[8..10].copy_from_slice(&key.to_le_bytes());
    head[10..12].copy_from_slice(&((numbers.len() - 1) as u16).to_le_bytes());
    head[12] = head.len() as u8;
    out.extend_from_slice(&head);
    out.extend(numbers.iter().flat_map(|it| (*it as u16).to_le_bytes()));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn u16(&mut self) -> Option<u16> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_le_bytes(*head))
    }
    fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head))
    }
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}

/// The numbers in the bytes; `None` if they are malformed.
pub fn read(bytes: &[u8]) -> Option<BTreeSet<u32>> {
    let mut set = Set::new();
    read_into(&mut set, bytes)?;
    Some(set.into_iter().collect())
}

/// Makes the set that of the bytes; `None`, and an empty set, if they are malformed.
fn read_into(set: &mut Set, bytes: &[u8]) -> Option<()> {
    set.clear();
    let read = read_groups(set, bytes);
    if read.is_none() {
        set.clear();
    }
    // What others wrote may be out of order.
    if !set.is_sorted_by(|a, b| a < b) {
        set.sort_unstable();
        set.dedup();
    }
    read
}

fn read_groups(set: &mut Set, bytes: &[u8]) -> Option<()> {
    let mut reader = Reader(bytes);
    let cookie = reader.u32()?;
    let (groups, runs) = match cookie & 0xFFFF {
        COOKIE_WITH_RUNS => {
            let groups = (cookie >> 16) as usize + 1;
            (groups, Some(reader.take(groups.div_ceil(8))?))
        }
        _ if cookie == COOKIE_WITHOUT_RUNS => (reader.u32()? as usize, None),
        _ => return None,
    };
    if groups > 1 << 16 {
        return None;
    }
    let mut headers = Reader(reader.take(4 * groups)?);
    if runs.is_none() || groups >= OFFSETS_FROM {
        reader.take(4 * groups)?;
    }
    for at in 0..groups {
        let (high, count) = (u32::from(headers.u16()?) << 16, usize::from(headers.u16()?) + 1);
        let is_run = runs.and_then(|it| it.get(at / 8)).is_some_and(|it| it >> (at % 8) & 1 == 1);
        if is_run {
            for _ in 0..reader.u16()? {
                let (start, more) = (u32::from(reader.u16()?), u32::from(reader.u16()?));
                set.extend((start..=(start + more).min(0xFFFF)).map(|low| high | low));
            }
        } else if count > ARRAY_LENGTH_MAX {
            for (byte, bits) in (0u32..).zip(reader.take(BITS_LENGTH)?) {
                let held = (0..8).filter(|bit| bits >> bit & 1 == 1);
                set.extend(held.map(|bit| high | (byte * 8 + bit)));
            }
        } else {
            let (lows, _) = reader.take(2 * count)?.as_chunks::<2>();
            set.extend(lows.iter().map(|low| high | u32::from(u16::from_le_bytes(*low))));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_survive_their_bytes() {
        let many: BTreeSet<u32> = (0..5000).chain([70_000, u32::MAX]).collect();
        assert_eq!(read(&write(&many)), Some(many));
        assert_eq!(read(&write(&BTreeSet::new())), Some(BTreeSet::new()));
        assert_eq!(read(&[0]), None);
        let combined = |keeps| {
            let mut out = Set::new();
            merge(&[1, 2, 5], &[2, 3], keeps, &mut out);
            out
        };
        assert_eq!(combined(AND), [2]);
        assert_eq!(combined(OR), [1, 2, 3, 5]);
        assert_eq!(combined(XOR), [1, 3, 5]);
        assert_eq!(combined(ANDNOT), [1, 5]);
        assert_eq!(read(&[0x3A, 0x30, 0, 0, 9, 0, 0, 0]), None);
    }
}
