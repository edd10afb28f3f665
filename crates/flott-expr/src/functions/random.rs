//! Identifiers drawn from the seed of the context, which differs per shard and batch.

use arrow::array::ArrayRef;
use flott_types::{DataType, TypeKind};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};

use super::{Call, Function, FunctionKind, Signature, encoding::push_hex, kernel};
use crate::EvalError;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[Function::define(
    FunctionKind::String,
    "UUID",
    &["UUID()"],
    |args| {
        let result = DataType::new(TypeKind::Char(36)).not_null();
        args.is_empty().then(|| Signature { arguments: Vec::new(), result })
    },
    uuid,
    "A random identifier (RFC 9562, version 4).",
    &[("CHAR_LENGTH(UUID())", "36")],
)
.varying()];

fn uuid(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(call.context.random_seed);
    kernel::build_strings(call.rows, None, |_, out| {
        let high = random.next_u64() & !0xF000 | 0x4000;
        let low = random.next_u64() & !(0b11 << 62) | (0b10 << 62);
        push_hex(&high.to_be_bytes()[..4], out, false);
        out.push('-');
        push_hex(&high.to_be_bytes()[4..6], out, false);
        out.push('-');
        push_hex(&high.to_be_bytes()[6..], out, false);
        out.push('-');
        push_hex(&low.to_be_bytes()[..2], out, false);
        out.push('-');
        push_hex(&low.to_be_bytes()[2..], out, false);
        Ok(true)
    })
}
