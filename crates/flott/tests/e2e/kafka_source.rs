//! Kafka as a source, on a real broker: which messages are read, what becomes of them, what is said when they
//! are gone.
//!
//! ```text
//!   console producer ─► topic ─► flott ─► rows (CSV on standard output, or files with checkpoints)
//! ```

use std::{fs, os::unix::fs::FileExt};

use flott_testkit::{
    need,
    services::{self, Broker},
};

use crate::support::{Lab, wait_until};

const END: &str = "'scan.bounded.mode' = 'latest-offset'";
const ALL: &str = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";

/// A table `t` of this topic.
fn table(kafka: &Broker, columns: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
         'properties.bootstrap.servers' = '{}', {options});\n",
        kafka.bootstrap()
    )
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn a_row_is_made_of_key_value_and_metadata() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-parts", 1).unwrap();
    let properties = ["parse.key=true", "key.separator=|", "parse.headers=true", "headers.delimiter=#"];
    let lines = [r#"a:1,b:2,a:3#{"id":7}|{"name":"x"}"#, r#"a:9#{"id":8}|{"name":"y","id":0}"#];
    kafka.produce_with("source-parts", &lines, &properties).unwrap();
    let columns =
        "k_id BIGINT, name STRING, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
         topic STRING METADATA VIRTUAL, kind STRING METADATA FROM 'timestamp-type' VIRTUAL,
         ts TIMESTAMP(3) METADATA FROM 'timestamp', h MAP<STRING, BYTES> METADATA FROM 'headers',
         epoch INT METADATA FROM 'leader-epoch' VIRTUAL";
    let options = format!(
        "'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_', 'value.format' = 'json',
         'value.fields-include' = 'EXCEPT_KEY', {ALL}"
    );
    let table = table(&kafka, columns, "source-parts", &options);
    let rows = lab.query(&format!(
        "{table} SELECT k_id, name, `partition`, `offset`, topic, kind, DECODE(h['a'], 'UTF-8'), CARDINALITY(h), epoch,
         ts > TIMESTAMP '2020-01-01 00:00:00' FROM t"
    ));
    assert_eq!(
        rows,
        ["7,x,0,0,source-parts,CreateTime,3,2,0,TRUE", "8,y,0,1,source-parts,CreateTime,9,1,0,TRUE"]
    );
    let filtered = lab.query(&format!("{table} SELECT name FROM t WHERE k_id = 8 AND `offset` > 0"));
    assert_eq!(filtered, ["y"]);
}

#[test]
fn every_way_to_begin_and_to_end() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-modes", 2).unwrap();
    let lines: Vec<String> = (0..20).map(|n| format!("{n}|{n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    kafka.produce_keyed("source-modes", &lines).unwrap();
    let count = |options: &str| -> usize {
        let table = table(&kafka, "n INT", "source-modes", &format!("'format' = 'csv', {options}"));
        lab.query(&format!("{table} SELECT n FROM t")).len()
    };
    assert_eq!(count(ALL), 20);
    assert_eq!(count(&format!("'scan.startup.mode' = 'latest-offset', {END}")), 0);
    let offsets = "'scan.startup.mode' = 'specific-offsets',
         'scan.startup.specific-offsets' = 'partition:0,offset:2;partition:1,offset:3'";
    assert_eq!(count(&format!("{offsets}, {END}")), 15);
    let ends = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'specific-offsets',
         'scan.bounded.specific-offsets' = 'partition:1,offset:3'";
    assert_eq!(count(ends), 3, "a partition without an end isn't read");
    assert_eq!(
        count(&format!("'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '0', {END}")),
        20
    );
    let late = "'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '4102444800000'";
    assert_eq!(count(&format!("{late}, {END}")), 0, "no message is of that time: the end");
    let until = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'timestamp',
         'scan.bounded.timestamp-millis' = '0'";
    assert_eq!(count(until), 0);
    let group = "'properties.group.id' = 'nobody', 'scan.startup.mode' = 'group-offsets'";
    assert_eq!(count(&format!("{group}, 'properties.auto.offset.reset' = 'earliest', {END}")), 20);
    let table = table(&kafka, "n INT", "source-modes", &format!("'format' = 'csv', {group}, {END}"));
    let said = lab.fails(1, &format!("{table} SELECT n FROM t"));
    assert!(
        said.contains("'nobody' has committed no offset") && said.contains("auto.offset.reset"),
        "{said}"
    );
}

#[test]
fn several_topics_and_patterns() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    for (topic, text) in [("source-many-a", "a"), ("source-many-b", "b"), ("source-many-bc", "c")] {
        kafka.create_topic(topic, 1).unwrap();
        kafka.produce(topic, &[text]).unwrap();
    }
    let rows = |table: &str| sorted(lab.query(&format!("{table} SELECT x FROM t")));
    let raw = format!("'format' = 'raw', {ALL}");
    assert_eq!(rows(&table(&kafka, "x STRING", "source-many-a;source-many-b", &raw)), ["a", "b"]);
    let pattern =
        table(&kafka, "x STRING", "", &raw).replace("'topic' = ''", "'topic-pattern' = 'source-many-b.*'");
    assert_eq!(rows(&pattern), ["b", "c"]);
    let said = lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-many-x", &raw)));
    assert!(said.contains("FLT-2201") && said.contains("did you mean 'source-many-"), "{said}");
}

