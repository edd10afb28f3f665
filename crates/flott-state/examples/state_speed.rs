//! Prints how fast keyed state is on this machine: `cargo run --release -p flott-state --example
//! state_speed [KEYS]`.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use flott_state::{KeyGroups, LongColumn, StateColumn, Table, hash_rows};
use flott_types::Result;

/// Rows per batch, as the engine has them.
const BATCH: usize = 8192;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
fn timed<T>(what: &str, rows: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:<44} {:8.1} ms {:8.2} M rows/s", seconds * 1e3, rows as f64 / seconds / 1e6);
    Ok(result)
}

/// Keys in an order without a pattern: an odd multiple, modulo a power of two.
fn scattered(count: usize) -> impl Iterator<Item = i64> {
    let mask = count.next_power_of_two() as u64 - 1;
    (0..=mask)
        .map(move |n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7 & mask) as i64)
        .filter(move |key| *key < count as i64)
}

fn batches(keys: &[i64], make: impl Fn(&[i64]) -> Vec<ArrayRef>) -> Vec<Vec<ArrayRef>> {
    keys.chunks(BATCH).map(make).collect()
}

fn long(keys: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(keys.to_vec()))
}

fn text(keys: &[i64]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("customer-{key}"))))
}

fn pass(table: &mut Table<dyn StateColumn>, batches: &[Vec<ArrayRef>], slowest: &mut f64) -> Result<()> {
    let mut slots = Vec::new();
    for keys in batches {
        #[expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
        let start = Instant::now();
        let rows = keys.first().map_or(0, |key| key.len());
        slots.clear();
        table.find_or_insert(keys, &hash_rows(keys, rows), &mut slots)?;
        table.touch(&slots);
        *slowest = slowest.max(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn table(types: &[DataType]) -> Result<Table<dyn StateColumn>> {
    Table::new(types, vec![Box::new(LongColumn::new(0)), Box::new(LongColumn::new(0))])
}

fn measure(name: &str, types: &[DataType], batches: &[Vec<ArrayRef>], rows: usize) -> Result<()> {
    let (groups, mut slowest) = (KeyGroups::default(), 0.0);
    let mut table = table(types)?;
    timed(&format!("{name}: hash"), rows, || {
        batches.iter().for_each(|keys| {
            std::hint::black_box(hash_rows(keys, keys.first().map_or(0, |key| key.len())));
        });
        Ok(())
    })?;
    timed(&format!("{name}: hash and insert"), rows, || pass(&mut table, batches, &mut slowest))?;
    println!("{:<44} {slowest:8.1} ms, {} MB", "  slowest batch", table.memory() >> 20);
    timed(&format!("{name}: hash, find, touch"), rows, || pass(&mut table, batches, &mut slowest))?;
    timed(&format!("{name}: snapshot, all dirty"), rows, || table.snapshot(&(0..0), &groups))?;
    let few = &batches[..batches.len().div_ceil(100)];
    pass(&mut table, few, &mut slowest)?;
    timed(&format!("{name}: snapshot, 1 % dirty"), rows / 100, || table.snapshot(&(0..0), &groups))?;
    timed(&format!("{name}: snapshot, 2 groups of 128 in full"), rows / 64, || {
        table.snapshot(&(0..2), &groups)
    })?;
    Ok(())
}

fn main() -> Result<()> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20_000_000);
    for count in [1_000, count / 20, count] {
        let repeat = (1_000_000 / count).max(1);
        let keys: Vec<i64> = std::iter::repeat_n((), repeat).flat_map(|()| scattered(count)).collect();
        println!("{count} different keys, {} rows", keys.len());
        let longs = batches(&keys, |keys| vec![long(keys)]);
        measure("BIGINT", &[DataType::Int64], &longs, keys.len())?;
        if count <= 1_000_000 {
            let pairs = batches(&keys, |keys| vec![long(keys), long(keys)]);
            measure("BIGINT, BIGINT", &[DataType::Int64, DataType::Int64], &pairs, keys.len())?;
            let texts = batches(&keys, |keys| vec![text(keys)]);
            measure("STRING", &[DataType::Utf8], &texts, keys.len())?;
            let rows = batches(&keys, |keys| vec![text(keys), long(keys)]);
            measure("STRING, BIGINT", &[DataType::Utf8, DataType::Int64], &rows, keys.len())?;
        }
    }
    Ok(())
}
