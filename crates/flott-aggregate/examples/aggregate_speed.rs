//! How many rows a second each aggregate function takes on one core.
//!
//! ```text
//!   cargo run --release -p flott-aggregate --example aggregate_speed
//! ```
//! Batches of 8192 rows; "one": all rows in one group, "rising": row i in group i mod 8192, "spread":
//! in one of a million groups. Millions of rows a second; the best of forty short rounds.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use std::{sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray},
    compute::cast,
    datatypes::DataType as ArrowType,
};
use flott_aggregate::accumulator;
use flott_expr::{Expr, lookup_aggregate};
use flott_types::{DataType, TypeKind};

const ROWS: usize = 8192;
const GROUPS: usize = 1_000_000;
const BATCHES: usize = 20;
const ROUNDS: usize = 40;

fn numbers() -> Vec<i64> {
    let mut seed = 42_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as i64
    };
    (0..ROWS).map(|_| next()).collect()
}

fn column(of: &DataType, nulls: bool) -> ArrayRef {
    let numbers = numbers();
    let with_nulls = numbers.iter().enumerate().map(|(at, it)| (!nulls || at % 10 != 3).then_some(*it));
    let longs: Int64Array = with_nulls.collect();
    match &of.kind {
        TypeKind::Varchar(_) => {
            Arc::new(longs.iter().map(|it| it.map(|it| format!("text {it}"))).collect::<StringArray>())
        }
        TypeKind::Decimal(p, s) => {
            let values: Decimal128Array = longs.iter().map(|it| it.map(i128::from)).collect();
            Arc::new(values.with_data_type(ArrowType::Decimal128(*p, *s as i8)))
        }
        TypeKind::Double => Arc::new(longs.iter().map(|it| it.map(|it| it as f64)).collect::<Float64Array>()),
        TypeKind::Int => Arc::new(longs.iter().map(|it| it.map(|it| it as i32)).collect::<Int32Array>()),
        _ => cast(&longs, &of.arrow_type()).unwrap(),
    }
}

/// Millions of rows a second.
fn rate(name: &str, of: Option<&DataType>, nulls: bool, slots: &[Vec<u32>]) -> f64 {
    let function = lookup_aggregate(name).unwrap();
    let exprs: Vec<Expr> = of.iter().map(|of| Expr::column(0, "x", (*of).clone())).collect();
    let signature = (function.resolve)(&exprs).unwrap();
    let args: Vec<ArrayRef> = of
        .iter()
        .zip(&signature.arguments)
        .map(|(of, to)| cast(&column(of, nulls), &to.arrow_type()).unwrap())
        .collect();
    let mut best = f64::INFINITY;
    let mut target = accumulator(function, &signature.arguments, &signature.result, false).unwrap();
    target.grow(GROUPS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for slots in slots {
            target.update(slots, &args, None).unwrap();
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    (slots.len() * ROWS) as f64 / best / 1e6
}

fn main() {
    let one = vec![vec![0; ROWS]; BATCHES];
    let rising = vec![(0..ROWS as u32).collect::<Vec<u32>>(); BATCHES];
    let mut seed = 7_u64;
    let mut any = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((seed >> 33) % GROUPS as u64) as u32
    };
    let spread: Vec<Vec<u32>> = (0..BATCHES).map(|_| (0..ROWS).map(|_| any()).collect()).collect();
    let decimal: DataType = TypeKind::Decimal(10, 2).into();
    let (int, long, double, text) =
        (DataType::int(), DataType::bigint(), DataType::double(), DataType::string());
    println!("{:<24}{:<16}{:>8}{:>8}{:>8}{:>12}", "function", "of", "one", "rising", "spread", "with NULLs");
    let print = |name: &str, of: Option<&DataType>| {
        let shown = of.map_or_else(String::new, |of| of.kind.to_string());
        let rates = [&one, &rising, &spread].map(|slots| rate(name, of, false, slots));
        let nulls = rate(name, of, true, &rising);
        println!("{name:<24}{shown:<16.15}{:>8.0}{:>8.0}{:>8.0}{nulls:>12.0}", rates[0], rates[1], rates[2]);
    };
    print("COUNT", None);
    for name in ["SUM", "AVG", "MIN", "MAX"] {
        for of in [&int, &long, &double, &decimal] {
            print(name, Some(of));
        }
    }
    for name in ["MAX", "FIRST_VALUE", "LAST_VALUE"] {
        print(name, Some(&text));
    }
    print("STDDEV_POP", Some(&double));
    print("FIRST_VALUE", Some(&long));
    print("LAST_VALUE", Some(&long));
    print("APPROX_COUNT_DISTINCT", Some(&long));
}
