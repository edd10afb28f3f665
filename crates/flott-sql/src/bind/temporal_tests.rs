//! Temporal joins, hints and changelog functions: SQL in, plan or error out.

use flott_types::Diagnostic;

use crate::{LogicalPlan, OnConflict, Outcome, Session, Source, parse::parse_script};

const TABLES: &str = "
    CREATE TABLE o (a INT, b STRING, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts)
      WITH ('connector' = 'datagen');
    CREATE TABLE r (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (a) NOT ENFORCED)
      WITH ('connector' = 'datagen');
    CREATE TABLE r2 (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (a, b) NOT ENFORCED)
      WITH ('connector' = 'datagen');
    CREATE TABLE untimed (a INT, b STRING, ts TIMESTAMP(3), PRIMARY KEY (a) NOT ENFORCED)
      WITH ('connector' = 'datagen');
    CREATE VIEW latest AS SELECT b AS name, a AS id, ts FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY ts DESC) AS rn FROM o) WHERE rn = 1;
    CREATE TABLE c (op STRING, id INT NOT NULL, v STRING) WITH ('connector' = 'datagen');
    CREATE TABLE k (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'datagen');
";

fn run(sql: &str) -> Result<Outcome, Box<Diagnostic>> {
    let mut session = Session::default();
    let declared = Source::new("tables", TABLES);
    for statement in &parse_script(&declared).0 {
        session.execute(&declared, statement).unwrap();
    }
    let source = Source::new("test", sql);
    let (statements, errors) = parse_script(&source);
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => session.execute(&source, &statements[0]),
    }
}

