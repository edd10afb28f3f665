//! A script is changed while its job is stopped: what `flott upgrade` says, what `flott run` refuses, and that
//! what is kept goes on as if nothing had happened.
//!
//! ```text
//!   old script  ─► rows 0 … 29 ─► stop ─┐
//!                                       ├─ flott upgrade ─► verdicts
//!   new script  ────────────────────────┴─► rows 30 … 59 ─► stop ─► rows of its sink
//!   new script, from the start  ─► rows 0 … 59 ─► stop ─► the same rows
//! ```

use std::{collections::BTreeMap, fmt::Write as _, fs};

use flott_testkit::Outcome;
use serde_json::Value;

use crate::support::{Lab, check_sums, visible_files, wait_until};

pub const SETTINGS: &str = "SET 'pipeline.name' = 'job';
    SET 'execution.checkpointing.dir' = 'ckpt';
    SET 'execution.checkpointing.interval' = '20 ms';
    SET 'table.local-time-zone' = 'UTC';
    SET 'parallelism.default' = '1';\n";

/// A table of files that come one after the other.
fn source(name: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}, ts AS TO_TIMESTAMP_LTZ(`at`, 3), WATERMARK FOR ts AS ts) WITH
         ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json', 'source.monitor-interval' = '10 ms');\n"
    )
}

const COLUMNS: &str = "id BIGINT, k STRING, j STRING, a INT, b BIGINT, `at` BIGINT";

/// A table of changes.
fn sink(name: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH
         ('connector' = 'filesystem', 'path' = '{name}', 'format' = 'changelog-json');\n"
    )
}

/// A script over the table t.
fn over_t(columns: &str, rest: &str) -> String {
    SETTINGS.to_string() + &source("t", COLUMNS) + &sink("s", columns) + rest
}

/// Rows of the table, as many as half of all.
pub fn rows(half: usize) -> String {
    let mut text = String::new();
    for id in half * HALF..(half + 1) * HALF {
        let (k, j, a) = (["a", "b", "c"][id % 3], ["x", "y"][id / 3 % 2], id * 37 % 101);
        writeln!(text, r#"{{"id":{id},"k":"{k}","j":"{j}","a":{a},"b":{},"at":{}}}"#, a % 5, id * 1000)
            .unwrap();
    }
    text
}

pub const HALF: usize = 30;

/// The newest checkpoint.
fn newest(lab: &Lab) -> Option<Value> {
    let mut names: Vec<_> =
        fs::read_dir(lab.path("ckpt/job/sequence")).ok()?.flatten().map(|it| it.path()).collect();
    names.retain(|path| path.extension().is_none());
    names.sort();
    let objects = names.iter().rev().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        serde_json::from_str::<Value>(text.lines().next()?).ok()
    });
    objects.into_iter().find(|it| it["kind"] == "manifest")
}

/// Runs a script until a checkpoint has so many rows of each of its sources, and stops it; its summary.
pub fn play(lab: &Lab, script: &str, rows: usize, arguments: &[&str]) -> Value {
    lab.write("script.sql", script);
    let arguments = ["run", "--json"].iter().chain(arguments).chain(&["script.sql"]);
    let mut child = lab.flott.command(arguments).spawn().unwrap();
    wait_until("rows in a checkpoint", || {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        let counts = newest(lab).map(|it| it["counters"]["counts"]["sources"].clone());
        let counts: Vec<Value> = counts.and_then(|it| it.as_array().cloned()).unwrap_or_default();
        !counts.is_empty() && counts.iter().all(|it| it[0].as_u64() >= Some(rows as u64))
    });
    std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    let summary = crate::support::summary_of(&outcome);
    check_sums(&summary);
    summary
}

