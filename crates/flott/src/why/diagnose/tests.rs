//! Made-up runs, one for each cause.

use flott_engine::activity::{
    BarrierSample, EdgeSample, LastCheckpoint, OperatorSample, OperatorShard, SinkSample, SinkShard,
    SplitSample, WorkSample,
};

use super::*;

const SECOND: u64 = 1_000_000_000;
/// 2026-01-01 12:00:00 UTC
const NOON: i64 = 1_767_268_800_000;

fn edge(from: Place, to: Place) -> EdgeSample {
    EdgeSample { from, to, rows_in: 0, rows_out: 0, waiting: 0, capacity: 0 }
}

/// A run of one source, one operator, one sink on two shards, that does nothing.
fn idle() -> (Sample, Sample) {
    let source = SourceSample {
        name: "bids".into(),
        silent: Some(0),
        capacity: 4,
        work: vec![WorkSample::default(); 2],
        ..SourceSample::default()
    };
    let operator = OperatorSample {
        name: "window aggregate".into(),
        id: "window-1".into(),
        shards: vec![OperatorShard::default(); 2],
        ..OperatorSample::default()
    };
    let sink =
        SinkSample { name: "out".into(), shards: vec![SinkShard::default(); 2], ..SinkSample::default() };
    let first = Sample {
        job: "job".into(),
        shards: 2,
        elapsed: 60 * SECOND,
        sources: vec![source],
        operators: vec![operator],
        sinks: vec![sink],
        edges: vec![edge(Place::Source(0), Place::Operator(0)), edge(Place::Operator(0), Place::Sink(0))],
        ..Sample::default()
    };
    let second = Sample { elapsed: 61 * SECOND, ..first.clone() };
    (first, second)
}

/// The worst cause after a second in which this happened.
fn after(happens: impl FnOnce(&mut Sample, &mut Sample)) -> Cause {
    let (mut first, mut second) = idle();
    happens(&mut first, &mut second);
    diagnose(&first, &second).remove(0)
}

#[test]
fn a_sink_that_wants_no_rows() {
    let cause = after(|_, it| {
        it.sinks[0].shards[1].not_ready = 980_000_000;
        it.sinks[0].rows = 1_204;
        it.sources[0].held = 950_000_000;
        it.operators[0].shards[0].busy = 100_000_000;
    });
    assert_eq!(
        cause.sentence,
        "sink 'out' pushes back: it wants no rows 98 % of the time (shard 1) and takes 1,204 rows/s; source 'bids' is \
         held up 95 % of the time"
    );
    assert_eq!((cause.kind, cause.place), (Kind::SinkPushesBack, Some(Place::Sink(0))));
}

#[test]
fn the_slowest_operator_and_its_crowded_shard() {
    let cause = after(|_, it| {
        let shard = &mut it.operators[0].shards[1];
        (shard.busy, shard.rows_in, shard.state_bytes) = (900_000_000, 30_600, 12_000_000);
        it.operators[0].shards[0].rows_in = 3_400;
        it.operators[0].rows_in = 34_000;
        it.sources[0].work[1].busy = 80_000_000;
        it.sources[0].held = 800_000_000;
    });
    assert_eq!(
        cause.sentence,
        "operator 'window aggregate' (window-1) is the slowest: busy 90 % of the time on shard 1, which gets 90 % \
         of its rows, 34,000 rows/s, 12.0 MB of state; source 'bids' is held up 80 % of the time"
    );
}

#[test]
fn decoding_and_writing_can_be_what_takes_the_time() {
    let decoding = after(|_, it| it.sources[0].work[0].busy = 960_000_000);
    assert_eq!((decoding.kind, decoding.name.as_str()), (Kind::SlowDecoding, "bids"));
    let encoding = after(|_, it| it.sinks[0].shards[0].busy = 990_000_000);
    assert_eq!((encoding.kind, encoding.name.as_str()), (Kind::SlowEncoding, "out"));
}

/// Other programs may leave little time to a run.
#[test]
fn a_source_that_is_held_up_is_told_of_although_no_shard_is_busy() {
    let cause = after(|_, it| {
        it.sources[0].held = 900_000_000;
        it.operators[0].shards[0].busy = 300_000_000;
    });
    assert_eq!(cause.kind, Kind::SlowOperator, "{}", cause.sentence);
}

#[test]
fn answers_from_outside() {
    let cause = after(|_, it| it.operators[0].shards[0].unready = 700_000_000);
    assert_eq!(cause.kind, Kind::WaitsForAnswers);
    assert!(
        cause.sentence.contains("waits for answers from its table 70 % of the time"),
        "{}",
        cause.sentence
    );
}

fn split(number: u32, name: &str, watermark: Option<i64>) -> SplitSample {
    SplitSample { number, name: name.into(), watermark, lag: None }
}

#[test]
fn what_cannot_be_reached_comes_first() {
    let cause = after(|_, it| {
        it.sinks[0].trouble = Some("no broker answers".into());
        it.sinks[0].shards[0].not_ready = 980_000_000;
    });
    assert_eq!(cause.sentence, "sink 'out' waits: no broker answers");
}

#[test]
fn a_split_whose_time_stands_still() {
    let stands = |it: &mut Sample, newest| {
        let source = &mut it.sources[0];
        (source.event_time, source.open_splits) = (true, 2);
        source.splits = vec![split(1, "b.csv", Some(NOON)), split(0, "a.csv", Some(newest))];
        source.newest = Some(newest);
        source.silent = Some(12 * SECOND);
    };
    let cause = after(|first, second| {
        stands(first, NOON + 7_000_000);
        stands(second, NOON + 7_500_000);
    });
    assert_eq!(
        cause.sentence,
        "split 'b.csv' of source 'bids' holds event time back: it stands still at 2026-01-01 12:00:00, 2 h 5 min behind \
         the newest, and has given nothing for 12 s"
    );
    assert!(cause.help.unwrap().contains("table.exec.source.idle-timeout"));
}