#[test]
fn what_cannot_be_read_is_a_dead_letter_of_its_partition_and_offset() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-bad", 1).unwrap();
    let lines = [r#"{"k":1}|{"v":1}"#, r#"{"k":2}|no json"#, r#"no key|{"v":3}"#, r#"{"k":4}|{"v":4}"#];
    kafka.produce_keyed("source-bad", &lines).unwrap();
    let options = format!(
        "'key.format' = 'json', 'key.fields' = 'k', 'value.format' = 'json',
         'value.fields-include' = 'EXCEPT_KEY', {ALL}"
    );
    let table = table(&kafka, "k INT, v INT", "source-bad", &options);
    assert_eq!(lab.query(&format!("{table} SELECT k, v FROM t")), ["1,1", "4,4"]);
    let letters: Vec<(String, u64)> = lab.letters().into_iter().map(|it| (it.split, it.offset)).collect();
    assert_eq!(letters, [("source-bad[0]".to_string(), 1), ("source-bad[0]".to_string(), 2)]);
}

#[test]
fn a_key_that_is_null_is_none_for_a_primary_key() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-keyless", 1).unwrap();
    let lines = ["gone|1", "a|2", "gone|gone", "a|gone", "b|3"];
    kafka.produce_keyed("source-keyless", &lines).unwrap();
    // Bytes without a value delete, although the value's column is NOT NULL, too.
    let table = format!(
        "CREATE TABLE t (word STRING, v STRING NOT NULL, PRIMARY KEY (word) NOT ENFORCED) WITH (
         'connector' = 'upsert-kafka', 'topic' = 'source-keyless', 'properties.bootstrap.servers' = '{}',
         'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY', {END});",
        kafka.bootstrap()
    );
    let summary = lab.run(&format!(
        "{table}
         CREATE TABLE o (word STRING, v STRING) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' =
         'changelog-json'); INSERT INTO o SELECT word, v FROM t"
    ));
    assert_eq!((&summary["sources"][0]["read"], &summary["dlq"]), (&5.into(), &2.into()), "{summary}");
    let lines = lab.lines("o");
    assert!(lines.last().unwrap().contains(r#""word":"b""#), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("null")), "{lines:?}");
    assert!(
        lab.letters().iter().all(|it| it.error.contains("key: it is null")),
        "{:?}",
        lab.letters()[0].error
    );
}

#[test]
fn upserts_are_rows_of_their_keys_and_null_deletes() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-upserts", 1).unwrap();
    let lines = [
        r#"a|{"n":1}"#,
        r#"b|{"n":1}"#,
        r#"a|{"n":2}"#,
        "b|gone",
        "c|gone",
        r#"b|{"n":5}"#,
        r#"d|{"n":6}"#,
        "d|gone",
    ];
    kafka.produce_keyed("source-upserts", &lines).unwrap();
    let table = format!(
        "CREATE TABLE t (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
         'topic' = 'source-upserts', 'properties.bootstrap.servers' = '{}', 'key.format' = 'raw',
         'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY', {END});",
        kafka.bootstrap()
    );
    lab.run(&format!(
        "{table} CREATE TABLE o (n BIGINT, s BIGINT) WITH ('connector' = 'filesystem', 'path' = 'o',
         'format' = 'changelog-json'); INSERT INTO o SELECT COUNT(*), SUM(n) FROM t"
    ));
    let last = lab.lines("o");
    assert!(last.iter().any(|line| line.contains(r#""n":2,"s":7"#)), "{last:?}");
}

#[test]
fn a_job_goes_on_where_it_was_and_tells_the_group() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-resume", 2).unwrap();
    let job = format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '100 ms';
         SET 'pipeline.name' = 'job'; {}
         CREATE TABLE o (x STRING) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'raw');
         INSERT INTO o SELECT x FROM t",
        table(
            &kafka,
            "x STRING",
            "source-resume",
            "'format' = 'raw', 'scan.startup.mode' = 'earliest-offset', 'properties.group.id' = 'resume',
             'scan.topic-partition-discovery.interval' = '200 ms'"
        )
    );
    let lines: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let part = |from: usize, to: usize| lines[from..to].iter().map(String::as_str).collect::<Vec<_>>();
    kafka.produce("source-resume", &part(0, 40)).unwrap();
    let run = lab.start(&job);
    wait_until("the first rows", || lab.lines("o").len() == 40);
    run.signal("KILL");
    run.outcome();
    kafka.produce("source-resume", &part(40, 70)).unwrap();
    let run = lab.start(&job);
    wait_until("those behind them", || lab.lines("o").len() == 70);
    kafka.create_partitions("source-resume", 3).unwrap();
    kafka.produce_with("source-resume", &part(70, 100), &["parse.key=false"]).unwrap();
    wait_until("those of the new partition too", || lab.lines("o").len() == 100);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    assert_eq!(lab.lines("o"), lines);
    // Another reader begins where the group is: behind everything.
    let other = table(
        &kafka,
        "x STRING",
        "source-resume",
        &format!(
            "'format' = 'raw', 'properties.group.id' = 'resume', 'properties.auto.offset.reset' = 'earliest', {END}"
        ),
    );
    assert_eq!(lab.query(&format!("{other} SELECT x FROM t")), Vec::<String>::new());
}

