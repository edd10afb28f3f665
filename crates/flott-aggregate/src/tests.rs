//! Laws that hold for every function, and what Flink 2.3 answers.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
        Int8Array, Int16Array, Int32Array, Int64Array, StringArray, new_null_array,
    },
    compute::{cast, concat, take},
    datatypes::Float64Type,
};
use flott_expr::{AggregateFunction, Expr, Value, functions::write_bitmap, lookup_aggregate};
use flott_types::{DataType, TypeKind};
use proptest::prelude::*;

use crate::{Accumulator, accumulator};

/// A function with arguments of some types.
struct Subject {
    function: &'static AggregateFunction,
    args: Vec<DataType>,
    result: DataType,
}

fn decimal(precision: u8, scale: u8) -> DataType {
    TypeKind::Decimal(precision, scale).into()
}

fn literal(of: &DataType, value: Value) -> Expr {
    Expr::literal(value, of.clone())
}

/// The function as a call with columns of these types is bound; constants where it wants them.
fn subject(name: &str, args: &[DataType]) -> Subject {
    let function = lookup_aggregate(name).unwrap();
    let column = |(at, of): (usize, &DataType)| match (name, at) {
        ("LISTAGG", 1) => literal(of, Value::String(";".into())),
        _ => Expr::column(at, "x", of.clone()),
    };
    let exprs: Vec<Expr> = args.iter().enumerate().map(column).collect();
    let signature = (function.resolve)(&exprs).unwrap_or_else(|| panic!("{name} takes no {args:?}"));
    Subject { function, args: signature.arguments, result: signature.result }
}

impl Subject {
    fn accumulator(&self, retracts: bool) -> Box<dyn Accumulator> {
        accumulator(self.function, &self.args, &self.result, retracts).unwrap()
    }
    fn retracts(&self) -> bool {
        accumulator(self.function, &self.args, &self.result, true).is_ok()
    }
}

/// Every function, with every kind of argument that it treats differently.
fn subjects() -> Vec<Subject> {
    let (int, long, double, text) =
        (DataType::int(), DataType::bigint(), DataType::double(), DataType::string());
    let array = DataType::array(DataType::int());
    let bitmap = DataType::new(TypeKind::Bitmap);
    let tiny = DataType::new(TypeKind::TinyInt);
    let float = DataType::new(TypeKind::Float);
    let mut all = vec![subject("COUNT", &[]), subject("COUNT", &[int.clone(), text.clone()])];
    for name in ["SUM", "$SUM0", "AVG", "VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"] {
        for of in [&tiny, &int, &long, &float, &double, &decimal(10, 2)] {
            all.push(subject(name, std::slice::from_ref(of)));
        }
    }
    for name in ["MIN", "MAX", "FIRST_VALUE", "LAST_VALUE", "COLLECT", "ARRAY_AGG", "APPROX_COUNT_DISTINCT"] {
        for of in [&int, &long, &double, &decimal(10, 2), &text, &TypeKind::Timestamp(3).into()] {
            all.push(subject(name, std::slice::from_ref(of)));
        }
    }
    for name in ["MIN", "MAX", "FIRST_VALUE", "ARRAY_AGG_IGNORE_NULLS", "COUNT"] {
        all.push(subject(name, &[DataType::boolean()]));
    }
    for name in ["FIRST_VALUE", "LAST_VALUE", "ARRAY_AGG", "ARRAY_AGG_IGNORE_NULLS"] {
        all.push(subject(name, std::slice::from_ref(&array)));
    }
    all.push(subject("LISTAGG", std::slice::from_ref(&text)));
    all.push(subject("LISTAGG", &[text.clone(), text.clone()]));
    for name in ["JSON_ARRAYAGG_NULL_ON_NULL", "JSON_ARRAYAGG_ABSENT_ON_NULL"] {
        all.push(subject(name, std::slice::from_ref(&text)));
    }
    for name in ["JSON_OBJECTAGG_NULL_ON_NULL", "JSON_OBJECTAGG_ABSENT_ON_NULL"] {
        all.push(subject(name, &[text.clone(), text.clone()]));
    }
    all.push(subject("PERCENTILE", &[double.clone(), DataType::array(double.clone())]));
    all.push(subject("PERCENTILE", &[int.clone(), double.clone(), long.clone()]));
    all.push(subject("BITMAP_BUILD_AGG", std::slice::from_ref(&int)));
    all.push(subject("BITMAP_BUILD_CARDINALITY_AGG", std::slice::from_ref(&int)));
    for of in ["AND", "OR", "XOR"] {
        all.push(subject(&format!("BITMAP_{of}_AGG"), std::slice::from_ref(&bitmap)));
        all.push(subject(&format!("BITMAP_{of}_CARDINALITY_AGG"), std::slice::from_ref(&bitmap)));
    }
    all
}

