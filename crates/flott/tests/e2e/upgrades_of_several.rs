//! Scripts over several tables whose columns have the same names: what is one table's stays that table's, over a
//! restart and over a change.

use std::fs;

use serde_json::Value;

use crate::{
    support::Lab,
    upgrades::{HALF, SETTINGS, play, rows, rows_of, upgrade},
};

const TABLES: [&str; 3] = ["x", "y", "z"];

/// Three tables of the same columns, each with rows of its own, and a sink.
fn over_three(sink: &str, rest: &str) -> String {
    let mut script = SETTINGS.to_string();
    for table in TABLES {
        script += &format!(
            "CREATE TABLE {table} (id BIGINT, k STRING, j STRING, a INT, b BIGINT, `at` BIGINT) WITH
             ('connector' = 'filesystem', 'path' = '{table}', 'format' = 'json', 'source.monitor-interval' = '10 ms');\n"
        );
    }
    script += &format!(
        "CREATE TABLE s ({sink}) WITH ('connector' = 'filesystem', 'path' = 's', 'format' = 'changelog-json');\n"
    );
    script + rest
}

fn feed(lab: &Lab, half: usize) {
    for (at, table) in TABLES.into_iter().enumerate() {
        let text = rows(half).replace("\"b\":", &format!("\"b\":{}", at + 1));
        lab.write(&format!("{table}/{half}.json"), text);
    }
}

/// Half of all rows, what becomes of the script, the other half: as if all had come at once.
fn goes_on(before: &str, after: &str) {
    let (lab, anew) = (Lab::new(), Lab::new());
    feed(&lab, 0);
    play(&lab, before, HALF, &[]);
    let (code, said) = upgrade(&lab, after);
    let all = said["verdicts"].as_array().unwrap();
    assert!(code == Some(0) && all.iter().all(|it| it["verdict"] == "kept"), "{said:#}");
    feed(&lab, 1);
    play(&lab, after, 2 * HALF, &[]);
    (0..2).for_each(|half| feed(&anew, half));
    play(&anew, after, 2 * HALF, &[]);
    let (ours, theirs) = (rows_of(&lab, "s", &[]), rows_of(&anew, "s", &[]));
    assert!(!theirs.is_empty());
    assert_eq!(ours, theirs, "{after}");
}

/// What is said of a changed script; it needs leave.
fn is_refused(before: &str, after: &str, words: &str) {
    let lab = Lab::new();
    feed(&lab, 0);
    play(&lab, before, HALF, &[]);
    let (code, said) = upgrade(&lab, after);
    assert_eq!(code, Some(1), "{said:#}");
    assert!(said["verdicts"].to_string().contains(words), "{said:#}");
    // Who can't go on claims nothing.
    let claims = || fs::read_dir(lab.path("ckpt/job/sequence")).unwrap().count();
    let there = claims();
    let refused = lab.flott.run(["run", "--take-over", "script.sql"]).unwrap();
    assert!(refused.status == Some(1) && refused.stderr.contains("FLT-2105"), "{}", refused.stderr);
    assert_eq!(claims(), there);
}

const PAIRS: &str = "l BIGINT, r BIGINT, lb BIGINT, rb BIGINT";

#[test]
fn a_restart_keeps_columns_of_equal_names_apart() {
    let three = over_three(
        "i BIGINT, xb BIGINT, yb BIGINT, zb BIGINT",
        "INSERT INTO s SELECT x.id, x.b, y.b, z.b FROM x JOIN y ON x.id = y.id JOIN z ON x.id = z.id;",
    );
    goes_on(&three, &three);
    let sets = over_three(
        "k STRING, m BIGINT, n BIGINT, o BIGINT, p BIGINT",
        "INSERT INTO s SELECT x.k, COUNT(DISTINCT x.b), COUNT(DISTINCT y.b), SUM(x.b), SUM(y.b)
         FROM x JOIN y ON x.id = y.id GROUP BY x.k;",
    );
    goes_on(&sets, &sets);
    let one_itself = over_three(
        PAIRS,
        "INSERT INTO s SELECT l.id, r.id, l.b, r.b FROM x AS l LEFT JOIN x AS r ON l.a = r.a + 37;",
    );
    goes_on(&one_itself, &one_itself);
}

#[test]
fn a_column_of_the_other_table_is_another() {
    let by = |side: &str| {
        over_three(
            "k BIGINT, n BIGINT",
            &format!(
                "INSERT INTO s SELECT {side}.b, SUM({side}.a) FROM x JOIN y ON x.id = y.id GROUP BY {side}.b;"
            ),
        )
    };
    is_refused(&by("x"), &by("y"), "keys: was 'x.b BIGINT', is 'y.b BIGINT'");
}

#[test]
fn branches_of_a_union_may_change_places_and_not_their_columns() {
    let union = |first: &str, second: &str| {
        over_three(
            "k STRING, n BIGINT",
            &format!("INSERT INTO s SELECT k, COUNT(*) FROM ({first} UNION ALL {second}) GROUP BY k;"),
        )
    };
    let (x, y) = ("SELECT k FROM x WHERE a > 5", "SELECT j AS k FROM y");
    goes_on(&union(x, y), &union(y, "SELECT k FROM x WHERE a > 5"));
    is_refused(&union(x, y), &union("SELECT j AS k FROM x WHERE a > 5", y), "keys: was");
    is_refused(&union(x, y), &union("SELECT k FROM x WHERE a > 6", y), "input: was");
}

#[test]
fn scans_of_one_table_are_told_apart_by_what_they_are() {
    let plain = "INSERT INTO s SELECT id FROM x;";
    let hinted = "INSERT INTO o SELECT id FROM x /*+ OPTIONS('source.monitor-interval' = '11 ms') */;";
    let both = |first: &str, second: &str| {
        let sink = "CREATE TABLE o (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'o', 'format' = 'json');\n";
        over_three("id BIGINT", &format!("{sink}EXECUTE STATEMENT SET BEGIN {first} {second} END;"))
    };
    goes_on(&both(plain, hinted), &both(hinted, plain));
    let lab = Lab::new();
    feed(&lab, 0);
    play(&lab, &both(plain, hinted), HALF, &[]);
    // The one that is left goes on where it stood, not where the other did.
    let (_, said) = upgrade(&lab, &both("", plain));
    let gone = |it: &&Value| it["verdict"] == "dropped" && it["name"].as_str().unwrap().starts_with("x#");
    assert!(said["verdicts"].as_array().unwrap().iter().any(|it| gone(&it)), "{said:#}");
}

#[test]
fn a_directory_of_another_job_is_not_taken_for_this_one() {
    let lab = Lab::new();
    feed(&lab, 0);
    let script = over_three("id BIGINT", "INSERT INTO s SELECT id FROM x;");
    play(&lab, &script, HALF, &[]);
    lab.write("script.sql", script.replace("'pipeline.name' = 'job'", "'pipeline.name' = 'new'"));
    let none = lab.flott.run(["upgrade", "ckpt", "script.sql"]).unwrap();
    let names = none.stderr.contains("'new'") && none.stderr.contains("'job'");
    assert!(none.status == Some(1) && names && none.stderr.contains("--resume PATH"), "{}", none.stderr);
    let named = lab.flott.run(["upgrade", "ckpt/job", "script.sql"]).unwrap();
    assert_eq!(named.status, Some(0), "{}", named.stderr);
}
