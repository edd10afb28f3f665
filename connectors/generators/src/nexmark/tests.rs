//! What `nexmark` generates.

use std::sync::Arc;

use arrow::{
    array::AsArray,
    datatypes::{Int64Type, TimestampMillisecondType},
    record_batch::RecordBatch,
};
use flott_connector::{Payload, SplitInfo, TableColumn};
use flott_types::{ColumnKind, DataType, Field, Options, Schema, Span, TypeKind};

use super::*;

fn row_of(fields: &[events::FieldDef]) -> DataType {
    DataType::row(fields.iter().map(|def| (def.name, def.generate.data_type())))
}

fn all_columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("event_type", DataType::int()),
        ("person", row_of(events::PERSON)),
        ("auction", row_of(events::AUCTION)),
        ("bid", row_of(events::BID)),
    ]
}

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDescription {
    let columns = columns.iter().map(|(name, data_type)| TableColumn {
        name: name.to_string(),
        data_type: data_type.clone(),
        kind: ColumnKind::Physical,
        span: Span::new(1, 2),
    });
    let mut all = Options::new();
    options.iter().for_each(|(key, value)| all.set(*key, *value));
    TableDescription {
        name: "t".into(),
        columns: columns.collect(),
        options: all,
        ..TableDescription::default()
    }
}

fn events(columns: &[(&str, DataType)], range: Range<u64>) -> RecordBatch {
    let table = table(columns, &[]);
    let schema = Schema::new(columns.iter().map(|(name, it)| Field::new(*name, it.clone())).collect());
    let scan = ScanRequest {
        projection: (0..columns.len()).collect(),
        schema,
        filter: None,
        batch_rows: 1 << 20,
        parallelism: 1,
        even_time: false,
        job_options: Options::new(),
    };
    let source = Nexmark.source(&table, scan, &Registry::new()).unwrap();
    let split = Arc::new(SplitInfo::default());
    let chunk = Chunk {
        split,
        sequence: 0,
        offset: 0,
        payload: Payload::Rows(range),
        bytes_in: 0,
        time: Default::default(),
    };
    let context =
        EvalContext { now_micros: 0, time_zone: "UTC".parse().unwrap(), random_seed: 0, watermark: None };
    let mut batches = Vec::new();
    let mut keep = |decoded: Decoded| {
        batches.push(decoded.batch);
        Ok(())
    };
    source.decoder().unwrap().decode(&chunk, &context, &mut keep).unwrap();
    batches.pop().unwrap()
}

#[test]
fn a_round_is_one_person_three_auctions_and_bids_for_them() {
    let batch = events(&all_columns(), 0..10_000);
    let kinds = batch.column(0).as_primitive::<arrow::datatypes::Int32Type>();
    let count = |kind| kinds.values().iter().filter(|it| **it == kind).count();
    assert_eq!((count(0), count(1), count(2)), (200, 600, 9200));

    let (person, auction, bid) =
        (batch.column(1).as_struct(), batch.column(2).as_struct(), batch.column(3).as_struct());
    let ids = |event: &StructArray, name: &str| -> Vec<i64> {
        event.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().flatten().collect()
    };
    assert_eq!(ids(person, "id"), (1000..1200).collect::<Vec<_>>());
    assert_eq!(ids(auction, "id"), (1000..1600).collect::<Vec<_>>());
    assert!(ids(bid, "auction").iter().all(|id| (1000..1610).contains(id)));
    assert!(ids(bid, "bidder").iter().all(|id| (1000..1210).contains(id)));
    assert!(ids(bid, "price").iter().all(|price| (100..=100_000_000).contains(price)));

    let times = bid.column_by_name("dateTime").unwrap().as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.value(9999) - times.value(49), 995);
    let urls = bid.column_by_name("url").unwrap().as_string::<i32>();
    assert!(urls.iter().flatten().all(|url| url.starts_with("https://www.nexmark.com/")));
    let extra = bid.column_by_name("extra").unwrap().as_string::<i32>();
    let mean = extra.value_data().len() / 9200;
    assert!((64..72).contains(&mean), "{mean}");
}

#[test]
fn an_event_depends_on_its_number_alone() {
    let whole = events(&all_columns(), 0..200);
    let tail = events(&all_columns(), 150..200);
    assert_eq!(whole.slice(150, 50), tail);
    let narrow = [("bid", DataType::row([("price", DataType::bigint())]))];
    let all_prices = whole.column(3).as_struct().column_by_name("price").unwrap().clone();
    assert_eq!(events(&narrow, 0..200).column(0).as_struct().column(0).as_ref(), all_prices.as_ref());
    assert_eq!(events(&[], 0..7).num_rows(), 7);
}

#[test]
fn wrong_columns_are_pointed_at() {
    let columns = [
        ("event_typ", DataType::int()),
        ("person", DataType::row([("id", DataType::int())])),
        ("bid", TypeKind::Row(Vec::new()).into()),
    ];
    let mut errors = Vec::new();
    Nexmark.validate(&table(&columns, &[("events.num", "-1")]), &Registry::new(), &mut errors);
    let messages: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "option 'events.num' = '-1': expected at least 0",
            "connector 'nexmark' has no column 'event_typ'",
            "'person.id' of connector 'nexmark' has type BIGINT, not INT",
        ]
    );
    assert_eq!(errors[1].span, Some(Span::new(1, 2)));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn speed() {
    let clock = flott_connector::SystemClock::new();
    let start = flott_connector::Clock::monotonic(&clock);
    let mut rows = 0;
    for i in 0..1000 {
        rows += events(&all_columns(), i * 8192..(i + 1) * 8192).num_rows();
    }
    let seconds = (flott_connector::Clock::monotonic(&clock) - start).as_secs_f64();
    println!("{:.2} M events/s", rows as f64 / seconds / 1e6);
}