#[test]
fn messages_that_are_gone_are_counted() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-lost", 1).unwrap();
    kafka.produce("source-lost", &["a", "b", "c", "d"]).unwrap();
    kafka.delete_records("source-lost", 0, 3).unwrap();
    let at = "'format' = 'raw', 'scan.startup.mode' = 'specific-offsets',
         'scan.startup.specific-offsets' = 'partition:0,offset:1', 'scan.bounded.mode' = 'latest-offset'";
    let said = lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", at)));
    assert!(
        said.contains("2 messages of 'source-lost[0]' are lost") && said.contains("scan.lost-offsets"),
        "{said}"
    );
    let beyond = "'format' = 'raw', 'scan.startup.mode' = 'specific-offsets',
         'scan.startup.specific-offsets' = 'partition:0,offset:9'";
    let said = lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", beyond)));
    let no_offset = "'source-lost[0]' ends at offset 4: it has no offset 9 to begin at";
    assert!(said.contains(no_offset), "{said}");
    let bounded = format!("{beyond}, {END}");
    let said =
        lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", &bounded)));
    assert!(said.contains(no_offset), "{said}");
    for option in ["startup", "bounded"] {
        let absent = format!(
            "'format' = 'raw', 'scan.startup.mode' = 'earliest-offset', 'scan.{option}.mode' = 'specific-offsets',
             'scan.{option}.specific-offsets' = 'partition:0,offset:3;partition:1,offset:3'"
        );
        let absent = if option == "startup" {
            absent.replace("'scan.startup.mode' = 'earliest-offset', ", "")
        } else {
            absent
        };
        let said =
            lab.fails(2, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", &absent)));
        assert!(said.contains("FLT-1203") && said.contains("names partition 1"), "{said}");
    }
    let end = "'format' = 'raw', 'scan.startup.mode' = 'earliest-offset', 'properties.group.id' = 'nobody',
         'scan.bounded.mode' = 'group-offsets'";
    let said = lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", end)));
    assert!(said.contains("where reading was to end") && !said.contains("auto.offset.reset"), "{said}");
    let on = format!("{at}, 'scan.lost-offsets' = 'continue'");
    assert_eq!(
        lab.query(&format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-lost", &on))),
        ["d"]
    );
}

/// A job that writes `t`'s lines exactly once.
fn lines_job(kafka: &Broker, topic: &str, options: &str) -> String {
    let table = table(
        kafka,
        "x STRING",
        topic,
        &format!("'format' = 'raw', 'scan.startup.mode' = 'earliest-offset'{options}"),
    );
    format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '100 ms';
         SET 'pipeline.name' = 'job'; {table}
         CREATE TABLE o (x STRING) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'raw');
         INSERT INTO o SELECT x FROM t"
    )
}

