//! `flott dlq`: letters come back through a fixed script, to the sinks that missed them.

use crate::support::{Lab, check_sums, table};

const INPUT: &str = "{\"a\":1,\"s\":\"1\"}\nbroken\n{\"a\":2,\"s\":\"two\"}\n{\"a\":3,\"s\":\"3\"}\n";

#[test]
fn list_show_and_replay_through_a_fixed_script() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let sink = table("out", "a BIGINT, s INT", "out", "json", &[]) + "INSERT INTO out ";
    let first =
        table("t", "a INT, s STRING", "in.json", "json", &[]) + &sink + "SELECT a, CAST(s AS INT) FROM t";
    assert_eq!(lab.run(&first)["dlq"], 2);

    let dlq = |arguments: &[&str]| {
        let outcome = lab.flott.run([&["dlq"], arguments].concat()).unwrap();
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        outcome
    };
    let listed = dlq(&["list", "flott-dlq/flott"]).stdout;
    assert!(
        listed.contains("FLT-2004") && listed.contains("FLT-2005") && listed.contains("2 dead letters"),
        "{listed}"
    );
    let shown = dlq(&["show", "flott-dlq/flott"]).stdout;
    assert!(
        shown.contains("in.json at 16") && shown.contains("record: broken") && shown.contains("'two'"),
        "{shown}"
    );
    let limited = dlq(&["show", "--limit", "1", "flott-dlq/flott"]).stdout;
    assert!(limited.contains("1 more"), "{limited}");
    let json = dlq(&["list", "--json", "flott-dlq/flott"]).stdout;
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");

    // The script learns about one of the two; the other fails again and is a new letter.
    let fixed = table("t", "a INT, s STRING", "in.json", "json", &[])
        + &sink
        + "SELECT a, CASE WHEN s = 'two' THEN 2 ELSE CAST(s AS INT) END FROM t";
    let replayed = dlq(&["replay", "flott-dlq/flott", "--json", "-e", &fixed]).summary.unwrap();
    check_sums(&replayed);
    assert_eq!((&replayed["sources"][0]["read"], &replayed["dlq"]), (&2.into(), &1.into()));
    let rows = ["{\"a\":1,\"s\":1}", "{\"a\":2,\"s\":2}", "{\"a\":3,\"s\":3}"];
    assert_eq!(lab.lines("out"), rows);
    let letters = lab.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].text.as_deref(), letters[0].offset),
        (Some("broken"), 16),
        "it keeps its first place"
    );
    assert!(letters[0].split.ends_with("in.json"));

    // Now it is taken for what it is; then nothing is left.
    let tolerant = table("t", "a INT, s STRING", "in.json", "json", &[("json.ignore-parse-errors", "true")])
        + &sink
        + "SELECT a, 0 FROM t";
    dlq(&["replay", "flott-dlq/flott", "--json", "-e", &tolerant]);
    assert!(lab.letters().is_empty());
    assert_eq!(lab.lines("out"), rows);
    assert!(dlq(&["replay", "flott-dlq/flott", "-e", &tolerant]).stdout.contains("no dead letters"));
}

#[test]
fn a_letter_goes_only_to_the_sinks_that_missed_it() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let script = |number: &str| {
        table("t", "a INT, s STRING", "in.json", "json", &[])
            + &table("texts", "a INT, s STRING", "texts", "json", &[])
            + &table("numbers", "a INT, s INT", "numbers", "json", &[])
            + &format!(
                "EXECUTE STATEMENT SET BEGIN INSERT INTO texts SELECT a, s FROM t; INSERT INTO numbers SELECT a, {number} FROM t; END;"
            )
    };
    let summary = lab.run(&script("CAST(s AS INT)"));
    assert_eq!(summary["dlq"], 2);
    let letters = lab.letters();
    assert_eq!(letters[0].sinks, ["texts", "numbers"], "what can't be decoded missed every sink");
    assert_eq!(letters[1].sinks, ["numbers"]);

    let arguments = ["dlq", "replay", "flott-dlq/flott", "--json", "-e", &script("TRY_CAST(s AS INT)")];
    let outcome = lab.flott.run(arguments).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(lab.lines("texts").len(), 3, "it isn't written again where it was written before");
    assert_eq!(lab.lines("numbers"), ["{\"a\":1,\"s\":1}", "{\"a\":2,\"s\":null}", "{\"a\":3,\"s\":3}"]);
    assert_eq!(lab.letters().len(), 1, "the broken one, again");
}

