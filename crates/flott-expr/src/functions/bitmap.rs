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

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, Int32Array, Int64Array, ListBuilder, PrimitiveBuilder},
    datatypes::Int32Type,
};
use flott_types::{DataType, TypeKind};

use super::{Call, Function, FunctionKind, Signature, collection, kernel, signature};
use crate::{EvalError, Expr};

const KIND: FunctionKind = FunctionKind::Collection;
const COOKIE_WITHOUT_RUNS: u32 = 12346;
const COOKIE_WITH_RUNS: u32 = 12347;
/// More numbers than that in a group are laid out as bits.
const ARRAY_LENGTH_MAX: usize = 4096;
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
        |call| combine(call, |a, b| a & b),
        "The numbers that are in both.",
        &[("BITMAP_TO_STRING(BITMAP_AND(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{2}")],
    ),
    of_two(
        "BITMAP_OR",
        &["BITMAP_OR(bitmap1, bitmap2)"],
        |call| combine(call, |a, b| a | b),
        "The numbers that are in one of both.",
        &[("BITMAP_TO_STRING(BITMAP_OR(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1,2,3}")],
    ),
    of_two(
        "BITMAP_XOR",
        &["BITMAP_XOR(bitmap1, bitmap2)"],
        |call| combine(call, |a, b| a ^ b),
        "The numbers that are in exactly one of both.",
        &[("BITMAP_TO_STRING(BITMAP_XOR(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1,3}")],
    ),
    of_two(
        "BITMAP_ANDNOT",
        &["BITMAP_ANDNOT(bitmap1, bitmap2)"],
        |call| combine(call, |a, b| a - b),
        "The numbers of the first that are not in the second.",
        &[("BITMAP_TO_STRING(BITMAP_ANDNOT(BITMAP_BUILD(ARRAY[1, 2]), BITMAP_BUILD(ARRAY[2, 3])))", "{1}")],
    ),
    Function::define(
        KIND,
        "BITMAP_CARDINALITY",
        &["BITMAP_CARDINALITY(bitmap)"],
        |args| bitmaps(args, 1, DataType::bigint()),
        |call| {
            let sets = sets(call, 0)?;
            let counts =
                sets.iter().map(|it| it.as_ref().map(|it| i64::try_from(it.len()).unwrap_or(i64::MAX)));
            Ok(Arc::new(counts.collect::<Int64Array>()))
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
            let mut out = ListBuilder::new(PrimitiveBuilder::<Int32Type>::new());
            for set in sets(call, 0)? {
                let valid = set.is_some();
                for number in set.unwrap_or_default() {
                    out.values().append_value(number as i32);
                }
                out.append(valid);
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
            let values = call.binaries(0)?;
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                let mut bytes = Vec::new();
                append_bitmap(&mut bytes, values.value(row));
                out.push_str(&String::from_utf8_lossy(&bytes));
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
            let values = sets(call, 0)?;
            Ok(written(values.into_iter()))
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

type Set = BTreeSet<u32>;

fn sets(call: &Call<'_>, index: usize) -> Result<Vec<Option<Set>>, EvalError> {
    let bytes = call.binaries(index)?;
    let malformed = || EvalError::new("these bytes are no bitmap");
    bytes.iter().map(|it| it.map(|it| read(it).ok_or_else(malformed)).transpose()).collect()
}

fn written(sets: impl Iterator<Item = Option<Set>>) -> ArrayRef {
    let mut out = BinaryBuilder::new();
    for set in sets {
        out.append_option(set.map(|it| write(&it)));
    }
    Arc::new(out.finish())
}

fn combine(call: &Call<'_>, of: fn(&Set, &Set) -> Set) -> Result<ArrayRef, EvalError> {
    let pairs = sets(call, 0)?.into_iter().zip(sets(call, 1)?);
    Ok(written(pairs.map(|(a, b)| Some(of(&a?, &b?)))))
}

fn build(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let lists = collection::lists(call, 0)?;
    Ok(written((0..lists.len()).map(|row| {
        if lists.is_null(row) {
            return None;
        }
        let values = lists.value(row);
        let numbers: &Int32Array = values.as_primitive();
        Some(numbers.iter().flatten().map(|it| it as u32).collect())
    })))
}

/// Appends `{1,2,3}`; bytes that are no bitmap give `{}`.
pub fn append_bitmap(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'{');
    for (i, number) in read(bytes).unwrap_or_default().into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    out.push(b'}');
}

// --- the format -----------------------------------------------------------------------------------

/// The set as bytes.
pub fn write(set: &BTreeSet<u32>) -> Vec<u8> {
    let mut groups: Vec<(u16, Vec<u16>)> = Vec::new();
    for number in set {
        let (key, low) = ((number >> 16) as u16, *number as u16);
        match groups.last_mut() {
            Some((last, lows)) if *last == key => lows.push(low),
            _ => groups.push((key, vec![low])),
        }
    }
    let mut out = Vec::new();
    out.extend(COOKIE_WITHOUT_RUNS.to_le_bytes());
    out.extend((groups.len() as u32).to_le_bytes());
    for (key, lows) in &groups {
        out.extend(key.to_le_bytes());
        out.extend(((lows.len() - 1) as u16).to_le_bytes());
    }
    let mut offset = out.len() + 4 * groups.len();
    for (_, lows) in &groups {
        out.extend((offset as u32).to_le_bytes());
        offset += if lows.len() > ARRAY_LENGTH_MAX { 8192 } else { 2 * lows.len() };
    }
    for (_, lows) in &groups {
        if lows.len() > ARRAY_LENGTH_MAX {
            let mut bits = vec![0u8; 8192];
            for low in lows {
                bits[usize::from(low / 8)] |= 1 << (low % 8);
            }
            out.extend(bits);
        } else {
            out.extend(lows.iter().flat_map(|low| low.to_le_bytes()));
        }
    }
    out
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
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
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}

/// The numbers in the bytes; `None` if they are malformed.
pub fn read(bytes: &[u8]) -> Option<BTreeSet<u32>> {
    let mut reader = Reader(bytes);
    let cookie = reader.u32()?;
    let (groups, runs) = match cookie & 0xFFFF {
        COOKIE_WITH_RUNS => {
            let groups = (cookie >> 16) as usize + 1;
            (groups, Some(reader.take(groups.div_ceil(8))?.to_vec()))
        }
        _ if cookie == COOKIE_WITHOUT_RUNS => (reader.u32()? as usize, None),
        _ => return None,
    };
    if groups > 1 << 16 {
        return None;
    }
    let mut headers = Vec::with_capacity(groups);
    for _ in 0..groups {
        headers.push((u32::from(reader.u16()?) << 16, usize::from(reader.u16()?) + 1));
    }
    if runs.is_none() || groups >= OFFSETS_FROM {
        reader.take(4 * groups)?;
    }
    let mut set = Set::new();
    for (at, (high, count)) in headers.into_iter().enumerate() {
        let is_run = runs.as_ref().and_then(|it| it.get(at / 8)).is_some_and(|it| it >> (at % 8) & 1 == 1);
        if is_run {
            for _ in 0..reader.u16()? {
                let (start, more) = (u32::from(reader.u16()?), u32::from(reader.u16()?));
                set.extend((start..=(start + more).min(0xFFFF)).map(|low| high | low));
            }
        } else if count > ARRAY_LENGTH_MAX {
            let bits = reader.take(8192)?;
            let held = (0..=0xFFFFu32)
                .filter(|low| bits.get((low / 8) as usize).is_some_and(|byte| byte >> (low % 8) & 1 == 1));
            set.extend(held.map(|low| high | low));
        } else {
            for _ in 0..count {
                set.insert(high | u32::from(reader.u16()?));
            }
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_survive_their_bytes() {
        let many: Set = (0..5000).chain([70_000, u32::MAX]).collect();
        assert_eq!(read(&write(&many)), Some(many));
        assert_eq!(read(&write(&Set::new())), Some(Set::new()));
        assert_eq!(read(&[0]), None);
        assert_eq!(read(&[0x3A, 0x30, 0, 0, 9, 0, 0, 0]), None);
    }
}
