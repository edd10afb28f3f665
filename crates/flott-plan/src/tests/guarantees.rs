//! What is promised about a sink's rows, and what of it a script can ask for.

use super::*;

const ONCE: &str = "CREATE TABLE once (a BIGINT) WITH ('connector' = 'paper', 'path' = 'once');
    CREATE TABLE wished (a BIGINT) WITH ('connector' = 'paper', 'sink.guarantee' = 'exactly-once');
    CREATE TABLE free (a BIGINT) WITH ('connector' = 'paper', 'sink.guarantee' = 'none');
    CREATE TABLE out (a BIGINT) WITH ('connector' = 'paper');\n";
const STORE: (&str, &str) = ("execution.checkpointing.dir", "/checkpoints");
const ASKED: (&str, &str) = ("sink.guarantee", "exactly-once");

fn promised(options: &[(&str, &str)], inserts: &str) -> Vec<String> {
    let plan = planned_with(options, &format!("{ONCE}{inserts}")).unwrap();
    plan.sinks().map(|(_, sink)| sink.guarantee.to_string()).collect()
}

fn refused(options: &[(&str, &str)], inserts: &str) -> Box<Diagnostic> {
    planned_with(options, &format!("{ONCE}{inserts}")).unwrap_err()
}

#[test]
fn a_promise_rests_on_store_and_sources_of_its_own_sink_alone() {
    let insert = "INSERT INTO out SELECT a FROM wide";
    assert_eq!(promised(&[STORE], insert), ["exactly-once (rows are published with their checkpoint)"]);
    let batch = ("execution.runtime-mode", "batch");
    assert!(promised(&[STORE, batch], insert)[0].starts_with("at-least-once (published when the run ends"));
    assert_eq!(
        promised(&[batch], "INSERT OVERWRITE out SELECT a FROM wide"),
        ["exactly-once (a run that is begun anew replaces what was there)"]
    );
    let both = "EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT a FROM wide; \
        INSERT INTO free SELECT a FROM once; END";
    let both = promised(&[STORE], both);
    assert!(both[0].starts_with("exactly-once") && both[1].starts_with("at-most-once"), "{both:?}");
}

#[test]
fn what_cannot_be_held_is_refused_with_all_that_stands_against_it() {
    let error = refused(&[ASKED], "INSERT INTO out SELECT a FROM once");
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            Code::GuaranteeNotHeld,
            "sink 'out' can't be exactly-once: there are no checkpoints, and source 'once' (connector 'paper') \
             can't be read again"
        )
    );
    assert!(error.help.iter().any(|help| help.contains("'execution.checkpointing.dir'")), "{:?}", error.help);
    // What may be lost, not only doubled, is too little for at-least-once too.
    let least = ("sink.guarantee", "at-least-once");
    let error = refused(&[least], "INSERT INTO out SELECT a FROM once");
    assert!(
        error
            .message
            .ends_with("can't be at-least-once: source 'once' (connector 'paper') can't be read again")
    );
    assert_eq!(promised(&[least], "INSERT INTO out SELECT a FROM wide").len(), 1);
}

#[test]
fn a_table_says_otherwise_than_the_job() {
    let error = refused(&[], "INSERT INTO wished SELECT a FROM wide");
    assert!(error.span.is_some() && error.label.as_deref() == Some("asked for here"), "{error:?}");
    assert_eq!(promised(&[ASKED], "INSERT INTO free SELECT a FROM once").len(), 1);
    assert_eq!(promised(&[ASKED, STORE], "INSERT INTO wished SELECT a FROM wide").len(), 1);
    let query = planned_with(&[ASKED], "SELECT a FROM wide").unwrap();
    assert_eq!(query.sinks().count(), 1, "a query's rows are looked at, and kept nowhere");
}

#[test]
fn values_that_come_out_otherwise_are_noted_and_no_obstacle() {
    let script =
        format!("{ONCE}INSERT INTO out SELECT CAST(RAND() * a AS BIGINT) FROM wide WHERE UUID() <> ''");
    let plan = planned_with(&[STORE, ASKED], &script).unwrap();
    let (_, sink) = plan.sinks().next().unwrap();
    assert_eq!(sink.guarantee.word(), "exactly-once");
    assert_eq!(sink.guarantee.notes, ["RAND, UUID give other values"]);
}

/// Whether a file is a pipe is known only when it is opened.
#[test]
fn a_source_that_turns_out_to_be_a_pipe() {
    let plan = planned_with(&[STORE, ASKED], &format!("{ONCE}INSERT INTO out SELECT a FROM wide")).unwrap();
    let (source, _) = plan.sources().next().unwrap();
    let error = plan.cannot_replay(source).unwrap();
    assert_eq!(
        error.message,
        "sink 'out' can't be exactly-once: source 'wide' is a pipe, whose bytes come once"
    );
    let plan = planned_with(&[STORE], &format!("{ONCE}INSERT INTO out SELECT a FROM wide")).unwrap();
    assert!(plan.cannot_replay(source).is_none(), "nobody asks");
}
