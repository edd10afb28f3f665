//! `APPROX_COUNT_DISTINCT`: HyperLogLog with 2¹⁴ registers (a standard error of 0.8 %).
//!
//! ```text
//!   64-bit hash │ 14 bits: which register │ 50 bits: zeros in front, plus one = rank │
//!   few values: (register, rank) pairs      many: a byte per register, the greatest rank seen
//! ```
//! Hash, registers and the estimate up to 11,500 values are those of Flink, whose answer it gives
//! there. Above, Flink corrects the estimate by a table of measured errors; here the estimator needs
//! none (Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches").
//!
//! Values can't be taken back.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    datatypes::DataType as ArrowType,
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{not_ours, wrong_argument},
    codec::bytes_column,
    groups::{Gather, Group, Groups, Held},
    native::{self, with_native},
    selection::Selection,
    single::cannot_retract,
};

/// The accumulator for values of this type; `None` if there is none.
pub(crate) fn accumulator(of: &ArrowType) -> Option<Box<dyn Accumulator>> {
    let hashed = matches!(of, ArrowType::Utf8 | ArrowType::Binary)
        || with_native!(of, N => size_of::<N>() > 0, else false);
    hashed.then(|| Groups::boxed(Sketch))
}

/// Bits of the hash that choose a register.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// The greatest rank.
const RANK_MAX: u8 = (64 - REGISTER_BITS + 1) as u8;
/// With more pairs than that bytes take less room.
const PAIRS_MAX: usize = 2048;
/// Fewer pairs aren't worth putting in order.
const SORT_FROM: usize = 16;
/// Up to here empty registers are counted.
const LINEAR_MAX: f64 = 11_500.0;

#[derive(Debug)]
struct Sketch;

/// The registers of a group.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    /// Register and rank, the first `sorted` of them in order and unique.
    pairs: Vec<(u16, u8)>,
    sorted: usize,
    /// In place of the pairs once there are many.
    ranks: Option<Box<[u8]>>,
}

impl Group for Registers {
    fn bytes(&self) -> usize {
        self.pairs.capacity() * size_of::<(u16, u8)>() + self.ranks.as_ref().map_or(0, |it| it.len())
    }
}

impl Registers {
    fn add(&mut self, register: u16, rank: u8) {
        if let Some(ranks) = &mut self.ranks {
            if let Some(known) = ranks.get_mut(usize::from(register)) {
                *known = rank.max(*known);
            }
            return;
        }
        self.pairs.push((register, rank));
        if self.pairs.len() >= SORT_FROM.max(self.sorted * 2).min(PAIRS_MAX + self.sorted / 4) {
            put_in_order(&mut self.pairs);
            self.sorted = self.pairs.len();
            if self.sorted > PAIRS_MAX {
                self.spread();
            }
        }
    }
    fn spread(&mut self) {
        let pairs = std::mem::take(&mut self.pairs);
        self.ranks = Some(vec![0; REGISTERS].into());
        for (register, rank) in pairs {
            self.add(register, rank);
        }
    }
    /// How many registers have each rank.
    fn histogram(&self) -> [u32; RANK_MAX as usize + 1] {
        let mut counts = [0; RANK_MAX as usize + 1];
        let mut count = |rank: u8| {
            if let Some(count) = counts.get_mut(usize::from(rank)) {
                *count += 1;
            }
        };
        if let Some(ranks) = &self.ranks {
            ranks.iter().for_each(|rank| count(*rank));
            return counts;
        }
        let mut pairs = self.pairs.clone();
        put_in_order(&mut pairs);
        pairs.iter().for_each(|(_, rank)| count(*rank));
        counts[0] = (REGISTERS - pairs.len()) as u32;
        counts
    }
    fn estimate(&self) -> i64 {
        let counts = self.histogram();
        let registers = REGISTERS as f64;
        if counts[0] > 0 {
            let linear = registers * (registers / f64::from(counts[0])).ln();
            if linear <= LINEAR_MAX {
                return linear.round() as i64;
            }
        }
        improved(&counts).round() as i64
    }
}

