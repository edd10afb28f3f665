//! Random numbers: those with a seed are the ones that Java draws from it, row after row.
//!
//! ```text
//!   RAND(42)   0.7275636800328681, 0.6832234717598454, …     one sequence per call in the query
//!   RAND()     from the seed of the context, which differs per shard and batch
//! ```
//! The sequence goes on from batch to batch ([`Call::state`]).
//!
//! Source: the linear congruential generator that the documentation of `java.util.Random` specifies.

use std::sync::{Arc, PoisonError};

use arrow::{
    array::{Array, ArrayRef, Float64Array},
    datatypes::Int32Type,
};
use flott_types::DataType;
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

use super::{Call, Function, FunctionKind, kernel, signature};
use crate::{EvalError, Value};

const KIND: FunctionKind = FunctionKind::Arithmetic;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "RAND",
        &["RAND([seed])"],
        |args| {
            let fits = args.len() <= 1 && args.iter().all(signature::is_integer);
            fits.then(|| signature::signature(args, vec![DataType::int(); args.len()], DataType::double()))
        },
        random,
        "A random number from 0 (inclusive) to 1 (exclusive). With a seed the sequence is always the same.",
        &[("RAND() < 1", "TRUE"), ("RAND(42)", "0.7275636800328681")],
    )
    .varying(),
    Function::define(
        KIND,
        "RAND_INTEGER",
        &["RAND_INTEGER([seed,] bound)"],
        |args| {
            let fits = matches!(args.len(), 1 | 2) && args.iter().all(signature::is_integer);
            fits.then(|| signature::signature(args, vec![DataType::int(); args.len()], DataType::int()))
        },
        random_integer,
        "A random whole number from 0 (inclusive) to the bound (exclusive). With a seed the sequence is always the same.",
        &[("RAND_INTEGER(10) < 10", "TRUE"), ("RAND_INTEGER(42, 10)", "0")],
    )
    .varying(),
];

/// Java's generator: 48 bits.
#[derive(Debug, Clone, Copy)]
struct JavaRandom(u64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

impl JavaRandom {
    fn seeded(seed: i64) -> Self {
        Self((seed as u64 ^ MULTIPLIER) & MASK)
    }

    /// So many bits, 1 to 32.
    fn bits(&mut self, count: u32) -> i32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        (self.0 >> (48 - count)) as i32
    }

    fn double(&mut self) -> f64 {
        let (high, low) = (i64::from(self.bits(26)), i64::from(self.bits(27)));
        ((high << 27) + low) as f64 / (1i64 << 53) as f64
    }

    /// Below a bound greater than 0.
    fn below(&mut self, bound: i32) -> i32 {
        let mut bits = self.bits(31);
        let most = bound.wrapping_sub(1);
        if bound & most == 0 {
            return ((i64::from(bound) * i64::from(bits)) >> 31) as i32;
        }
        loop {
            let value = bits % bound;
            // Numbers above the last whole multiple of the bound would favour small results.
            if bits.wrapping_sub(value).wrapping_add(most) >= 0 {
                return value;
            }
            bits = self.bits(31);
        }
    }
}

/// Where a call's numbers come from.
enum Generator {
    Context(Xoshiro256PlusPlus),
    Sequence(JavaRandom),
}

impl Generator {
    /// The generator for this batch: with a seed it goes on where the last batch stopped.
    fn of(call: &Call<'_>, seed: Option<i64>) -> Self {
        let Some(seed) = seed else {
            return Self::Context(Xoshiro256PlusPlus::seed_from_u64(call.context.random_seed));
        };
        let state = *call.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::Sequence(state.map_or_else(|| JavaRandom::seeded(seed), JavaRandom))
    }

    fn keep(&self, call: &Call<'_>) {
        if let Self::Sequence(random) = self {
            *call.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(random.0);
        }
    }

    fn double(&mut self) -> f64 {
        match self {
            // The upper 53 bits: as many as a DOUBLE can tell apart below 1.
            Self::Context(random) => (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64,
            Self::Sequence(random) => random.double(),
        }
    }

    fn below(&mut self, bound: i32) -> i32 {
        match self {
            Self::Context(random) => {
                ((u64::from(random.next_u64() as u32) * u64::from(bound.unsigned_abs())) >> 32) as i32
            }
            Self::Sequence(random) => random.below(bound),
        }
    }
}

/// The constant seed, if the call has one.
fn seed(call: &Call<'_>) -> Option<i64> {
    match call.literal(0) {
        Some(Value::Int(seed)) => Some(*seed),
        _ => None,
    }
}

fn random(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    if let (Some(seeds), None) = (call.args.first(), seed(call)) {
        // A seed of each row's own: the first number of its sequence.
        let seeds_of_rows = call.ints(0)?;
        let first = kernel::build_primitive::<arrow::datatypes::Float64Type>(
            call.rows,
            seeds.logical_nulls().as_ref(),
            |row| Ok(Some(JavaRandom::seeded(seeds_of_rows.value(row).into()).double())),
        )?;
        return Ok(Arc::new(first));
    }
    let mut generator = Generator::of(call, seed(call));
    let values: Vec<f64> = (0..call.rows).map(|_| generator.double()).collect();
    generator.keep(call);
    Ok(Arc::new(Float64Array::new(values.into(), None)))
}

fn random_integer(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let seeded = call.args.len() == 2;
    let constant = if seeded { seed(call) } else { None };
    let bounds = call.ints(usize::from(seeded))?;
    let mut generator = Generator::of(call, constant);
    let numbers = kernel::build_primitive::<Int32Type>(call.rows, call.nulls().as_ref(), |row| {
        let bound = bounds.value(row);
        if bound <= 0 {
            return Err(EvalError::new("the bound of RAND_INTEGER must be greater than 0"));
        }
        if seeded && constant.is_none() {
            return Ok(Some(JavaRandom::seeded(call.ints(0)?.value(row).into()).below(bound)));
        }
        Ok(Some(generator.below(bound)))
    })?;
    generator.keep(call);
    Ok(Arc::new(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_javas() {
        let mut random = JavaRandom::seeded(42);
        assert_eq!([random.double(), random.double()], [0.7275636800328681, 0.6832234717598454]);
        let mut random = JavaRandom::seeded(42);
        assert_eq!([random.below(10), random.below(10)], [0, 3]);
        assert_eq!(JavaRandom::seeded(42).below(16), 11);
    }
}