#[track_caller]
fn plan(sql: &str) -> LogicalPlan {
    match run(sql).unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help)) {
        Outcome::Query(plan) => plan,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_error(sql: &str, message: &str, underlined: &str) {
    let error = run(sql).expect_err(sql);
    let source = Source::new("test", sql);
    let shown = source.slice(error.span.unwrap_or_default());
    assert_eq!((error.message.as_str(), shown), (message, underlined), "{sql} {:?}", error.help);
}

/// The first node of its kind, from the top.
fn find<'p, T>(plan: &'p LogicalPlan, wanted: &dyn Fn(&'p LogicalPlan) -> Option<T>) -> Option<T> {
    wanted(plan).or_else(|| plan.inputs().into_iter().find_map(|input| find(input, wanted)))
}

fn temporal(sql: &str) -> crate::TemporalJoin {
    let plan = plan(sql);
    let join = find(&plan, &|node| match node {
        LogicalPlan::TemporalJoin(join) => Some(join.clone()),
        _ => None,
    });
    join.unwrap_or_else(|| panic!("{plan}"))
}

#[test]
fn a_row_time_join_knows_the_versions_key_and_time() {
    let join =
        temporal("SELECT * FROM o LEFT JOIN r FOR SYSTEM_TIME AS OF o.ts AS v ON o.a = v.a AND v.b > o.b");
    assert_eq!((join.right_key, join.right_time), (vec![0], Some(2)));
    let join = temporal("SELECT * FROM o JOIN latest FOR SYSTEM_TIME AS OF o.ts ON latest.id = o.a");
    assert_eq!((join.right_key, join.right_time), (vec![1], Some(2)));
    let join = temporal("SELECT * FROM o JOIN r2 FOR SYSTEM_TIME AS OF o.ts USING (a, b)");
    assert_eq!((join.right_key, join.right_time), (vec![0, 1], Some(2)));
}

#[test]
fn a_look_up_join_takes_its_hint() {
    let join = temporal(
        "SELECT /*+ LOOKUP('table' = 'v', 'async' = 'true', 'output-mode' = 'allow_unordered', \
         'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay', 'fixed-delay' = '10 s', \
         'max-attempts' = '3') */ * FROM o JOIN k FOR SYSTEM_TIME AS OF o.p AS v ON o.a = v.a",
    );
    assert!(join.right_key.is_empty() && join.right_time.is_none());
    let hint = join.lookup;
    assert_eq!((hint.asynchronous, hint.unordered, hint.capacity), (Some(true), Some(true), None));
    let retry = hint.retry.unwrap();
    assert_eq!((retry.delay.as_secs(), retry.attempts_max), (10, 3));
}

#[test]
fn a_temporal_join_says_what_it_lacks() {
    let sql = "SELECT * FROM o RIGHT JOIN r FOR SYSTEM_TIME AS OF o.ts AS v ON o.a = v.a";
    assert_error(sql, "a join FOR SYSTEM_TIME AS OF is INNER or LEFT", "r");
    let sql = "SELECT * FROM o JOIN o FOR SYSTEM_TIME AS OF o.ts AS v ON o.a = v.a";
    assert_error(sql, "a join FOR SYSTEM_TIME AS OF a row time needs a primary key of its right side", "o");
    let sql = "SELECT * FROM o JOIN untimed FOR SYSTEM_TIME AS OF o.ts AS v ON o.a = v.a";
    assert_error(
        sql,
        "a join FOR SYSTEM_TIME AS OF a row time needs a row time of its right side",
        "untimed",
    );
    let sql = "SELECT * FROM o JOIN r2 FOR SYSTEM_TIME AS OF o.ts AS v ON o.a = v.a";
    let message = "the condition must compare the whole key of the right side (a, b), but 'b' is missing";
    assert_error(sql, message, "r2");
    let sql = "SELECT * FROM untimed u JOIN r FOR SYSTEM_TIME AS OF u.ts AS v ON u.a = v.a";
    assert_error(sql, "FOR SYSTEM_TIME AS OF takes a time attribute of the join's left side", "u.ts");
    let sql = "SELECT * FROM o JOIN k FOR SYSTEM_TIME AS OF o.p AS v ON TRUE";
    let message = "a join FOR SYSTEM_TIME AS OF needs a column of the right side to be compared with =";
    assert_error(sql, message, "k");
}

#[test]
fn state_ttl_reaches_joins_and_groups_by_the_names_in_from() {
    let of_joins = |sql: &str| {
        let mut all = Vec::new();
        let plan = plan(sql);
        let mut rest = vec![&plan];
        while let Some(node) = rest.pop() {
            if let LogicalPlan::Join { state_ttl, .. } = node {
                all.push(*state_ttl);
            }
            rest.extend(node.inputs());
        }
        all
    };
    let sql = "SELECT /*+ STATE_TTL('x' = '1 d', 'y' = '2 h', 'k' = '3 h') */ x.a FROM o x JOIN o y ON x.a = y.a \
               JOIN k ON k.a = x.a";
    let hour = 3_600_000;
    assert_eq!(of_joins(sql), [[None, Some(3 * hour)], [Some(24 * hour), Some(2 * hour)]]);
    let plan = plan("SELECT /*+ BROADCAST(o), STATE_TTL('o' = '1 h') */ a, COUNT(*) FROM o GROUP BY a");
    let ttl = find(&plan, &|node| match node {
        LogicalPlan::Aggregate { state_ttl, .. } => Some(*state_ttl),
        _ => None,
    });
    assert_eq!(ttl, Some(Some(hour)));
    let sql = "SELECT /*+ STATE_TTL('zz' = '1 d') */ a FROM o";
    assert_error(sql, "the hint names 'zz', which is not in FROM", "'zz'");
    let sql = "SELECT /*+ FOO(o) */ a FROM o";
    assert_error(sql, "there is no hint 'FOO'", "FOO");
    assert_error("SELECT 1 + /*+ X */ a FROM o", "a hint cannot stand here", "/*+ X */");
}

#[test]
fn changelog_functions_map_codes_and_operations() {
    let shown = |sql: &str| plan(sql).to_string();
    assert_eq!(
        shown(
            "SELECT * FROM FROM_CHANGELOG(input => TABLE c, op_mapping => MAP['c, r', 'INSERT', 'd', 'DELETE'])"
        ),
        "FromChangelog #0 c = INSERT, r = INSERT, d = DELETE (`id` INT NOT NULL, `v` STRING)\n  \
         Scan c (`op` STRING, `id` INT NOT NULL, `v` STRING)"
    );
    assert_eq!(
        shown("SELECT * FROM TO_CHANGELOG(TABLE k, DESCRIPTOR(what), MAP['INSERT, UPDATE_AFTER', 'U']) AS t"),
        "ToChangelog INSERT = U, UPDATE_AFTER = U (`what` STRING NOT NULL, `a` INT NOT NULL, `b` STRING)\n  \
         Scan k (`a` INT NOT NULL, `b` STRING)"
    );
    let sql = "SELECT * FROM FROM_CHANGELOG(input => TABLE k)";
    assert_error(sql, "the input of FROM_CHANGELOG has no column 'op'", "FROM_CHANGELOG(input => TABLE k)");
    let sql = "SELECT * FROM TO_CHANGELOG(input => TABLE c)";
    assert_error(
        sql,
        "the input of TO_CHANGELOG has a column 'op' already",
        "TO_CHANGELOG(input => TABLE c)",
    );
    let sql = "SELECT * FROM FROM_CHANGELOG(input => TABLE c, op_mapping => MAP['u', 'UPDATE_AFTER'])";
    assert_error(sql, "op_mapping has a code for UPDATE_AFTER but none for UPDATE_BEFORE", "'u'");
    let sql = "SELECT * FROM FROM_CHANGELOG(input => TABLE c, op_mapping => MAP['u', 'BOGUS'])";
    assert_error(sql, "there is no change operation 'BOGUS'", "'BOGUS'");
}

#[test]
fn an_insert_says_what_it_does_on_conflict() {
    let action = |clause: &str| match run(&format!("INSERT INTO k SELECT a, b FROM o {clause}")) {
        Ok(Outcome::Insert(inserts)) => inserts[0].on_conflict,
        other => panic!("{other:?}"),
    };
    assert_eq!(action(""), None);
    assert_eq!(action("ON CONFLICT DO ERROR"), Some(OnConflict::Error));
    assert_eq!(action("on conflict do nothing"), Some(OnConflict::Nothing));
    assert_eq!(action("ON CONFLICT DO DEDUPLICATE"), Some(OnConflict::Deduplicate));
    let sql = "INSERT INTO k SELECT a, b FROM o ON CONFLICT DO UPDATE";
    assert_error(sql, "expected ERROR, NOTHING or DEDUPLICATE, found 'UPDATE'", "UPDATE");
    let sql = "INSERT INTO c (id) SELECT a FROM k ON CONFLICT DO ERROR";
    assert_error(sql, "ON CONFLICT needs a primary key of the table", "ON CONFLICT DO ERROR");
}