/// The rows of a table of changes; of rows with the same key the last one. No key: how often each is there.
pub fn rows_of(lab: &Lab, table: &str, key: &[&str]) -> BTreeMap<String, String> {
    let (mut rows, mut counts) = (BTreeMap::new(), BTreeMap::<String, i64>::new());
    // In order of their names, as a table of them is read: a change of the script must not turn it round.
    for file in visible_files(&lab.path(table)) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let (op, row) = (change["op"].as_str().unwrap(), &change["data"]);
            let name = key.iter().map(|it| row[it].to_string()).collect::<Vec<_>>().join(" ");
            match op {
                _ if key.is_empty() => {
                    *counts.entry(row.to_string()).or_default() += if op.starts_with('+') { 1 } else { -1 }
                }
                "-U" => {}
                "-D" => drop(rows.remove(&name)),
                _ => drop(rows.insert(name, row.to_string())),
            }
        }
    }
    counts.retain(|_, count| *count != 0);
    rows.extend(counts.into_iter().map(|(row, count)| (row, count.to_string())));
    rows
}

/// `flott upgrade`, as JSON.
pub fn upgrade(lab: &Lab, script: &str) -> (Option<i32>, Value) {
    lab.write("script.sql", script);
    let outcome = lab.flott.run(["upgrade", "ckpt", "script.sql", "--json"]).unwrap();
    let json = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}", outcome.stderr));
    (outcome.status, json)
}

/// What becomes of the rows of the sink.
enum Then {
    /// They are those of a run that nothing happened to; of rows with this key the last one.
    Same(&'static [&'static str]),
    /// They are these, by this key.
    Are(&'static [&'static str], &'static [&'static str]),
    /// So many are left: their columns aren't those that they had.
    Count(i64),
    /// The run is refused unless it may drop what fits nowhere.
    Refused,
}

/// A change of a script: what is said of it, and what comes of it. Each verdict is named by the beginning of its
/// id, and holds these words.
struct Edit {
    name: &'static str,
    before: String,
    after: String,
    verdicts: &'static [(&'static str, &'static str, &'static str)],
    then: Then,
}

impl Edit {
    fn check(&self) {
        let lab = Lab::new();
        lab.write("in/1.json", rows(0));
        play(&lab, &self.before, HALF, &[]);
        let (code, said) = upgrade(&lab, &self.after);
        let context = format!("{}: {said:#}", self.name);
        for (id, fate, words) in self.verdicts {
            let all = said["verdicts"].as_array().unwrap();
            let found = all.iter().any(|it| {
                it["id"].as_str().unwrap().starts_with(id)
                    && it["verdict"] == *fate
                    && it["reasons"].to_string().contains(words)
            });
            assert!(found, "no '{id}' is '{fate}' for '{words}': {context}");
        }
        let lost: Vec<&str> =
            said["lost"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let refused = matches!(self.then, Then::Refused);
        // A column that is forgotten needs leave too.
        let forgets = said["verdicts"].to_string().contains("forgets ");
        assert_eq!(code, Some(i32::from(refused || forgets)), "{context}");
        let leave: Vec<&str> = lost.iter().flat_map(|id| ["--allow-drop", id]).collect();
        lab.write("in/2.json", rows(1));
        match self.then {
            Then::Refused => self.refused(&lab, &context),
            Then::Same(key) => {
                play(&lab, &self.after, 2 * HALF, &leave);
                let anew = Lab::new();
                anew.write("in/1.json", rows(0));
                anew.write("in/2.json", rows(1));
                play(&anew, &self.after, 2 * HALF, &[]);
                let (ours, theirs) = (rows_of(&lab, "s", key), rows_of(&anew, "s", key));
                assert!(!theirs.is_empty(), "{context}");
                assert_eq!(ours, theirs, "{context}");
                self.settled(&lab);
            }
            Then::Count(expected) => {
                play(&lab, &self.after, 2 * HALF, &leave);
                let rows = rows_of(&lab, "s", &[]);
                let count: i64 = rows.values().map(|count| count.parse::<i64>().unwrap()).sum();
                assert_eq!(count, expected, "{rows:?} {context}");
                self.settled(&lab);
            }
            Then::Are(key, expected) => {
                play(&lab, &self.after, 2 * HALF, &leave);
                let rows: Vec<String> = rows_of(&lab, "s", key).into_values().collect();
                assert_eq!(rows, expected, "{context}");
                self.settled(&lab);
            }
        }
    }

    /// A checkpoint of the changed script is as the script is.
    fn settled(&self, lab: &Lab) {
        let (code, said) = upgrade(lab, &self.after);
        let verdicts = said["verdicts"].as_array().unwrap();
        let kept = verdicts.iter().all(|it| it["verdict"] == "kept" && it["was"].is_null());
        assert!(code == Some(0) && kept, "{}: {said:#}", self.name);
    }

    fn refused(&self, lab: &Lab, context: &str) {
        let outcome = lab.flott.run(["run", "--json", "script.sql"]).unwrap();
        assert_eq!(outcome.status, Some(1), "{context}");
        assert!(outcome.stderr.contains("FLT-2105"), "{context}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains("--allow-drop"), "{context}\n{}", outcome.stderr);
        // What stands in no middle is read from its start.
        let (_, said) = upgrade(lab, &self.after);
        let lost: Vec<String> =
            said["lost"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_string()).collect();
        let mut arguments = Vec::new();
        lost.iter().for_each(|id| arguments.extend(["--allow-drop", id.as_str()]));
        play(lab, &self.after, 2 * HALF, &arguments);
        self.settled(lab);
    }
}

fn edit(
    name: &'static str,
    [before, after]: [String; 2],
    verdicts: &'static [(&'static str, &'static str, &'static str)],
    then: Then,
) -> Edit {
    Edit { name, before, after, verdicts, then }
}

