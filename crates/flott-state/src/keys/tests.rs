//! Every layout behaves as one map from keys to slots.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;
use crate::hash_rows;

fn table(columns: &[ArrayRef]) -> KeyTable {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    KeyTable::new(&types).unwrap()
}

fn insert(table: &mut KeyTable, columns: &[ArrayRef], rows: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut slots, mut inserted) = (Vec::new(), Vec::new());
    table.find_or_insert(columns, &hash_rows(columns, rows), &mut slots, &mut inserted).unwrap();
    (slots, inserted)
}

/// The keys of a small number in every layout; number 0 is NULL throughout.
fn layouts(keys: &[i64]) -> Vec<Vec<ArrayRef>> {
    let some = |key: &i64| (*key != 0).then_some(*key);
    let long = Arc::new(keys.iter().map(some).collect::<Int64Array>()) as ArrayRef;
    let int = Arc::new(keys.iter().map(|key| some(key).map(|key| key as i32 % 3)).collect::<Int32Array>());
    let text = keys.iter().map(|key| some(key).map(|key| "x".repeat(key as usize % 7) + &key.to_string()));
    let text = Arc::new(text.collect::<StringArray>()) as ArrayRef;
    let decimal = keys.iter().map(|key| some(key).map(i128::from)).collect::<Decimal128Array>();
    let list = keys.iter().map(|key| some(key).map(|key| vec![Some(key as i32), None]));
    let list = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(list)) as ArrayRef;
    vec![
        vec![long.clone()],
        vec![text.clone()],
        vec![long.clone(), int.clone()],
        vec![long.clone(), long.clone()],
        vec![Arc::new(decimal)],
        vec![list],
        vec![text, int, long],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn behaves_as_a_map(batches in prop::collection::vec((prop::collection::vec(0_i64..60, 0..300), 0_i64..60), 1..6)) {
        for layout in 0..layouts(&[]).len() {
            let mut table = table(&layouts(&[])[layout]);
            let mut model: HashMap<i64, u32> = HashMap::new();
            for (keys, removed) in &batches {
                let columns = &layouts(keys)[layout];
                let (slots, inserted) = insert(&mut table, columns, keys.len());
                for (key, slot) in keys.iter().zip(&slots) {
                    prop_assert_eq!(*model.entry(*key).or_insert(*slot), *slot);
                }
                prop_assert!(inserted.iter().all(|slot| model.values().any(|other| other == slot)));
                let back = table.keys(&slots).unwrap();
                prop_assert_eq!(format!("{:?}", back), format!("{:?}", columns));
                if let Some(slot) = model.remove(removed) {
                    table.remove(slot);
                }
                prop_assert_eq!(table.len(), model.len());
                let all: Vec<i64> = (0..60).collect();
                let columns = &layouts(&all)[layout];
                let mut found = Vec::new();
                table.find(columns, &hash_rows(columns, all.len()), &mut found).unwrap();
                for (key, slot) in all.iter().zip(found) {
                    prop_assert_eq!(model.get(key).copied().unwrap_or(NO_SLOT), slot);
                }
                let mut live: Vec<u32> = model.values().copied().collect();
                live.sort_unstable();
                prop_assert_eq!(table.live().collect::<Vec<_>>(), live);
            }
        }
    }
}

#[test]
fn a_global_aggregate_has_one_key() {
    let mut table = KeyTable::new(&[]).unwrap();
    let (slots, inserted) = insert(&mut table, &[], 3);
    assert_eq!((slots, inserted), (vec![0, 0, 0], vec![0]));
    assert!(table.keys(&[0]).unwrap().is_empty());
}

#[test]
fn one_zero_and_one_nan() {
    let column = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])) as ArrayRef;
    for columns in [vec![column.clone()], vec![column.clone(), column.clone(), column]] {
        let mut table = table(&columns);
        assert_eq!(insert(&mut table, &columns, 4), (vec![0, 0, 1, 1], vec![0, 1]));
    }
}

#[test]
fn columns_of_another_type_are_refused() {
    let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
    let keys = [Arc::new(Int32Array::from(vec![1])) as ArrayRef];
    let error = table.find_or_insert(&keys, &[7], &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("Int32"), "{}", error.message);
}

#[test]
fn a_large_table_finds_every_key() {
    let keys: Vec<i64> = (0..300_000).map(|key| key * 7919).collect();
    let columns = [Arc::new(Int64Array::from(keys)) as ArrayRef];
    let mut table = table(&columns);
    let (slots, _) = insert(&mut table, &columns, 300_000);
    assert_eq!(slots, (0..300_000).collect::<Vec<u32>>());
    assert_eq!(insert(&mut table, &columns, 300_000), (slots, vec![]));
}
