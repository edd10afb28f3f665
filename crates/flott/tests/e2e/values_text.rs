//! Values printed as text: `CAST(… AS STRING)` and `TYPEOF(…)` give on standard output the very text
//! that a real Flink gives, as `tests/conformance/recorded/functions.tsv` keeps it below `CAST`.

use std::{fs, path::Path};

use crate::support::Lab;

/// Expression, type and text (`None`: NULL) of Flink's answers.
fn recorded() -> Vec<(String, String, Option<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/recorded/functions.tsv");
    let text = fs::read_to_string(path).unwrap();
    let answer = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let ["CAST", expression, of, value] = fields[..] else { return None };
        Some((expression.to_string(), of.to_string(), value.strip_prefix('=').map(str::to_string)))
    };
    text.lines().filter_map(answer).collect()
}

/// A field of CSV.
fn field(text: Option<&str>) -> String {
    match text {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_string(),
    }
}

#[test]
fn values_are_printed_as_flink_prints_them() {
    let lab = Lab::new();
    let recorded = recorded();
    assert!(recorded.len() >= 60, "{} answers are recorded", recorded.len());
    let query = |expression: &str| format!("SELECT CAST({expression} AS STRING), TYPEOF({expression});\n");
    let script: String = recorded.iter().map(|(expression, ..)| query(expression)).collect();
    let outcome = lab.flott.run(["run", "--output", "csv", "-e", &script]).unwrap();
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    // Each query prints a header and a row.
    let rows: Vec<&str> = outcome.stdout.lines().skip(1).step_by(2).collect();
    assert_eq!(rows.len(), recorded.len());
    for (row, (expression, of, text)) in rows.iter().zip(&recorded) {
        let expected = format!("{},{}", field(text.as_deref()), field(Some(of)));
        assert_eq!(*row, expected, "{expression}");
    }
}
