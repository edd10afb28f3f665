//! Look-ups in a table that answers when a test lets it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use flott_connector::{LookupStatus, LookupTable, Wake};
use flott_expr::Expr;
use flott_plan::OperatorNode;
use flott_sql::JoinKind;
use flott_types::{DataType, Field, RowKind, Span, TableColumn, TableDescription};
use proptest::prelude::*;

use super::*;
use crate::Lookups;
use crate::conformance::{Job, Step, text};

/// Key k has the rows k * 10 + 1 and, above 1, k * 10 + 2. While it is closed it says nothing; a key of 5
/// misses at the first try.
#[derive(Default)]
struct Table {
    closed: AtomicBool,
    asked: AtomicU64,
    seen: Mutex<BTreeMap<i64, u64>>,
}

struct Client {
    table: Arc<Table>,
    requests: Vec<(u64, Vec<Option<i64>>)>,
}

/// The table, shared with the test.
struct Shared(Arc<Table>);

impl LookupTable for Shared {
    fn client(&self, _: Wake) -> Result<Box<dyn LookupClient>> {
        Ok(Box::new(Client { table: self.0.clone(), requests: Vec::new() }))
    }
    fn status(&self) -> LookupStatus {
        LookupStatus::default()
    }
}

impl LookupClient for Client {
    fn is_ready(&mut self) -> Result<bool> {
        Ok(true)
    }
    fn ask(&mut self, number: u64, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.table.asked.fetch_add(rows as u64, Ordering::SeqCst);
        self.requests.push((number, keys[0].as_primitive::<Int64Type>().iter().collect()));
        Ok(())
    }
    fn poll(&mut self) -> Result<Option<Answer>> {
        if self.table.closed.load(Ordering::SeqCst) {
            return Ok(None);
        }
        // The last first: nobody promises an order.
        let Some((number, keys)) = self.requests.pop() else { return Ok(None) };
        let mut seen = self.table.seen.lock().unwrap();
        let (mut owners, mut values) = (Vec::new(), Vec::new());
        for (at, key) in (0_u32..).zip(keys) {
            let Some(key) = key else { continue };
            let tries = seen.entry(key).or_default();
            *tries += 1;
            let rows = if key == 5 && *tries == 1 { 0 } else { key.min(2) };
            owners.extend((0..rows).map(|_| at));
            values.extend((1..=rows).map(|row| key * 10 + row));
        }
        let read = Schema::new(vec![Field::new("r", DataType::bigint())]);
        let rows =
            RecordBatch::try_new(read.arrow_schema(), vec![Arc::new(Int64Array::from(values))]).unwrap();
        Ok(Some(Answer { number, found: Ok(Found { keys: UInt32Array::from(owners), rows }) }))
    }
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("k", DataType::bigint()), Field::new("v", DataType::bigint())])
}

