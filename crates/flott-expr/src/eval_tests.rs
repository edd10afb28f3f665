//! Evaluation: sharing, laziness, three-valued logic.

use arrow::array::{Int64Array, StringArray};
use flott_types::{Code, Span, TypeKind};

use super::*;
use crate::lookup;

fn context() -> EvalContext {
    EvalContext { now_micros: 0, time_zone: chrono_tz::Tz::UTC, random_seed: 7, watermark: None }
}

fn batch() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(2), None, Some(246)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("cc"), Some("abc")]));
    RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("s", texts, true)]).unwrap()
}

fn n() -> Expr {
    Expr::column(0, "n", DataType::bigint())
}

fn s() -> Expr {
    Expr::column(1, "s", DataType::string())
}

fn int(value: i64) -> Expr {
    Expr::literal(Value::Int(value), DataType::int().not_null())
}

fn text(value: &str) -> Expr {
    let length = value.chars().count() as u32;
    Expr::literal(Value::String(value.into()), DataType::from(TypeKind::Char(length)).not_null())
}

fn decimal(unscaled: i128, precision: u8, scale: u8) -> Expr {
    Expr::literal(Value::Decimal(unscaled), DataType::from(TypeKind::Decimal(precision, scale)).not_null())
}

fn call<const N: usize>(name: &str, args: [Expr; N]) -> Expr {
    lookup(name).unwrap().call(args.into(), Span::default()).unwrap()
}

/// The rows as `CAST(… AS STRING)` spells them.
fn rows(expr: &Expr) -> Result<Vec<String>, EvalError> {
    let results = Program::new(vec![expr.clone()]).evaluate(&batch(), &context())?;
    assert_eq!(results[0].data_type(), &expr.data_type.arrow_type(), "{expr:?}");
    let spelled = |row| {
        let mut out = String::new();
        crate::render::render_value(&results[0], row, &expr.data_type, chrono_tz::Tz::UTC, &mut out);
        out
    };
    Ok((0..4).map(spelled).collect())
}

fn shows(expr: &Expr, expected: [&str; 4]) {
    assert_eq!(rows(expr).unwrap(), expected);
}

#[test]
fn nexmark_expressions_have_flinks_types() {
    let price = call("*", [decimal(908, 3, 3), n()]);
    assert_eq!(price.data_type.to_string(), "DECIMAL(23, 3)");
    shows(&price, ["0.000", "1.816", "NULL", "223.368"]);
    let remainder = call("MOD", [n(), int(123)]);
    assert_eq!(remainder.data_type.to_string(), "INT");
    shows(&call("=", [remainder, int(0)]), ["TRUE", "FALSE", "NULL", "TRUE"]);
}

#[test]
fn arithmetic_wraps_and_divides_as_java() {
    let most = || Expr::literal(Value::Int(i32::MAX.into()), DataType::int());
    let constant = |expr: Expr| evaluate_constant(&expr, &context());
    assert_eq!(constant(call("+", [most(), int(1)])), Ok(Value::Int(i32::MIN.into())));
    assert_eq!(constant(call("/", [int(-7), int(2)])), Ok(Value::Int(-3)));
    assert_eq!(constant(call("%", [int(-7), int(3)])), Ok(Value::Int(-1)));
    assert_eq!(constant(call("/", [int(7), int(0)])).unwrap_err().message, "division by zero");
    let quotient = call("/", [int(1), decimal(300, 3, 2)]);
    assert_eq!(
        (quotient.data_type.to_string().as_str(), constant(quotient)),
        ("DECIMAL(18, 6) NOT NULL", Ok(Value::Decimal(333_333)))
    );
    let product = call("*", [decimal(15_000_000_000, 38, 10), decimal(15_000_000_000, 38, 10)]);
    assert_eq!(
        (product.data_type.kind.clone(), constant(product)),
        (TypeKind::Decimal(38, 6), Ok(Value::Decimal(2_250_000)))
    );
}