/// A row: its group, the seed of its values (`None`: NULL), whether the filter lets it through.
type Row = (u32, Option<i8>, bool);

/// The column of an argument. `first`: the number of the first row.
fn column(subject: &Subject, at: usize, rows: &[Row], first: usize) -> ArrayRef {
    let name = subject.function.name;
    let of = &subject.args[at];
    let seeds: Vec<Option<i8>> = rows.iter().map(|row| row.1).collect();
    if name.starts_with("JSON_OBJECTAGG") && at == 0 {
        // Unique names.
        return Arc::new(StringArray::from_iter_values(
            (first..).take(rows.len()).map(|it| format!("k{it}")),
        ));
    }
    if name.starts_with("JSON") {
        return Arc::new(seeds.iter().map(|it| it.map(|it| it.to_string())).collect::<StringArray>());
    }
    if name == "LISTAGG" && at == 1 {
        return Arc::new(StringArray::from_iter_values(rows.iter().map(|_| ";")));
    }
    if name == "PERCENTILE" && at == 1 {
        return match of.kind {
            TypeKind::Double => Arc::new(Float64Array::from_iter_values(rows.iter().map(|_| 0.4))),
            _ => {
                let mut lists = arrow::array::ListBuilder::new(Float64Array::builder(0));
                rows.iter().for_each(|_| lists.append_value([Some(0.1), Some(1.0)]));
                Arc::new(lists.finish())
            }
        };
    }
    match &of.kind {
        TypeKind::Boolean => Arc::new(seeds.iter().map(|it| it.map(|it| it > 0)).collect::<BooleanArray>()),
        TypeKind::Varchar(_) => {
            Arc::new(seeds.iter().map(|it| it.map(|it| format!("v{it}"))).collect::<StringArray>())
        }
        TypeKind::Array(_) => {
            let mut lists = arrow::array::ListBuilder::new(Int32Array::builder(0));
            for seed in &seeds {
                lists.append_option(seed.map(|it| [Some(i32::from(it)), None]));
            }
            Arc::new(lists.finish())
        }
        TypeKind::Bitmap => {
            let set = |it: i8| write_bitmap(&[u32::from(it.unsigned_abs() % 5), 70_000, it as u32].into());
            Arc::new(seeds.iter().map(|it| it.map(set)).collect::<BinaryArray>())
        }
        _ => {
            let numbers: ArrayRef = Arc::new(seeds.iter().copied().collect::<Int8Array>());
            let wide = cast(&numbers, &arrow::datatypes::DataType::Int64).unwrap();
            cast(&wide, &of.arrow_type()).unwrap()
        }
    }
}

struct Batch {
    slots: Vec<u32>,
    args: Vec<ArrayRef>,
    filter: BooleanArray,
}

fn batch(subject: &Subject, rows: &[Row], first: usize) -> Batch {
    Batch {
        slots: rows.iter().map(|row| row.0).collect(),
        args: (0..subject.args.len()).map(|at| column(subject, at, rows, first)).collect(),
        filter: rows.iter().map(|row| Some(row.2)).collect(),
    }
}