#[test]
fn what_a_select_missed_is_replayed_by_a_select() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let select = |number: &str| {
        table("t", "a INT, s STRING", "in.json", "json", &[]) + &format!("SELECT a, {number} AS n FROM t")
    };
    assert_eq!(lab.query(&select("CAST(s AS INT)")), ["1,1", "3,3"]);
    assert!(lab.letters().iter().all(|letter| letter.sinks == ["result"]));
    let insert = table("t", "a INT, s STRING", "in.json", "json", &[])
        + &table("out", "a INT", "out", "json", &[])
        + "INSERT INTO out SELECT a FROM t";
    let replay = |sql: &str| {
        lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--quiet", "--output", "csv", "-e", sql]).unwrap()
    };
    let refused = replay(&insert);
    assert_eq!(refused.status, Some(1));
    let why =
        "the rows of a SELECT are missing, and no SELECT of the script reads 't': 2 dead letters were not";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let replayed = replay(&select("TRY_CAST(s AS INT)"));
    assert_eq!((replayed.status, replayed.stdout.as_str()), (Some(0), "a,n\n2,\n"), "{}", replayed.stderr);
    assert_eq!(lab.letters().len(), 1, "the broken one, again");
}

#[test]
fn letters_that_arrived_are_not_replayed_again_when_others_fail() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let script = |number: &str, on_error: &str| {
        table("t", "a INT, s STRING", "in.json", "json", &[("on-error", on_error)])
            + &table("x", "s STRING", "x", "json", &[])
            + &table("y", "s INT", "y", "json", &[])
            + &format!(
                "EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT CAST({number} AS STRING) FROM t;
                 INSERT INTO y SELECT 6 / (a - 3) + {number} FROM t; END;"
            )
    };
    // `two` fails for both, one letter each; `3` fails for y only, `broken` is nobody's.
    lab.run(&script("CAST(s AS INT)", "dead-letter"));
    let sinks: Vec<_> = lab.letters().into_iter().map(|letter| letter.sinks.join(",")).collect();
    assert_eq!(sinks, ["x,y", "x", "y", "y"]);

    // Letters for x arrive; then the broken one stops the replay.
    let replay =
        |script: &str| lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--json", "-e", script]).unwrap();
    let failed = replay(&script("TRY_CAST(s AS INT)", "fail"));
    assert_eq!(failed.status, Some(1), "{}", failed.stderr);
    assert_eq!(lab.lines("x").len(), 3);
    let sinks: Vec<_> = lab.letters().into_iter().map(|letter| letter.sinks.join(",")).collect();
    assert_eq!(sinks, ["x,y", "y", "y"]);

    let again = replay(&script("TRY_CAST(s AS INT)", "skip"));
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    assert_eq!(lab.lines("x").len(), 3);
    assert!(lab.letters().is_empty());
}

#[test]
fn a_replay_adds_to_what_an_overwrite_wrote() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let script = |number: &str| {
        "SET 'execution.runtime-mode' = 'batch';\n".to_string()
            + &table("t", "a INT, s STRING", "in.json", "json", &[])
            + &table("out", "a INT, s INT", "out", "json", &[])
            + &format!("INSERT OVERWRITE out SELECT a, {number} FROM t")
    };
    lab.run(&script("CAST(s AS INT)"));
    assert_eq!(lab.lines("out").len(), 2);
    let outcome =
        lab.flott.run(["dlq", "replay", "flott-dlq/flott", "-e", &script("TRY_CAST(s AS INT)")]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(lab.lines("out").len(), 3, "the rows that came before are still there");
}

