//! What `validate` and `explain` promise goes by what is there; options outside their range, and options without
//! effect, are said with the place in the script.

use crate::support::{Lab, table};

const BATCH: &str = "SET 'execution.runtime-mode' = 'batch';\n";
const STORE: &str = "SET 'execution.checkpointing.dir' = 'ckpt';\n";

#[test]
fn a_pipe_is_seen_unless_nothing_outside_is_looked_at() {
    let lab = Lab::new();
    let made = std::process::Command::new("mkfifo").arg(lab.path("pipe")).status().unwrap();
    assert!(made.success());
    let sql = STORE.to_string()
        + &table("nums", "a INT", "pipe", "json", &[])
        + &table("kept", "a INT", "kept", "json", &[])
        + "INSERT INTO kept SELECT a FROM nums";
    for command in ["validate", "explain"] {
        let told = lab.flott.run([command, "-e", &sql]).unwrap().stdout;
        assert!(told.contains("at-most-once") && told.contains("'nums' is a pipe"), "{command}: {told}");
        let told = lab.flott.run([command, "--offline", "-e", &sql]).unwrap().stdout;
        assert!(told.contains("exactly-once"), "{command}: {told}");
    }
}

#[test]
fn a_table_that_replaces_its_own_input_is_not_exactly_once() {
    let lab = Lab::new();
    lab.write("t/a", "{\"a\":1}\n");
    let script = |path: &str| {
        BATCH.to_string()
            + &table("t", "a INT", "t", "json", &[])
            + &table("u", "a INT", path, "json", &[])
            + "INSERT OVERWRITE u SELECT a FROM t"
    };
    let promise = |sql: &str| lab.flott.run(["validate", "-e", sql]).unwrap().stdout;
    assert!(promise(&script("u")).contains("exactly-once"));
    for path in ["t", "./t", "t/a/b"] {
        let told = promise(&script(path));
        assert!(!told.contains("exactly-once"), "{told}");
    }
    assert!(promise(&script("t")).contains("INSERT OVERWRITE replaces what source 't' reads"));
    let asked = format!("SET 'sink.guarantee' = 'exactly-once'; {}", script("t"));
    assert!(lab.fails(2, &asked).contains("FLT-1206"));
}

#[test]
fn the_way_out_names_the_table_and_not_the_second_insert_into_it() {
    let lab = Lab::new();
    let sql = format!("{STORE}SET 'sink.guarantee' = 'exactly-once';\n")
        + "CREATE TABLE lines (a INT) WITH ('connector' = 'stdin', 'format' = 'json');\n"
        + &table("f", "a INT", "f", "json", &[])
        + "EXECUTE STATEMENT SET BEGIN INSERT INTO f SELECT 1; INSERT INTO f SELECT a FROM lines; END;\n";
    let said = lab.fails(2, &sql);
    assert!(said.contains("sink 'f#2'") && said.contains("in the WITH of 'f' "), "{said}");
}

#[test]
fn options_out_of_their_range_are_underlined() {
    let lab = Lab::new();
    let cases = [
        ("execution.checkpointing.interval", "0", "more than 0 ms"),
        ("execution.checkpointing.tolerable-failed-checkpoints", "-3", "a whole number from 0 on"),
        ("restart-strategy.fixed-delay.attempts", "-1", "a whole number from 0 on"),
        ("restart-strategy.exponential-delay.jitter-factor", "5", "a number from 0 to 1"),
        ("restart-strategy.exponential-delay.backoff-multiplier", "0.5", "a number of at least 1"),
        ("restart-strategy.exponential-delay.initial-backoff", "2 min", "is longer than the longest"),
        ("state.memory.budget", "1.5 gb", "only whole numbers are taken"),
    ];
    for (key, value, says) in cases {
        let fixed = if key.contains("fixed") { "SET 'restart-strategy.type' = 'fixed-delay';\n" } else { "" };
        let sql = format!("{STORE}{fixed}SET '{key}' = '{value}';\n");
        let outcome = lab.flott.run(["validate", "-e", &sql]).unwrap();
        assert_eq!(outcome.status, Some(2), "{sql}\n{}", outcome.stdout);
        for part in ["FLT-1203", says, "^"] {
            assert!(outcome.stderr.contains(part), "no {part} in {}", outcome.stderr);
        }
    }
}

#[test]
fn options_without_effect_are_said() {
    let lab = Lab::new();
    let cases = [
        (STORE, "state.backend.type", "rocksdb", "goes to 'state.dir' by itself"),
        (STORE, "restart-strategy.fixed-delay.attempts", "3", "the restart strategy is 'exponential-delay'"),
        ("", "restart-strategy.fixed-delay.attempts", "3", "without checkpoints a job isn't restarted"),
        ("", "restart-strategy.type", "fixed-delay", "is restarted from the beginning"),
    ];
    for (store, key, value, says) in cases {
        let sql = format!("{store}SET '{key}' = '{value}';\n");
        let outcome = lab.flott.run(["validate", "-e", &sql]).unwrap();
        assert_eq!(outcome.status, Some(0), "{sql}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains("warning") && outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}