const SLOTS: [u32; 4] = [0, 1, 2, 3];

fn update(accumulator: &mut dyn Accumulator, batch: &Batch) {
    accumulator.grow(SLOTS.len());
    accumulator.update(&batch.slots, &batch.args, Some(&batch.filter)).unwrap();
}

fn retract(accumulator: &mut dyn Accumulator, batch: &Batch) {
    accumulator.grow(SLOTS.len());
    accumulator.retract(&batch.slots, &batch.args, Some(&batch.filter)).unwrap();
}

/// Equal; what is computed in fractions, to six digits.
fn assert_same(subject: &Subject, found: &ArrayRef, wanted: &ArrayRef) {
    let name = subject.function.name;
    assert_eq!(*found.data_type(), subject.result.arrow_type(), "{name}");
    let as_doubles = |array: &ArrayRef| cast(array, &arrow::datatypes::DataType::Float64).unwrap();
    let is_rounded = name.starts_with("VAR") || name.starts_with("STDDEV");
    if found.data_type().is_floating() || is_rounded && !found.data_type().is_integer() {
        let (found, wanted) = (as_doubles(found), as_doubles(wanted));
        assert_eq!(found.nulls(), wanted.nulls(), "{name}");
        let pairs = found.as_primitive::<Float64Type>().iter().zip(wanted.as_primitive::<Float64Type>());
        for (found, wanted) in pairs.filter_map(|(a, b)| a.zip(b)) {
            assert!((found - wanted).abs() <= 1e-6 * (1.0 + wanted.abs()), "{name}: {found} {wanted}");
        }
        return;
    }
    assert_eq!(found, wanted, "{name} of {:?}", subject.args);
}