#[test]
fn right_sides_and_branches_are_evaluated_only_where_they_are_reached() {
    let inverse = || call("/", [int(492), n()]);
    assert!(rows(&inverse()).is_err());
    let guarded = call("AND", [call("<>", [n(), int(0)]), call("=", [inverse(), int(2)])]);
    shows(&guarded, ["FALSE", "FALSE", "NULL", "TRUE"]);
    let guarded = call("OR", [call("=", [n(), int(0)]), call("=", [inverse(), int(2)])]);
    shows(&guarded, ["TRUE", "FALSE", "NULL", "TRUE"]);
    let case = Expr::new(
        ExprKind::Case {
            branches: vec![(
                call("=", [n(), int(0)]),
                crate::coerce::cast_expr(int(-1), &DataType::bigint(), CastMode::Strict),
            )],
            otherwise: Box::new(inverse()),
        },
        DataType::bigint(),
        Span::default(),
    );
    shows(&case, ["-1", "246", "NULL", "2"]);
    shows(&call("COALESCE", [n(), inverse(), int(5)]), ["0", "2", "5", "246"]);
    shows(&call("IF", [call("=", [n(), int(0)]), int(1), inverse()]), ["1", "246", "NULL", "2"]);
}

#[test]
fn case_among_constants_takes_the_first_that_applies() {
    let less = |limit| call("<", [n(), int(limit)]);
    let of = DataType::from(TypeKind::Char(3));
    let case = Expr::new(
        ExprKind::Case {
            branches: vec![(less(1), text("few")), (less(100), text("mid")), (less(200), text("far"))],
            otherwise: Box::new(Expr::literal(Value::Null, of.clone())),
        },
        of,
        Span::default(),
    );
    shows(&case, ["few", "mid", "NULL", "NULL"]);
}

#[test]
fn null_in_comparisons() {
    shows(&call("=", [n(), int(2)]), ["FALSE", "TRUE", "NULL", "FALSE"]);
    shows(&call("IS DISTINCT FROM", [n(), int(2)]), ["TRUE", "FALSE", "TRUE", "TRUE"]);
    shows(&call("IS NULL", [n()]), ["FALSE", "FALSE", "TRUE", "FALSE"]);
    let null = || Expr::literal(Value::Null, TypeKind::Null.into());
    shows(&call("IN", [n(), int(2), null()]), ["NULL", "TRUE", "NULL", "NULL"]);
    shows(&call("IN", [n(), int(2), int(3), int(4), int(5), int(246)]), ["FALSE", "TRUE", "NULL", "TRUE"]);
    shows(
        &call("IN", [s(), text("a"), text("x"), text("y"), text("z"), text("abc")]),
        ["TRUE", "NULL", "FALSE", "TRUE"],
    );
    shows(&call("LIKE", [s(), text("a%")]), ["TRUE", "NULL", "FALSE", "TRUE"]);
    shows(&call("NULLIF", [n(), int(2)]), ["0", "NULL", "NULL", "246"]);
    shows(&call("GREATEST", [n(), int(5)]), ["5", "5", "NULL", "246"]);
    let nan = || Expr::literal(Value::Double(f64::NAN), DataType::double());
    assert_eq!(evaluate_constant(&call("=", [nan(), nan()]), &context()), Ok(Value::Boolean(false)));
}

#[test]
fn time_moves_by_intervals() {
    use flott_types::IntervalUnit::{Milliseconds, Months};
    let interval =
        |value, unit| Expr::literal(Value::Interval(value), DataType::from(TypeKind::Interval(unit)));
    let date = |days| Expr::literal(Value::Date(days), TypeKind::Date.into());
    let constant = |expr: Expr| evaluate_constant(&expr, &context());
    assert_eq!(constant(call("+", [date(19_753), interval(1, Months)])), Ok(Value::Date(19_782)));
    assert_eq!(
        constant(call("-", [date(19_753), interval(86_400_000, Milliseconds)])),
        Ok(Value::Date(19_752))
    );
    let at = Expr::literal(Value::Timestamp(1_000), TypeKind::Timestamp(6).into());
    assert_eq!(constant(call("+", [interval(1_500, Milliseconds), at])), Ok(Value::Timestamp(1_501_000)));
}

