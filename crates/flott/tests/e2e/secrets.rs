//! What comes from `${env:…}` or `${file:…}` is never shown.

use crate::support::Lab;

const SECRET: &str = "hunter2-0xCAFE";

/// Everything that these arguments print, with the secret in the environment and in a file.
fn printed(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.flott.command(arguments).env("SECRET", SECRET).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn secrets_are_never_printed() {
    let lab = Lab::new();
    lab.write("secret", format!("{SECRET}\n"));
    let table = |name: &str, path: &str, more: &str| {
        format!(
            "CREATE TABLE {name} (a INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json'{more});\n"
        )
    };
    for secret in ["${env:SECRET}", "${file:secret}"] {
        let scripts = [
            // An error about a table with a secret, underlined or not.
            table("t", secret, "") + "SELECT * FROM t",
            table("t", &format!("/tmp/{secret}/x.json"), "") + "SELECT * FROM t",
            table("t", "x", &format!(", 'jsn.x' = '{secret}'")) + "SELECT * FROM t",
            table("t", "x", &format!(", 'on-error' = '{secret}'")) + "SELECT * FROM t",
            table("t", "x", &format!(", 'source.monitor-interval' = '{secret}'")) + "SELECT * FROM t",
            table("t", secret, &format!(", 'format' = '{secret}'")) + "SELECT * FROM t",
            format!("SELECT nope, '{secret}' FROM nowhere"),
            format!("SELECT CAST('{secret}' AS INT)"),
            format!("SET 'parallelism.default' = '{secret}'; SELECT 1"),
            // What shows definitions.
            table("t", secret, "") + "SHOW CREATE TABLE t",
            format!("CREATE VIEW v AS SELECT '{secret}' AS s; SHOW CREATE VIEW v"),
            format!("SET 'pipeline.name' = '{secret}'; SET"),
            table("t", secret, "") + "DESCRIBE t",
            table("t", secret, "") + &format!("EXPLAIN SELECT a, '{secret}' FROM t"),
        ];
        for script in &scripts {
            for command in
                [vec!["run"], vec!["validate"], vec!["explain"], vec!["explain", "--format", "json"]]
            {
                let text = printed(&lab, &[command, vec!["-e", script]].concat());
                assert!(!text.is_empty() && !text.contains(SECRET), "{script}\n{text}");
            }
        }
    }
}