fn rows(seeds: std::ops::Range<i8>) -> impl Strategy<Value = Vec<Row>> {
    let seed = prop_oneof![4 => seeds.prop_map(Some), 1 => Just(None)];
    prop::collection::vec((0_u32..4, seed, prop::bool::weighted(0.8)), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn parts_make_the_whole(rows in rows(-50..50), cut in 0_usize..60) {
        let cut = cut.min(rows.len());
        for subject in subjects() {
            let mut whole = subject.accumulator(false);
            update(whole.as_mut(), &batch(&subject, &rows, 0));
            let wanted = whole.evaluate(&SLOTS).unwrap();
            let parts = [(0, &rows[..cut]), (cut, &rows[cut..])];

            let mut stepwise = subject.accumulator(false);
            for (first, rows) in parts {
                update(stepwise.as_mut(), &batch(&subject, rows, first));
            }
            assert_same(&subject, &stepwise.evaluate(&SLOTS).unwrap(), &wanted);

            let mut merged = subject.accumulator(false);
            merged.grow(SLOTS.len());
            for (first, rows) in parts {
                let mut part = subject.accumulator(false);
                update(part.as_mut(), &batch(&subject, rows, first));
                let saved = part.save(&SLOTS).unwrap();
                prop_assert_eq!(saved.data_type(), &part.saved_type());
                merged.merge(&SLOTS, &saved).unwrap();
            }
            assert_same(&subject, &merged.evaluate(&SLOTS).unwrap(), &wanted);
        }
    }

    #[test]
    fn the_order_matters_only_where_it_is_said_to(rows in rows(-50..50)) {
        let backwards: Vec<u32> = (0..rows.len() as u32).rev().collect();
        let order = arrow::array::UInt32Array::from(backwards);
        for subject in subjects().iter().filter(|it| !it.function.order_matters) {
            let forwards = batch(subject, &rows, 0);
            let turned = |array: &dyn Array| take(array, &order, None).unwrap();
            let backwards = Batch {
                slots: forwards.slots.iter().rev().copied().collect(),
                args: forwards.args.iter().map(|it| turned(it.as_ref())).collect(),
                filter: turned(&forwards.filter).as_boolean().clone(),
            };
            let [mut a, mut b] = [subject.accumulator(false), subject.accumulator(false)];
            update(a.as_mut(), &forwards);
            update(b.as_mut(), &backwards);
            assert_same(subject, &b.evaluate(&SLOTS).unwrap(), &a.evaluate(&SLOTS).unwrap());
        }
    }

    #[test]
    fn what_was_saved_is_loaded(before in rows(-50..50), after in rows(-50..50)) {
        for subject in subjects() {
            for retracts in [false, true] {
                if retracts && !subject.retracts() {
                    continue;
                }
                let mut kept = subject.accumulator(retracts);
                update(kept.as_mut(), &batch(&subject, &before, 0));
                let mut loaded = subject.accumulator(retracts);
                // Other values are there first, and other slots are used.
                update(loaded.as_mut(), &batch(&subject, &after, 1000));
                loaded.load(&[3, 2, 1, 0], &kept.save(&SLOTS).unwrap()).unwrap();
                let wanted = kept.evaluate(&SLOTS).unwrap();
                assert_same(&subject, &loaded.evaluate(&[3, 2, 1, 0]).unwrap(), &wanted);

                // It goes on as if nothing had happened.
                let more = batch(&subject, &after, 2000);
                update(kept.as_mut(), &more);
                let slots = more.slots.iter().map(|slot| 3 - slot).collect();
                update(loaded.as_mut(), &Batch { slots, ..more });
                let wanted = kept.evaluate(&SLOTS).unwrap();
                assert_same(&subject, &loaded.evaluate(&[3, 2, 1, 0]).unwrap(), &wanted);

                loaded.reset(&SLOTS);
                let fresh = subject.accumulator(retracts).evaluate(&SLOTS).unwrap();
                assert_same(&subject, &loaded.evaluate(&SLOTS).unwrap(), &fresh);
            }
        }
    }

    #[test]
    fn what_is_taken_back_was_never_there(
        stays in rows(-50..0),
        goes in rows(1..50),
        more in rows(1..50),
    ) {
        // Of equal values the first goes, so what goes must be other values.
        let present = |rows: Vec<Row>| rows.into_iter().map(|(slot, seed, on)| (slot, seed.or(Some(99)), on));
        let (goes, more): (Vec<Row>, Vec<Row>) = (present(goes).collect(), present(more).collect());
        for subject in subjects().iter().filter(|it| it.retracts()) {
            let mut plain = subject.accumulator(false);
            update(plain.as_mut(), &batch(subject, &stays, 0));
            let wanted = plain.evaluate(&SLOTS).unwrap();
            let half = stays.len() / 2;

            let mut changing = subject.accumulator(true);
            // Some rows are taken back before they come.
            retract(changing.as_mut(), &batch(subject, &more, 2000));
            update(changing.as_mut(), &batch(subject, &stays[..half], 0));
            update(changing.as_mut(), &batch(subject, &goes, 1000));
            let mut moved = subject.accumulator(true);
            moved.grow(SLOTS.len());
            moved.load(&SLOTS, &changing.save(&SLOTS).unwrap()).unwrap();
            update(moved.as_mut(), &batch(subject, &more, 2000));
            update(moved.as_mut(), &batch(subject, &stays[half..], half));
            retract(moved.as_mut(), &batch(subject, &goes, 1000));
            assert_same(subject, &moved.evaluate(&SLOTS).unwrap(), &wanted);
        }
    }
}

// --- what Flink answers -----------------------------------------------------------------------------

/// The result over one group of these rows.
fn one(name: &str, args: &[(DataType, ArrayRef)]) -> ArrayRef {
    let types: Vec<DataType> = args.iter().map(|it| it.0.clone()).collect();
    let subject = subject(name, &types);
    let columns: Vec<ArrayRef> = args
        .iter()
        .zip(&subject.args)
        .map(|((_, column), to)| cast(column, &to.arrow_type()).unwrap())
        .collect();
    let mut accumulator = subject.accumulator(false);
    accumulator.grow(1);
    let rows = columns.first().map_or(0, |it| it.len());
    accumulator.update(&vec![0; rows], &columns, None).unwrap();
    accumulator.evaluate(&[0]).unwrap()
}

fn text(array: &ArrayRef) -> String {
    if array.is_null(0) {
        return "NULL".into();
    }
    arrow::util::display::array_value_to_string(array, 0).unwrap()
}

fn ints(values: &[i32]) -> (DataType, ArrayRef) {
    (DataType::int(), Arc::new(Int32Array::from(values.to_vec())))
}

fn doubles(values: &[f64]) -> (DataType, ArrayRef) {
    (DataType::double(), Arc::new(Float64Array::from(values.to_vec())))
}

fn decimals(of: (u8, u8), values: &[i128]) -> (DataType, ArrayRef) {
    let of = decimal(of.0, of.1);
    let values = Decimal128Array::from(values.to_vec()).with_data_type(of.arrow_type());
    (of, Arc::new(values))
}

#[test]
fn numbers_beyond_their_type() {
    assert_eq!(text(&one("SUM", &[ints(&[i32::MAX, 1])])), "-2147483648");
    assert_eq!(text(&one("AVG", &[ints(&[i32::MAX, i32::MAX])])), "2147483647");
    let tiny = (DataType::new(TypeKind::TinyInt), Arc::new(Int8Array::from(vec![127, 1])) as ArrayRef);
    assert_eq!(text(&one("SUM", &[tiny])), "-128");
    let long = (DataType::bigint(), Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX])) as ArrayRef);
    assert_eq!(text(&one("AVG", &[long])), "-1");
    assert_eq!(text(&one("VAR_POP", &[ints(&[2_000_000_000, 2_100_000_000])])), "2147483647");
    let tiny = (DataType::new(TypeKind::TinyInt), Arc::new(Int8Array::from(vec![100, 120, 50])) as ArrayRef);
    assert_eq!(text(&one("VAR_POP", &[tiny])), "98");
}

