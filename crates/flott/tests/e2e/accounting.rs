//! Every row that a source read is somewhere, exactly once: written, filtered, kept aside or skipped.

use std::{collections::BTreeMap, fs};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;

use crate::support::{Lab, summary_of, table};

fn records(lab: &Lab) {
    let mut json = String::new();
    let mut csv = String::new();
    for at in 0..20_000 {
        json += &match at % 50 {
            7 => format!("{{\"a\":{at},\"s\":\"x\",\"l\":[]}}\n"),
            13 => format!("{{\"a\":\"no\",\"s\":\"{at}\",\"l\":[1]}}\n"),
            29 => "{\n".to_string(),
            31 => format!("{{\"a\":0,\"s\":\"{at}\",\"l\":[1,2,3]}}\n"),
            _ => format!("{{\"a\":{at},\"s\":\"{at}\",\"l\":[{at},1]}}\n"),
        };
        csv += &if at % 90 == 5 { "x,y,z\n".to_string() } else { format!("{at},{at}\n") };
    }
    lab.write("in.json", json);
    lab.write("in.csv", csv);
}

fn json(options: &[(&str, &str)]) -> String {
    table("j", "a INT, s STRING, l ARRAY<INT>", "in.json", "json", options)
}

/// Runs a script that writes text tables; checks sums, reads and the lines that lie there.
fn check(lab: &Lab, sql: &str) -> Value {
    let summary = lab.run(sql);
    let mut written: BTreeMap<&str, u64> = BTreeMap::new();
    for sink in summary["sinks"].as_array().unwrap() {
        // The second insert into `s` of a statement set is `s#2`.
        let table = sink["name"].as_str().unwrap().split('#').next().unwrap();
        *written.entry(table).or_default() += sink["written"].as_u64().unwrap();
    }
    for (table, rows) in written {
        assert_eq!(lab.lines(&format!("out/{table}")).len() as u64, rows, "{table}\n{sql}\n{summary}");
        let _ = fs::remove_dir_all(lab.path(&format!("out/{table}")));
    }
    for source in summary["sources"].as_array().unwrap() {
        if source["name"].as_str().is_some_and(|name| ["j", "c"].contains(&name)) {
            assert_eq!(source["read"], 20_000, "{summary}");
        }
    }
    summary
}

#[test]
fn rows_add_up_in_every_kind_of_pipeline() {
    let lab = Lab::new();
    records(&lab);
    let csv = |options: &[(&str, &str)]| table("c", "a INT, b INT", "in.csv", "csv", options);
    let out =
        |name: &str, columns: &str, format: &str| table(name, columns, &format!("out/{name}"), format, &[]);
    let s = out("s", "a BIGINT", "json");
    let two = s.clone() + &out("u", "x STRING", "csv");

    for options in [
        &[][..],
        &[("on-error", "skip")],
        &[("json.ignore-parse-errors", "true")],
        &[("json.ignore-parse-errors", "true"), ("on-error", "skip")],
        &[("json.fail-on-missing-field", "true")],
    ] {
        let source = json(options) + &s;
        check(&lab, &(source.clone() + "INSERT INTO s SELECT a FROM j"));
        check(&lab, &(source.clone() + "INSERT INTO s SELECT a FROM j WHERE a > 10000"));
        check(&lab, &(source.clone() + "INSERT INTO s SELECT 100000 / a FROM j WHERE CAST(s AS INT) > 500"));
        check(
            &lab,
            &(source.clone() + "INSERT INTO s SELECT e FROM j CROSS JOIN UNNEST(l) AS u(e) WHERE e > 1"),
        );
        check(
            &lab,
            &(source.clone() + "INSERT INTO s SELECT 1 / e FROM j LEFT JOIN UNNEST(l) AS u(e) ON TRUE"),
        );
        check(&lab, &(source.clone() + "INSERT INTO s SELECT a FROM j WHERE FALSE"));
        check(
            &lab,
            &(source
                + "INSERT INTO s SELECT a FROM j UNION ALL SELECT 1 / a FROM j WHERE a < 300 UNION ALL VALUES (1), (2)"),
        );
    }
    for options in [&[][..], &[("on-error", "skip")], &[("csv.ignore-parse-errors", "true")]] {
        check(&lab, &(csv(options) + &s + "INSERT INTO s SELECT a + b FROM c WHERE MOD(a, 2) = 0"));
    }
    let both = json(&[]) + &csv(&[]) + &two;
    let summary = check(
        &lab,
        &(both.clone()
            + "EXECUTE STATEMENT SET BEGIN
        INSERT INTO s SELECT CAST(s AS INT) FROM j WHERE a > 5; INSERT INTO u SELECT UPPER(s) FROM j; END"),
    );
    let edges = summary["edges"].as_array().unwrap();
    // A row that fails for one sink is written to the other.
    assert_eq!((&edges[0]["dead_lettered"], &edges[1]["dead_lettered"]), (&1_200.into(), &800.into()));
    assert_eq!(summary["dlq"], 1_200);
    check(&lab, &(both.clone() + "EXECUTE STATEMENT SET BEGIN
        INSERT INTO s SELECT a FROM j UNION ALL SELECT b / (a - 8) FROM c; INSERT INTO u SELECT s FROM j WHERE a = 1;
        INSERT INTO s SELECT a FROM c; END"));
    check(&lab, &(both + "INSERT INTO u SELECT s FROM j; INSERT INTO s SELECT a FROM c"));
}

#[test]
fn formats_read_back_as_many_rows_as_were_written() {
    let lab = Lab::new();
    records(&lab);
    for format in ["json", "csv", "parquet"] {
        let sink = table("s", "a INT, s STRING", &format!("out/{format}"), format, &[]);
        let summary = lab.run(&(json(&[]) + &sink + "INSERT INTO s SELECT a, s FROM j"));
        let written = summary["sinks"][0]["written"].as_u64().unwrap();
        assert_eq!(
            lab.query(&(sink + "SELECT a FROM s WHERE s IS NOT NULL")).len() as u64,
            written,
            "{format}"
        );
    }
    let raw =
        table("r", "line STRING", "in.json", "raw", &[]) + &table("s", "line STRING", "out/raw", "raw", &[]);
    lab.run(&(raw + "INSERT INTO s SELECT line FROM r"));
    let mut expected: Vec<_> =
        fs::read_to_string(lab.path("in.json")).unwrap().lines().map(str::to_string).collect();
    expected.sort();
    assert!(lab.lines("out/raw") == expected);
}

#[test]
fn generated_rows_add_up() {
    let lab = Lab::new();
    let sql = "CREATE TABLE g (a INT, s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '50000',
          'rows-per-second' = '100000000', 'fields.a.min' = '0', 'fields.a.max' = '9');
        CREATE TABLE b (a INT) WITH ('connector' = 'blackhole');
        INSERT INTO b SELECT 1 / a FROM g WHERE CHAR_LENGTH(s) > 0";
    let summary = lab.run(sql);
    assert_eq!(summary["sources"][0]["read"], 50_000);
    let edge = &summary["edges"][0];
    assert!(edge["dead_lettered"].as_u64().unwrap() > 3_000, "{summary}");
    // What has no bytes of its own is kept as JSON.
    let letter = &lab.letters()[0];
    let row: Value = serde_json::from_slice(&letter.record().unwrap()).unwrap();
    assert_eq!(row["a"], 0);
}

/// A line of a file: a record, a damaged one, or noise.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let record = (any::<i32>(), "[a-z\"\\\\\u{e4}\u{1f600}]{0,6}").prop_map(|(a, s)| {
        serde_json::json!({"a": a % 4, "s": s, "other": [a, {"deep": s}]}).to_string().into_bytes()
    });
    let damaged =
        (record.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = if byte == b'\n' || byte == b'\r' { b'?' } else { byte };
            bytes
        });
    let cut = (record.clone(), any::<prop::sample::Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len()));
        bytes
    });
    prop_oneof![4 => record, 2 => damaged, 1 => cut, 1 => Just(Vec::new()), 1 => Just(b"{}".to_vec())]
}