#[test]
fn the_end_of_a_transaction_is_no_lost_message() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-marker", 1).unwrap();
    lab.run(&format!(
        "SET 'execution.checkpointing.dir' = 'ckpt-w'; SET 'pipeline.name' = 'w';
         {} INSERT INTO t VALUES ('a'), ('b')",
        table(
            &kafka,
            "x STRING",
            "source-marker",
            "'format' = 'raw', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'marker'"
        )
    ));
    let job = lines_job(&kafka, "source-marker", "");
    let run = lab.start(&job);
    wait_until("both rows", || lab.lines("o").len() == 2);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    // Retention takes the messages and what ended their transaction: nothing of it was still to be read.
    kafka.delete_records("source-marker", 0, 3).unwrap();
    kafka.produce("source-marker", &["c"]).unwrap();
    let run = lab.start(&job);
    wait_until("the one behind it", || lab.lines("o").len() == 3);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
}

#[test]
fn what_has_come_while_no_run_was_there_is_read_even_if_nobody_looks_again() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-grown", 1).unwrap();
    kafka.produce("source-grown", &["a"]).unwrap();
    let job = lines_job(&kafka, "source-grown", ", 'scan.topic-partition-discovery.interval' = '0'");
    let run = lab.start(&job);
    wait_until("the first row", || lab.lines("o").len() == 1);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    kafka.create_partitions("source-grown", 9).unwrap();
    let lines: Vec<String> = (0..40).map(|n| format!("{n}|{n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    kafka.produce_keyed("source-grown", &lines).unwrap();
    let run = lab.start(&job);
    wait_until("those of all partitions", || lab.lines("o").len() == 41);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
}

#[test]
fn a_topic_made_anew_with_fewer_partitions_goes_on_with_those_it_has() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-fewer", 3).unwrap();
    kafka.produce_keyed("source-fewer", &["1|a", "2|b", "3|c", "4|d", "5|e"]).unwrap();
    let job = lines_job(&kafka, "source-fewer", ", 'scan.lost-offsets' = 'CONTINUE'");
    let run = lab.start(&job);
    wait_until("the first rows", || lab.lines("o").len() == 5);
    run.signal("KILL");
    run.outcome();
    kafka.delete_topic("source-fewer").unwrap();
    wait_until("a new topic", || kafka.create_topic("source-fewer", 1).is_ok());
    kafka.produce("source-fewer", &["f", "g"]).unwrap();
    let run = lab.start(&job);
    wait_until("all of the new one", || lab.lines("o").len() == 7);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
    // Its other partitions come back as new ones.
    kafka.create_partitions("source-fewer", 3).unwrap();
    kafka.produce_keyed("source-fewer", &["1|a", "2|b", "3|c", "4|d", "5|e"]).unwrap();
    let run = lab.start(&job);
    wait_until("those of all partitions", || lab.lines("o").len() == 12);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
}