#[test]
fn damaged_letters_and_missing_directories_say_so() {
    let lab = Lab::new();
    for command in ["list", "show"] {
        let outcome = lab.flott.run(["dlq", command, "nowhere"]).unwrap();
        assert_eq!(outcome.status, Some(1));
        assert!(
            outcome.stderr.contains("FLT-2006") && outcome.stderr.contains("nowhere"),
            "{}",
            outcome.stderr
        );
    }
    lab.write("letters/run.ndjson", "{\"time\":\"");
    let outcome = lab.flott.run(["dlq", "show", "letters"]).unwrap();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("line 1"), "{}", outcome.stderr);
}

#[test]
fn late_rows_stay_in_the_queue() {
    let lab = Lab::new();
    let row = |second: u32| format!("{{\"a\":{second},\"ts\":\"2026-01-01 10:00:{second:02}\"}}\n");
    lab.write("in.json", row(1) + &row(33) + &row(2) + "broken\n" + &row(34));
    let script = |number: &str| {
        let options = [("late-rows", "dead-letter"), ("scan.watermark.emit.strategy", "on-event")];
        table("t", "a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts", "in.json", "json", &options)
            + &table("out", "a INT, w TIMESTAMP(3)", "out", "json", &[])
            + &format!(
                "INSERT INTO out SELECT MAX({number}), window_start
                 FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                 GROUP BY window_start, window_end"
            )
    };
    let summary = lab.run(&script("36 / (34 - a)"));
    assert_eq!(summary["dlq"], 3, "one late, one broken, one divided by zero");
    let results = lab.lines("out");

    let replay = || {
        let arguments = ["dlq", "replay", "flott-dlq/flott", "--json", "-e", &script("a")];
        let outcome = lab.flott.run(arguments).unwrap();
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let told = outcome.stderr.contains("1 late row (FLT-2008) stays in flott-dlq/flott");
        assert!(told, "{}", outcome.stderr);
    };
    replay();
    assert_eq!(lab.lines("out").len(), results.len() + 1, "the window of the row that failed, alone");
    let codes: Vec<_> = lab.letters().into_iter().map(|letter| letter.code).collect();
    assert_eq!(codes, ["FLT-2008", "FLT-2004"], "the broken one again");

    replay();
    assert_eq!(lab.letters().len(), 2);
    assert_eq!(lab.lines("out").len(), results.len() + 1);
}

#[test]
fn rows_without_a_time_come_back_to_the_window_alone_with_their_records() {
    let lab = Lab::new();
    lab.write(
        "in.json",
        "{\"oid\":1,\"t\":1795464000000}\n{\"oid\":7,\"t\":-62135596800001}\n{\"oid\":8,\"t\":\"soon\"}\n",
    );
    let script = |time: &str| {
        let columns = format!("oid BIGINT, t BIGINT, ts AS {time}, WATERMARK FOR ts AS ts");
        table("ord", &columns, "in.json", "json", &[])
            + &table("o", "oid BIGINT", "o", "json", &[])
            + &table("w", "s TIMESTAMP(3), n BIGINT", "w", "json", &[])
            + "EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT oid FROM ord;
               INSERT INTO w SELECT window_start, COUNT(*)
               FROM TABLE(TUMBLE(TABLE ord, DESCRIPTOR(ts), INTERVAL '10' SECOND))
               GROUP BY window_start, window_end; END;"
    };
    let summary = lab.run(&script("TO_TIMESTAMP_LTZ(t, 3)"));
    check_sums(&summary);
    assert_eq!((&summary["dlq"], lab.lines("o").len()), (&2.into(), 2));
    let letters = lab.letters();
    let told: Vec<_> = letters.iter().map(|it| (it.code.as_str(), it.sinks.join(","))).collect();
    assert_eq!(told, [("FLT-2005", "w".to_string()), ("FLT-2004", "o,w".to_string())]);
    let untimed = &letters[0];
    assert_eq!(untimed.text.as_deref(), Some("{\"oid\":7,\"t\":-62135596800001}"));
    assert!(untimed.split.ends_with("in.json") && untimed.offset > 0, "{}", untimed.split);

    let mended = script("TO_TIMESTAMP_LTZ(GREATEST(t, 0), 3)");
    let outcome = lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--json", "-e", &mended]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(lab.lines("o").len(), 2, "it isn't written again where it was written before");
    assert_eq!(lab.lines("w").len(), 2, "its window");
    assert_eq!(lab.letters().len(), 1, "the broken one, again");
}

