//! Dead letters of Kafka messages: they hold all of the message, and a replay reads what the run read.
//!
//! ```text
//!   topic ─► flott run ─► dead letters ─► flott dlq replay ─► the same rows as a run that could read them
//! ```

use std::net::TcpListener;

use flott_connector::{Clock, RecordPart, SystemClock, TimestampType};
use flott_testkit::{
    need,
    services::{self, Broker},
};

use crate::support::{Lab, wait_until};

const ALL: &str = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";

/// Or a row and its deletion would come to nothing before anybody sees them.
const ROW_BY_ROW: &str = "SET 'table.exec.mini-batch.enabled' = 'false';";

fn table(kafka: &Broker, columns: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE t ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
         'properties.bootstrap.servers' = '{}', {options});\n",
        kafka.bootstrap()
    )
}

fn replay(lab: &Lab, sql: &str) -> String {
    let outcome =
        lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--json", "--output", "csv", "-e", sql]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome.stdout
}

/// Key, value, and all that says where the message is.
const COLUMNS: &str =
    "k STRING, v STRING, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
    topic STRING METADATA VIRTUAL, kind STRING METADATA FROM 'timestamp-type' VIRTUAL,
    ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', h MAP<STRING, BYTES> METADATA FROM 'headers',
    epoch INT METADATA FROM 'leader-epoch' VIRTUAL";

fn script(kafka: &Broker, number: &str) -> String {
    let options = format!(
        "'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'json',
         'value.fields-include' = 'EXCEPT_KEY', {ALL}"
    );
    table(kafka, COLUMNS, "letters-whole", &options)
        + &format!(
            "CREATE TABLE o (k STRING, v INT, p INT, o BIGINT, topic STRING, kind STRING, ts TIMESTAMP_LTZ(3), a STRING,
             headers INT, epoch INT) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'json');
             INSERT INTO o SELECT k, {number}, `partition`, `offset`, topic, kind, ts, DECODE(h['a'], 'UTF-8'),
             CARDINALITY(h), epoch FROM t"
        )
}

#[test]
fn a_replay_reads_key_metadata_and_headers_as_the_run_did() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-whole", 3).unwrap();
    let properties = ["parse.key=true", "key.separator=|", "parse.headers=true", "headers.delimiter=#"];
    let lines: Vec<String> = (0..40)
        .map(|n| format!("a:x{n},b:y#key{n}|{{\"v\":\"{}\"}}", if n % 4 == 0 { "no" } else { "7" }))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    kafka.produce_with("letters-whole", &lines, &properties).unwrap();
    // What a run gives that can read all of it.
    lab.run(&script(&kafka, "TRY_CAST(v AS INT)"));
    let expected = lab.lines("o");
    assert_eq!(expected.len(), 40);
    std::fs::remove_dir_all(lab.path("o")).unwrap();

    let summary = lab.run(&script(&kafka, "CAST(v AS INT)"));
    assert_eq!((summary["dlq"].as_u64(), lab.lines("o").len()), (Some(10), 30));
    replay(&lab, &script(&kafka, "TRY_CAST(v AS INT)"));
    assert_eq!(lab.lines("o"), expected);
}

#[test]
fn no_row_is_late_in_a_replay_that_was_not_in_the_run() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-times", 3).unwrap();
    let sql = |source: &str, format: &str| {
        let columns =
            "n BIGINT, ts AS TO_TIMESTAMP_LTZ(n * 10, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND";
        table(&kafka, columns, "letters-times", &format!("'format' = '{format}', {ALL}")) + source
    };
    let numbers = "CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence',
                   'fields.n.start' = '0', 'fields.n.end' = '19999'); INSERT INTO t SELECT n FROM g";
    lab.run(&sql(numbers, "csv"));
    let windows = "CREATE TABLE o (begins TIMESTAMP(3), n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'o',
                   'format' = 'csv'); INSERT INTO o SELECT window_start, COUNT(*)
                   FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end";
    let summary = lab.run(&sql(windows, "json"));
    assert_eq!(summary["dlq"], 20_000);
    replay(&lab, &sql(windows, "csv"));
    let counts: Vec<String> = lab.lines("o");
    assert_eq!(counts.len(), 20, "{counts:?}");
    assert!(counts.iter().all(|line| line.ends_with(",1000")), "{counts:?}");
}