#[test]
fn a_source_that_has_no_time_yet_while_another_has() {
    let cause = after(|_, it| {
        let mut other = it.sources[0].clone();
        it.sources[0].event_time = true;
        it.sources[0].newest = Some(NOON);
        it.sources[0].watermark = Some(NOON);
        (other.name, other.event_time, other.silent) = ("asks".into(), true, None);
        it.sources.push(other);
        it.edges.push(edge(Place::Source(1), Place::Operator(0)));
    });
    assert_eq!(
        cause.sentence,
        "source 'asks' holds event time back: it has no watermark, and has given nothing yet; others are at 2026-01-01 \
         12:00:00"
    );
}

#[test]
fn sources_that_never_meet_hold_each_other_back_as_little_as_they_can() {
    let cause = after(|first, second| {
        for (it, moved) in [(first, 0), (second, 500)] {
            let mut other = it.sources[0].clone();
            (other.name, other.event_time) = ("years ago".into(), true);
            (other.watermark, other.newest) = (Some(1_000 + moved), Some(1_000 + moved));
            it.sources[0].event_time = true;
            (it.sources[0].watermark, it.sources[0].newest) = (Some(NOON + moved), Some(NOON + moved));
            it.sources.push(other);
        }
    });
    assert_eq!(cause.kind, Kind::KeepsUp, "{}", cause.sentence);
}

#[test]
fn idle_and_ended_sources_hold_nobody_back_nor_does_a_split_that_moves() {
    let cause = after(|first, second| {
        for (it, moved) in [(first, 0), (second, 500)] {
            let mut other = it.sources[0].clone();
            other.event_time = true;
            (other.name, other.idle) = ("quiet".into(), true);
            let ended = SourceSample { name: "over".into(), ended: true, idle: false, ..other.clone() };
            it.sources[0].event_time = true;
            it.sources[0].splits =
                vec![split(0, "a", Some(NOON + moved)), split(1, "b", Some(NOON + 30_000 + moved))];
            it.sources[0].newest = Some(NOON + 30_000 + moved);
            it.sources.extend([other, ended]);
        }
    });
    assert_eq!(cause.kind, Kind::KeepsUp, "{}", cause.sentence);
}

#[test]
fn a_checkpoint_that_cannot_finish_comes_before_all_others_and_says_why() {
    let under_way = |stage, sinks: Vec<usize>| UnderWaySample {
        epoch: 12,
        age: 45 * SECOND,
        shards: vec![BarrierSample { shard: 1, stage, operators: vec![0], sinks }],
        ..UnderWaySample::default()
    };
    let last = LastCheckpoint { number: 11, age: 60 * SECOND, ..LastCheckpoint::default() };
    let stuck = |stage, sinks| {
        after(|_, it| {
            it.sinks[0].shards[1].not_ready = SECOND;
            it.checkpoint = Some(CheckpointSample {
                interval: 10 * SECOND,
                last: Some(last),
                under_way: Some(under_way(stage, sinks)),
                ..CheckpointSample::default()
            });
        })
    };
    let input = stuck(BarrierStage::Input, vec![]);
    assert_eq!(
        input.sentence,
        "the checkpoint of epoch 12 can't finish: under way for 45 s, 1 of 2 shards are missing, and shard 1 has not read \
         up to it because sink 'out' wants no rows 100 % of the time; nothing is published since checkpoint 11, 1 min ago"
    );
    assert_eq!(input.name, "out");
    let operators = stuck(BarrierStage::Operators, vec![]).sentence;
    assert!(
        operators.contains("operator 'window aggregate' on shard 1 has not let it through"),
        "{operators}"
    );
    let sinks = stuck(BarrierStage::Sinks, vec![0]).sentence;
    assert!(sinks.contains("sink 'out' on shard 1 has not made its rows durable"), "{sinks}");
}

#[test]
fn checkpoints_that_fail_and_those_that_only_take_their_time() {
    let cause = after(|_, it| {
        it.checkpoint = Some(CheckpointSample {
            failed: 3,
            failure: Some("no space left".into()),
            ..CheckpointSample::default()
        });
    });
    assert_eq!(
        cause.sentence,
        "checkpoints fail (3 so far): no space left; no checkpoint of this run is complete yet"
    );
    let cause = after(|_, it| {
        let under_way = UnderWaySample { age: 20 * SECOND, ..UnderWaySample::default() };
        it.checkpoint = Some(CheckpointSample {
            interval: 10 * SECOND,
            under_way: Some(under_way),
            ..CheckpointSample::default()
        });
    });
    assert_eq!(cause.kind, Kind::KeepsUp);
}

#[test]
fn a_run_that_is_fine_says_so() {
    let waits = after(|_, it| it.sources[0].silent = Some(12 * SECOND));
    assert_eq!(waits.sentence, "waits for input: source 'bids' has given nothing for 12 s");
    let keeps_up = after(|_, it| {
        it.sources[0].rows = 1_000;
        it.operators[0].shards[0].busy = 50_000_000;
    });
    assert_eq!(
        keeps_up.sentence,
        "nothing holds it back: it reads as fast as source 'bids' gives (1,000 rows/s); its busiest part is at work 5 % of \
         the time"
    );
    assert!(!keeps_up.kind.holds_back());
    let ends = after(|_, it| it.sources[0].ended = true);
    assert_eq!(ends.kind, Kind::Ends);
}