#[test]
fn any_csv_is_counted_and_kept() {
    let mut runner = TestRunner::new(Config {
        cases: 20,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    });
    let input =
        (prop::collection::vec(prop::sample::select(&b"1123a,,\"\n\n\r #\xff"[..]), 0..400), any::<bool>());
    runner
        .run(&input, |(bytes, ignore)| {
            let lab = Lab::new();
            lab.write("in.csv", &bytes);
            let ignore = ignore.to_string();
            let options = [("csv.ignore-parse-errors", ignore.as_str()), ("csv.allow-comments", "true")];
            let sql = table("c", "a INT, b STRING", "in.csv", "csv", &options)
                + &table("x", "a INT, b STRING", "out/x", "json", &[])
                + "INSERT INTO x SELECT 6 / a, b FROM c";
            let summary = summary_of(&lab.flott.run_sql(&sql).unwrap());
            prop_assert_eq!(&summary["sinks"][0]["written"], lab.lines("out/x").len());
            let letters = lab.letters();
            prop_assert_eq!(&summary["dlq"], letters.len());
            for letter in letters {
                let record = letter.record().unwrap();
                let at = usize::try_from(letter.offset).unwrap();
                prop_assert_eq!(&bytes[at..at + record.len()], record);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_damage_is_counted_and_kept() {
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    });
    let input = (prop::collection::vec(line(), 0..60), any::<bool>());
    runner
        .run(&input, |(lines, last_line_ends)| {
            let lab = Lab::new();
            let mut bytes = lines.join(&b'\n');
            if last_line_ends {
                bytes.push(b'\n');
            }
            lab.write("in.json", &bytes);
            let sql = table("j", "a INT, s STRING", "in.json", "json", &[])
                + &table("x", "a INT", "out/x", "json", &[])
                + &table("y", "s STRING", "out/y", "json", &[])
                + "EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT 2 / a FROM j; INSERT INTO y SELECT s FROM j WHERE a > 0; END";
            let summary = summary_of(&lab.flott.run_sql(&sql).unwrap());
            let records = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            prop_assert_eq!(&summary["sources"][0]["read"], records);
            prop_assert_eq!(&summary["sinks"][0]["written"], lab.lines("out/x").len());
            prop_assert_eq!(&summary["sinks"][1]["written"], lab.lines("out/y").len());
            let letters = lab.letters();
            prop_assert_eq!(&summary["dlq"], letters.len());
            for letter in letters {
                let record = letter.record().unwrap();
                let at = usize::try_from(letter.offset).unwrap();
                prop_assert_eq!(&bytes[at..at + record.len()], record);
            }
            Ok(())
        })
        .unwrap();
}
