//! A source that a test changes under the cache.

use std::sync::atomic::AtomicBool;

use arrow::array::{Int64Array, StringArray};
use flott_types::{DataType, Field};

use super::*;
use crate::{Chunk, Decoded, Decoder, Payload, SourceReader, SplitInfo, SplitTime, SystemClock, conformance};

type Row = (Option<i64>, &'static str, i8);

/// Gives what it holds, or fails.
#[derive(Default)]
struct Table {
    rows: Mutex<Vec<Row>>,
    gone: AtomicBool,
}

struct Reader(bool);
struct RowDecoder(Vec<Row>);

impl Source for Arc<Table> {
    fn is_bounded(&self) -> bool {
        true
    }
    fn reader(&self, _: Option<&serde_json::Value>) -> Result<Box<dyn SourceReader>> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(Diagnostic::error(Code::InputMissing, "gone"));
        }
        Ok(Box::new(Reader(false)))
    }
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(RowDecoder(self.rows.lock().unwrap().clone())))
    }
}

impl SourceReader for Reader {
    fn next_chunk(&mut self, _: &ReadContext) -> Result<Option<Chunk>> {
        let split = Arc::new(SplitInfo::default());
        let (payload, time) = (Payload::Rows(0..1), SplitTime::default());
        let chunk = Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time };
        Ok((!std::mem::replace(&mut self.0, true)).then_some(chunk))
    }
    fn position(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl Decoder for RowDecoder {
    fn decode(
        &mut self,
        _: &Chunk,
        _: &EvalContext,
        emit: &mut dyn FnMut(Decoded) -> Result<()>,
    ) -> Result<()> {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(self.0.iter().map(|row| row.1)));
        let ids: ArrayRef = Arc::new(self.0.iter().map(|row| row.0).collect::<Int64Array>());
        let batch = RecordBatch::try_new(schema().arrow_schema(), vec![texts, ids]).unwrap();
        let kinds = self.0.iter().any(|row| row.2 != 0);
        let kinds = kinds.then(|| self.0.iter().map(|row| Some(row.2)).collect());
        emit(Decoded { kinds, ..Decoded::all(batch, 0) })
    }
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("text", DataType::string()), Field::new("id", DataType::bigint())])
}

fn settings() -> CacheSettings {
    CacheSettings {
        name: "t".into(),
        schema: schema(),
        wanted: 1,
        keys: vec![1],
        upsert_key: None,
        filter: None,
        interval: Some(Duration::from_millis(1)),
        retry: LookupRetry { delay: Duration::from_millis(1), attempts_max: 1 },
        on_failure: ReloadFailure::Keep,
        strict: false,
        context: EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 1, watermark: None },
        clock: Arc::new(SystemClock::new()),
    }
}

fn table(rows: &[Row]) -> Arc<Table> {
    Arc::new(Table { rows: Mutex::new(rows.to_vec()), gone: AtomicBool::new(false) })
}

fn start(table: &Arc<Table>, settings: CacheSettings) -> FullCache {
    FullCache::start(Arc::new(table.clone()), settings).unwrap()
}

fn ids(values: &[Option<i64>]) -> Vec<ArrayRef> {
    vec![Arc::new(values.iter().copied().collect::<Int64Array>())]
}

/// Waits until the keys 1, 2 and 3 have these rows.
fn shows(cache: &FullCache, expected: [&[&str]; 3]) {
    let expected: Vec<Vec<String>> =
        expected.iter().map(|rows| rows.iter().map(|it| it.to_string()).collect()).collect();
    let keys = ids(&[Some(1), Some(2), Some(3)]);
    let mut last = Ok(());
    for _ in 0..2000 {
        last = conformance::lookup_answers(cache, &keys, &expected);
        if last.is_ok() {
            return;
        }
        std::thread::yield_now();
    }
    last.unwrap();
}

const ROWS: [Row; 4] = [(Some(1), "a", 0), (Some(2), "b", 0), (None, "null", 0), (Some(1), "c", 0)];

#[test]
fn answers_hold_the_rows_of_their_keys() {
    let cache = start(&table(&ROWS), CacheSettings { interval: None, ..settings() });
    let expected: Vec<Vec<String>> = vec![vec!["b".into()], vec![], vec!["a".into(), "c".into()], vec![]];
    let keys = ids(&[Some(2), None, Some(1), Some(7)]);
    conformance::lookup_answers(&cache, &keys, &expected).unwrap();
}

#[test]
fn new_rows_take_the_place_of_all_old_ones() {
    let table = table(&ROWS);
    let cache = start(&table, settings());
    shows(&cache, [&["a", "c"], &["b"], &[]]);
    *table.rows.lock().unwrap() = vec![(Some(3), "new", 0)];
    shows(&cache, [&[], &[], &["new"]]);
    assert!(cache.status().loads >= 2);
}

#[test]
fn rows_stay_while_the_table_cannot_be_read() {
    let table = table(&ROWS);
    let cache = start(&table, settings());
    shows(&cache, [&["a", "c"], &["b"], &[]]);
    table.gone.store(true, Ordering::SeqCst);
    while cache.status().failed_loads < 3 {
        std::thread::yield_now();
    }
    shows(&cache, [&["a", "c"], &["b"], &[]]);
    *table.rows.lock().unwrap() = vec![(Some(1), "back", 0)];
    table.gone.store(false, Ordering::SeqCst);
    shows(&cache, [&["back"], &[], &[]]);
}

#[test]
fn a_table_that_cannot_be_read_fails_when_it_is_told_to() {
    let table = table(&ROWS);
    let cache = start(&table, CacheSettings { on_failure: ReloadFailure::Fail, ..settings() });
    let mut client = cache.client(Arc::new(|| ())).unwrap();
    while !client.is_ready().unwrap() {
        std::thread::yield_now();
    }
    table.gone.store(true, Ordering::SeqCst);
    let error = loop {
        match client.is_ready() {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code, cache.status().failed_loads), (Code::InputMissing, 2));
}

#[test]
fn the_first_load_must_succeed() {
    let table = table(&ROWS);
    table.gone.store(true, Ordering::SeqCst);
    let cache = start(&table, settings());
    let mut client = cache.client(Arc::new(|| ())).unwrap();
    while client.is_ready().is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn changes_amount_to_rows() {
    let changes = [
        (Some(1), "a", 0),
        (Some(1), "x", 0),
        (Some(1), "a", 1),
        (Some(1), "b", 2),
        (Some(2), "gone", 0),
        (Some(2), "gone", 3),
        (Some(3), "never seen", 3),
    ];
    let cache = start(&table(&changes), CacheSettings { interval: None, ..settings() });
    shows(&cache, [&["x", "b"], &[], &[]]);
    let upsert = CacheSettings { interval: None, upsert_key: Some(vec![1]), ..settings() };
    let cache =
        start(&table(&[(Some(1), "a", 0), (Some(1), "b", 2), (Some(2), "c", 2), (Some(2), "c", 3)]), upsert);
    shows(&cache, [&["b"], &[], &[]]);
}
