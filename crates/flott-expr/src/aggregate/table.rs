//! The table of aggregate functions, in order of name.

use flott_types::{DataType, TypeKind};

use super::AggregateFunction;
use crate::{Expr, Signature};

pub(super) static AGGREGATES: &[AggregateFunction] = &[
    AggregateFunction {
        name: "COUNT",
        aliases: &[],
        signatures: &["COUNT(*)", "COUNT([DISTINCT] x [, …])"],
        resolve: count,
        order_matters: false,
        ignores_null: true,
        doc: "The number of rows; with arguments, of those in which none is NULL.",
        examples: &[("COUNT(*)", "(1), (2)", "2")],
    },
    AggregateFunction {
        name: "SUM",
        aliases: &[],
        signatures: &["SUM([DISTINCT] number)"],
        resolve: sum,
        order_matters: false,
        ignores_null: true,
        doc: "The sum, in the argument's type; of DECIMAL(p, s) in DECIMAL(38, s). NULL if there is no value.",
        examples: &[("SUM(x)", "(1), (2)", "3")],
    },
];

fn count(args: &[Expr]) -> Option<Signature> {
    let arguments = args.iter().map(|arg| arg.data_type.clone()).collect();
    Some(Signature { arguments, result: DataType::bigint().not_null() })
}

fn sum(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    let result = match arg.data_type.kind {
        TypeKind::Decimal(_, scale) => TypeKind::Decimal(38, scale),
        ref kind if arg.data_type.is_numeric() => kind.clone(),
        _ => return None,
    };
    Some(Signature { arguments: vec![arg.data_type.clone()], result: result.into() })
}