/// Ertl's improved raw estimator.
fn improved(counts: &[u32; RANK_MAX as usize + 1]) -> f64 {
    let registers = REGISTERS as f64;
    let (first, rest) = (counts[0], &counts[1..RANK_MAX as usize]);
    let full = counts[RANK_MAX as usize];
    let mut sum = registers * tau(1.0 - f64::from(full) / registers);
    for count in rest.iter().rev() {
        sum = 0.5 * (sum + f64::from(*count));
    }
    sum += registers * sigma(f64::from(first) / registers);
    registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum == before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power *= 0.5;
        sum -= (1.0 - x).powi(2) * power;
        if sum == before {
            return sum / 3.0;
        }
    }
}

fn put_in_order(pairs: &mut Vec<(u16, u8)>) {
    // The greatest rank of a register first: it is the one that stays.
    pairs.sort_unstable_by_key(|(register, rank)| (*register, std::cmp::Reverse(*rank)));
    pairs.dedup_by_key(|(register, _)| *register);
}

fn place(hash: u64) -> (u16, u8) {
    let register = (hash >> (64 - REGISTER_BITS)) as u16;
    let rest = hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1);
    (register, rest.leading_zeros() as u8 + 1)
}

/// The hash of each value. A NULL's is not used.
fn hashes(array: &ArrayRef) -> Result<Vec<u64>, EvalError> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Ok((0..texts.len()).map(|row| xxh64::bytes(texts.value(row).as_bytes())).collect());
    }
    if let Some(values) = array.as_binary_opt::<i32>() {
        return Ok((0..values.len()).map(|row| xxh64::bytes(values.value(row))).collect());
    }
    let of = array.data_type();
    macro_rules! hashed {
        ($N:ty, $hash:expr) => {
            native::values::<$N>(array).ok_or_else(wrong_argument)?.iter().copied().map($hash).collect()
        };
    }
    Ok(match of {
        ArrowType::Boolean => hashed!(u8, |it| xxh64::int(it.into())),
        ArrowType::Int8 => hashed!(i8, |it| xxh64::int(i32::from(it) as u32)),
        ArrowType::Int16 => hashed!(i16, |it| xxh64::int(i32::from(it) as u32)),
        ArrowType::Float32 => {
            hashed!(f32, |it: f32| xxh64::int(if it.is_nan() { f32::NAN } else { it }.to_bits()))
        }
        ArrowType::Float64 => {
            hashed!(f64, |it: f64| xxh64::long(if it.is_nan() { f64::NAN } else { it }.to_bits()))
        }
        ArrowType::Decimal128(precision, _) if *precision <= 18 => hashed!(i128, |it| xxh64::long(it as u64)),
        ArrowType::Decimal128(..) => hashed!(i128, |it: i128| {
            let bytes = it.to_be_bytes();
            // As few bytes as hold the number and its sign.
            let sign = if it < 0 { 0xFF } else { 0 };
            let spare = |at: usize| bytes[at] == sign && (bytes[at + 1] ^ sign) & 0x80 == 0;
            let from = (0..15).find(|at| !spare(*at)).unwrap_or(15);
            xxh64::bytes(&bytes[from..])
        }),
        _ if of.primitive_width() == Some(4) => hashed!(i32, |it| xxh64::int(it as u32)),
        _ => hashed!(i64, |it| xxh64::long(it as u64)),
    })
}

/// XXH64 with the seed 42.
mod xxh64 {
    const SEED: u64 = 42;
    const P1: u64 = 0x9E37_79B1_85EB_CA87;
    const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
    const P3: u64 = 0x1656_67B1_9E37_79F9;
    const P4: u64 = 0x85EB_CA77_C2B2_AE63;
    const P5: u64 = 0x27D4_EB2F_1656_67C5;