#[test]
fn a_key_that_cannot_be_read_is_kept() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-key", 1).unwrap();
    let lines = [r#"{"k":1}|{"v":1}"#, r#"{"k":2}|no json"#, r#"key 3|{"v":3}"#, r#"key 4|gone"#];
    kafka.produce_keyed("letters-key", &lines).unwrap();
    let sql = |format: &str, columns: &str| {
        let options = format!(
            "'key.format' = '{format}', 'key.fields' = 'k', 'value.format' = 'json',
             'value.fields-include' = 'EXCEPT_KEY', 'value.json.ignore-parse-errors' = 'false', {ALL}"
        );
        table(&kafka, columns, "letters-key", &options) + "SELECT k, v FROM t"
    };
    assert_eq!(lab.query(&sql("json", "k INT, v INT")), ["1,1"]);
    let letters = lab.letters();
    let of = |at: usize| {
        let letter = &letters[at];
        let message = letter.message.as_ref().unwrap();
        assert_eq!((message.timestamp_type, message.leader_epoch), (TimestampType::CreateTime, 0));
        assert!(message.timestamp > 1_700_000_000_000);
        (letter.offset, letter.part, letter.text.clone().unwrap(), message.key_text.clone().unwrap())
    };
    let value = (1, Some(RecordPart::Value), "no json".to_string(), r#"{"k":2}"#.to_string());
    let key = (2, Some(RecordPart::Key), r#"{"v":3}"#.to_string(), "key 3".to_string());
    assert_eq!((letters.len(), of(0), of(1)), (2, value, key));
    let why =
        "key: malformed JSON at byte 0 of the key: expected an object (a key that is a plain value is of";
    assert!(letters[1].error.contains(why), "{}", letters[1].error);
    let shown = lab.flott.run(["dlq", "show", "flott-dlq/flott"]).unwrap().stdout;
    assert!(shown.contains("key:    key 3"), "{shown}");

    // A SELECT missed them, a SELECT gets them: the one with the bad value is a letter again, with its key.
    let printed = replay(&lab, &sql("raw", "k STRING, v INT"));
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["k,v", "key 3,3"]);
    let letters = lab.letters();
    assert_eq!((letters.len(), letters[0].offset), (1, 1));
    assert_eq!(letters[0].message.as_ref().unwrap().key_text.as_deref(), Some(r#"{"k":2}"#));
}

#[test]
fn a_deletion_whose_key_cannot_be_read_is_replayed_as_a_deletion() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-upsert", 1).unwrap();
    let lines = ["1|{\"n\":5}", "x|{\"n\":6}", "x|gone", "2|gone"];
    kafka.produce_keyed("letters-upsert", &lines).unwrap();
    let sql = |columns: &str, out: &str| {
        format!(
            "{ROW_BY_ROW} CREATE TABLE t ({columns}, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
             'topic' = 'letters-upsert', 'properties.bootstrap.servers' = '{}', 'key.format' = 'csv',
             'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY',
             'scan.bounded.mode' = 'latest-offset');
             CREATE TABLE o (k STRING, n INT) WITH ('connector' = 'filesystem', 'path' = 'o',
             'format' = 'changelog-json');
             INSERT INTO o SELECT {out}, n FROM t",
            kafka.bootstrap()
        )
    };
    lab.run(&sql("k INT, n INT", "CAST(k AS STRING)"));
    let letters = lab.letters();
    let nulls: Vec<bool> = letters.iter().map(|it| it.message.as_ref().unwrap().null_value).collect();
    assert_eq!(nulls, [false, true]);
    std::fs::remove_dir_all(lab.path("o")).unwrap();
    replay(&lab, &sql("k STRING, n INT", "k"));
    let lines = lab.lines("o");
    assert!(lines.iter().any(|it| it.contains("\"n\":6")), "{lines:?}");
    assert!(lines.iter().any(|it| it.contains("\"-D\"")), "{lines:?}");
}

#[test]
fn a_record_of_changes_is_replayed_with_its_metadata() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-cdc", 1).unwrap();
    let record = |id: u32, at: &str| {
        format!(r#"{{"before":null,"after":{{"id":{id}}},"op":"c","source":{{"table":"{at}"}},"ts_ms":7}}"#)
    };
    let bad = r#"{"before":null,"after":{"id":"x"},"op":"c","source":{"table":"b"},"ts_ms":7}"#;
    kafka.produce("letters-cdc", &[&record(1, "a"), bad, &record(2, "c")]).unwrap();
    let sql = |kind: &str| {
        let columns = format!(
            "id {kind}, origin STRING METADATA FROM 'value.source.table' VIRTUAL, `offset` BIGINT METADATA VIRTUAL"
        );
        table(&kafka, &columns, "letters-cdc", &format!("'format' = 'debezium-json', {ALL}"))
            + "SELECT id, origin, `offset` FROM t"
    };
    assert_eq!(lab.query(&sql("INT")), ["+I,1,a,0", "+I,2,c,2"]);
    let printed = replay(&lab, &sql("STRING"));
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["op,id,origin,offset", "+I,x,b,1"]);
}