#[test]
fn decimals_are_exact() {
    let nines = 10_i128.pow(38) - 1;
    assert_eq!(text(&one("AVG", &[decimals((10, 2), &[10, 20, 20])])), "0.166667");
    assert_eq!(text(&one("AVG", &[decimals((30, 0), &[-1, -1, -2])])), "-1.333333");
    assert_eq!(text(&one("SUM", &[decimals((38, 0), &[nines, nines])])), "NULL");
    assert_eq!(text(&one("SUM", &[decimals((38, 0), &[nines, nines, -nines])])), nines.to_string());
    assert_eq!(text(&one("SUM", &[decimals((38, 0), &[-nines, -nines, nines])])), (-nines).to_string());
    let spread = decimals((38, 20), &[1, 2, 5].map(|it| it * 10_i128.pow(20)));
    assert_eq!(text(&one("VAR_POP", &[spread])), "2.88888888888888900000");
}

#[test]
fn fractions() {
    let exact = |name, values: &[f64]| one(name, &[doubles(values)]).as_primitive::<Float64Type>().value(0);
    assert_eq!(exact("SUM", &[0.1, 0.2, 0.3]), 0.6000000000000001);
    assert!(exact("SUM", &[-0.0, -0.0]).is_sign_negative());
    assert_eq!(exact("VAR_POP", &[1.0, 2.0, 5.0]), 2.888888888888889);
    assert_eq!(exact("VAR_POP", &[1000000000.1, 1000000000.2, 1000000000.4]), 0.015555544429356397);
    // Not the one that comes first, as in Flink: the order of rows must not matter.
    assert!(exact("MAX", &[1.0, f64::NAN]).is_nan());
    assert_eq!(exact("MIN", &[f64::NAN, 1.0]), 1.0);
    assert!(exact("MIN", &[0.0, -0.0]).is_sign_negative());
    let floats = Float32Array::from(vec![1.0, 2.0, 5.0]);
    let floats = (DataType::new(TypeKind::Float), Arc::new(floats) as ArrayRef);
    assert_eq!(text(&one("VAR_SAMP", &[floats])), "4.3333335");
}