fn rows(rows: &[(Option<i64>, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema().arrow_schema(), columns).unwrap()
}

fn node(kind: JoinKind, lookup: Lookup) -> LookupJoin {
    let column = |name: &str| TableColumn {
        name: name.into(),
        data_type: DataType::bigint(),
        kind: flott_types::ColumnKind::Physical,
        span: Span::default(),
    };
    LookupJoin {
        table: TableDescription { columns: vec![column("id"), column("r")], ..TableDescription::default() },
        span: Span::default(),
        keys: vec![(0, 0)],
        reads: vec![1],
        filter: None,
        condition: None,
        exprs: vec![Expr::column(0, "r", DataType::bigint())],
        schema: Schema::new(vec![Field::new("r", DataType::bigint())]),
        kind,
        lookup,
    }
}

fn settings() -> Lookup {
    Lookup { capacity: 4, timeout_millis: 1000, unordered: false, retry: None, shuffle: false }
}

fn job(kind: JoinKind, lookup: Lookup, table: &Arc<Table>) -> Job {
    Job {
        node: OperatorNode::LookupJoin(node(kind, lookup)),
        inputs: vec![schema()],
        keys: vec![vec![0]],
        two_phase: false,
        time_zone: chrono_tz::UTC,
        lookup: Some(Lookups { table: Arc::new(Shared(table.clone())), wake: Arc::new(|| ()) }),
    }
}

/// An operator on its own, with what it has emitted.
struct Alone {
    operator: LookupJoinOperator,
    table: Arc<Table>,
    clock: Arc<std::sync::atomic::AtomicI64>,
    lines: Vec<String>,
}

impl Alone {
    fn new(lookup: Lookup) -> Self {
        let (table, clock) = (Arc::new(Table::default()), Arc::new(std::sync::atomic::AtomicI64::new(0)));
        let job = job(JoinKind::Left, lookup.clone(), &table);
        let now = clock.clone();
        let mut context = job.context_of_one();
        context.now_millis = Arc::new(move || now.load(Ordering::SeqCst));
        let operator = LookupJoinOperator::new(&node(JoinKind::Left, lookup), &schema(), &context).unwrap();
        Self { operator, table, clock, lines: Vec::new() }
    }
    fn call<T>(
        &mut self,
        action: impl FnOnce(&mut LookupJoinOperator, &mut Output<'_>) -> Result<T>,
    ) -> Result<T> {
        let lines = &mut self.lines;
        let (mut late_partial, mut between, mut unmatched) = (0, 0, 0);
        let mut out = Output {
            emit: &mut |rows| {
                lines.extend(text(&rows.batch));
                Ok(())
            },
            late: &mut |_, _| Ok(()),
            reject: &mut |_, _, _| Ok(()),
            late_partial: &mut late_partial,
            between: &mut between,
            unmatched: &mut unmatched,
            lane: &Cell::new(0),
            replayed: &mut Vec::new(),
            given_up: &|| false,
        };
        action(&mut self.operator, &mut out)
    }
    fn rows(&mut self, all: &[(Option<i64>, i64)]) {
        self.call(|operator, out| operator.on_rows(0, Rows::insert(rows(all)), out)).unwrap();
    }
    fn watermark(&mut self, to: i64) {
        self.call(|operator, out| operator.on_watermark(to, out)).unwrap();
    }
    fn poll(&mut self) -> Result<bool> {
        self.call(|operator, out| operator.poll(out))
    }
    fn close(&self, closed: bool) {
        self.table.closed.store(closed, Ordering::SeqCst);
    }
}

#[test]
fn rows_and_watermarks_keep_their_order_while_answers_come_as_they_like() {
    let mut it = Alone::new(settings());
    it.close(true);
    it.rows(&[(Some(1), 1), (Some(0), 2)]);
    it.watermark(10);
    assert!(it.operator.is_ready() && it.operator.is_waiting());
    it.rows(&[(Some(2), 3), (None, 4)]);
    it.watermark(20);
    // As many as the capacity.
    assert!(!it.operator.is_ready());
    assert_eq!((it.lines.len(), it.operator.output_watermark(20)), (0, i64::MIN));
    it.close(false);
    assert!(it.poll().unwrap());
    assert_eq!(it.lines, ["1 1 11", "0 2 NULL", "2 3 21", "2 3 22", "NULL 4 NULL"]);
    assert_eq!((it.operator.output_watermark(20), it.operator.is_waiting()), (20, false));
}

#[test]
fn misses_are_asked_again_and_hold_up_those_behind_them() {
    let retry = Some((50, 2));
    let mut it = Alone::new(Lookup { retry, ..settings() });
    it.rows(&[(Some(1), 1), (Some(5), 2), (Some(2), 3)]);
    it.rows(&[(Some(1), 4)]);
    assert_eq!((it.lines.len(), it.operator.next_timer()), (0, Some(51)));
    it.clock.store(50, Ordering::SeqCst);
    it.poll().unwrap();
    assert_eq!(it.lines, ["1 1 11", "5 2 51", "5 2 52", "2 3 21", "2 3 22", "1 4 11"]);
    // A key that is never there is asked for as often as was said.
    it.rows(&[(Some(0), 5)]);
    it.clock.store(1000, Ordering::SeqCst);
    it.poll().unwrap();
    it.clock.store(2000, Ordering::SeqCst);
    it.poll().unwrap();
    assert_eq!(it.lines.last().unwrap(), "0 5 NULL");
    assert_eq!(it.table.seen.lock().unwrap()[&0], 3);
}

#[test]
fn unordered_rows_overtake_misses_but_no_watermark() {
    let mut it = Alone::new(Lookup { retry: Some((50, 1)), unordered: true, ..settings() });
    it.rows(&[(Some(5), 1), (Some(1), 2)]);
    it.watermark(10);
    assert_eq!(
        (it.lines.as_slice(), it.operator.output_watermark(10)),
        (&["1 2 11".to_string()][..], i64::MIN)
    );
    it.rows(&[(Some(2), 3)]);
    assert_eq!(it.lines.len(), 1);
    it.clock.store(50, Ordering::SeqCst);
    it.poll().unwrap();
    assert_eq!(it.lines[1..], ["5 1 51", "5 1 52", "2 3 21", "2 3 22"]);
    assert_eq!(it.operator.output_watermark(10), 10);
}

#[test]
fn an_answer_that_does_not_come_fails_the_run() {
    let mut it = Alone::new(settings());
    it.close(true);
    it.rows(&[(Some(1), 1)]);
    it.clock.store(1001, Ordering::SeqCst);
    let error = it.poll().unwrap_err();
    assert!(error.message.contains("has not answered"), "{error}");
}

#[test]
fn changes_go_on_as_what_they_are() {
    let kinds = Int8Array::from(vec![
        RowKind::Insert.number(),
        RowKind::UpdateBefore.number(),
        RowKind::UpdateAfter.number(),
    ]);
    let changed = rows(&[(Some(1), 1), (Some(1), 1), (Some(2), 2)]);
    let table = Arc::new(Table::default());
    let steps = [Step::Changes(0, changed, kinds)];
    let outcome = job(JoinKind::Inner, settings(), &table).run(1, &steps);
    let change = |kind: RowKind, row: &str| (kind.number(), row.to_string());
    let expected = [
        change(RowKind::Insert, "1 1 11"),
        change(RowKind::UpdateBefore, "1 1 11"),
        change(RowKind::UpdateAfter, "2 2 21"),
        change(RowKind::UpdateAfter, "2 2 22"),
    ];
    assert_eq!(outcome.changes, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// `None`: the table is closed, or open again, or the job goes on at another parallelism.
    #[test]
    fn every_row_is_joined_once(
        events in prop::collection::vec(prop_oneof![
            5 => prop::collection::vec((prop::option::weighted(0.9, 0..5_i64), 0..100_i64), 1..5).prop_map(Ok),
            1 => Just(Err(0)), 1 => Just(Err(1)), 1 => (2..5_usize).prop_map(Err),
        ], 1..20),
        outer: bool,
    ) {
        let (mut expected, mut steps) = (Vec::new(), Vec::new());
        let table = Arc::new(Table::default());
        table.closed.store(true, Ordering::SeqCst);
        for event in &events {
            match event {
                Ok(all) => {
                    steps.push(Step::Rows(0, rows(all)));
                    for (key, value) in all {
                        let key_text = key.map_or("NULL".to_string(), |key| key.to_string());
                        let found = key.unwrap_or(0).min(2);
                        expected.extend((1..=found).map(|row| format!("{key_text} {value} {}", key.unwrap() * 10 + row)));
                        if found == 0 && outer {
                            expected.push(format!("{key_text} {value} NULL"));
                        }
                    }
                }
                Err(0) => steps.push(Step::Poll),
                Err(shards) => steps.push(Step::Restart(*shards)),
            }
        }
        expected.sort();
        let kind = if outer { JoinKind::Left } else { JoinKind::Inner };
        // First everything waits, over all restarts; then the table answers.
        let opened = {
            let table = table.clone();
            move || table.closed.store(false, Ordering::SeqCst)
        };
        let outcome = job(kind, settings(), &table).run_with(2, &steps, &opened, &[Step::Poll]);
        prop_assert_eq!(outcome.rows, expected);
    }
}
