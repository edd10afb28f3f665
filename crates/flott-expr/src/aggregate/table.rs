//! The table of aggregate functions, in order of name.

use flott_types::{DataType, TypeKind};

use super::AggregateFunction;
use crate::{Expr, Signature};

pub(super) static AGGREGATES: &[AggregateFunction] = &[
    AggregateFunction {
        name: "$SUM0",
        aliases: &[],
        signatures: &["$SUM0([DISTINCT] number)"],
        resolve: |args| {
            let found = sum(args)?;
            Some(Signature { result: found.result.not_null(), ..found })
        },
        order_matters: false,
        ignores_null: true,
        doc: "As SUM, but 0 if there is no value.",
        examples: &[("$SUM0(x)", "(1), (2)", "3")],
    },
    AggregateFunction {
        name: "AVG",
        aliases: &[],
        signatures: &["AVG([DISTINCT] number)"],
        resolve: avg,
        order_matters: false,
        ignores_null: true,
        doc: "The mean, in the argument's type (of whole numbers cut towards zero); of DECIMAL(p, s) in DECIMAL(38, s), \
              with at least 6 digits behind the point. NULL if there is no value.",
        examples: &[("AVG(x)", "(1), (2)", "1"), ("AVG(x)", "(1.5), (2.5), (2.5)", "2.166667")],
    },
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
        name: "MAX",
        aliases: &[],
        signatures: &["MAX(x)"],
        resolve: extreme,
        order_matters: false,
        ignores_null: true,
        doc: "The greatest value: of numbers, BOOLEANs, texts, dates and times. NaN counts as the greatest, -0.0 as less than 0.0.",
        examples: &[("MAX(x)", "(1), (3), (2)", "3")],
    },
    AggregateFunction {
        name: "MIN",
        aliases: &[],
        signatures: &["MIN(x)"],
        resolve: extreme,
        order_matters: false,
        ignores_null: true,
        doc: "The least value: of numbers, BOOLEANs, texts, dates and times. NaN counts as the greatest, -0.0 as less than 0.0.",
        examples: &[("MIN(x)", "('b'), ('a')", "a")],
    },
    AggregateFunction {
        name: "SUM",
        aliases: &[],
        signatures: &["SUM([DISTINCT] number)"],
        resolve: sum,
        order_matters: false,
        ignores_null: true,
        doc: "The sum, in the argument's type, in which whole numbers wrap around; of DECIMAL(p, s) in DECIMAL(38, s), \
              NULL if it has more digits. NULL if there is no value.",
        examples: &[("SUM(x)", "(1), (2)", "3")],
    },
];

fn count(args: &[Expr]) -> Option<Signature> {
    let arguments = args.iter().map(|arg| arg.data_type.clone()).collect();
    let typed = args.iter().all(|arg| !arg.data_type.is_null());
    typed.then(|| Signature { arguments, result: DataType::bigint().not_null() })
}

fn of_one(arg: &Expr, result: TypeKind) -> Signature {
    Signature { arguments: vec![arg.data_type.clone()], result: result.into() }
}

fn sum(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    match arg.data_type.kind {
        TypeKind::Decimal(_, scale) => Some(of_one(arg, TypeKind::Decimal(38, scale))),
        ref kind if arg.data_type.is_numeric() => Some(of_one(arg, kind.clone())),
        _ => None,
    }
}

fn avg(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    match arg.data_type.kind {
        TypeKind::Decimal(_, scale) => Some(of_one(arg, TypeKind::Decimal(38, scale.max(6)))),
        ref kind if arg.data_type.is_numeric() => Some(of_one(arg, kind.clone())),
        _ => None,
    }
}

fn extreme(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    let has_order = match arg.data_type.kind {
        TypeKind::Boolean
        | TypeKind::Char(_)
        | TypeKind::Varchar(_)
        | TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_) => true,
        _ => arg.data_type.is_numeric(),
    };
    has_order.then(|| of_one(arg, arg.data_type.kind.clone()))
}