#[test]
fn no_rows() {
    let none = |name: &str, of: DataType| {
        let subject = subject(name, std::slice::from_ref(&of));
        text(&subject.accumulator(false).evaluate(&[0]).unwrap())
    };
    assert_eq!(none("COUNT", DataType::int()), "0");
    assert_eq!(none("$SUM0", DataType::double()), "0.0");
    assert_eq!(none("COLLECT", DataType::int()), "{}");
    assert_eq!(none("JSON_ARRAYAGG_NULL_ON_NULL", DataType::string()), "[]");
    assert_eq!(none("APPROX_COUNT_DISTINCT", DataType::int()), "0");
    for name in ["SUM", "AVG", "MIN", "VAR_POP", "FIRST_VALUE", "ARRAY_AGG", "SINGLE_VALUE"] {
        assert_eq!(none(name, DataType::int()), "NULL", "{name}");
    }
    for name in ["LISTAGG", "MAX", "LAST_VALUE"] {
        assert_eq!(none(name, DataType::string()), "NULL", "{name}");
    }
}

#[test]
fn percentiles() {
    let of = |values: &[f64], at: f64| {
        text(&one("PERCENTILE", &[doubles(values), doubles(&vec![at; values.len()])]))
    };
    assert_eq!(of(&[1.0, 2.0, 4.0, 9.0], 0.3), "1.9");
    assert_eq!(of(&[1.0, 2.0, 4.0, 9.0], 0.9), "7.500000000000001");
    assert_eq!(of(&[f64::NAN, 2.0, 1.0], 0.5), "2.0");
    let weighed = |counts: &[i32]| {
        let values = doubles(&[1.0, 2.0, 4.0, 9.0]);
        text(&one("PERCENTILE", &[values, doubles(&[0.5; 4]), ints(counts)]))
    };
    assert_eq!(weighed(&[3, 1, 2, 1]), "2.0");
    assert_eq!(weighed(&[0, -1, 2, 1]), "4.0");
    let mut accumulator = subject("PERCENTILE", &[DataType::double(), DataType::double()]).accumulator(false);
    accumulator.grow(1);
    let error = accumulator.update(&[0], &[doubles(&[1.0]).1, doubles(&[2.0]).1], None).unwrap_err();
    assert_eq!(error.to_string(), "PERCENTILE: the percentage 2 isn't from 0 to 1");
}

