//! Prints how fast keyed state is on this machine: `cargo run --release -p flott-state --example
//! state_speed [KEYS]`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use flott_state::snapshot::{TablePart, TableSnapshot};
use flott_state::{
    Changes, FullPlan, KeyGroups, LongColumn, MemoryStorage, OperatorSnapshot, OperatorState, Segment,
    StateColumn, Storage, Table, chain, hash_rows,
};
use flott_types::Result;

/// Rows per batch, as the engine has them.
const BATCH: usize = 8192;

/// Seconds of processor time this thread has used: other programs on the machine don't count.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that lives until the call returns.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn timed<T>(what: &str, rows: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = processor_seconds();
    let result = work()?;
    let seconds = processor_seconds() - start;
    println!("{what:<44} {:8.1} ms {:8.2} M rows/s", seconds * 1e3, rows as f64 / seconds / 1e6);
    Ok(result)
}

/// The numbers below `count` in an order without a pattern: odd multiples, their bits reversed.
fn scattered(count: usize) -> impl Iterator<Item = i64> {
    let bits = count.next_power_of_two().trailing_zeros().max(1);
    let key = move |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) << (64 - bits)).reverse_bits();
    (0..1_u64 << bits).map(move |n| key(n) as i64).filter(move |key| *key < count as i64)
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
        let start = processor_seconds();
        let rows = keys.first().map_or(0, |key| key.len());
        slots.clear();
        table.find_or_insert(keys, &hash_rows(keys, rows), &mut slots)?;
        table.touch(&slots);
        *slowest = slowest.max((processor_seconds() - start) * 1e3);
    }
    Ok(())
}

fn table(types: &[DataType]) -> Result<Table<dyn StateColumn>> {
    Table::new(types, vec![Box::new(LongColumn::new(0)), Box::new(LongColumn::new(0))])
}

fn encode(name: &str, types: &[DataType], changes: Changes, rows: usize) -> Result<()> {
    let part = TablePart { epoch: 1, full: 0..0, changes };
    let mut snapshot = OperatorSnapshot::new(1, KeyGroups::default(), FullPlan::new());
    let written = TableSnapshot { parts: vec![part], live: None, rows: rows as u64 };
    snapshot.tables.insert("table".to_owned(), written);
    let segment = timed(&format!("{name}: encode with checksum"), rows, || {
        Segment::encode("segment".to_owned(), &(0..128), [("operator".to_owned(), snapshot)])
    })?;
    println!("{:<44} {:8.1} bytes a row", "  segment", segment.bytes.len() as f64 / rows as f64);
    let storage = MemoryStorage::new();
    storage.write(&segment.name, &segment.bytes)?;
    let entries = chain::advance(None, &[segment.part]);
    let entry = entries.into_values().next().unwrap_or_default();
    let state = OperatorState::new("operator", entry, 0..128, Arc::new(storage));
    let mut restored = table(types)?;
    timed(&format!("{name}: verify, decode, restore"), rows, || state.table("table", &mut restored))
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
    let changes = timed(&format!("{name}: snapshot, all dirty"), rows, || table.snapshot(&(0..0), &groups))?;
    encode(name, types, changes, rows)?;
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