    fn finish(mut hash: u64) -> u64 {
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(P2);
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(P3);
        hash ^ hash >> 32
    }
    fn round(lane: u64, word: u64) -> u64 {
        lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }
    fn with_word(hash: u64, word: u64) -> u64 {
        (hash ^ round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    fn with_half(hash: u64, half: u32) -> u64 {
        (hash ^ u64::from(half).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3)
    }

    /// Of 32 bits.
    pub(super) fn int(value: u32) -> u64 {
        finish(with_half(SEED.wrapping_add(P5).wrapping_add(4), value))
    }
    /// Of 64 bits.
    pub(super) fn long(value: u64) -> u64 {
        finish(with_word(SEED.wrapping_add(P5).wrapping_add(8), value))
    }
    /// Of bytes.
    pub(super) fn bytes(value: &[u8]) -> u64 {
        let (blocks, rest) = value.as_chunks::<32>();
        let mut hash = if blocks.is_empty() {
            SEED.wrapping_add(P5)
        } else {
            let mut lanes =
                [SEED.wrapping_add(P1).wrapping_add(P2), SEED.wrapping_add(P2), SEED, SEED.wrapping_sub(P1)];
            for block in blocks {
                for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                    *lane = round(*lane, u64::from_le_bytes(*word));
                }
            }
            let [a, b, c, d] = lanes;
            let turned = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
            let joined = turned.iter().fold(0_u64, |sum, it| sum.wrapping_add(*it));
            lanes.iter().fold(joined, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4))
        };
        hash = hash.wrapping_add(value.len() as u64);
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            hash = with_word(hash, u64::from_le_bytes(*word));
        }
        let (halves, tail) = tail.as_chunks::<4>();
        for half in halves {
            hash = with_half(hash, u32::from_le_bytes(*half));
        }
        for byte in tail {
            hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        finish(hash)
    }
}

impl Gather for Sketch {
    type Group = Registers;

    fn add(
        &mut self,
        groups: &mut Held<Registers>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let hashes = hashes(args.first().ok_or_else(wrong_argument)?)?;
        rows.for_each(slots, |slot, row| {
            let (register, rank) = place(hashes[row]);
            groups.change(slot, |group| group.add(register, rank));
        });
        Ok(())
    }
    fn take(
        &mut self,
        _: &mut Held<Registers>,
        _: &[u32],
        _: &[ArrayRef],
        _: &Selection,
    ) -> Result<(), EvalError> {
        Err(cannot_retract())
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::Binary
    }
    /// Three bytes a pair, or one a register.
    fn save(&self, groups: &[&Registers]) -> Result<ArrayRef, EvalError> {
        let bytes = |group: &&Registers| match &group.ranks {
            Some(ranks) => ranks.to_vec(),
            None => {
                let pair = |(register, rank): &(u16, u8)| {
                    let [low, high] = register.to_le_bytes();
                    [low, high, *rank]
                };
                group.pairs.iter().flat_map(pair).collect()
            }
        };
        let saved: Vec<Vec<u8>> = groups.iter().map(bytes).collect();
        bytes_column(&ArrowType::Binary, saved.iter().map(|it| Some(it.as_slice())))
    }
    fn merge(
        &mut self,
        groups: &mut Held<Registers>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError> {
        let saved = saved.as_binary_opt::<i32>().ok_or_else(|| not_ours(saved))?;
        for (slot, bytes) in slots.iter().zip(saved.iter()) {
            let bytes = bytes.unwrap_or_default();
            groups.change(*slot, |group| {
                if bytes.len() == REGISTERS {
                    for (register, rank) in bytes.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                        group.add(register as u16, *rank);
                    }
                    return;
                }
                for [low, high, rank] in bytes.as_chunks::<3>().0 {
                    group.add(u16::from_le_bytes([*low, *high]), *rank);
                }
            });
        }
        Ok(())
    }
    fn results(&self, groups: &[&Registers]) -> Result<ArrayRef, EvalError> {
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.estimate()))))
    }
}