#[test]
fn a_corrupt_batch_ends_the_run_where_it_is() {
    let kafka = need!(Broker::start(&services::kafka::Settings::default()));
    let lab = Lab::new();
    kafka.create_topic("source-corrupt", 1).unwrap();
    kafka.produce("source-corrupt", &["first"]).unwrap();
    kafka.produce("source-corrupt", &["a needle in the log"]).unwrap();
    let segment = kafka.data().join("source-corrupt-0/00000000000000000000.log");
    let needle = fs::read(&segment).unwrap().windows(8).position(|it| it == b"a needle").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"A", needle as u64).unwrap();
    let options = format!("'format' = 'raw', {ALL}");
    let said =
        lab.fails(1, &format!("{} SELECT x FROM t", table(&kafka, "x STRING", "source-corrupt", &options)));
    assert!(said.contains("'source-corrupt[0]' at offset 1") && said.contains("corrupt"), "{said}");
}

#[test]
fn a_topic_made_anew_is_another_one() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-anew", 1).unwrap();
    kafka.produce("source-anew", &["a", "b"]).unwrap();
    let job = |options: &str| {
        format!(
            "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '100 ms';
             SET 'pipeline.name' = 'job'; {}
             CREATE TABLE o (x STRING) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'raw');
             INSERT INTO o SELECT x FROM t",
            table(
                &kafka,
                "x STRING",
                "source-anew",
                &format!("'format' = 'raw', 'scan.startup.mode' = 'earliest-offset'{options}")
            )
        )
    };
    let run = lab.start(&job(""));
    wait_until("the first rows", || lab.lines("o").len() == 2);
    run.signal("KILL");
    run.outcome();
    kafka.delete_topic("source-anew").unwrap();
    wait_until("a new topic", || kafka.create_topic("source-anew", 1).is_ok());
    // As long as the old one was, and longer: offsets alone tell nothing.
    kafka.produce("source-anew", &["c", "d", "e"]).unwrap();
    let said = lab.fails(1, &job(""));
    assert!(said.contains("FLT-2201") && said.contains("deleted and made anew"), "{said}");
    let run = lab.start(&job(", 'scan.lost-offsets' = 'continue'"));
    wait_until("all of the new one", || lab.lines("o").len() == 5);
    run.signal("TERM");
    let outcome = run.outcome();
    assert_eq!(outcome.status, Some(0));
    assert_eq!(lab.lines("o"), ["a", "b", "c", "d", "e"]);
    assert!(outcome.stderr.contains("reading the new one"), "{}", outcome.stderr);
    // What was asked of the old one has no place in the new one, which loses nothing by that.
    kafka.delete_topic("source-anew").unwrap();
    wait_until("a third topic", || kafka.create_topic("source-anew", 1).is_ok());
    kafka.produce("source-anew", &["f", "g"]).unwrap();
    let run = lab.start(&job(", 'scan.lost-offsets' = 'continue'"));
    wait_until("all of the third one", || lab.lines("o").len() == 7);
    // Long enough for an answer about the old one.
    flott_connector::StopSignal::new().wait(std::time::Duration::from_secs(1));
    run.signal("TERM");
    let outcome = run.outcome();
    assert!(!outcome.stderr.contains("has lost its last messages"), "{}", outcome.stderr);
}

