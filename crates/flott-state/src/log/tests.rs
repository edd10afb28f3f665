//! Rows that come, go and move.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};

use super::*;

fn log() -> RowLog {
    RowLog::new(Arc::new(LogShape {
        types: vec![DataType::Int64, DataType::Int64],
        keys: vec![0],
        removable: true,
        counted: true,
        stamped: false,
    }))
}

fn columns(keys: &[i64], values: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::new(Int64Array::from(values.to_vec()))]
}

/// The values of all rows of a key.
fn found(log: &mut RowLog, key: i64) -> Vec<i64> {
    log.index().unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![key]));
    let (mut cursor, mut pairs) = (Cursor::default(), (Vec::new(), Vec::new()));
    while !log.find(
        &hash_rows(std::slice::from_ref(&keys), 1),
        |_| false,
        &mut cursor,
        pairs.0.len() + 2,
        &mut pairs,
    ) {}
    let rows = log.rows(&pairs.1).unwrap();
    let mut values: Vec<i64> = rows[1].as_primitive::<Int64Type>().values().to_vec();
    values.sort_unstable();
    values
}

#[test]
fn holes_are_closed_and_rows_keep_their_counts() {
    let mut log = log();
    let all: Vec<i64> = (0..40_000).collect();
    let keys: Vec<i64> = all.iter().map(|at| at % 1000).collect();
    for (keys, values) in keys.chunks(700).zip(all.chunks(700)) {
        let first = log.push(columns(keys, values), keys.len(), values[0], 0).unwrap();
        log.set_count(first, 7, 0);
    }
    assert_eq!(found(&mut log, 3).len(), 40);
    let gone: Vec<i64> = all.iter().copied().filter(|at| at % 1400 != 0).collect();
    let gone_keys: Vec<i64> = gone.iter().map(|at| at % 1000).collect();
    let slots = log.take_equal(&columns(&gone_keys, &gone), gone.len()).unwrap();
    assert!(slots.iter().all(|slot| *slot != NO_SLOT));
    log.remove(&slots).unwrap();
    assert_eq!((log.len(), log.end()), (29, 40_000));
    log.compact().unwrap();
    assert_eq!((log.len(), log.end()), (29, 29));
    assert!((0..29).all(|slot| log.count(slot) == 7));
    assert_eq!(found(&mut log, 400), [1400, 8400, 15_400, 22_400, 29_400, 36_400]);
    assert_eq!(log.take_equal(&columns(&[400], &[5]), 1).unwrap(), [NO_SLOT]);
}

#[test]
fn equal_rows_are_taken_one_by_one() {
    let mut log = log();
    log.push(columns(&[1, 1, 1, 2], &[5, 5, 6, 5]), 4, 0, 0).unwrap();
    let slots = log.take_equal(&columns(&[1, 1, 1], &[5, 5, 5]), 3).unwrap();
    assert_eq!(slots.iter().filter(|slot| **slot == NO_SLOT).count(), 1);
    log.remove(&slots.into_iter().filter(|slot| *slot != NO_SLOT).collect::<Vec<_>>()).unwrap();
    assert_eq!((found(&mut log, 1), found(&mut log, 2)), (vec![6], vec![5]));
}