#[test]
fn rounding() {
    let constant = |expr: Expr| (expr.data_type.kind.clone(), evaluate_constant(&expr, &context()).unwrap());
    assert_eq!(
        constant(call("ROUND", [decimal(155, 3, 2), int(1)])),
        (TypeKind::Decimal(3, 1), Value::Decimal(16))
    );
    assert_eq!(
        constant(call("ROUND", [decimal(-15555, 5, 2), int(-1)])),
        (TypeKind::Decimal(4, 0), Value::Decimal(-160))
    );
    assert_eq!(constant(call("FLOOR", [decimal(-155, 3, 2)])), (TypeKind::Decimal(3, 0), Value::Decimal(-2)));
    let double = |value| Expr::literal(Value::Double(value), DataType::double());
    assert_eq!(constant(call("ROUND", [double(1.55), int(1)])).1, Value::Double(1.6));
    assert_eq!(constant(call("ROUND", [double(-2.5)])).1, Value::Double(-3.0));
    assert_eq!(constant(call("TRUNCATE", [double(1.55), int(1)])).1, Value::Double(1.5));
}

#[test]
fn equal_sub_expressions_are_one_node() {
    let sum = || call("+", [n(), int(1)]);
    let program = Program::new(vec![call("*", [sum(), sum()]), sum()]);
    let sums =
        program.graph.nodes.iter().filter(|node| matches!(&node.operation, Operation::Call { .. })).count();
    assert_eq!(sums, 2);
    let random = || call("RAND", []);
    let two = Program::new(vec![random(), random()]).evaluate(&batch(), &context()).unwrap();
    assert_ne!(&two[0], &two[1]);
}

/// How long the expressions of the benchmark queries take: `cargo test --release -- --ignored --nocapture`.
#[test]
#[ignore = "prints times instead of testing"]
#[allow(clippy::disallowed_methods, reason = "a measurement")]
fn speed() {
    let rows = 8192i64;
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|it| it * 7919 % 100_000)));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|it| format!("channel-{}", it % 977))));
    let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("s", texts, true)]).unwrap();
    let ms = DataType::from(TypeKind::Timestamp(3));
    let at = crate::coerce::cast_expr(
        Expr::column(0, "n", DataType::bigint()),
        &DataType::string(),
        CastMode::Strict,
    );
    for (name, expr) in [
        ("0.908 * n", call("*", [decimal(908, 3, 3), n()])),
        ("MOD(n, 123) = 0", call("=", [call("MOD", [n(), int(123)]), int(0)])),
        ("n + 1", call("+", [n(), int(1)])),
        ("n > 5000", call(">", [n(), int(5000)])),
        ("s LIKE '%l-9%'", call("LIKE", [s(), text("%l-9%")])),
        ("s = 'channel-5'", call("=", [s(), text("channel-5")])),
        ("CAST(n AS STRING)", at),
    ] {
        let program = Program::new(vec![expr]);
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(program.evaluate(&batch, &context()).unwrap());
        }
        println!("{name}: {:.2} ns a row", start.elapsed().as_nanos() as f64 / 1000.0 / rows as f64);
    }
    let mut out = Vec::new();
    let start = std::time::Instant::now();
    for value in 0..1_000_000i64 {
        out.clear();
        crate::text::append_timestamp(
            &mut out,
            value * 1_234_567,
            arrow::datatypes::TimeUnit::Millisecond,
            3,
            b' ',
        );
        std::hint::black_box(crate::text::parse_timestamp(
            &out,
            arrow::datatypes::TimeUnit::Millisecond,
            b' ',
            false,
        ));
    }
    println!("{ms} to text and back: {:.1} ns", start.elapsed().as_nanos() as f64 / 1e6);
}

#[test]
fn a_call_that_fits_nothing_names_the_signatures() {
    let error = lookup("%").unwrap().call(vec![s(), int(1)], Span::new(3, 9)).unwrap_err();
    assert_eq!(error.code, Code::NoMatchingSignature);
    assert_eq!(error.message, "no signature of % fits the arguments (STRING, INT)");
    assert_eq!(error.span, Some(Span::new(3, 9)));
}
