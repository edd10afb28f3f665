//! Every format of messages holds to the same rules (see `flott_formats::conformance`).

mod cases;

use flott_connector::Slices;

#[test]
fn rows_come_back_as_they_were_written() {
    for sample in cases::all().into_iter().chain(cases::registered()) {
        for seed in 0..10 {
            let written = sample.written();
            let kinds = written.as_ref().zip(sample.changes.as_ref().map(|(_, read)| read.as_slice()));
            let outcome = sample.case.round_trip(&sample.batch(seed), kinds);
            outcome.unwrap_or_else(|error| panic!("{}, seed {seed}: {error}", sample.case.name));
        }
    }
}

#[test]
fn a_message_cut_off_anywhere_harms_nobody_else() {
    for sample in cases::all().into_iter().chain(cases::registered()) {
        let messages = sample
            .case
            .encode(&sample.batch(1).slice(0, 1), sample.written().map(|it| it.slice(0, 1)).as_ref());
        let outcome = messages.and_then(|messages| sample.case.cut_off(&messages));
        outcome.unwrap_or_else(|error| panic!("{}: {error}", sample.case.name));
    }
}

#[test]
fn messages_changed_at_random_harm_nobody_else() {
    for sample in cases::all() {
        for seed in 0..2 {
            let messages = sample.case.encode(&sample.batch(seed), sample.written().as_ref());
            let outcome = messages.and_then(|it| sample.case.changed_at_random(&it, seed, 8));
            outcome.unwrap_or_else(|error| panic!("{}: {error}", sample.case.name));
        }
    }
}

#[test]
fn messages_of_nothing_and_of_null() {
    for sample in cases::all() {
        let mut messages = Slices::default();
        for message in [None, Some(&b""[..]), Some(b"\n"), None, Some(b"null"), Some(b"{}"), Some(b"[]")] {
            assert!(messages.push(message));
        }
        let outcome = sample.case.holds(&messages).and_then(|()| sample.case.holds(&Slices::default()));
        outcome.unwrap_or_else(|error| panic!("{}: {error}", sample.case.name));
        let out = sample.case.decode(&messages).unwrap();
        match sample.case.name.as_str() {
            "raw" => assert!(out.numbers.contains(&0)),
            _ => assert!(out.skipped >= 2 && !out.numbers.contains(&0)),
        }
    }
}

#[test]
fn blanks_in_json_may_come_and_go_from_one_message_to_the_next() {
    let sample = cases::all().into_iter().find(|sample| sample.case.name == "json").unwrap();
    let mut messages = Slices::default();
    for message in
        ["{\"int\":1,\"text\":\"a\"}", "{\"int\": 2,\"text\":\t\"b\"}", "{ \"int\":3 , \"text\":\"c\"}"]
    {
        assert!(messages.push(Some(message.as_bytes())));
    }
    let out = sample.case.decode(&messages).unwrap();
    assert_eq!((out.numbers, out.rejected), (vec![0, 1, 2], Vec::new()));
}