#[test]
fn of_an_update_only_the_change_that_failed_is_replayed() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-update", 1).unwrap();
    let record = r#"{"before":{"v":"1"},"after":{"v":"x"},"op":"u"}"#;
    kafka.produce("letters-update", &[record]).unwrap();
    let sql = |number: &str| {
        table(&kafka, "v STRING", "letters-update", &format!("'format' = 'debezium-json', {ALL}"))
            + "CREATE TABLE o (v INT) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'changelog-json');"
            + &format!("INSERT INTO o SELECT {number} FROM t")
    };
    lab.run(&sql("CAST(v AS INT)"));
    assert_eq!(lab.lines("o"), [r#"{"op":"-U","data":{"v":1}}"#]);
    assert_eq!(lab.letters()[0].change.as_deref(), Some("+U"));
    replay(&lab, &sql("TRY_CAST(v AS INT)"));
    assert_eq!(lab.lines("o"), [r#"{"op":"+U","data":{"v":null}}"#, r#"{"op":"-U","data":{"v":1}}"#]);
}

#[test]
fn a_column_of_key_and_value_is_the_values_as_in_flink() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-both", 1).unwrap();
    // The value's, then one that leaves it to the key, then a deletion, of which there is only the key's.
    let lines = [r#"a|{"k":"A","n":1}"#, r#"b|{"n":2}"#, "b|gone", r#"c|{"k":null,"n":3}"#];
    kafka.produce_keyed("letters-both", &lines).unwrap();
    let mut rows = lab.query(&format!(
        "{ROW_BY_ROW} CREATE TABLE t (k STRING, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
         'topic' = 'letters-both', 'properties.bootstrap.servers' = '{}', 'key.format' = 'raw',
         'value.format' = 'json', 'scan.bounded.mode' = 'latest-offset'); SELECT k, n FROM t",
        kafka.bootstrap()
    ));
    rows.sort();
    assert_eq!(rows, ["+I,A,1", "+I,b,2", "+I,c,3", "-D,b,2"]);
}

#[test]
fn a_stop_ends_a_run_that_waits_for_a_silent_registry() {
    let kafka = need!(services::kafka());
    let lab = Lab::new();
    kafka.create_topic("letters-registry", 1).unwrap();
    kafka.produce("letters-registry", &["\u{0}\u{0}\u{0}\u{0}\u{7}x"]).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = format!(
        "'format' = 'avro-confluent', 'avro-confluent.url' = 'http://{}',
         'scan.startup.mode' = 'earliest-offset'",
        silent.local_addr().unwrap()
    );
    silent.set_nonblocking(true).unwrap();
    let mut run = lab.start(&format!(
        "SET 'execution.checkpointing.dir' = 'ckpt';
         CREATE TABLE o (id INT) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'json');
         {} INSERT INTO o SELECT id FROM t",
        table(&kafka, "id INT", "letters-registry", &options)
    ));
    let mut asked = None;
    wait_until("a question to the registry", || {
        assert!(run.is_running(), "it ended by itself: {}", run.last_words());
        asked = silent.accept().ok();
        asked.is_some()
    });
    let clock = SystemClock::new();
    run.signal("TERM");
    let outcome = run.outcome();
    assert!(clock.monotonic().as_secs_f64() < 5.0, "{:?}: {}", clock.monotonic(), outcome.stderr);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.summary.unwrap()["status"], "stopped");
}