#[test]
fn an_empty_partition_holds_time_back_only_until_it_is_idle() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("source-idle", 2).unwrap();
    let lines: Vec<String> = (1..6).map(|n| format!(r#"one|{{"ts":"2026-01-01 00:00:0{n}"}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    kafka.produce_keyed("source-idle", &lines).unwrap();
    let job = format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'execution.checkpointing.interval' = '100 ms';
         SET 'pipeline.name' = 'job'; {}
         CREATE TABLE o (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'csv');
         INSERT INTO o SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND))
         GROUP BY window_start, window_end",
        table(
            &kafka,
            "ts TIMESTAMP(3), WATERMARK FOR ts AS ts",
            "source-idle",
            "'format' = 'json', 'scan.startup.mode' = 'earliest-offset', 'scan.watermark.idle-timeout' = '1 s'"
        )
    );
    let run = lab.start(&job);
    wait_until("windows that are closed", || lab.lines("o").len() == 4);
    run.signal("TERM");
    assert_eq!(run.outcome().status, Some(0));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let lab = Lab::new();
    let refused = |columns: &str, options: &str, words: &str| {
        let sql = format!(
            "CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:1',
             {options}); SELECT 1 FROM t"
        );
        let said = lab.fails(2, &sql);
        assert!(said.contains(words), "{options}: {said}");
    };
    let json = |options: &str| format!("'topic' = 'x', 'format' = 'json', {options}");
    refused("a INT", "'format' = 'json'", "needs the option 'topic' or 'topic-pattern'");
    refused("a INT", &json("'scan.startup.mode' = 'timestamp'"), "scan.startup.timestamp-millis");
    refused("a INT", &json("'key.format' = 'raw'"), "needs 'key.fields'");
    refused("a INT", &json("'key.format' = 'raw', 'key.fields' = 'b'"), "no physical column 'b'");
    refused(
        "a INT",
        &json("'key.format' = 'json', 'key.fields' = 'a', 'key.json.x' = 'y'"),
        "has no option 'json.x'",
    );
    refused("a INT", &json("'properties.fetch.min.byte' = '1'"), "did you mean 'fetch.min.bytes'");
    refused(
        "a INT",
        &json("'properties.ssl.truststore.location' = '/x/trust.jks'"),
        "keytool -importkeystore",
    );
    refused("a INT, o INT METADATA FROM 'ofset'", &json("'scan.parallelism' = '2'"), "did you mean 'offset'");
    refused(
        "a INT, PRIMARY KEY (a) NOT ENFORCED",
        &json("'scan.parallelism' = '2'"),
        "use connector 'upsert-kafka'",
    );
    let jaas = "'properties.security.protocol' = 'SASL_PLAINTEXT', 'properties.sasl.mechanism' = 'PLAIN',
         'properties.sasl.jaas.config' = 'x.ScramLoginModule required username=\"u\" password=\"geheim\";'";
    refused("a INT", &json(jaas), "ScramLoginModule isn't for 'sasl.mechanism' = 'PLAIN'");
    let only = |options: &str, words: &str| {
        let sql = format!(
            "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = 'localhost:1',
             'format' = 'json', {options}); SELECT a FROM t"
        );
        let said = lab.fails(2, &sql);
        assert!(said.contains(words) && said.matches("error[").count() == 1, "{options}: {said}");
    };
    only("'topic' = 'x', 'scan.startup.mode' = 'earliest'", "did you mean 'earliest-offset'");
    only("'topic' = 'x', 'scan.startup.mod' = 'earliest-offset'", "did you mean 'scan.startup.mode'");
    let all = "'scan.startup.mode' = 'earliest-offset'";
    only(
        &format!("'topic' = 'x', {all}, 'properties.security.protocol' = 'SASL_SLL'"),
        "did you mean 'sasl_ssl'",
    );
    only(
        "'topic' = 'x', 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = 'today'",
        "expected a whole number",
    );
    only("'topic' = 'x', 'properties.group.id' = ''", "a group's name can't be empty");
    only(&format!("'topic' = 'not/one', {all}"), "Kafka can have no topic 'not/one'");
    let sql = "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json',
         'properties.bootstrap.servers' = 'http://localhost:1', 'scan.startup.mode' = 'earliest-offset');
         SELECT a FROM t";
    let said = lab.fails(2, sql);
    assert!(said.contains("is a URL") && said.contains("kafka-1:9092"), "{said}");
}
