//! Digests of text, in lower-case hexadecimal.

use arrow::array::ArrayRef;
use flott_types::{DataType, TypeKind};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped},
    encoding::push_hex,
    kernel, signature,
};
use crate::{EvalError, Expr, functions::Signature};

const KIND: FunctionKind = FunctionKind::Hash;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "MD5",
        &["MD5(string)"],
        |args| hex_of(args, 32),
        hash::<Md5>,
        "The MD5 digest.",
        &[("MD5('a')", "0cc175b9c0f1b6a831c399e269772661")],
    ),
    Function::define(
        KIND,
        "SHA1",
        &["SHA1(string)"],
        |args| hex_of(args, 40),
        hash::<Sha1>,
        "The SHA-1 digest.",
        &[("SHA1('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")],
    ),
    Function::define(
        KIND,
        "SHA224",
        &["SHA224(string)"],
        |args| hex_of(args, 56),
        hash::<Sha224>,
        "The SHA-224 digest.",
        &[("SHA224('a')", "abd37534c7d9a2efb9465de931cd7055ffdb8879563ae98078d6d6d5")],
    ),
    Function::define(
        KIND,
        "SHA256",
        &["SHA256(string)"],
        |args| hex_of(args, 64),
        hash::<Sha256>,
        "The SHA-256 digest.",
        &[("SHA256('a')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")],
    ),
    Function::define(
        KIND,
        "SHA384",
        &["SHA384(string)"],
        |args| hex_of(args, 96),
        hash::<Sha384>,
        "The SHA-384 digest.",
        &[(
            "SHA384('a')",
            "54a59b9f22b0b80880d8427e548b7c23abd873486e1f035dce9cd697e85175033caa88e6d57bc35efae0b5afd3145f31",
        )],
    ),
    Function::define(
        KIND,
        "SHA512",
        &["SHA512(string)"],
        |args| hex_of(args, 128),
        hash::<Sha512>,
        "The SHA-512 digest.",
        &[("SUBSTRING(SHA512('a'), 1, 32)", "1f40fc92da241694750979ee6cf582f2")],
    ),
    Function::define(
        KIND,
        "SHA2",
        &["SHA2(string, bits)"],
        |args| shaped(args, 2, &[Param::Text, Param::Int], TypeKind::Varchar(128).into()),
        sha2,
        "The SHA-2 digest of 224, 256, 384 or 512 bits.",
        &[("SHA2('a', 224)", "abd37534c7d9a2efb9465de931cd7055ffdb8879563ae98078d6d6d5")],
    ),
];

fn hex_of(args: &[Expr], digits: u32) -> Option<Signature> {
    let result: DataType = TypeKind::Char(digits).into();
    signature::string_args(args, 1, result)
}

fn hash<D: Digest>(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    kernel::map_strings(call.strings(0)?, |text, out| {
        digest::<D>(text, out);
        Ok(())
    })
}

fn digest<D: Digest>(text: &str, out: &mut String) {
    push_hex(&D::digest(text.as_bytes()), out, false);
}

fn sha2(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let (texts, bits) = (call.strings(0)?, call.ints(1)?);
    kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
        let text = texts.value(row);
        match bits.value(row) {
            224 => digest::<Sha224>(text, out),
            256 => digest::<Sha256>(text, out),
            384 => digest::<Sha384>(text, out),
            512 => digest::<Sha512>(text, out),
            other => {
                return Err(EvalError::new(format!("SHA2 has 224, 256, 384 or 512 bits, not {other}")));
            }
        }
        Ok(true)
    })
}