const N: &str = "k STRING, n BIGINT";
const COUNT: &str = "INSERT INTO s SELECT k, COUNT(*) FROM t GROUP BY k;\n";
const COUNT_KEPT: (&str, &str, &str) = ("group-aggregate", "kept", "");

#[test]
fn what_does_not_change_an_operator_keeps_it() {
    let other = sink("o", "id BIGINT");
    let view = |name: &str| format!("CREATE VIEW {name} AS SELECT k, COUNT(*) AS n FROM t GROUP BY k;\n");
    let pass = "INSERT INTO o SELECT id FROM t WHERE a > 50;\n";
    let set = |first: &str, second: &str| format!("EXECUTE STATEMENT SET BEGIN {first} {second} END;\n");
    let wider =
        SETTINGS.to_string() + &source("t", &format!("more STRING, {COLUMNS}")) + &sink("s", N) + COUNT;
    let from_view = |view_name: &str, rest: &str| over_t(N, &(view(view_name) + rest));
    let edits = [
        edit(
            "statements in another order",
            [
                over_t(N, &(other.clone() + &set(COUNT, pass))),
                over_t(N, &(other.clone() + &set(pass, COUNT))),
            ],
            &[COUNT_KEPT, ("source:t", "kept", "goes on behind 30 rows"), ("sink:o", "kept", "")],
            Then::Same(&["k"]),
        ),
        edit(
            "a view of another name",
            [
                from_view("v", "INSERT INTO s SELECT * FROM v;"),
                from_view("w", "INSERT INTO s SELECT * FROM w;"),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "a filter behind",
            [
                from_view("v", "INSERT INTO s SELECT * FROM v;"),
                from_view("v", "INSERT INTO s SELECT * FROM v WHERE n > 2;"),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "HAVING",
            [
                over_t(N, COUNT),
                over_t(N, "INSERT INTO s SELECT k, COUNT(*) FROM t GROUP BY k HAVING COUNT(*) > 3;"),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "another sink of the same rows",
            [
                from_view("v", "INSERT INTO s SELECT * FROM v;"),
                from_view(
                    "v",
                    &(sink("o", N)
                        + &set("INSERT INTO o SELECT * FROM v;", "INSERT INTO s SELECT * FROM v;")),
                ),
            ],
            &[COUNT_KEPT, ("sink:o", "rebuilt", "from rows of 't' behind 30 rows on")],
            Then::Same(&["k"]),
        ),
        edit(
            "another query over the table",
            [
                over_t(N, COUNT),
                over_t(
                    N,
                    &(sink("o", "j STRING, m INT")
                        + &set("INSERT INTO o SELECT j, MAX(a) FROM t GROUP BY j;", COUNT)),
                ),
            ],
            &[COUNT_KEPT, ("group-aggregate", "rebuilt", "from rows of 't' behind 30 rows on")],
            Then::Same(&["k"]),
        ),
        edit(
            "another query, where the table filtered for one alone",
            [
                over_t(N, "INSERT INTO s SELECT k, COUNT(*) FROM t WHERE a > 10 GROUP BY k;"),
                over_t(
                    N,
                    &(other.clone()
                        + &set("INSERT INTO s SELECT k, COUNT(*) FROM t WHERE a > 10 GROUP BY k;", pass)),
                ),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit("a column that nobody reads", [over_t(N, COUNT), wider], &[COUNT_KEPT], Then::Same(&["k"])),
        edit(
            "columns of other names, in another order",
            [
                over_t(N, COUNT),
                over_t(
                    "n BIGINT, k STRING",
                    "INSERT INTO s SELECT COUNT(*) AS c, k AS key1 FROM t AS tt GROUP BY k;",
                ),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "a sink that is no more",
            [over_t(N, &(other.clone() + &set(COUNT, pass))), over_t(N, &(other.clone() + COUNT))],
            &[COUNT_KEPT, ("sink:o", "dropped", "what it wrote stays")],
            Then::Same(&["k"]),
        ),
        edit(
            "parallelism",
            [
                over_t(N, COUNT),
                over_t(N, COUNT).replace("'parallelism.default' = '1'", "'parallelism.default' = '2'"),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "mini-batches",
            [
                over_t(N, COUNT),
                "SET 'table.exec.mini-batch.enabled' = 'false';\n".to_string() + &over_t(N, COUNT),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn aggregates_come_and_go() {
    let query = |calls: &str| format!("INSERT INTO s SELECT k, {calls} FROM t GROUP BY k;");
    let [n, nm, m] = [N, "k STRING, n BIGINT, m BIGINT", "k STRING, m BIGINT"];
    let window = |calls: &str| {
        format!(
            "INSERT INTO s SELECT k, {calls} FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '25' SECOND))
             GROUP BY k, window_start, window_end;"
        )
    };
    let edits = [
        edit(
            "an aggregate is added",
            [
                over_t(n, &query("COUNT(*)")),
                over_t(
                    nm,
                    &query("SUM(b), COUNT(*)")
                        .replace("SELECT k, SUM(b), COUNT(*)", "SELECT k, COUNT(*), SUM(b)"),
                ),
            ],
            &[("group-aggregate", "migrated", "SUM(b) begins with the rows from here on")],
            Then::Are(
                &["k"],
                &[r#"{"k":"a","m":36,"n":20}"#, r#"{"k":"b","m":7,"n":20}"#, r#"{"k":"c","m":23,"n":20}"#],
            ),
        ),
        edit(
            "an aggregate is removed",
            [over_t(nm, &query("COUNT(*), SUM(b)")), over_t(m, &query("SUM(b)"))],
            &[("group-aggregate", "migrated", "forgets COUNT(*)")],
            Then::Same(&["k"]),
        ),
        edit(
            "aggregates in another order",
            [
                over_t(nm, &query("COUNT(*), SUM(b)")),
                over_t("k STRING, m BIGINT, n BIGINT", &query("SUM(b), COUNT(*)")),
            ],
            &[COUNT_KEPT],
            Then::Same(&["k"]),
        ),
        edit(
            "a set of values is added",
            [over_t(n, &query("COUNT(*)")), over_t(nm, &query("COUNT(*), COUNT(DISTINCT b)"))],
            &[("group-aggregate", "migrated", "COUNT(DISTINCT b) begins with the rows from here on")],
            Then::Are(
                &["k"],
                &[r#"{"k":"a","m":2,"n":20}"#, r#"{"k":"b","m":2,"n":20}"#, r#"{"k":"c","m":2,"n":20}"#],
            ),
        ),
        edit(
            "a set of values goes on beside another and another filter",
            [
                over_t(m, &query("COUNT(DISTINCT a)")),
                over_t(
                    "k STRING, f BIGINT, o BIGINT, m BIGINT",
                    &query("COUNT(DISTINCT a) FILTER (WHERE j = 'x'), COUNT(DISTINCT b), COUNT(DISTINCT a)"),
                ),
            ],
            &[("group-aggregate", "migrated", "begins with the rows from here on")],
            Then::Are(
                &["k"],
                &[
                    r#"{"f":5,"k":"a","m":20,"o":2}"#,
                    r#"{"f":5,"k":"b","m":20,"o":2}"#,
                    r#"{"f":5,"k":"c","m":20,"o":2}"#,
                ],
            ),
        ),
        edit(
            "of two filters of a set one is left",
            [
                over_t(nm, &query("COUNT(DISTINCT b) FILTER (WHERE j = 'x'), COUNT(DISTINCT b)")),
                over_t(n, &query("COUNT(DISTINCT b) FILTER (WHERE j = 'x')")),
            ],
            &[("group-aggregate", "migrated", "forgets COUNT(DISTINCT b)")],
            Then::Same(&["k"]),
        ),
        edit(
            "an aggregate of open windows is added",
            [over_t(n, &window("COUNT(*)")), over_t(nm, &window("COUNT(*), MAX(b)"))],
            &[("window-aggregate", "migrated", "MAX(b) begins with the rows from here on")],
            Then::Count(6),
        ),
        edit(
            "an aggregate of open windows is removed",
            [over_t(nm, &window("COUNT(DISTINCT b), SUM(b)")), over_t(m, &window("SUM(b)"))],
            &[("window-aggregate", "migrated", "forgets COUNT(DISTINCT b)")],
            Then::Count(6),
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn times_to_live_come_and_go() {
    let ttl = |ttl: &str, sql: String| format!("SET 'table.exec.state.ttl' = '{ttl}';\n{sql}");
    let join = over_t(
        "l BIGINT, r BIGINT",
        "INSERT INTO s SELECT x.id, y.id FROM t AS x JOIN t AS y ON x.a = y.a + 37;",
    );
    let top = over_t(
        "k STRING, id BIGINT, a INT",
        "INSERT INTO s SELECT k, id, a FROM
         (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY a DESC) AS n FROM t) WHERE n <= 2;",
    );
    let edits = [
        edit(
            "a time to live",
            [over_t(N, COUNT), ttl("1 h", over_t(N, COUNT))],
            &[("group-aggregate", "migrated", "time to live begins")],
            Then::Same(&["k"]),
        ),
        edit(
            "no time to live",
            [ttl("1 h", over_t(N, COUNT)), over_t(N, COUNT)],
            &[("group-aggregate", "migrated", "no time to live")],
            Then::Same(&["k"]),
        ),
        edit(
            "another time to live",
            [ttl("1 h", over_t(N, COUNT)), ttl("2 h", over_t(N, COUNT))],
            &[("group-aggregate", "kept", "2 h")],
            Then::Same(&["k"]),
        ),
        edit(
            "a time to live of a join",
            [join.clone(), ttl("1 h", join)],
            &[("regular-join", "migrated", "time to live begins")],
            Then::Same(&[]),
        ),
        edit(
            "no time to live of ranks",
            [ttl("1 h", top.clone()), top],
            &[("top-N", "migrated", "no time to live")],
            Then::Same(&[]),
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn ranks_and_rows_change() {
    let top = |columns: &str, n: u32| {
        let inner = "(SELECT k, id, a, b, ROW_NUMBER() OVER (PARTITION BY k ORDER BY a DESC) AS n FROM t)";
        let types: Vec<String> = columns.split(", ").map(|it| format!("{it} STRING")).collect();
        let casts: Vec<String> = columns.split(", ").map(|it| format!("CAST({it} AS STRING)")).collect();
        over_t(
            &types.join(", "),
            &format!("INSERT INTO s SELECT {} FROM {inner} WHERE n <= {n};", casts.join(", ")),
        )
    };
    let busy = |n: u32| {
        let groups = "(SELECT j, b, COUNT(*) AS n FROM t GROUP BY j, b)";
        over_t(
            "j STRING, b BIGINT, n BIGINT",
            &format!(
                "INSERT INTO s SELECT j, b, n FROM
                 (SELECT *, ROW_NUMBER() OVER (ORDER BY n DESC, j, b) AS r FROM {groups}) WHERE r <= {n};"
            ),
        )
    };
    let edits = [
        edit(
            "fewer ranks",
            [top("k, id, a", 4), top("k, id, a", 2)],
            &[("top-N", "migrated", "last rank was 4, is 2: rows beyond 2 are taken back")],
            Then::Same(&[]),
        ),
        edit(
            "a single rank",
            [top("k, id, a", 3), top("k, id, a", 1)],
            &[("top-N", "migrated", "last rank was 3, is 1")],
            Then::Same(&[]),
        ),
        edit(
            "more ranks",
            [top("k, id", 2), top("k, id", 50)],
            &[("top-N", "migrated", "rows beyond 2 begin with those from here on")],
            Then::Count(36),
        ),
        edit(
            "fewer ranks of rows that change",
            [busy(6), busy(3)],
            &[("top-N", "migrated", "taken back")],
            Then::Same(&[]),
        ),
        edit(
            "more ranks of rows that change",
            [busy(3), busy(6)],
            &[("top-N", "migrated", "was 3, is 6")],
            Then::Same(&[]),
        ),
        edit(
            "a column less",
            [top("k, a, b, id", 2), top("k, id, a", 2)],
            &[("top-N", "migrated", "forgets b BIGINT of its rows")],
            Then::Count(6),
        ),
        edit(
            "a column more",
            [top("k, id, a", 2), top("k, id, a, b", 2)],
            &[("top-N", "rebuilt", ""), ("top-N", "dropped", "the rows that it keeps have no b BIGINT")],
            Then::Refused,
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn joins_change() {
    let join = |columns: &str, kind: &str, on: &str| {
        over_t(
            &columns.replace("x.id", "l BIGINT").replace("y.id", "r BIGINT").replace("y.b", "b BIGINT"),
            &format!(
                "INSERT INTO s SELECT {columns} FROM t AS x {kind} JOIN (SELECT * FROM t WHERE b > 0) AS y ON {on};"
            ),
        )
    };
    let on = "x.a = y.a + 37";
    let edits = [
        edit(
            "a column less",
            [join("x.id, y.id, y.b", "", on), join("x.id, y.id", "", on)],
            &[("regular-join", "migrated", "forgets b BIGINT")],
            Then::Count(28),
        ),
        edit(
            "a column less of an outer join",
            [join("x.id, y.id, y.b", "LEFT", on), join("x.id, y.b", "LEFT", on)],
            &[("regular-join", "migrated", "forgets id BIGINT")],
            Then::Count(60),
        ),
        edit(
            "a column more",
            [join("x.id, y.id", "", on), join("x.id, y.id, y.b", "", "x.a = y.a + 37")],
            &[("regular-join", "dropped", "")],
            Then::Refused,
        ),
        edit(
            "another kind",
            [join("x.id, y.id", "", on), join("x.id, y.id", "LEFT", on)],
            &[("regular-join", "dropped", "join: was 'inner', is 'left'")],
            Then::Refused,
        ),
        edit(
            "another condition",
            [join("x.id, y.id", "", on), join("x.id, y.id", "", "x.a = y.a + 36")],
            &[(
                "regular-join",
                "dropped",
                "keys: was 'left.a INT = right.(a + 37) INT', is 'left.a INT = right.(a + 36) INT'",
            )],
            Then::Refused,
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn what_means_another_thing_needs_leave() {
    let window = |seconds: u32| {
        over_t(
            N,
            &format!(
                "INSERT INTO s SELECT k, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '{seconds}' SECOND))
                 GROUP BY k, window_start, window_end;"
            ),
        )
    };
    let retype = |sql: String| sql.replace("a INT", "a BIGINT");
    let by_a =
        |a: &str| over_t(&format!("a {a}, n BIGINT"), "INSERT INTO s SELECT a, COUNT(*) FROM t GROUP BY a;");
    let renamed =
        SETTINGS.to_string() + &source("u", COLUMNS) + &sink("s", N) + &COUNT.replace("FROM t", "FROM u");
    let edits = [
        edit(
            "a key more",
            [
                over_t(N, COUNT),
                over_t(
                    "k STRING, j STRING, n BIGINT",
                    "INSERT INTO s SELECT k, j, COUNT(*) FROM t GROUP BY k, j;",
                ),
            ],
            &[
                ("group-aggregate", "rebuilt", "from rows of 't' behind 30 rows on"),
                ("group-aggregate", "dropped", "3 rows of state are lost"),
                ("group-aggregate", "dropped", "keys: was 'k STRING', is 'k STRING, j STRING'"),
            ],
            Then::Refused,
        ),
        edit(
            "a filter before",
            [over_t(N, COUNT), over_t(N, "INSERT INTO s SELECT k, COUNT(*) FROM t WHERE a > 10 GROUP BY k;")],
            &[("group-aggregate", "dropped", "input: was 'source:t'")],
            Then::Refused,
        ),
        edit(
            "windows of another length",
            [window(20), window(25)],
            &[("window-aggregate", "dropped", "window: was")],
            Then::Refused,
        ),
        edit(
            "a key of another type",
            [by_a("INT"), retype(by_a("BIGINT"))],
            &[("group-aggregate", "dropped", "keys: was 'a INT', is 'a BIGINT'")],
            Then::Refused,
        ),
        edit(
            "a table of another name",
            [over_t(N, COUNT), renamed],
            &[("source:t", "dropped", "call it 't' to go on"), ("source:u", "rebuilt", "from its start")],
            Then::Refused,
        ),
        edit(
            "a sink that is elsewhere",
            [over_t(N, COUNT), over_t(N, COUNT).replace("'path' = 's'", "'path' = 'elsewhere'")],
            &[("sink:s", "dropped", "those before stay at filesystem s"), COUNT_KEPT],
            Then::Refused,
        ),
    ];
    edits.iter().for_each(Edit::check);
}

#[test]
fn what_nobody_can_go_on_from_is_said_and_nothing_is_touched() {
    let lab = Lab::new();
    lab.write("in/1.json", rows(0));
    play(&lab, &over_t(N, COUNT), HALF, &[]);
    let other = "SET 'pipeline.max-parallelism' = '64';\n".to_string() + &over_t(N, COUNT);
    let (code, said) = upgrade(&lab, &other);
    assert_eq!(code, Some(1));
    assert!(said["refused"].as_str().unwrap().contains("has 128 key groups, the job has 64"), "{said}");
    // For people, with the id that explain prints.
    lab.write("script.sql", over_t(N, "INSERT INTO s SELECT j, COUNT(*) FROM t GROUP BY j;"));
    let text = lab.flott.run(["upgrade", "ckpt/job", "script.sql"]).unwrap();
    assert_eq!(text.status, Some(1), "{}", text.stderr);
    let explained = lab.flott.run(["explain", "script.sql"]).unwrap().stdout;
    let id = explained.lines().find_map(|line| line.trim().strip_prefix("id: ")).unwrap();
    assert!(text.stdout.contains(&format!("rebuilt   {id}")), "{}", text.stdout);
    assert!(text.stdout.contains("dropped   group-aggregate:"), "{}", text.stdout);
    // A pipeline of another name has none.
    let named = over_t(N, COUNT).replace("'job'", "'other'");
    lab.write("script.sql", named + &sink("o", N) + &COUNT.replace("INTO s", "INTO o"));
    let none = lab.flott.run(["upgrade", "ckpt", "script.sql"]).unwrap();
    assert!(none.stderr.contains("no pipeline of the script"), "{}", none.stderr);
    // A newer version of Flott wrote it.
    fs::write(lab.path("ckpt/job/FLOTT"), "flott checkpoints, format 2\n").unwrap();
    for command in ["upgrade ckpt/job script.sql", "run --quiet script.sql"] {
        lab.write("script.sql", over_t(N, COUNT));
        let newer = lab.flott.run(command.split(' ')).unwrap();
        assert_eq!(newer.status, Some(1), "{}", newer.stderr);
        assert!(newer.stderr.contains("format 2, written by a newer build"), "{}", newer.stderr);
    }
}