#[test]
fn texts() {
    let texts = |values: &[Option<&str>]| {
        (DataType::string(), Arc::new(StringArray::from(values.to_vec())) as ArrayRef)
    };
    assert_eq!(text(&one("LISTAGG", &[texts(&[Some("a"), None, Some("c")])])), "a,c");
    let separators = texts(&[Some(";"), Some(";")]);
    assert_eq!(text(&one("LISTAGG", &[texts(&[Some(""), Some("b")]), separators])), ";b");
    assert_eq!(text(&one("MAX", &[texts(&[Some("A"), Some("a"), Some("é"), Some("Z")])])), "é");
    let json = texts(&[Some("1"), None, Some("3")]);
    assert_eq!(text(&one("JSON_ARRAYAGG_NULL_ON_NULL", std::slice::from_ref(&json))), "[1,null,3]");
    assert_eq!(text(&one("JSON_ARRAYAGG_ABSENT_ON_NULL", std::slice::from_ref(&json))), "[1,3]");
    let names = texts(&[Some("b"), Some("a"), Some("\"")]);
    let members = [names, json.clone()];
    assert_eq!(text(&one("JSON_OBJECTAGG_NULL_ON_NULL", &members)), r#"{"\"":3,"a":null,"b":1}"#);
    assert_eq!(text(&one("JSON_OBJECTAGG_ABSENT_ON_NULL", &members)), r#"{"\"":3,"b":1}"#);
}

#[test]
fn a_name_that_comes_twice_adds_nothing() {
    let subject = subject("JSON_OBJECTAGG_NULL_ON_NULL", &[DataType::string(), DataType::string()]);
    let mut accumulator = subject.accumulator(false);
    accumulator.grow(1);
    let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let args = [texts(["a", "a"]), texts(["1", "2"])];
    let error = accumulator.update(&[0, 0], &args, None).unwrap_err();
    assert_eq!(error.to_string(), "JSON_OBJECTAGG: the name 'a' comes twice in a group");
    assert_eq!(text(&accumulator.evaluate(&[0]).unwrap()), "{}");
}

#[test]
fn a_single_value_is_single() {
    let subject = subject("SINGLE_VALUE", &[DataType::int()]);
    let mut accumulator = subject.accumulator(false);
    accumulator.grow(1);
    accumulator.update(&[0], &[new_null_array(&arrow::datatypes::DataType::Int32, 1)], None).unwrap();
    assert_eq!(text(&accumulator.evaluate(&[0]).unwrap()), "NULL");
    accumulator.update(&[0], &[ints(&[1]).1], None).unwrap();
    assert!(accumulator.evaluate(&[0]).is_err());
}

#[test]
fn sketches_count_as_flinks_do() {
    let count = |column: ArrayRef, of: DataType| {
        one("APPROX_COUNT_DISTINCT", &[(of, column)]).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    };
    let longs = |to: i64| Arc::new(Int64Array::from_iter_values(1..=to)) as ArrayRef;
    let as_type = |to: i64, of: &DataType| cast(&longs(to), &of.arrow_type()).unwrap();
    let long_texts = |to: i64| {
        let text = |it: i64| format!("some longer text of more than thirty-two bytes {it}");
        Arc::new(StringArray::from_iter_values((1..=to).map(text))) as ArrayRef
    };
    let (int, double, text) = (DataType::int(), DataType::double(), DataType::string());
    for (to, flink) in
        [(1000, [996, 1002, 1004, 996, 1001, 1000]), (5000, [4957, 5003, 5065, 4997, 5022, 5028])]
    {
        let ours = [
            count(longs(to), DataType::bigint()),
            count(as_type(to, &int), int.clone()),
            count(as_type(to, &text), text.clone()),
            count(as_type(to, &double), double.clone()),
            count(as_type(to, &decimal(30, 2)), decimal(30, 2)),
            count(long_texts(to), text.clone()),
        ];
        assert_eq!(ours, flink);
    }
    // Beyond the range where both count empty registers: within three standard errors.
    for to in [20_000, 100_000, 1_000_000] {
        let off = (count(longs(to), DataType::bigint()) - to).abs() as f64 / to as f64;
        assert!(off < 0.025, "{to}: off by {off}");
    }
}

#[test]
fn groups_forget_what_was_taken_back() {
    let subject = subject("ARRAY_AGG", &[DataType::int()]);
    let mut accumulator = subject.accumulator(true);
    accumulator.grow(1);
    for number in 0..5000 {
        accumulator.update(&[0], &[ints(&[number]).1], None).unwrap();
        if number >= 3 {
            accumulator.retract(&[0], &[ints(&[number - 3]).1], None).unwrap();
        }
    }
    assert_eq!(text(&accumulator.evaluate(&[0]).unwrap()), "[4997, 4998, 4999]");
    assert!(accumulator.memory() < 40_000, "{}", accumulator.memory());
}

#[test]
fn a_foreign_array_is_no_state() {
    for subject in subjects() {
        let mut accumulator = subject.accumulator(false);
        accumulator.grow(1);
        let foreign: ArrayRef = Arc::new(Int16Array::from(vec![1]));
        assert!(accumulator.load(&[0], &foreign).is_err(), "{}", subject.function.name);
        let both = concat(&[&accumulator.save(&[0]).unwrap(), &accumulator.save(&[0]).unwrap()]).unwrap();
        assert!(accumulator.load(&[0], &both).is_err(), "{}", subject.function.name);
    }
}