#[test]
fn what_an_operator_made_is_no_record_and_stays() {
    let lab = Lab::new();
    lab.write(
        "in.json",
        "{\"ts\":\"2026-01-01 10:00:00\"}\n{\"ts\":\"2026-01-01 10:01:00\",\"x\":1}\nbroken\n",
    );
    let script = table("t", "x INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts", "in.json", "json", &[])
        + &table("out", "w TIMESTAMP(3), x INT NOT NULL", "out", "json", &[])
        + "INSERT INTO out SELECT window_start, MAX(x)
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end";
    assert_eq!(lab.run(&script)["dlq"], 2);
    let letters = lab.letters();
    let made = letters.iter().find(|it| it.source == "window aggregate").unwrap();
    assert_eq!((made.code.as_str(), made.sinks.join(",")), ("FLT-2005", "out".into()));

    let replay = || lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--json", "-e", &script]).unwrap();
    let outcome = replay();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let told = "1 dead letter for 'out' comes from an operator ('window aggregate') and not from a record, can't be \
                replayed, and stays in flott-dlq/flott";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("mend the query (COALESCE"), "{}", outcome.stderr);
    assert_eq!((lab.letters().len(), lab.lines("out").len()), (2, 1), "and the broken one, again");
}

#[test]
fn a_record_that_both_sides_of_a_join_missed_is_read_once() {
    let lab = Lab::new();
    lab.write("in.json", "{\"k\":1,\"s\":null}\n{\"k\":2,\"s\":\"2026-01-01 00:00:00\"}\n");
    let script = |time: &str| {
        let time = format!("k INT, s STRING, ts AS {time}, WATERMARK FOR ts AS ts");
        table("t", &time, "in.json", "json", &[])
            + &table("o", "k INT", "o", "json", &[])
            + "INSERT INTO o SELECT a.k FROM t a JOIN t b ON a.k = b.k
               AND a.ts BETWEEN b.ts - INTERVAL '1' SECOND AND b.ts + INTERVAL '1' SECOND"
    };
    assert_eq!(lab.run(&script("CAST(s AS TIMESTAMP(3))"))["dlq"], 2, "one of each side");
    let fixed = script("COALESCE(CAST(s AS TIMESTAMP(3)), TIMESTAMP '2026-01-02 00:00:00')");
    let outcome = lab.flott.run(["dlq", "replay", "flott-dlq/flott", "--json", "-e", &fixed]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!((lab.lines("o"), lab.letters().len()), (vec![r#"{"k":1}"#.into(), r#"{"k":2}"#.into()], 0));
}

#[test]
fn each_select_misses_its_own_rows() {
    let lab = Lab::new();
    lab.write("in.json", INPUT);
    let script = |number: &str| {
        table("t", "a INT, s STRING", "in.json", "json", &[])
            + &format!("SELECT a FROM t WHERE a > 1; SELECT a, {number} AS n FROM t;")
    };
    lab.query(&script("CAST(s AS INT)"));
    let sinks: Vec<_> = lab.letters().into_iter().map(|letter| letter.sinks.join(",")).collect();
    assert_eq!(sinks, ["result", "result#2", "result#2"]);
    let fixed = script("TRY_CAST(s AS INT)");
    let arguments = ["dlq", "replay", "flott-dlq/flott", "--quiet", "--output", "csv", "-e", &fixed];
    let outcome = lab.flott.run(arguments).unwrap();
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(0), "a\na,n\n2,\n"), "{}", outcome.stderr);
}
